//! A record from a real Kafka goes through a handler of `handlers/` to a commit.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use daemonry::record::Partition;
use integration::{Message, Topics, brokers};

const TOPIC: &str = "orders.created";

/// Creates a topic that other runs may have made already.
fn ensure_topic(topics: &Topics, topic: &str) -> Result<()> {
    match topics.partitions(topic) {
        Ok(partitions) if !partitions.is_empty() => Ok(()),
        _ => topics.create(topic, 4, &[]),
    }
}

#[test]
fn an_order_goes_through_its_handler_to_a_commit() -> Result<()> {
    let brokers = brokers()?;
    let topics = Topics::connect(&brokers)?;
    ensure_topic(&topics, TOPIC)?;
    ensure_topic(&topics, "orders.created.dlq")?;
    let order = Message::new(r#"{"id":1,"customer":"ada","cents":990}"#).key("ada");
    let (partition, offset) = topics.produce(TOPIC, &[order])?[0];

    let name = format!("first-record-{}-{}", std::process::id(), offset);
    let binary = std::env::current_exe()?.with_file_name("").join("../handlers");
    let mut daemon = Command::new(&binary)
        .arg("run")
        .envs([("KAFKA_BROKERS", brokers.as_str()), ("KAFKA_GROUP", &name), ("ADMIN_ADDRESS", "127.0.0.1:0")])
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("{} can't be run: build it with `cargo build --bins`", binary.display()))?;

    let group = topics.group(&name)?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let committed = loop {
        let committed = group.committed(TOPIC, &[Partition(partition.0)])?.get(&partition).map(|commit| commit.next);
        if committed == Some(offset.next()) || Instant::now() > deadline {
            break committed;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let stopped = Command::new("kill").arg(daemon.id().to_string()).status()?;
    let status = daemon.wait()?;
    ensure!(committed == Some(offset.next()), "committed {committed:?}, expected {}", offset.next());
    ensure!(stopped.success() && status.code() == Some(0), "the daemon ended with {status}, expected 0 after SIGTERM");
    Ok(())
}
