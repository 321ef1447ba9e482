//! Handlers that don't end, keys that never cease, and everybody else.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::checker::{Fate, Order, Reason};
use integration::patience::until_true;
use integration::payload::{Mix, Payload};
use integration::scale::Scale;
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
        .produce_to(Partition(0), [Payload::obeyed(STUCK, "any", "\"sleep_ms\":18000")].into_iter().chain(behind))?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let started = Instant::now();
    let mut member = scenario.start_watched(&flags)?;

    let load = scenario.load(300, Mix::default());
    scenario.until_more(2_000, Duration::from_secs(20))?;
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
        scenario.produce_to(partition, [Payload::obeyed(id, &key, "\"block_ms\":14000")])?;
    }
    let flags = scenario.flags().with("workers", 8).with("admin", "127.0.0.1:0");
    let mut member = scenario.start_watched(&flags)?;
    let load = scenario.load(100, Mix { slow: 5, ..Mix::default() });
    scenario.until_more(500, Duration::from_secs(15))?;
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

/// A handler blocks its thread for ever. It is named, the other partitions go on and the probes answer; as nothing can end it, the process does in
/// the end, for another one to take its place.
#[test]
fn handler_never_ends() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "never-ends", Order::Partition)?;
    scenario.produce_to(Partition(0), [Payload::obeyed(STUCK, "stuck", "\"block_ms\":1000000000")])?;
    let flags = scenario.flags().with("timeout-ms", 1_000).with("stall-after-ms", 6_000).with("drain-ms", 1_000);
    let mut member = scenario.start_watched(&flags)?;
    let load = scenario.load(100, Mix::default());
    until_true(Duration::from_secs(20), "the partition among those that stall", || {
        Ok(member.metric("daemon_partition_stalled", "partition=\"0\"")? == 1.0)
    })?;
    let before = Instant::now();
    assert_eq!(member.get("/livez")?.0, 200);
    let (code, ready) = member.get("/readyz")?;
    ensure!(code == 503 && ready.contains("[0] was processed for"), "{code}: {ready}");
    ensure!(before.elapsed() < Duration::from_secs(2), "the probes took {:?}", before.elapsed());
    let others: f64 =
        (1..8).map(|n| member.metric("daemon_partition_stalled", &format!("partition=\"{n}\""))).sum::<Result<_>>()?;
    ensure!(others < 0.5, "{others} others stall");
    scenario.until_more(200, Duration::from_secs(5))?;
    scenario.unwatch(&member)?;
    assert_eq!(member.wait(Duration::from_secs(30))?, 4);
    scenario.unload(load)?;
    let log = member.log()?;
    for told in
        ["handler overstays its timeout", "nothing of the partition is processed", "handlers that have not ended: 1"]
    {
        ensure!(log.contains(told), "`{told}` is missing in {log}");
    }
    let stuck = scenario.entries()?.iter().filter(|entry| entry.partition == Partition(0)).count();
    assert_eq!(stuck, 0);

    // What it says as it stalls and ends.
    scenario.expect_error("nothing of the partition is processed though records wait");
    scenario.expect_error("was processed for");
    // Nobody else would fare better with that record: an operator passes over it, and all the rest is done, none of it twice.
    until_true(Duration::from_secs(60), "a group without members", || {
        Ok(scenario.reset(Partition(0), Offset(1)).is_ok())
    })?;
    let heir = scenario.start_watched(&flags)?;
    let verdict = scenario.pass(vec![heir], Duration::from_secs(60))?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}

/// Handlers that wait for ever, and give their threads back meanwhile: each attempt ends with its timeout, and the record becomes a dead letter.
/// Nobody waits for that but its own partition.
#[test]
fn handler_never_ends_and_awaits() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "awaits-for-ever", Order::Partition)?;
    let fate = Fate::Letter(Reason::Timeout);
    let never = Payload { fate, ..Payload::obeyed(STUCK, "stuck", "\"sleep_ms\":1000000000") };
    scenario.produce_to(Partition(0), [never])?;
    scenario.produce_to(Partition(0), (1..100).map(|n| Payload::obeyed(STUCK + n, "stuck", "")))?;
    let flags = scenario.flags().with("timeout-ms", 3_000);
    let mut member = scenario.start_watched(&flags)?;
    let load = scenario.load(100, Mix::default());
    scenario.until_more(500, Duration::from_secs(15))?;
    let before = Instant::now();
    assert_eq!(member.get("/livez")?.0, 200);
    assert_eq!(member.get("/readyz")?.0, 200, "one record that takes long is no reason");
    ensure!(before.elapsed() < Duration::from_secs(1), "the probes took {:?}", before.elapsed());
    let passed = scenario.entries()?.iter().filter(|entry| entry.partition == Partition(0)).count();
    assert_eq!(passed, 0, "what is behind it did not wait");
    scenario.unload(load)?;
    scenario.settle(Duration::from_secs(40))?;
    let failed = member.metric("daemon_dead_letters_total", "reason=\"timeout\"")?;
    assert_eq!(failed, 1.0);
    let verdict = scenario.pass(vec![member], Duration::from_secs(30))?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}

/// More records of one key come at once than can be done in seconds, one after the other. The other keys, in its partition too, don't wait
/// for them.
#[test]
fn hot_key() -> Result<()> {
    /// They take six seconds, and fit into the queue.
    const BURST: u64 = 600;
    /// What 99 of 100 records of the other keys may take from their acknowledgement to their success.
    const P99: Duration = Duration::from_secs(2);
    let is_hot = |produced: &integration::checker::Produced| produced.stored.message.key.as_deref() == Some(b"hot");
    let mut scenario = Scenario::open(&brokers()?, "hot-key", Order::Key)?;
    let flags = scenario.flags().with("queue", 1_000);
    let mut member = scenario.start_watched(&flags)?;
    let cold = scenario.load(100, Mix { poison: 0, slow: 0, failing: 0, keys: 40 });
    scenario.until_works(&mut member, Duration::from_secs(30))?;
    for burst in 0..Scale::of_environment()?.of(2, 15) {
        let ids = STUCK + burst * BURST..STUCK + (burst + 1) * BURST;
        scenario.produce(ids.map(|id| Payload::obeyed(id, "hot", "\"sleep_ms\":10")))?;
        scenario.settle_where(Duration::from_secs(20), is_hot)?;
    }
    scenario.unload(cold)?;
    scenario.settle(Duration::from_secs(10))?;

    let p99 = |latencies: Vec<Duration>| latencies[latencies.len() * 99 / 100];
    let (hot, others) = (p99(scenario.latencies(is_hot)?), p99(scenario.latencies(|produced| !is_hot(produced))?));
    eprintln!("hot key: p99 of its records {hot:?}, of the others' {others:?}");
    ensure!(hot > 2 * P99, "p99 of the hot key is {hot:?}: it was not hot enough");
    ensure!(others <= P99, "p99 of the other keys is {others:?}");
    let verdict = scenario.pass(vec![member], Duration::from_secs(30))?;
    assert_eq!(verdict.duplicates, 0);
    Ok(())
}
