//! Clocks that jump under running processes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::Partition;
use integration::checker::Order;
use integration::payload::Payload;
use integration::scale::Scale;
use integration::{Clock, Scenario, brokers};

use crate::running::Running;

const HOUR: i64 = 3_600;
/// By how many seconds the clock is off, one after the other: it jumps by an hour and by a day, both ways.
const OFF: [i64; 6] = [HOUR, 0, -HOUR, 23 * HOUR, -HOUR, 0];
/// What progress may take after a jump.
const BOUND: Duration = Duration::from_secs(10);
/// What a member that says nothing loses its place after.
const SESSION: Duration = Duration::from_secs(6);
/// Of the records that wait for letters.
const WAITS: Partition = Partition(0);

/// By how many hours a process's clock was off when it wrote the letters, of whose times the brokers tell.
fn hours_off(scenario: &Scenario) -> Result<BTreeSet<i64>> {
    let letters = scenario.topics().read(&scenario.letter_topic())?;
    let off = letters.iter().map(|letter| {
        let failed_at = letter.message.header_values("daemonry-failed-at").last().flatten().context("a time")?;
        let failed_at: i64 = std::str::from_utf8(failed_at)?.parse()?;
        let hour = 1_000 * HOUR;
        Ok((failed_at - letter.unix_ms.context("a letter's time")? + hour / 2).div_euclid(hour))
    });
    off.collect()
}

#[test]
fn clock_jumps() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let clock = Clock::start(directory.path())?;
    let session = u64::try_from(SESSION.as_millis())?;
    let mut running = Running::start_both(&brokers()?, "clock", |_, protocol, flags| {
        // Under the other protocol it is the broker's.
        Ok(clock.given(if protocol == "classic" { flags.with("session-timeout-ms", session) } else { flags }))
    })?;
    let mut before = Vec::new();
    for each in &mut running {
        before.push(each.rebalances()?);
    }

    let scale = Scale::of_environment()?;
    for _ in 0..scale.of(1, 4) {
        for off in OFF {
            clock.set(off)?;
            for each in &mut running {
                each.scenario.note_resumption(&format!("the clock was off by {off} s"), BOUND);
            }
            running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
            thread::sleep(Duration::from_secs(2));
        }
        // With nothing to do, for longer than a session: what is due by the clock must be done all the same.
        running.iter_mut().try_for_each(Running::pause)?;
        // Back, again and again: whatever it is that stirs a client from time to time, the next jump comes soon after it.
        for hours in 1..=7 {
            clock.set(-hours * HOUR)?;
            thread::sleep(Duration::from_secs(2));
        }
        // And ahead.
        clock.set(0)?;
        thread::sleep(SESSION * scale.of(1, 3) + Duration::from_secs(2));
        running.iter_mut().for_each(Running::resume);
        for each in &mut running {
            each.scenario.note_resumption("an idle process's clock jumped", BOUND);
        }
        running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
    }

    for (each, before) in running.iter_mut().zip(before) {
        let after = each.rebalances()?;
        ensure!((after - before).abs() < 0.5, "{} rebalances for nothing", after - before);
        for member in &mut each.members {
            let restarts = member.metric("daemon_restarts_total", "")?;
            let probation = member.metric("daemon_partitions_on_probation", "")?;
            ensure!(restarts + probation < 0.5, "{restarts} restarts, {probation} partitions on probation");
        }
        // Or nothing is shown.
        let hours = hours_off(&each.scenario)?;
        ensure!(hours == BTreeSet::from(OFF.map(|off| off / HOUR)), "the clock was off by {hours:?} hours");
    }
    Running::pass_without_repeats(running)
}

/// Brokers refuse a record whose time is an hour ahead of theirs, and a letter's is that of its process. What can't be written until the clock is
/// right waits and says why.
#[test]
fn letters_of_a_clock_that_is_ahead_wait_until_it_is_right() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let clock = Clock::start(directory.path())?;
    let mut scenario = Scenario::open(&brokers()?, "clock.ahead", Order::Key)?;
    // As by default.
    scenario.topics().set(&scenario.letter_topic(), &[("message.timestamp.type", "CreateTime")])?;
    let flags = clock.given(scenario.flags().with("admin", "127.0.0.1:0"));
    let mut member = scenario.start(&flags)?;
    member.until_log("partition assigned", BOUND)?;
    clock.set(23 * HOUR)?;
    let records = |ids: Range<u64>, key: &'static str| ids.map(move |id| Payload::obeyed(id, key, ""));
    scenario.produce_to(WAITS, (0..10).map(|id| Payload::poison(id, "waits")).chain(records(10..20, "waits")))?;
    scenario.produce_to(Partition(1), records(100..200, "flows"))?;
    member.until_log("dead letter can't be written, its partition waits", BOUND)?;
    scenario.settle_where(BOUND, |produced| produced.stored.partition != WAITS)?;
    let log = member.log()?;
    let said = log.lines().find(|line| line.contains("dead letter can't be written")).context("it was there")?;
    ensure!(said.contains("the time of this machine's clock"), "it doesn't say why: {said}");
    ensure!(!scenario.entries()?.iter().any(|entry| entry.partition == WAITS), "something was passed over");

    clock.set(0)?;
    let verdict = scenario.pass(vec![member], 3 * BOUND)?;
    assert_eq!((verdict.letters, verdict.duplicates), (10, 0), "{verdict}");
    Ok(())
}
