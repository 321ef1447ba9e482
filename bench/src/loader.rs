//! Fills topics.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use integration::Topics;
use integration::patience::until_true;
use meter::payload;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::messages::{Message, Messages};
use crate::topic::{Keys, Topic};

/// How long what is still on its way may take.
const FLUSH: Duration = Duration::from_secs(120);
/// How long the brokers may take to forget a topic.
const FORGET: Duration = Duration::from_secs(60);

/// Makes topics on a cluster and fills them.
#[derive(Debug)]
pub struct Loader {
    brokers: String,
    topics: Topics,
}

impl Loader {
    /// For the cluster at `brokers`.
    ///
    /// # Errors
    /// When that is no address.
    pub fn new(brokers: &str) -> Result<Self> {
        Ok(Self { brokers: brokers.to_owned(), topics: Topics::connect(brokers)? })
    }

    /// Sees to it that the cluster has this topic whole. One that has all its messages is used as it is; another is made anew.
    ///
    /// # Errors
    /// When it can't be made or filled.
    pub fn fill(&self, topic: &Topic) -> Result<()> {
        let name = topic.full_name();
        if self.topics.exists(&name)? {
            if self.held(&name)? == topic.messages {
                return Ok(());
            }
            self.delete(&name)?;
        }
        eprintln!("bench: filling {name}");
        // Of a batch, which is at least as large as by default.
        let limit = topic.size.max(1_000_000) + (64 << 10);
        let settings = [("retention.ms", "-1"), ("max.message.bytes", &(limit + (64 << 10)).to_string())];
        self.topics.create(&name, topic.partitions, &settings)?;
        let producer = self.producer("20", limit)?;
        let mut buffer = String::with_capacity(topic.size + 64);
        for message in Messages::of(topic) {
            send(&producer, &name, topic.size, message, &mut buffer)?;
            if message.number.is_multiple_of(1_000) {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(FLUSH).with_context(|| format!("not all of {name} was taken"))?;
        let held = self.held(&name)?;
        ensure!(held == topic.messages, "{name} holds {held} messages");
        Ok(())
    }

    /// How many messages a topic has, of which nothing expires.
    fn held(&self, name: &str) -> Result<u64> {
        let held: i64 = self.topics.ends(name)?.values().map(|end| end.0).sum();
        Ok(held.cast_unsigned())
    }

    /// Makes an empty topic of 8 partitions with a name of its own.
    ///
    /// # Errors
    /// When it can't be made.
    pub fn fresh(&self, prefix: &str) -> Result<String> {
        self.topics.create_fresh(prefix, 8)
    }

    /// Writes `count` messages of 200 bytes to it, `rate` a second, each at its time.
    ///
    /// # Errors
    /// When one is refused, or the machine is too busy for this pace.
    pub fn pace(&self, topic: &str, count: u64, rate: u32) -> Result<()> {
        let producer = self.producer("0", 1_000_000)?;
        let start = Instant::now();
        let mut buffer = String::new();
        for message in Messages::drawn(count, Keys::Uniform) {
            let due = start + Duration::from_secs_f64(message.number as f64 / f64::from(rate));
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                producer.poll(Duration::ZERO);
                thread::sleep(left);
            }
            send(&producer, topic, 200, message, &mut buffer)?;
            producer.poll(Duration::ZERO);
        }
        let (took, wanted) = (start.elapsed().as_secs_f64(), count as f64 / f64::from(rate));
        ensure!(
            took < wanted * 1.1 + 1.0,
            "{count} messages took {took:.1} s to write, not {wanted:.1}: others use the machine"
        );
        producer.flush(FLUSH).context("not all messages were taken")?;
        Ok(())
    }

    /// Deletes a topic, and waits until it is gone.
    ///
    /// # Errors
    /// When there is none, or it stays.
    pub fn delete(&self, name: &str) -> Result<()> {
        self.topics.delete(name)?;
        until_true(FORGET, &format!("the end of the topic {name}"), || Ok(!self.topics.exists(name)?))
    }

    /// Deletes those of [`ALL`](crate::topic::ALL) that are there.
    ///
    /// # Errors
    /// When one can't be deleted.
    pub fn clean(&self) -> Result<()> {
        for topic in crate::topic::ALL {
            let name = topic.full_name();
            if self.topics.exists(&name)? {
                self.delete(&name)?;
            }
        }
        Ok(())
    }

    fn producer(&self, linger_ms: &str, message_limit: usize) -> Result<BaseProducer> {
        ClientConfig::new()
            .set("bootstrap.servers", &self.brokers)
            .set("linger.ms", linger_ms)
            .set("message.max.bytes", message_limit.to_string())
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "262144")
            .create()
            .context("cannot make a producer")
    }
}

fn send(producer: &BaseProducer, topic: &str, size: usize, message: Message, buffer: &mut String) -> Result<()> {
    payload::write(buffer, size, message.number, message.key, message.sequence);
    let key = format!("key-{:06}", message.key);
    let mut record = BaseRecord::to(topic).key(&key).payload(buffer.as_str());
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => bail!("cannot write to {topic}: {error}"),
        }
    }
}
