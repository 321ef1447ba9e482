//! A producer whose every send is awaited: for dead letters, which settle a record only once they are acknowledged.
//!
//! Owner: the dead-letter stage. Idempotent, all replicas; the original bytes go out as they came, header names that aren't
//! UTF-8 included. The invariant: `Ok` means that the brokers have it.
//!
//! What is refused as too large goes again by itself, in case it was its batch that was. It does so over a client of its own, which puts no two
//! records into one request: no other send waits for that, nor does it wait for one.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::callbacks::UNPROVEN;
use super::config::{ConfigError, KafkaConfig};
use super::native::Letter;
use crate::producer::{RecordSink, SendError, Sent};
use crate::record::{Header, Offset, OwnedRecord, Partition, Timestamp, Topic};

mod line;
mod renewals;
#[cfg(test)]
mod tests;

use line::Line;

/// How long the brokers may take to acknowledge a record.
const DELIVERY: Duration = Duration::from_secs(30);
/// How much longer the report of it may take to come back to us.
const REPORT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct KafkaProducer {
    config: KafkaConfig,
    /// What goes out as soon as it can, in batches.
    together: Line,
    /// What was refused as too large, one by one.
    alone: Line,
}

impl KafkaConfig {
    /// The properties of the producer.
    pub(super) fn producer_properties(&self) -> ClientConfig {
        let mut client = self.other();
        if client.get("socket.timeout.ms").is_none() {
            // What a half-open connection swallows is sent again on another one, as the same record. Where its time is over first, nobody knows
            // whether it has arrived, and a dead letter is written a second time.
            client.set("socket.timeout.ms", (DELIVERY / 3).as_millis().to_string());
        }
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // As Java's producers do it, so that a key meets its like.
            .set("partitioner", "murmur2_random")
            // The broker decides what is too large, not a guess of ours.
            .set("message.max.bytes", "1000000000")
            .set("queue.buffering.max.kbytes", "1048576")
            .set("linger.ms", "0")
            // How long a topic may be missing until it is; a broker learns of a new one a moment later than another.
            .set("topic.metadata.propagation.max.ms", "3000")
            .set("delivery.timeout.ms", DELIVERY.as_millis().to_string());
        client
    }
}

impl KafkaProducer {
    /// A producer with the connection of `config`, without its group.
    ///
    /// # Errors
    /// What librdkafka refuses.
    pub fn new(config: &KafkaConfig) -> Result<Self, ConfigError> {
        config.check_connection()?;
        let properties = config.producer_properties();
        let mut one_by_one = properties.clone();
        one_by_one.set("batch.num.messages", "1");
        let together = Line::new(properties, config.clone());
        together.usable().map_err(|error| config.refused(&error))?;
        Ok(Self { config: config.clone(), together, alone: Line::new(one_by_one, config.clone()) })
    }

    pub(super) fn config(&self) -> &KafkaConfig {
        &self.config
    }

    /// Writes a record and waits until all in-sync replicas have it. Without a `timestamp` it gets the present time.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send<'a>(
        &self,
        topic: &Topic,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'a>>,
        timestamp: Option<Timestamp>,
    ) -> Result<(Partition, Offset), SendError> {
        let headers: Vec<Header<'_>> = headers.collect();
        let letter = Letter { topic: topic.as_str(), key, value, headers: &headers, timestamp };
        let (line, outcome) = match self.together.send(&letter).await {
            Err(code) if is_too_large(code) => (&self.alone, self.alone.send(&letter).await),
            // librdkafka remembers for minutes that a topic is missing. It may have been created since.
            Err(code) if is_unknown(code) && self.together.exists(topic).await => {
                (&self.together, self.together.send(&letter).await)
            }
            outcome => (&self.together, outcome),
        };
        outcome.map_err(|code| match code {
            code if is_too_large(code) => SendError::TooLarge(topic.clone()),
            code if is_unknown(code) => SendError::UnknownTopic(topic.clone()),
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                SendError::NotAuthorized(topic.clone())
            }
            // Tried again, with the present time as it is then.
            Code::InvalidTimestamp => SendError::Unavailable(refused_time(letter.timestamp)),
            UNPROVEN => SendError::Unavailable("the brokers acknowledged the next record, and not this one".to_owned()),
            code => SendError::Unavailable(line.obstacle().unwrap_or_else(|| code.to_string())),
        })
    }
}

#[async_trait]
impl RecordSink for KafkaProducer {
    async fn write(&self, topic: &Topic, record: &OwnedRecord) -> Result<Sent, SendError> {
        let OwnedRecord { key, value, headers, timestamp } = record;
        let headers = headers.iter().map(|(name, value)| Header { name, value: value.as_deref() });
        let sent = self.send(topic, key.as_deref(), value.as_deref(), headers, *timestamp).await;
        sent.map(|(partition, offset)| Sent { partition, offset })
    }
}

/// What is wrong where the brokers refuse the time that a record was given, or that of this machine's clock.
fn refused_time(given: Option<Timestamp>) -> String {
    let whose = match given {
        Some(time) => format!("its time, {} ms since 1970, as too far from their clock's", time.as_millis()),
        None => "the time of this machine's clock, as too far from theirs: set it right".to_owned(),
    };
    format!(
        "the brokers refuse {whose}; a topic's `message.timestamp.type` and `message.timestamp.after.max.ms` say what it takes"
    )
}

fn is_too_large(code: Code) -> bool {
    matches!(code, Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize)
}

fn is_unknown(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition | Code::InvalidTopic)
}
