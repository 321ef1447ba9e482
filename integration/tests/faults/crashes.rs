//! Processes that end without warning.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use daemonry::record::Partition;
use integration::checker::{Fate, Order, Reason, Verdict};
use integration::patience::until;
use integration::payload::{Mix, Payload};
use integration::scale::Scale;
use integration::{Scenario, brokers};

use crate::side_by_side::{ALL, Setting, side_by_side};

/// Kills of each setting; there are four of them.
fn kills() -> Result<usize> {
    Ok(Scale::of_environment()?.of(5, 50))
}

/// Kills processes under load, each at a random moment in its work, and starts another one after each.
fn killed_at_random(setting: Setting) -> Result<Verdict> {
    let mut scenario = Scenario::open(&brokers()?, &setting.name("kill9"), setting.order)?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = setting.flags(&scenario);
    let load = scenario.load(200, Mix::default());
    let mut running = Vec::new();
    for _ in 0..setting.members {
        running.push(scenario.start_watched(&flags)?);
    }
    for _ in 0..kills()? {
        let mut victim = running.swap_remove(random.usize(0..running.len()));
        // One that has no partition yet has nothing to lose.
        scenario.until_works(&mut victim, Duration::from_secs(40))?;
        thread::sleep(Duration::from_millis(random.u64(0..1_500)));
        scenario.unwatch(&victim)?;
        scenario.kill(victim)?;
        running.push(scenario.start_watched(&flags)?);
    }
    scenario.unload(load)?;
    scenario.pass(running, Duration::from_secs(60))
}

#[test]
fn kill9_in_flight() -> Result<()> {
    for verdict in side_by_side(&ALL, killed_at_random)? {
        assert_eq!(verdict.crashes, kills()?);
    }
    Ok(())
}

/// A record that kills each process that runs it becomes a dead letter, and no other record does.
fn killed_by_a_record(order: &str) -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, &format!("killer.{order}"), Order::Key)?;
    let plain = |id: u64| Payload::obeyed(id, &format!("key-{}", id % 20), "\"sleep_ms\":2");
    let killer =
        Payload { fate: Fate::Letter(Reason::Crash), ..Payload::obeyed(50, "killer", &format!("\"{order}\":true")) };
    scenario.produce_to(Partition(0), (0..50).map(plain))?;
    scenario.produce_to(Partition(0), [killer])?;
    scenario.produce_to(Partition(0), (51..150).map(plain))?;
    scenario.produce_to(Partition(1), (150..300).map(plain))?;
    let flags = scenario.flags().with("session-timeout-ms", 2_000);
    scenario.expect_error("it becomes a dead letter");
    let mut ends = 0;
    let last = loop {
        let mut member = scenario.start(&flags)?;
        let what = format!("all of it, or the end of process {}", member.pid());
        let ended = until(Duration::from_secs(60), &what, || {
            if member.ended()?.is_some() {
                return Ok(Some(true));
            }
            Ok(scenario.entries()?.iter().any(|entry| entry.id == "149").then_some(false))
        })?;
        if !ended {
            break member;
        }
        scenario.note_killed(member.pid());
        ends += 1;
        ensure!(ends < 10, "the record kills for ever");
    };
    assert!(last.log()?.contains("it becomes a dead letter"));
    let verdict = scenario.pass(vec![last], Duration::from_secs(60))?;
    assert_eq!((verdict.letters, ends), (1, 5), "two ends that bring probation, and three on it");
    Ok(())
}

#[test]
fn handler_aborts_the_process() -> Result<()> {
    killed_by_a_record("abort")
}

#[test]
fn handler_overflows_its_stack() -> Result<()> {
    killed_by_a_record("overflow")
}

#[test]
#[ignore = "of `make faults`: it takes long"]
fn kills_in_a_row_quarantine_nobody() -> Result<()> {
    let in_a_row = Scale::of_environment()?.of(12, 200);
    let mut scenario = Scenario::open(&brokers()?, "killed.in_a_row", Order::Key)?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = scenario.flags().with("session-timeout-ms", 2_000);
    let load = scenario.load(100, Mix { poison: 0, ..Mix::default() });
    for _ in 0..in_a_row {
        let mut member = scenario.start(&flags)?;
        scenario.until_works(&mut member, Duration::from_secs(40))?;
        thread::sleep(Duration::from_millis(random.u64(0..1_000)));
        scenario.kill(member)?;
    }
    scenario.unload(load)?;
    let last = scenario.start(&flags)?;
    let verdict = scenario.pass(vec![last], Duration::from_secs(120))?;
    assert_eq!((verdict.crashes, verdict.letters), (in_a_row, 0));
    Ok(())
}
