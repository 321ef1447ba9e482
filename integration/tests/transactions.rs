//! Markers of transactions take offsets, and no record comes for them.

use std::time::Duration;

use anyhow::{Result, ensure};
use daemonry::record::{NextOffset, Partition};
use integration::patience::until_true;
use integration::{Flags, Member, Message, Topics, brokers};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_watermark_passes_over_markers_and_aborted_records() -> Result<()> {
    let brokers = brokers()?;
    let topics = Topics::connect(&brokers)?;
    let topic = topics.create_fresh("markers", 1)?;
    topics.create(&format!("{topic}.dlq"), 1, &[])?;
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers).set("transactional.id", &topic).create()?;
    producer.init_transactions(PATIENCE)?;
    let transact = |count: u32, commits: bool| -> Result<()> {
        producer.begin_transaction()?;
        for _ in 0..count {
            let record = BaseRecord::<(), str>::to(&topic).payload("{}");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        if commits {
            producer.commit_transaction(PATIENCE)?;
        } else {
            producer.flush(PATIENCE)?;
            producer.abort_transaction(PATIENCE)?;
        }
        Ok(())
    };
    let directory = tempfile::tempdir()?;
    let ledger = directory.path().join("ledger");
    let flags = Flags::default()
        .with("brokers", &brokers)
        .with("topic", &topic)
        .with("group", &topic)
        .with("ledger", ledger.display())
        .with("order", "partition")
        .with("workers", 2);
    let group = topics.group(&topic)?;
    let until_committed = |end: i64| {
        until_true(PATIENCE, &format!("a commit of {end}"), || {
            let committed = group.committed(&topic, &[Partition(0)])?;
            Ok(committed.get(&Partition(0)).is_some_and(|commit| commit.next == NextOffset::at(end)))
        })
    };

    for (count, commits) in [(5, true), (3, false), (2, true)] {
        transact(count, commits)?;
    }
    // Ten records and three markers; behind the last record there is the last marker. The coordinator writes a marker after it has
    // answered.
    until_true(PATIENCE, "the last marker", || Ok(topics.ends(&topic)?[&Partition(0)].0 == 13))?;
    let mut member = Member::start(&flags, directory.path().join("first.log"))?;
    until_committed(13)?;
    // Nothing but what is passed over, beside a process that runs …
    transact(3, false)?;
    until_committed(17)?;
    ensure!(member.stop(PATIENCE)? == 0, "it ends well");
    // … and before one that starts: it never gets a record that it could go by.
    transact(1, false)?;
    let mut member = Member::start(&flags, directory.path().join("second.log"))?;
    until_committed(19)?;
    transact(1, true)?;
    until_committed(21)?;
    // The same where the last that was read is a record: the one that starts looks first whether its log still has that.
    topics.produce_to(&topic, Partition(0), &[Message::new("{}")])?;
    until_committed(22)?;
    ensure!(member.stop(PATIENCE)? == 0, "it ends well");
    transact(1, false)?;
    let mut member = Member::start(&flags, directory.path().join("third.log"))?;
    until_committed(24)?;
    ensure!(member.stop(PATIENCE)? == 0, "it ends well");

    let handled = std::fs::read_to_string(&ledger)?.lines().count();
    ensure!(handled == 9, "{handled} records handled, 9 were committed by their producers");
    Ok(())
}
