//! What the raw loops `rawt` and `rawb` share: a client as a careful program would set it up, and its commits.

use std::time::{Duration, Instant};

use meter::Flags;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Time between two commits.
pub const COMMIT: Duration = Duration::from_secs(1);

/// Messages after which a loop that takes them one by one looks at the clock.
const LOOK: u64 = 1_024;

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

/// The commits of a loop that takes messages one by one.
#[derive(Debug)]
pub struct Commits<'a> {
    topic: &'a str,
    next: Positions,
    handled: u64,
    last: Instant,
}

impl<'a> Commits<'a> {
    /// Nothing is handled yet.
    pub fn of(topic: &'a str) -> Self {
        Self { topic, next: Positions::default(), handled: 0, last: Instant::now() }
    }

    /// This message was handled. What was is committed every second, and nobody waits for it.
    ///
    /// # Errors
    /// When a commit can't be sent.
    pub fn handled(&mut self, consumer: &BaseConsumer, message: &impl Message) -> KafkaResult<()> {
        self.next.handled(message.partition(), message.offset());
        self.handled += 1;
        if self.handled.is_multiple_of(LOOK) && self.last.elapsed() > COMMIT {
            consumer.commit(&self.next.list(self.topic)?, CommitMode::Async)?;
            self.last = Instant::now();
        }
        Ok(())
    }

    /// Commits the rest, and waits for it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn finish(self, consumer: &BaseConsumer) -> KafkaResult<()> {
        consumer.commit(&self.next.list(self.topic)?, CommitMode::Sync)
    }
}
