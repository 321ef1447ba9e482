//! Rights that are missing from the start end the process with code 2 and what to grant. Those that are taken away later are waited
//! for: nothing is lost meanwhile, and nothing runs twice.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use daemonry::record::Partition;
use integration::checker::Order;
use integration::patience::unix_ms;
use integration::payload::{Mix, Payload};
use integration::rights::{Operation, Resource};
use integration::scenario::PARTITIONS;
use integration::{Member, Scenario};

use crate::scene::{Run, SOON, Scene, broker, says, side_by_side, until_ready, until_unready};

#[test]
fn rights_that_are_missing_are_named() -> Result<()> {
    side_by_side(&[
        ("a topic that may not be read is refused", &a_topic_that_may_not_be_read_is_refused),
        ("a topic that may not be seen is refused", &a_topic_that_may_not_be_seen_is_refused),
        ("a group that may not be joined is refused", &a_group_that_may_not_be_joined_is_refused),
        (
            "a group that may not be joined is refused by the consumer protocol",
            &a_group_that_may_not_be_joined_is_refused_by_the_consumer_protocol,
        ),
        ("letters that may not be written are refused", &letters_that_may_not_be_written_are_refused),
        ("letters whose topic may not be created are refused", &letters_whose_topic_may_not_be_created_are_refused),
    ])
}

fn a_topic_that_may_not_be_read_is_refused() -> Result<()> {
    let scene = Scene::open("no-read")?;
    scene.grant(Operation::Describe, Resource::Topic)?;
    scene.grant(Operation::Read, Resource::Group)?;
    scene.grant_letters(Operation::Write)?;
    let topic = format!("`{}`", scene.scenario.topic());
    scene.refused(&["not authorised to read topic", &topic, "grant this user READ"])
}

fn a_topic_that_may_not_be_seen_is_refused() -> Result<()> {
    let scene = Scene::open("no-describe")?;
    scene.grant(Operation::Read, Resource::Group)?;
    scene.grant_letters(Operation::Write)?;
    let topic = format!("`{}`", scene.scenario.topic());
    scene.refused(&["not authorised to read topic", &topic, "grant this user READ"])
}

fn a_group_that_may_not_be_joined_is_refused() -> Result<()> {
    let scene = Scene::open("no-group")?;
    scene.grant(Operation::Read, Resource::Topic)?;
    scene.grant_letters(Operation::Write)?;
    let group = format!("group `{}`", scene.scenario.topic());
    scene.refused(&["not authorised", &group, "grant this user READ on the group"])
}

fn a_group_that_may_not_be_joined_is_refused_by_the_consumer_protocol() -> Result<()> {
    let mut scene = Scene::open("no-group.consumer")?;
    scene.grant(Operation::Read, Resource::Topic)?;
    scene.grant(Operation::Describe, Resource::Group)?;
    scene.grant_letters(Operation::Write)?;
    let flags = scene.flags()?.with("group-protocol", "consumer");
    let mut member = scene.scenario.start(&flags)?;
    assert_eq!(member.wait(SOON)?, 2);
    says(&member, &["not authorised", "grant this user READ on the group"])?;
    scene.scenario.close()
}

fn letters_that_may_not_be_written_are_refused() -> Result<()> {
    let scene = Scene::open("no-write")?;
    scene.grant(Operation::Read, Resource::Topic)?;
    scene.grant(Operation::Read, Resource::Group)?;
    scene.grant_letters(Operation::Describe)?;
    let letters = format!("`{}`", scene.scenario.letter_topic());
    scene.refused(&["not authorised for topic", &letters, "grant this user WRITE"])
}

fn letters_whose_topic_may_not_be_created_are_refused() -> Result<()> {
    let scenario = Scenario::open_without_letters(&broker()?.bootstrap(), "no-create", Order::Key)?;
    let mut scene = Scene::open_in(scenario)?;
    scene.grant_all()?;
    let flags = scene.flags()?.with("missing-dead-letter", "create");
    let mut member = scene.scenario.start(&flags)?;
    assert_eq!(member.wait(SOON)?, 2);
    says(&member, &["not authorised for topic", &scene.scenario.letter_topic(), "grant this user CREATE"])?;
    scene.scenario.close()
}

#[test]
fn letters_wait_while_they_may_not_be_written() -> Result<()> {
    let mut scene = Scene::granted("write-withdrawn")?;
    let mut member = scene.start()?;
    until_ready(&mut member)?;
    // The last right to write anything: without one the brokers give no producer id either, which a producer that is made meanwhile says.
    scene.scenario.expect_error("Failed to acquire idempotence PID");
    scene.withdraw_letters(Operation::Write)?;
    let records =
        (0..100).map(|id| if id % 10 == 0 { Payload::poison(id, "key") } else { Payload::obeyed(id, "key", "") });
    scene.scenario.produce_to(Partition(0), records)?;
    scene.scenario.produce_to(Partition(1), (0..100).map(|id| Payload::obeyed(1_000 + id, "healthy", "")))?;
    member.until_log("dead letter can't be written, its partition waits", SOON)?;
    says(&member, &["dead letter can't be written", &scene.scenario.letter_topic(), "grant"])?;
    scene.scenario.settle_where(SOON, |produced| produced.stored.partition == Partition(1))?;

    scene.grant_letters(Operation::Write)?;
    let verdict = scene.scenario.pass(vec![member], Duration::from_secs(60))?;
    assert_eq!((verdict.letters, verdict.duplicates), (10, 0), "{verdict}");
    Ok(())
}

/// What a process keeps of its assignment while it may not read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// All of it: nothing may run twice.
    Everything,
    /// None of it: what could not be committed runs again.
    Nothing,
}

/// More than the time in which a member hears of a rebalance; their session timeout is 6 s here, and a handler takes longer.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Has a handler of each partition begin what takes longer than it takes to withdraw a right: so that each process finishes something that
/// it can't commit.
fn begin_what_ends_later(scene: &mut Scene) -> Result<()> {
    const LATER: u64 = 1_000_000;
    let partitions = 0..u64::from(PARTITIONS);
    for id in partitions.clone() {
        let slow = Payload::obeyed(LATER + id, "slow", "\"sleep_ms\":8000");
        let quick = Payload::obeyed(2 * LATER + id, "quick", "");
        scene.scenario.produce_to(Partition(i32::try_from(id)?), [slow, quick])?;
    }
    // What stands behind it has run, so it has been begun, or is about to be.
    scene.scenario.until_ledger(SOON, "what stands behind the slow ones", |entries| {
        partitions.clone().all(|id| entries.iter().any(|entry| entry.id == (2 * LATER + id).to_string()))
    })
}

/// Has two processes work under load, takes READ on `resource` from them, stops one of them, and gives it back after that time.
fn withdrawn_and_granted_again(
    mut scene: Scene,
    protocol: &str,
    resource: Resource,
    keeps: Keeps,
    said: &[&str],
    after: Duration,
) -> Result<()> {
    let operation = Operation::Read;
    // The one that stops meanwhile can't commit all of it; librdkafka calls a consumer group's refusal fatal, and is told to rejoin twice.
    for said in
        ["exit_code=3", "Topic authorization failed", "Group authorization failed", "unexpected instruction to revoke"]
    {
        scene.scenario.expect_error(said);
    }
    // Nothing can be committed meanwhile. A partition that was revoked is kept for its last commit, and a stop waits behind it.
    let flags = scene.flags()?.with("group-protocol", protocol).with("drain-ms", 10_000);
    // One that may not leave is missed only at its session timeout; of the consumer protocol it is the broker's.
    let flags = if protocol == "consumer" { flags } else { flags.with("session-timeout-ms", 6_000) };
    let load = scene.scenario.load(100, Mix::default());
    let mut members = vec![scene.scenario.start(&flags)?, scene.scenario.start(&flags)?];
    for member in &mut members {
        scene.scenario.until_works(member, SOON)?;
    }
    begin_what_ends_later(&mut scene)?;
    let withdrawn = unix_ms();
    scene.withdraw(operation, resource)?;
    for member in &mut members {
        until_unready(member, said)?;
        says(member, said)?;
    }
    let mut leaver = members.pop().context("there are two")?;
    let code = leaver.stop(SOON)?;
    // What it finished last can't be committed; but what it has lost is not its own to commit.
    let said_so = code == 3 || (code == 0 && keeps == Keeps::Nothing);
    assert!(said_so, "it ended with {code}, log {}", leaver.log_path().display());
    scene.scenario.note_gone(leaver.pid(), withdrawn, Duration::ZERO);
    let stays: &mut Member = members.first_mut().context("one is left")?;
    assert!(stays.ended()?.is_none(), "it gave up, log {}", stays.log_path().display());
    thread::sleep(after);
    scene.grant(operation, resource)?;
    until_ready(stays)?;
    if keeps == Keeps::Nothing {
        scene.scenario.note_gone(stays.pid(), withdrawn, HEARTBEAT);
    }
    scene.scenario.until_more(200, SOON)?;
    scene.scenario.unload(load)?;
    let verdict = scene.scenario.pass(members, Duration::from_secs(60))?;
    eprintln!("{verdict}");
    Ok(())
}

/// Does the same under each protocol, side by side.
fn each_protocol(run: fn(&'static str) -> Result<()>) -> Result<()> {
    let runs = ["classic", "eager", "consumer"].map(|protocol| (protocol, move || run(protocol)));
    side_by_side(&runs.each_ref().map(|(protocol, run)| (*protocol, run as &Run<'_>)))
}

#[test]
fn reading_goes_on_once_it_is_granted_again() -> Result<()> {
    each_protocol(|protocol| {
        let scene = Scene::granted(&format!("read-withdrawn.{protocol}"))?;
        // The topic stays in sight.
        scene.grant(Operation::Describe, Resource::Topic)?;
        // An eager rebalance, as the one that stops brings about, takes everything from everybody.
        let keeps = if protocol == "eager" { Keeps::Nothing } else { Keeps::Everything };
        let said = ["not authorised to read topic", "grant this user READ"];
        withdrawn_and_granted_again(scene, protocol, Resource::Topic, keeps, &said, Duration::ZERO)
    })
}

#[test]
fn a_topic_out_of_sight_is_read_on_once_it_is_granted_again() -> Result<()> {
    each_protocol(|protocol| {
        let scene = Scene::granted(&format!("sight-withdrawn.{protocol}"))?;
        let keeps = if protocol == "classic" { Keeps::Everything } else { Keeps::Nothing };
        let said = ["not authorised to read topic", "grant this user READ"];
        withdrawn_and_granted_again(scene, protocol, Resource::Topic, keeps, &said, Duration::ZERO)
    })
}

#[test]
fn a_rebalance_while_a_topic_is_out_of_sight_leaves_no_partition_behind() -> Result<()> {
    each_protocol(|protocol| {
        let scene = Scene::granted(&format!("sight-rebalanced.{protocol}"))?;
        let keeps = if protocol == "classic" { Keeps::Everything } else { Keeps::Nothing };
        let said = ["not authorised to read topic", "grant this user READ"];
        withdrawn_and_granted_again(scene, protocol, Resource::Topic, keeps, &said, HEARTBEAT)
    })
}

#[test]
fn a_topic_out_of_sight_for_long_is_read_on_once_it_is_granted_again() -> Result<()> {
    each_protocol(|protocol| {
        let mut scene = Scene::granted(&format!("sight-lost.{protocol}"))?;
        // Five minutes by default: then the client gives the topic up, and its partitions with it.
        scene.entry = scene.entry.with("topic.metadata.refresh.interval.ms", 3_000);
        let said = ["not authorised to read topic", "grant this user READ"];
        withdrawn_and_granted_again(scene, protocol, Resource::Topic, Keeps::Nothing, &said, Duration::ZERO)
    })
}

#[test]
fn a_group_is_joined_again_once_it_is_granted_again() -> Result<()> {
    each_protocol(|protocol| {
        let scene = Scene::granted(&format!("group-withdrawn.{protocol}"))?;
        let said = ["group", "grant this user READ on the group"];
        withdrawn_and_granted_again(scene, protocol, Resource::Group, Keeps::Nothing, &said, Duration::ZERO)
    })
}
