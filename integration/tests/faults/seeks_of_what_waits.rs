//! Seeks of partitions of which nothing goes on: paused, with a retry or a letter that waits, or without a broker.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use daemonry::record::{Offset, Partition};
use integration::checker::{Order, Verdict};
use integration::patience::until_true;
use integration::payload::Payload;
use integration::scenario::STOP;
use integration::{Broker, BrokerOptions, Member, Scenario, Seeking, brokers};
use rustix::process::Signal;

use crate::side_by_side::side_by_side;

const SOON: Duration = Duration::from_secs(30);
const FIRST: Partition = Partition(0);

fn plain(ids: std::ops::Range<u64>) -> impl Iterator<Item = Payload> {
    ids.map(|id| Payload::obeyed(id, "any", ""))
}

/// Where the group goes on in the first partition.
fn committed(scenario: &Scenario) -> Result<Option<Offset>> {
    let committed = scenario.topics().group(scenario.topic())?.committed(scenario.topic(), &[FIRST])?;
    Ok(committed.get(&FIRST).map(|committed| committed.next.offset()))
}

/// Asks for a place of the first partition, which must be found soon.
fn seek(scenario: &mut Scenario, member: &mut Member, place: &str) -> Result<Result<Offset, String>> {
    Seeking::ask(scenario, member, FIRST, place)?.answer(scenario, member, SOON)
}

#[test]
fn a_paused_partition_goes_on_from_its_new_place_once_it_may() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "seek.paused", Order::Partition)?;
    scenario.produce_to(FIRST, plain(0..100))?;
    let flags = scenario.flags().steered();
    let mut member = scenario.start(&flags)?;
    scenario.settle(SOON)?;
    member.order("pause 0")?;
    until_true(SOON, "a pause", || Ok(member.answers("pause 0")? == ["done"]))?;

    assert_eq!(seek(&mut scenario, &mut member, "40")?, Ok(Offset(40)));
    // The place counts at once, though nothing is handled.
    assert_eq!(committed(&scenario)?, Some(Offset(40)));
    let handled = scenario.entries()?.len();
    scenario.produce_to(FIRST, plain(100..110))?;
    scenario.produce_to(Partition(1), plain(200..210))?;
    scenario.settle_where(SOON, |produced| produced.stored.partition == Partition(1))?;
    assert_eq!(scenario.entries()?.len(), handled + 10, "the paused one goes on");

    member.order("resume 0")?;
    let verdict = scenario.pass(vec![member], SOON)?;
    assert_eq!((verdict.successes, verdict.duplicates), (100 + 10 + 70, 60));
    Ok(())
}

#[test]
fn a_seek_past_a_parked_retry_leaves_it_out() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "seek.parked", Order::Partition)?;
    scenario.produce_to(FIRST, plain(0..10))?;
    scenario.produce_to(FIRST, [Payload::obeyed(10, "any", "\"fail_times\":1")])?;
    scenario.produce_to(FIRST, plain(11..20))?;
    // It would be retried long after the test.
    let flags = scenario.flags().with("backoff-ms", 600_000).with("admin", "127.0.0.1:0").steered();
    let mut member = scenario.start(&flags)?;
    until_true(SOON, "a parked retry", || {
        Ok(scenario.entries()?.len() == 10 && member.metric("daemon_parked_records", "")? >= 1.0)
    })?;

    // Back before it, where it parks again; then past it.
    assert_eq!(seek(&mut scenario, &mut member, "5")?, Ok(Offset(5)));
    scenario.until_ledger(SOON, "five records again", |entries| entries.len() == 15)?;
    assert_eq!(seek(&mut scenario, &mut member, "15")?, Ok(Offset(15)));

    let verdict = scenario.pass(vec![member], SOON)?;
    assert_eq!((verdict.successes, verdict.duplicates), (10 + 5 + 5, 5));
    Ok(())
}

#[test]
fn a_seek_past_a_letter_that_cannot_be_written_lets_its_partition_go_on() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "seek.letter", Order::Partition)?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0").steered();
    let mut member = scenario.start(&flags)?;
    scenario.produce_to(FIRST, plain(0..10))?;
    scenario.settle(SOON)?;
    scenario.delete_letters()?;
    scenario.produce_to(FIRST, [Payload::poison(10, "any")])?;
    scenario.produce_to(FIRST, plain(11..20))?;
    member.until_log("dead letter can't be written, its partition waits", Duration::from_secs(60))?;

    assert_eq!(seek(&mut scenario, &mut member, "11")?, Ok(Offset(11)));
    scenario.settle(SOON)?;
    assert_eq!(scenario.entries()?.len(), 19);
    until_true(SOON, "no partition held any more", || {
        Ok(member.metric("daemon_partitions_held", r#"reason="dead_letter""#)? < 0.5)
    })?;

    // Back to it, once it can be written.
    scenario.create_letters()?;
    assert_eq!(seek(&mut scenario, &mut member, "10")?, Ok(Offset(10)));
    let verdict = scenario.pass(vec![member], Duration::from_secs(60))?;
    assert_eq!((verdict.letters, verdict.successes), (1, 28));
    Ok(())
}

#[test]
fn a_seek_while_the_broker_is_down_is_refused_and_changes_nothing() -> Result<()> {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let mut scenario = Scenario::open(&broker.bootstrap(), "seek.down", Order::Partition)?;
    scenario.expect_broken_connections();
    scenario.produce_to(FIRST, plain(0..100))?;
    let mut member = scenario.start(&scenario.flags().steered())?;
    scenario.settle(SOON)?;
    scenario.until_committed_to_the_end(SOON)?;

    broker.kill()?;
    let refused = seek(&mut scenario, &mut member, "beginning")?;
    let reason = refused.expect_err("no broker says where that is");
    assert!(reason.contains("the brokers do not say where the beginning of"), "{reason}");
    broker.restart()?;

    scenario.produce_to(FIRST, plain(100..110))?;
    scenario.settle(SOON)?;
    assert_eq!(seek(&mut scenario, &mut member, "50")?, Ok(Offset(50)));
    let verdict = scenario.pass(vec![member], SOON)?;
    assert_eq!(verdict.duplicates, 60);
    Ok(())
}

/// The broker goes while a seek waits for a handler.
fn gone_in_a_seek(protocol: &'static str) -> Result<Verdict> {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let mut scenario = Scenario::open(&broker.bootstrap(), &format!("seek.outage.{protocol}"), Order::Partition)?;
    scenario.expect_broken_connections();
    scenario.produce_to(FIRST, plain(0..50))?;
    scenario.produce_to(FIRST, [Payload::obeyed(50, "any", "\"sleep_ms\":3000")])?;
    scenario.produce_to(FIRST, plain(51..100))?;
    let flags = scenario.flags().with("group-protocol", protocol).steered();
    // What is lost to the group runs again, and that is none of what is asked here.
    let flags = if protocol == "classic" { flags.with("session-timeout-ms", 180_000) } else { flags };
    let mut member = scenario.start(&flags)?;
    scenario.until_more(50, SOON)?;

    let seeking = Seeking::ask(&scenario, &mut member, FIRST, 20)?;
    member.until_log("partitions revoked, draining", SOON)?;
    broker.kill()?;
    // Its handler ends meanwhile, and nothing can be committed.
    thread::sleep(Duration::from_secs(5));
    broker.restart()?;

    seeking.answer(&mut scenario, &member, Duration::from_secs(60))?.expect("the partition is still its own");
    scenario.pass(vec![member], Duration::from_secs(60))
}

#[test]
fn a_broker_that_goes_in_the_middle_of_a_seek_leaves_it_done_or_not() -> Result<()> {
    side_by_side(&["classic", "consumer"], gone_in_a_seek).map(drop)
}

#[test]
fn a_stop_while_a_seek_asks_a_broker_that_says_nothing_does_not_hang() -> Result<()> {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let mut scenario = Scenario::open(&broker.bootstrap(), "seek.frozen", Order::Partition)?;
    scenario.expect_broken_connections();
    scenario.produce_to(FIRST, plain(0..100))?;
    // Its last commit, that it ends, is never answered; so it can't leave, and the group waits for it as long.
    let flags = scenario.flags().with("drain-ms", 2_000).with("session-timeout-ms", 6_000);
    let mut member = scenario.start(&flags.steered())?;
    scenario.settle(SOON)?;
    scenario.until_committed_to_the_end(SOON)?;

    broker.freeze()?;
    let seeking = Seeking::ask(&scenario, &mut member, FIRST, "beginning")?;
    thread::sleep(Duration::from_millis(500));
    let before = Instant::now();
    member.signal(Signal::TERM)?;
    // All was committed before.
    let code = member.wait(STOP)?;
    eprintln!("a frozen broker: exit code {code} after {:?}", before.elapsed());
    assert_eq!(code, 0);
    broker.thaw()?;

    seeking.give_up(&mut scenario, &member)?;
    let mut heir = scenario.start(&scenario.flags().steered())?;
    heir.until_log("partition assigned", SOON)?;
    scenario.pass(vec![heir], Duration::from_secs(60))?;
    Ok(())
}
