//! What a process costs that has nothing to do: CPU time of `examples/ledger` with partitions assigned, and no records.
//!
//! `IDLE_SECONDS` says for how long each is watched, and brings many partitions too: `make idle` does. Without it, a short look.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::member::Cpu;
use integration::{Topics, brokers, idle};

/// What a process with up to a hundred partitions may take, of one core.
const BOUND: f64 = if cfg!(debug_assertions) { 0.03 } else { 0.01 };

/// The share of a core that a process takes with so many partitions.
fn share(topics: &Topics, partitions: u16, time: Duration) -> Result<f64> {
    let Cpu { user, system } = idle::measure(topics, &brokers()?, partitions, time)?;
    let share = (user + system).as_secs_f64() / time.as_secs_f64();
    eprintln!(
        "idle with {partitions} partitions: {:.2} % of a core, {user:?} user and {system:?} system in {time:?}",
        share * 100.0
    );
    Ok(share)
}

#[test]
fn an_idle_process_costs_next_to_nothing() -> Result<()> {
    let seconds = env::var("IDLE_SECONDS").ok().map(|text| text.parse()).transpose().context("IDLE_SECONDS")?;
    let topics = Topics::connect(brokers()?)?;
    let time = Duration::from_secs(seconds.unwrap_or(10));
    for partitions in [1, 100] {
        let share = share(&topics, partitions, time)?;
        ensure!(share <= BOUND, "{partitions} partitions take {:.2} % of a core", share * 100.0);
    }
    if seconds.is_some() {
        share(&topics, 1_000, time)?;
    }
    Ok(())
}
