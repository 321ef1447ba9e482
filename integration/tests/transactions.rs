//! Markers of transactions take offsets, and no record comes for them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use daemonry::record::{NextOffset, Partition};
use integration::{Topics, brokers};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

#[test]
fn the_watermark_passes_over_markers_and_aborted_records() -> Result<()> {
    let brokers = brokers()?;
    let topics = Topics::connect(&brokers)?;
    let topic = topics.create_fresh("markers", 1)?;
    topics.create(&format!("{topic}.dlq"), 1, &[])?;
    let patience = Duration::from_secs(30);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &brokers).set("transactional.id", &topic).create()?;
    producer.init_transactions(patience)?;
    for (count, commits) in [(5, true), (3, false), (2, true)] {
        producer.begin_transaction()?;
        for _ in 0..count {
            let record = BaseRecord::<(), str>::to(&topic).payload("{}");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        if commits {
            producer.commit_transaction(patience)?;
        } else {
            producer.flush(patience)?;
            producer.abort_transaction(patience)?;
        }
    }
    // Ten records and three markers; behind the last record there is the last marker.
    let end = topics.ends(&topic)?[&Partition(0)];
    ensure!(end.0 == 13, "the topic ends at {end}");

    let ledger = tempfile::NamedTempFile::new()?;
    let binary = std::env::current_exe()?.with_file_name("").join("../examples/ledger");
    let mut daemon = Command::new(&binary)
        .args(["--brokers", &brokers, "--topic", &topic, "--group", &topic, "--order", "partition", "--workers", "2"])
        .arg("--ledger")
        .arg(ledger.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} can't be run: build it with `cargo build --examples`", binary.display()))?;
    let group = topics.group(&topic)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let committed = loop {
        let committed = group.committed(&topic, &[Partition(0)])?.get(&Partition(0)).map(|commit| commit.next);
        if committed == Some(NextOffset::at(12)) || Instant::now() > deadline {
            break committed;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    daemon.kill()?;
    daemon.wait()?;
    ensure!(committed == Some(NextOffset::at(12)), "committed {committed:?}, the last record is at 11");
    let handled = std::fs::read_to_string(ledger.path())?.lines().count();
    ensure!(handled == 7, "{handled} records handled, 7 were committed by their producer");
    Ok(())
}
