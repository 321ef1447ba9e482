//! A producer whose every send is awaited: for dead letters, which settle a record only once they are acknowledged.
//!
//! Owner: the dead-letter stage. Idempotent, all replicas; the original bytes go out as they came, header names that aren't
//! UTF-8 included. The invariant: `Ok` means that the brokers have it.
//!
//! One that has failed for good is replaced, and so is one that doesn't deliver to a partition whose leader answers: a topic that was deleted
//! and made anew counts its leaders from the first one again, which librdkafka takes for old news, and goes on asking the brokers that led the
//! former topic (confluentinc/librdkafka#4898). What was handed to the former one keeps its time there; its outcome is told as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer};
use tokio::sync::{Notify, RwLock, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::bootstrap::Bootstrap;
use super::callbacks::{Callbacks, Reports, UNPROVEN, Undelivered};
use super::config::{ConfigError, KafkaConfig};
use super::native::{Letter, produce};
use super::served::Served;
use crate::producer::{RecordSink, SendError, Sent};
use crate::record::{Header, Offset, OwnedRecord, Partition, Timestamp, Topic, TopicPartition};

mod renewals;
#[cfg(test)]
mod tests;

use renewals::Renewals;

/// How long the brokers may take to acknowledge a record.
const DELIVERY: Duration = Duration::from_secs(30);
/// How much longer the report of it may take to come back to us.
const REPORT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub struct KafkaProducer {
    properties: Properties,
    current: Mutex<Arc<Inner>>,
    /// Sends share it; one that was refused as too large goes again alone, in case it was the batch that was.
    company: RwLock<()>,
    /// Held by whoever asks what keeps a record from being delivered: once is enough.
    asking: tokio::sync::Mutex<()>,
    renewals: Mutex<Renewals>,
}

struct Properties {
    client: ClientConfig,
    config: KafkaConfig,
}

struct Inner {
    /// There until its end.
    served: Option<Served<Callbacks<Deliveries>>>,
    /// Another one is in its place. It ends with its last send, which is not to wait for its threads.
    is_replaced: AtomicBool,
}

/// What is reported of a record.
type Outcome = Result<(Partition, Offset), Undelivered>;

/// Where a delivery report goes.
type Receipt = Mutex<Option<oneshot::Sender<Outcome>>>;

/// Rung by each report: there is room for another record then.
struct Deliveries {
    delivered: Notify,
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
        let properties = Properties { client: config.producer_properties(), config: config.clone() };
        let inner = Inner::new(&properties).map_err(|error| config.refused(&error))?;
        Ok(Self {
            properties,
            current: Mutex::new(Arc::new(inner)),
            company: RwLock::new(()),
            asking: tokio::sync::Mutex::new(()),
            renewals: Mutex::default(),
        })
    }

    pub(super) fn config(&self) -> &KafkaConfig {
        &self.properties.config
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
        let outcome = {
            let _company = self.company.read().await;
            self.try_send(&letter).await
        };
        let outcome = match outcome {
            Err(code) if is_too_large(code) => {
                let _alone = self.company.write().await;
                self.try_send(&letter).await
            }
            // librdkafka remembers for minutes that a topic is missing. It may have been created since.
            Err(code) if is_unknown(code) && self.exists(topic).await => {
                let _company = self.company.read().await;
                self.try_send(&letter).await
            }
            outcome => outcome,
        };
        if let Ok((partition, _)) = outcome {
            self.renewals.lock().delivered(topic, partition);
        }
        outcome.map_err(|code| match code {
            code if is_too_large(code) => SendError::TooLarge(topic.clone()),
            code if is_unknown(code) => SendError::UnknownTopic(topic.clone()),
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                SendError::NotAuthorized(topic.clone())
            }
            // Tried again, with the present time as it is then.
            Code::InvalidTimestamp => SendError::Unavailable(refused_time(letter.timestamp)),
            UNPROVEN => SendError::Unavailable("the brokers acknowledged the next record, and not this one".to_owned()),
            code => SendError::Unavailable(self.obstacle().unwrap_or_else(|| code.to_string())),
        })
    }

    /// What keeps the producer from the brokers, if it knows.
    fn obstacle(&self) -> Option<String> {
        Some(self.current.lock().producer().context().obstacles.last()?.say().to_owned())
    }

    async fn try_send(&self, letter: &Letter<'_>) -> Result<(Partition, Offset), Code> {
        let inner = self.usable().map_err(|error| {
            warn!(error = %self.properties.config.refused(&error), "a new producer could not be made");
            error.rdkafka_error_code().unwrap_or(Code::Fail)
        })?;
        let outcome = inner.send(letter).await;
        if let Err(Undelivered { code: Code::MessageTimedOut, partition: Some(partition) }) = outcome {
            self.renew_if_stuck(&inner, TopicPartition { topic: letter.topic.into(), partition }).await;
        }
        outcome.map_err(|undelivered| undelivered.code)
    }

    /// Replaces a producer with which a record's time was over, unless the cause is elsewhere.
    async fn renew_if_stuck(&self, inner: &Arc<Inner>, place: TopicPartition) {
        let Ok(_asking) = self.asking.try_lock() else { return };
        let is_current = || Arc::ptr_eq(&self.current.lock(), inner);
        if !is_current() || !self.renewals.lock().may(Instant::now()) || !leader_answers(inner, &place).await {
            return;
        }
        let mut current = self.current.lock();
        if Arc::ptr_eq(&current, inner) {
            let (topic, partition) = (place.topic.as_str(), place.partition.0);
            match self.replace(&mut current) {
                Ok(()) => warn!(
                    topic,
                    partition, "nothing was delivered to a partition whose leader answers, the producer is made anew"
                ),
                Err(error) => {
                    warn!(error = %self.properties.config.refused(&error), "a new producer could not be made");
                }
            }
            self.renewals.lock().note(place, Instant::now());
        }
    }

    /// Whether the topic is there now; what the producer knows of it is refreshed by the question.
    async fn exists(&self, topic: &Topic) -> bool {
        let Ok(inner) = self.usable() else { return false };
        let name = topic.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = inner.producer().client().fetch_metadata(Some(name.as_str()), REPORT).ok()?;
            let found = metadata.topics().iter().find(|found| found.name() == name.as_str())?;
            Some(found.error().is_none() && !found.partitions().is_empty())
        });
        asked.await.ok().flatten().unwrap_or(false)
    }

    /// The producer, made anew if it has failed for good.
    fn usable(&self) -> Result<Arc<Inner>, KafkaError> {
        let mut current = self.current.lock();
        if let Some((_, reason)) = current.producer().client().fatal_error() {
            warn!(error = reason, "the producer has failed for good and is made anew");
            self.replace(&mut current)?;
        }
        Ok(Arc::clone(&current))
    }

    fn replace(&self, current: &mut Arc<Inner>) -> Result<(), KafkaError> {
        let former = std::mem::replace(current, Arc::new(Inner::new(&self.properties)?));
        former.is_replaced.store(true, Ordering::Release);
        Ok(())
    }
}

/// Whether the partition's leader answers. Then it isn't the brokers that keep a record from it.
async fn leader_answers(inner: &Arc<Inner>, place: &TopicPartition) -> bool {
    let (inner, place) = (Arc::clone(inner), place.clone());
    let asked = tokio::task::spawn_blocking(move || {
        let (client, topic) = (inner.producer().client(), place.topic.as_str());
        // The leader that is asked is the one of this answer, which need not be where records are sent.
        client.fetch_metadata(Some(topic), REPORT).is_ok()
            && client.fetch_watermarks(topic, place.partition.0, REPORT).is_ok()
    });
    asked.await.unwrap_or(false)
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

impl Inner {
    fn new(properties: &Properties) -> Result<Self, KafkaError> {
        let callbacks = Callbacks::new(&properties.config, Deliveries { delivered: Notify::new() });
        let served = Some(Served::new(&properties.client, callbacks, Bootstrap::new(&properties.config))?);
        Ok(Self { served, is_replaced: AtomicBool::new(false) })
    }

    fn served(&self) -> &Served<Callbacks<Deliveries>> {
        self.served.as_ref().expect("it is there until its end")
    }

    fn producer(&self) -> &BaseProducer<Callbacks<Deliveries>> {
        self.served().producer()
    }

    async fn send(&self, letter: &Letter<'_>) -> Outcome {
        let deadline = Instant::now() + DELIVERY + REPORT;
        loop {
            // Before the attempt, so that a delivery in between isn't slept over.
            let room = self.producer().context().reports.delivered.notified();
            let (send, report) = oneshot::channel();
            let receipt: Box<Receipt> = Box::new(Mutex::new(Some(send)));
            match produce(self.producer(), letter, receipt) {
                Ok(()) => {
                    self.served().sent();
                    // Without a report nobody knows; librdkafka gives one at its own deadline, which is before ours.
                    return timeout_at(deadline, report)
                        .await
                        .ok()
                        .and_then(Result::ok)
                        .unwrap_or(Err(Code::MessageTimedOut.into()));
                }
                Err(refused) if refused.code == Code::QueueFull => {
                    timeout_at(deadline, room).await.map_err(|_| Code::QueueFull)?;
                }
                Err(refused) => return Err(refused.code.into()),
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let is_replaced = self.is_replaced.load(Ordering::Acquire);
        if let Some(served) = self.served.take().filter(|_| is_replaced) {
            // Its end waits for its threads: not here, where a sender goes on.
            drop(std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(served)));
        }
    }
}

impl Reports for Deliveries {
    type Receipt = Box<Receipt>;

    fn report(&self, outcome: Outcome, receipt: Box<Receipt>) {
        if let Some(receipt) = receipt.lock().take() {
            // The sender may have been cancelled.
            let _nobody = receipt.send(outcome);
        }
        self.delivered.notify_waiters();
    }
}

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientConfig")
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}
