//! A record from a real Kafka goes through a handler of `handlers/` to a commit.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::patience::until_true;
use integration::{Message, Topics, brokers};
use rustix::process::{Pid, Signal, kill_process};

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
    let group = topics.group(&name)?;
    let binary = std::env::current_exe()?.with_file_name("").join("../handlers");
    let mut daemon = Command::new(&binary)
        .arg("run")
        .envs([("KAFKA_BROKERS", brokers.as_str()), ("KAFKA_GROUP", &name), ("ADMIN_ADDRESS", "127.0.0.1:0")])
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("{} can't be run: build it with `cargo build --bins`", binary.display()))?;

    let committed = until_true(Duration::from_secs(60), "the commit behind the order", || {
        let committed = group.committed(TOPIC, &[partition])?;
        Ok(committed.get(&partition).is_some_and(|commit| commit.next == offset.next()))
    });
    // Whether or not there was a commit: the daemon doesn't outlive its test.
    let stopped = kill_process(Pid::from_child(&daemon), Signal::TERM);
    let status = daemon.wait()?;
    committed?;
    stopped?;
    ensure!(status.code() == Some(0), "the daemon ended with {status}, expected 0 after SIGTERM");
    Ok(())
}
