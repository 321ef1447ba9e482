//! Topics that are not as they were: with more partitions, or with less in them.

use std::time::Duration;

use anyhow::{Result, ensure};
use daemonry::record::Partition;
use integration::checker::Order;
use integration::patience::until_true;
use integration::payload::{Mix, Payload};
use integration::scenario::{PARTITIONS, STOP};
use integration::{Broker, BrokerOptions, Scenario, brokers};

const SOON: Duration = Duration::from_secs(40);

/// Records are in new partitions before any member knows of them: they are read from their start, by a group that starts at the end too.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn partition_added() -> Result<()> {
    const MORE: u16 = 4;
    const EACH: u64 = 50;
    let mut scenario = Scenario::open(&brokers()?, "partition-added", Order::Key)?;
    let flags = scenario.flags().with("start", "latest");
    let mut members = vec![scenario.start_watched(&flags)?, scenario.start_watched(&flags)?];
    // The end that they start at is committed.
    until_true(SOON, "a place in each partition", || {
        let places: Vec<Partition> = (0..PARTITIONS).map(|n| Partition(n.into())).collect();
        let group = scenario.topics().group(scenario.topic())?;
        Ok(group.committed(scenario.topic(), &places)?.len() == places.len())
    })?;
    let load = scenario.load(100, Mix::default());
    for member in &mut members {
        scenario.until_works(member, SOON)?;
    }
    scenario.topics().grow(scenario.topic(), PARTITIONS + MORE)?;
    for partition in PARTITIONS..PARTITIONS + MORE {
        let ids = (1 << 40) + u64::from(partition) * EACH;
        let records = (ids..ids + EACH).map(|id| Payload::obeyed(id, &format!("key-{}", id % 5), ""));
        scenario.produce_to(Partition(partition.into()), records)?;
    }
    let is_new = |partition: Partition| partition.0 >= i32::from(PARTITIONS);
    scenario.settle_where(Duration::from_secs(60), |produced| is_new(produced.stored.partition))?;
    scenario.unload(load)?;
    let verdict = scenario.pass(members, SOON)?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}

/// Compaction has taken most of what was written, here and there: what is committed passes over the gaps, and reaches the end.
#[test]
fn compaction_leaves_gaps() -> Result<()> {
    let broker = Broker::start(BrokerOptions::default().property("log.cleaner.backoff.ms", 200))?;
    let mut scenario = Scenario::open(&broker.bootstrap(), "compacted", Order::Key)?;
    let eager = [("min.cleanable.dirty.ratio", "0.001"), ("segment.ms", "1000"), ("delete.retention.ms", "100")];
    scenario.topics().set(scenario.topic(), &[&[("cleanup.policy", "compact")], &eager[..]].concat())?;
    // Of each ten one has a key of its own, and stays.
    let payload = |id: u64| {
        let key = if id.is_multiple_of(10) { format!("own-{id}") } else { format!("key-{}", id % 7) };
        Payload::obeyed(id, &key, "")
    };
    scenario.produce((0..4_000).map(payload))?;
    let mut rolls = 1 << 40..;
    let mut taken = 0;
    until_true(Duration::from_secs(90), "the compaction", || {
        // What is compacted is behind the segment that is written to, and that is rolled by a write.
        for partition in 0..i32::from(PARTITIONS) {
            let rolled = rolls.by_ref().take(1).map(|id| Payload::obeyed(id, "rolls", ""));
            scenario.produce_to(Partition(partition), rolled)?;
        }
        taken += scenario.note_compacted()?;
        Ok(taken > 3_000)
    })?;
    // It may go on while it is read.
    scenario.topics().set(scenario.topic(), &[("cleanup.policy", "delete")])?;
    taken += scenario.note_compacted()?;

    let flags = scenario.flags();
    let mut member = scenario.start_watched(&flags)?;
    scenario.until_works(&mut member, SOON)?;
    let verdict = scenario.finish(vec![member], SOON)?;
    verdict.ensure_clean()?;
    eprintln!("compaction: {taken} records were taken of {}", taken + verdict.records);
    ensure!(verdict.duplicates == 0 && verdict.successes >= 400, "{verdict}");
    scenario.close()
}

/// The same where nobody runs while they are added and written to: the group has read the topic before, so they are new to it. Two members that
/// begin at once with a topic that it has never read take neither's partitions for that.
#[test]
fn partition_added_while_nobody_runs() -> Result<()> {
    const MORE: u16 = 4;
    const EACH: u64 = 50;
    let mut scenario = Scenario::open(&brokers()?, "partition-added-alone", Order::Key)?;
    scenario.produce((0..200).map(|id| Payload::obeyed(id, &format!("key-{id}"), "")))?;
    let since = scenario.moment();
    let flags = scenario.flags().with("start", "latest");
    let first = [scenario.start_watched(&flags)?, scenario.start_watched(&flags)?];
    until_true(SOON, "a place in each partition", || {
        let places: Vec<Partition> = (0..PARTITIONS).map(|n| Partition(n.into())).collect();
        let group = scenario.topics().group(scenario.topic())?;
        Ok(group.committed(scenario.topic(), &places)?.len() == places.len())
    })?;
    for mut member in first {
        scenario.unwatch(&member)?;
        assert_eq!(member.stop(STOP)?, 0);
    }
    ensure!(scenario.entries()?.is_empty(), "the group did not begin at the end");
    for (partition, end) in scenario.topics().ends(scenario.topic())? {
        scenario.note_passed_over(partition, end, since);
    }

    scenario.topics().grow(scenario.topic(), PARTITIONS + MORE)?;
    for partition in PARTITIONS..PARTITIONS + MORE {
        let ids = (1 << 40) + u64::from(partition) * EACH;
        let records = (ids..ids + EACH).map(|id| Payload::obeyed(id, &format!("key-{}", id % 5), ""));
        scenario.produce_to(Partition(partition.into()), records)?;
    }
    let second = scenario.start_watched(&flags)?;
    let added = usize::from(MORE) * usize::try_from(EACH)?;
    scenario.settle(SOON)?;
    scenario.until_committed_to_the_end(SOON)?;
    let verdict = scenario.pass(vec![second], SOON)?;
    assert_eq!((verdict.successes, verdict.duplicates), (added, 0), "{verdict}");
    Ok(())
}
