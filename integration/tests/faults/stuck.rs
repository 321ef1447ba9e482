//! Handlers that don't end, and everybody else.

use std::time::{Duration, Instant};

use anyhow::Result;
use daemonry::record::Partition;
use integration::checker::Order;
use integration::payload::{Mix, Payload};
use integration::{Scenario, brokers};

/// Ids of the records that are stuck; those of the load are below.
const STUCK: u64 = 1 << 40;

fn is_stuck(produced: &integration::checker::Produced) -> bool {
    produced.id >= Some(STUCK)
}

#[test]
fn one_partition_stuck_while_seven_flow() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "stuck", Order::Partition)?;
    // Its first record sleeps for the whole test, and there are many more behind it than the queue takes.
    let behind = (1..2_000).map(|n| Payload::obeyed(STUCK + n, "any", ""));
    scenario
        .produce_to(Partition(0), [Payload::obeyed(STUCK, "any", "\"sleep_ms\":25000")].into_iter().chain(behind))?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let started = Instant::now();
    let mut member = scenario.start(&flags)?;

    let load = scenario.load(300, Mix::default());
    scenario.until_more(3_000, Duration::from_secs(20))?;
    scenario.unload(load)?;
    let elsewhere = |produced: &integration::checker::Produced| produced.stored.partition != Partition(0);
    scenario.settle_where(Duration::from_secs(3), elsewhere)?;

    assert_eq!(member.get("/livez")?.0, 200);
    let stuck = scenario.entries()?.iter().filter(|entry| entry.partition == Partition(0)).count();
    assert_eq!(stuck, 0, "the partition was not stuck, {:?} after the start", started.elapsed());
    let verdict = scenario.pass(vec![member], Duration::from_secs(40))?;
    assert_eq!(verdict.duplicates, 0);
    Ok(())
}

#[test]
fn all_workers_but_one_blocked_while_the_rest_flows() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "blocked", Order::Key)?;
    for partition in 0..7 {
        let (id, key) = (STUCK + partition, format!("blocked-{partition}"));
        let partition = Partition(i32::try_from(partition)?);
        scenario.produce_to(partition, [Payload::obeyed(id, &key, "\"block_ms\":20000")])?;
    }
    let flags = scenario.flags().with("workers", 8).with("admin", "127.0.0.1:0");
    let mut member = scenario.start(&flags)?;
    let load = scenario.load(100, Mix { slow: 5, ..Mix::default() });
    scenario.until_more(800, Duration::from_secs(15))?;
    scenario.unload(load)?;
    // The keys beside the blocked ones, in their partitions too.
    scenario.settle_where(Duration::from_secs(3), |produced| !is_stuck(produced))?;

    let before = Instant::now();
    assert_eq!(member.get("/livez")?.0, 200);
    assert!(before.elapsed() < Duration::from_secs(1), "the probe took {:?}", before.elapsed());
    let blocked = scenario.entries()?.iter().filter(|entry| entry.key.starts_with("blocked-")).count();
    assert_eq!(blocked, 0, "the workers were not blocked all the time");
    let verdict = scenario.pass(vec![member], Duration::from_secs(40))?;
    assert_eq!(verdict.duplicates, 0);
    Ok(())
}
