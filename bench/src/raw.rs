//! What the raw loops `rawt` and `rawb` share: a client as a careful program would set it up, and its commits.

use std::time::Duration;

use meter::Flags;
use rdkafka::error::KafkaResult;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Time between two commits.
pub const COMMIT: Duration = Duration::from_secs(1);

/// A client that starts at the beginning and commits by hand.
///
/// By default librdkafka waits for a second whenever enough is read ahead: with small messages a loop would mostly measure that.
pub fn client(flags: &Flags) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &flags.brokers)
        .set("group.id", &flags.group)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "10");
    for (name, value) in flags.properties() {
        config.set(name, value);
    }
    config
}

/// What is to be committed: for each partition the offset behind the last message handled.
#[derive(Debug, Default)]
pub struct Positions(Vec<Option<i64>>);

impl Positions {
    /// This message was handled.
    pub fn handled(&mut self, partition: i32, offset: i64) {
        let partition = usize::try_from(partition).expect("a partition's number is not negative");
        if partition >= self.0.len() {
            self.0.resize(partition + 1, None);
        }
        self.0[partition] = Some(offset + 1);
    }

    /// Whether nothing was handled yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As a commit takes it.
    ///
    /// # Errors
    /// When an offset is none.
    pub fn list(&self, topic: &str) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, next) in (0..).zip(&self.0) {
            if let Some(next) = next {
                list.add_partition_offset(topic, partition, Offset::Offset(*next))?;
            }
        }
        Ok(list)
    }
}
