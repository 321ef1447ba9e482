//! What a crash costs at most, and what the process holds at most.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::checker::Order;
use integration::payload::Payload;
use integration::scale::Scale;
use integration::{Message, Scenario, Writer, brokers};

#[test]
fn a_slow_head_does_not_make_what_is_finished_behind_it_run_again() -> Result<()> {
    const BEHIND: u64 = 5_000;
    let mut scenario = Scenario::open(&brokers()?, "slow-head", Order::Key)?;
    let behind = (1..=BEHIND).map(|id| Payload::obeyed(id, &format!("key-{}", id % 50), ""));
    let head = Payload::obeyed(0, "slow", "\"sleep_ms\":14000");
    scenario.produce_to(Partition(0), std::iter::once(head).chain(behind))?;
    let flags = scenario.flags().with("session-timeout-ms", 2_000);
    let first = scenario.start(&flags)?;
    let all = usize::try_from(BEHIND)?;
    scenario
        .until_ledger(Duration::from_secs(15), "5,000 successes behind the slow one", |entries| entries.len() >= all)?;
    let finished: BTreeSet<Offset> = scenario.entries()?.iter().map(|entry| entry.offset).collect();
    ensure!(finished.len() == all && !finished.contains(&Offset(0)), "the head was not slow enough");

    std::thread::sleep(Duration::from_secs(2));
    scenario.kill(first)?;
    let second = scenario.start(&flags)?;

    let verdict = scenario.pass(vec![second], Duration::from_secs(60))?;
    eprintln!("slow head: {} of {BEHIND} ran again", verdict.duplicates);
    assert!(verdict.duplicates < 100, "{verdict}");
    Ok(())
}

#[test]
fn a_backlog_does_not_grow_the_memory() -> Result<()> {
    const RECORD: usize = 10 << 10;
    /// The pipeline's byte budget by default, and as much for all the rest.
    const BOUND: u64 = (64 + 64) << 20;
    let scale = Scale::of_environment()?;
    // Many times as much as may be held.
    let backlog = scale.of(512 << 20, 2 << 30);
    let mut scenario = Scenario::open(&brokers()?, "backlog", Order::Key)?;
    let filler = "x".repeat(RECORD - 60);
    let mut writer = Writer::connect(&brokers()?)?;
    let records = backlog / RECORD;
    for start in (0..records).step_by(8_000) {
        let message = |id: usize| {
            Message::new(format!(r#"{{"id":{id},"sleep_ms":100,"filler":"{filler}"}}"#)).key(id.to_string())
        };
        let messages: Vec<Message> = (start..records.min(start + 8_000)).map(message).collect();
        writer.write(scenario.topic(), None, &messages)?;
    }

    let flags = scenario.flags().with("queue", 1_000_000).with("workers", 16);
    let mut member = scenario.start(&flags)?;
    scenario.until_works(&mut member, Duration::from_secs(20))?;
    let (end, mut peak) = (Instant::now() + Duration::from_secs(scale.of(12, 20)), 0);
    while Instant::now() < end {
        peak = member.peak_memory().context("the process runs")?;
        ensure!(peak <= BOUND, "{} MiB are held, {} MiB are allowed", peak >> 20, BOUND >> 20);
        std::thread::sleep(Duration::from_millis(200));
    }
    eprintln!("backlog: at most {} MiB were held, {} MiB are allowed", peak >> 20, BOUND >> 20);
    ensure!(peak > 64 << 20, "{} MiB: the budget was not filled, so nothing is shown", peak >> 20);
    assert_eq!(member.stop(Duration::from_secs(30))?, 0);
    scenario.close()
}
