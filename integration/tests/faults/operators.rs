//! What operators, and time, do to a group and its topic.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{NextOffset, Offset, Partition};
use integration::checker::{Order, Verdict};
use integration::patience::{unix_ms, until_true};
use integration::payload::{Mix, Payload, Payloads};
use integration::scale::Scale;
use integration::scenario::STOP;
use integration::{Broker, BrokerOptions, Committed, Scenario, brokers};
use rustix::process::Signal;

use crate::side_by_side::{Setting, side_by_side};

const SOON: Duration = Duration::from_secs(40);
/// What a process that wakes up may take until it answers again, in milliseconds.
const ANSWER: u64 = 1_000;
const BOTH: [Setting; 2] = [
    Setting { protocol: "classic", members: 2, order: Order::Key },
    Setting { protocol: "consumer", members: 2, order: Order::Key },
];

/// An operator resets the group while it runs, which the brokers refuse, and again when it has ended.
fn reset(setting: Setting) -> Result<Verdict> {
    let mut scenario = Scenario::open(&brokers()?, &setting.name("reset"), setting.order)?;
    let flags = setting.flags(&scenario);
    let load = scenario.load(150, Mix::default());
    let mut members = vec![scenario.start_watched(&flags)?, scenario.start_watched(&flags)?];
    for member in &mut members {
        scenario.until_works(member, SOON)?;
    }
    let group = scenario.topics().group(scenario.topic())?;
    for partition in 0..8 {
        let beginning = Committed { next: NextOffset::at(0), metadata: String::new() };
        let refused = group.commit(scenario.topic(), Partition(partition), &beginning);
        ensure!(refused.is_err(), "a group with members was reset");
        scenario.until_more(20, SOON)?;
    }
    scenario.unload(load)?;
    scenario.settle(SOON)?;
    for mut member in members {
        scenario.unwatch(&member)?;
        let code = member.stop(STOP)?;
        ensure!(code == 0, "process {} ended with code {code}, log {}", member.pid(), member.log_path().display());
    }

    // One partition begins again, and no other does.
    scenario.reset(Partition(3), Offset(0))?;
    let heir = scenario.start_watched(&flags)?;
    scenario.pass(vec![heir], SOON)
}

#[test]
fn group_offsets_reset_by_an_operator() -> Result<()> {
    for verdict in side_by_side(&BOTH, reset)? {
        ensure!(verdict.duplicates > 0, "the reset changed nothing: {verdict}");
    }
    Ok(())
}

/// The group's commits are forgotten while nobody runs: it begins at the beginning, and does not jump to the end.
#[test]
fn offsets_expired() -> Result<()> {
    // They expire after a minute at the soonest. Where that is too long they are deleted, which is the same for who comes next.
    let own = match Scale::of_environment()? {
        Scale::Quick => None,
        Scale::Long => {
            let options = BrokerOptions::default().property("offsets.retention.minutes", 1);
            Some(Broker::start(options.property("offsets.retention.check.interval.ms", 2_000))?)
        }
    };
    let bootstrap = own.as_ref().map_or_else(brokers, |broker| Ok(broker.bootstrap()))?;
    let mut scenario = Scenario::open(&bootstrap, "expired", Order::Key)?;
    let payloads: Vec<Payload> = Payloads::new(scenario.seed(), Mix::default()).take(3_000).collect();
    let (before, meanwhile) = payloads.split_at(2_000);
    scenario.produce(before.to_vec())?;
    let flags = scenario.flags();
    let mut first = scenario.start_watched(&flags)?;
    scenario.settle(SOON)?;
    scenario.unwatch(&first)?;
    assert_eq!(first.stop(STOP)?, 0);
    scenario.produce(meanwhile.to_vec())?;

    let expires = own.is_some();
    scenario.forget_commits(|scenario| {
        let (topics, topic) = (scenario.topics(), scenario.topic());
        if !expires {
            return topics.delete_group(topic);
        }
        let (group, partitions) = (topics.group(topic)?, topics.partitions(topic)?);
        until_true(Duration::from_secs(180), "the expiry of the commits", || {
            Ok(group.committed(topic, &partitions)?.is_empty())
        })
    })?;
    let second = scenario.start_watched(&flags)?;
    let verdict = scenario.pass(vec![second], SOON)?;
    assert!(verdict.successes + verdict.letters >= 5_000, "not all began again: {verdict}");
    Ok(())
}

/// Records of a partition are removed before they are read.
fn removed_unread(name: &str) -> Result<Scenario> {
    let mut scenario = Scenario::open(&brokers()?, name, Order::Key)?;
    let records = |ids: std::ops::Range<u64>| ids.map(|id| Payload::obeyed(id, &format!("key-{}", id % 5), ""));
    scenario.produce_to(Partition(0), records(0..100))?;
    scenario.produce_to(Partition(1), records(100..200))?;
    let mut first = scenario.start_watched(&scenario.flags())?;
    scenario.settle(SOON)?;
    scenario.unwatch(&first)?;
    assert_eq!(first.stop(STOP)?, 0);
    scenario.produce_to(Partition(0), records(200..300))?;
    scenario.produce_to(Partition(1), records(300..400))?;
    scenario.remove_records(Partition(0), Offset(150))?;
    Ok(scenario)
}

#[test]
fn retention_removed_unread() -> Result<()> {
    // Nothing goes on by default: what is lost is for people to judge.
    let mut scenario = removed_unread("removed.stop")?;
    let mut stopped = scenario.start(&scenario.flags())?;
    assert_eq!(stopped.wait(SOON)?, 4);
    scenario.expect_error("its records were removed before they were read");
    scenario.expect_error("records were removed before they were read, they are lost to this group");
    let log = stopped.log()?;
    ensure!(log.contains("its records were removed before they were read"), "it doesn't say why: {log}");
    let group = scenario.topics().group(scenario.topic())?;
    let committed = group.committed(scenario.topic(), &[Partition(0)])?;
    ensure!(committed[&Partition(0)].next == NextOffset::at(100), "it was committed past: {committed:?}");

    // Who says so goes on behind them.
    let flags = scenario.flags().with("out-of-range", "earliest");
    let mut goes_on = scenario.start_watched(&flags)?;
    let told = goes_on.log_path().to_owned();
    until_true(SOON, "the loss among the metrics", || {
        Ok(goes_on.metric("daemon_missed_offsets_total", "cause=\"removed\"")? == 50.0)
    })?;
    let verdict = scenario.finish(vec![goes_on], SOON)?;
    verdict.ensure_clean()?;
    assert_eq!((verdict.successes, verdict.duplicates), (350, 0), "{verdict}");
    let log = std::fs::read_to_string(told)?;
    let said = log.lines().find(|line| line.contains("the next offset is gone, going on elsewhere"));
    let said = said.context("the loss was not told")?;
    ensure!(said.contains("offset=150") && said.contains("expected=100"), "it doesn't say how many: {said}");
    scenario.close()
}

/// The topic is deleted under a running process, and created again: what was committed of the old one must not count for the new one.
#[test]
fn topic_deleted_and_recreated() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "recreated", Order::Key)?;
    let records = |ids: std::ops::Range<u64>| ids.map(|id| Payload::obeyed(id, &format!("key-{}", id % 50), ""));
    scenario.produce(records(0..2_000))?;
    let flags = scenario.flags().with("recreated", "earliest");
    let member = scenario.start_watched(&flags)?;
    scenario.settle(SOON)?;

    scenario.expect_error("the topic was deleted and made anew, what was unread of the former one is lost");
    scenario.make_anew(SOON)?;
    scenario.note_resumption("the topic was made anew", SOON);
    scenario.produce(records(10_000..10_400))?;
    scenario.settle(Duration::from_secs(60))?;
    scenario.until_committed_to_the_end(SOON)?;
    // No commit is behind the end of what it is of, nor of what nobody has done.
    let verdict = scenario.pass(vec![member], SOON)?;
    assert_eq!((verdict.successes, verdict.duplicates), (2_400, 0), "{verdict}");
    Ok(())
}

/// Records are removed while one before them is in its handler. Who goes on at the end waits for it first, commits past nothing that isn't done
/// or counted, and counts what is taken back.
#[test]
fn records_removed_behind_one_that_runs() -> Result<()> {
    const BEHIND: u64 = 300;
    const HEAD: Partition = Partition(0);
    let mut scenario = Scenario::open(&brokers()?, "removed.behind", Order::Key)?;
    let flags = scenario.flags().with("out-of-range", "latest");
    let mut member = scenario.start_watched(&flags)?;
    scenario.produce_to(HEAD, [Payload::obeyed(0, "head", "\"sleep_ms\":9000")])?;
    until_true(SOON, "the first record in its handler", || Ok(member.metric("daemon_workers_busy", "")? == 1.0))?;

    // Meanwhile it fetches nothing. What it asked for before gets one record.
    let (stopped, since) = (unix_ms(), scenario.moment());
    member.signal(Signal::STOP)?;
    let behind = |id: u64| Payload::obeyed(id, &format!("key-{id}"), "");
    scenario.produce_to(HEAD, [behind(1)])?;
    scenario.produce_to(HEAD, (2..=BEHIND).map(behind))?;
    let end = Offset(BEHIND as i64 + 1);
    scenario.topics().remove_records(scenario.topic(), &[(HEAD, end)])?;
    member.signal(Signal::CONT)?;
    scenario.watch_of(&member)?.note_deaf(stopped, unix_ms() + ANSWER);

    let group = scenario.topics().group(scenario.topic())?;
    until_true(SOON, "the end among the commits", || {
        let committed = group.committed(scenario.topic(), &[HEAD])?;
        let next = committed.get(&HEAD).map_or(Offset(0), |committed| committed.next.offset());
        let is_done = scenario.entries()?.iter().any(|entry| entry.id == "0");
        ensure!(is_done || next == Offset(0), "{next} is committed while the first record is in its handler");
        Ok(next == end)
    })?;
    let done = scenario.entries()?.len() as f64;
    until_true(SOON, "all that was passed over among the metrics", || {
        Ok(done + member.metric("daemon_missed_offsets_total", "cause=\"removed\"")? == end.0 as f64)
    })?;
    scenario.expect_error("records were removed before they were read, they are lost to this group");
    scenario.note_passed_over(HEAD, end, since);
    scenario.note_resumption("the rest was passed over", SOON);
    scenario.produce_to(HEAD, [behind(BEHIND + 1)])?;
    let verdict = scenario.pass(vec![member], SOON)?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}
