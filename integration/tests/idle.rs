//! What a process costs that has nothing to do: CPU time of `examples/ledger` with partitions assigned, and no records.
//!
//! `IDLE_SECONDS` says for how long each is watched, and brings many partitions too: `make idle` does. Without it, a short look.

use std::env;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::patience::until_true;
use integration::scenario::STOP;
use integration::{Flags, Member, Topics, brokers};

/// What a process with up to a hundred partitions may take, of one core.
const BOUND: f64 = if cfg!(debug_assertions) { 0.03 } else { 0.01 };
/// What a start may take, and its aftermath.
const START: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(5);

/// The share of a core that a process takes with so many partitions.
fn idle(topics: &Topics, partitions: u16, time: Duration) -> Result<f64> {
    // First, so that it need not wait until many partitions are there.
    let letters = topics.create_fresh("idle.letters", 1)?;
    let topic = topics.create_fresh("idle", partitions)?;
    let directory = tempfile::tempdir()?;
    let flags = Flags::default()
        .with("brokers", brokers()?)
        .with("topic", &topic)
        .with("group", &topic)
        .with("dead-letter", &letters)
        .with("ledger", directory.path().join("ledger").display())
        .with("order", "key")
        .with("workers", 16)
        .with("admin", "127.0.0.1:0");
    let mut member = Member::start(&flags, directory.path().join("log"))?;
    until_true(START, &format!("{partitions} partitions"), || {
        Ok(member.log()?.matches("partition assigned").count() == usize::from(partitions))
    })?;
    thread::sleep(SETTLE);

    let before = member.cpu()?;
    thread::sleep(time);
    let after = member.cpu()?;

    let (user, system) = (after.user - before.user, after.system - before.system);
    let share = (user + system).as_secs_f64() / time.as_secs_f64();
    eprintln!(
        "idle with {partitions} partitions: {:.2} % of a core, {user:?} user and {system:?} system in {time:?}",
        share * 100.0
    );
    ensure!(member.stop(STOP)? == 0, "{}", member.log()?);
    topics.delete(&topic)?;
    topics.delete(&letters)?;
    Ok(share)
}

#[test]
fn an_idle_process_costs_next_to_nothing() -> Result<()> {
    let seconds = env::var("IDLE_SECONDS").ok().map(|text| text.parse()).transpose().context("IDLE_SECONDS")?;
    let topics = Topics::connect(brokers()?)?;
    let time = Duration::from_secs(seconds.unwrap_or(10));
    for partitions in [1, 100] {
        let share = idle(&topics, partitions, time)?;
        ensure!(share <= BOUND, "{partitions} partitions take {:.2} % of a core", share * 100.0);
    }
    if seconds.is_some() {
        idle(&topics, 1_000, time)?;
    }
    Ok(())
}
