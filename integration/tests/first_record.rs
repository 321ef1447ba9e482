//! A record from a real Kafka goes through a handler of `handlers/` to a commit, as the configuration says.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::patience::until_true;
use integration::{Message, Topics, brokers};
use rustix::process::{Pid, Signal, kill_process};

const TOPIC: &str = "orders.created";
/// Where the orders' handler writes to.
const SHIPMENTS: &str = "shipments.requested";

/// Creates a topic that other runs may have made already.
fn ensure_topic(topics: &Topics, topic: &str) -> Result<()> {
    match topics.partitions(topic) {
        Ok(partitions) if !partitions.is_empty() => Ok(()),
        _ => topics.create(topic, 4, &[]),
    }
}

/// The program with the sample configuration, which the environment points to this cluster.
fn start(brokers: &str, group: &str, letters: &str) -> Result<Child> {
    let binary = std::env::current_exe()?.with_file_name("").join("../handlers");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/shop.yaml");
    Command::new(&binary)
        .args([
            "run",
            "--config",
            sample,
            "--set",
            "admin.address=127.0.0.1:0",
            "--set",
            "daemons.shipments.enabled=false",
        ])
        .env("DAEMONRY__KAFKA__MAIN__BROKERS", brokers)
        .env("DAEMONRY__KAFKA__MAIN__GROUP", group)
        .env("DAEMONRY__DAEMONS__ORDERS__TOPICS__ORDERS_CREATED__DEAD_LETTER", letters)
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("{} can't be run: build it with `cargo build --bins`", binary.display()))
}

#[test]
fn an_order_goes_through_its_handler_to_a_commit() -> Result<()> {
    let brokers = brokers()?;
    let topics = Topics::connect(&brokers)?;
    ensure_topic(&topics, TOPIC)?;
    ensure_topic(&topics, SHIPMENTS)?;
    // Not the one that the route names.
    let letters = topics.create_fresh("first-record-letters", 1)?;
    let order = Message::new(r#"{"id":1,"customer":"ada","card":"visa","cents":990}"#).key("ada");
    let poison = Message::new(r#"{"id":2,"customer":"ada","card":"visa","cents":0}"#).key("ada");
    let (partition, offset) = topics.produce(TOPIC, &[order, poison])?[1];

    let name = format!("first-record-{}-{}", std::process::id(), offset);
    let group = topics.group(&name)?;
    let mut daemon = start(&brokers, &name, &letters)?;

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
    ensure!(!topics.read(&letters)?.is_empty(), "no letter in the topic that the configuration names");
    Ok(())
}
