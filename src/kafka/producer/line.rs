//! A line to the brokers: a client that sends, and those that take its place.
//!
//! Owner: the producer. One that has failed for good is replaced, and so is one that doesn't deliver to a partition whose leader answers: a topic
//! that was deleted and made anew counts its leaders from the first one again, which librdkafka takes for old news, and goes on asking the brokers
//! that led the former topic (confluentinc/librdkafka#4898). What was handed to the former one keeps its time there; its outcome is told as ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::renewals::Renewals;
use super::{DELIVERY, REPORT};
use crate::kafka::bootstrap::Bootstrap;
use crate::kafka::callbacks::{Callbacks, Reports, Undelivered};
use crate::kafka::config::KafkaConfig;
use crate::kafka::native::{Letter, produce};
use crate::kafka::served::Served;
use crate::record::{Offset, Partition, Topic, TopicPartition};

/// See the module. Its first client is made when it is first needed.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) properties: Properties,
    pub(super) current: Mutex<Option<Arc<Inner>>>,
    /// Held by whoever asks what keeps a record from being delivered: once is enough.
    asking: tokio::sync::Mutex<()>,
    renewals: Mutex<Renewals>,
}

pub(super) struct Properties {
    pub(super) client: ClientConfig,
    pub(super) config: KafkaConfig,
}

/// A client.
pub(super) struct Inner {
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
pub(super) struct Deliveries {
    delivered: Notify,
}

impl Line {
    /// One with these properties of its clients.
    pub(super) fn new(client: ClientConfig, config: KafkaConfig) -> Self {
        Self {
            properties: Properties { client, config },
            current: Mutex::new(None),
            asking: tokio::sync::Mutex::new(()),
            renewals: Mutex::default(),
        }
    }

    /// Hands a record over, and waits for what is reported of it.
    pub(super) async fn send(&self, letter: &Letter<'_>) -> Result<(Partition, Offset), Code> {
        let inner = self.usable().map_err(|error| {
            warn!(error = %self.properties.config.refused(&error), "a new producer could not be made");
            error.rdkafka_error_code().unwrap_or(Code::Fail)
        })?;
        let outcome = inner.send(letter).await;
        match outcome {
            Ok((partition, _)) => self.renewals.lock().delivered(letter.topic, partition),
            Err(Undelivered { code: Code::MessageTimedOut, partition: Some(partition) }) => {
                self.renew_if_stuck(&inner, TopicPartition { topic: letter.topic.into(), partition }).await;
            }
            Err(_) => {}
        }
        outcome.map_err(|undelivered| undelivered.code)
    }

    /// What keeps it from the brokers, if it knows.
    pub(super) fn obstacle(&self) -> Option<String> {
        let current = self.current.lock();
        Some(current.as_ref()?.producer().context().obstacles.last()?.say().to_owned())
    }

    /// Replaces a client with which a record's time was over, unless the cause is elsewhere.
    async fn renew_if_stuck(&self, inner: &Arc<Inner>, place: TopicPartition) {
        let Ok(_asking) = self.asking.try_lock() else { return };
        let is_it = |current: &Option<Arc<Inner>>| current.as_ref().is_some_and(|current| Arc::ptr_eq(current, inner));
        let is_current = || is_it(&self.current.lock());
        if !is_current() || !self.renewals.lock().may(Instant::now()) || !leader_answers(inner, &place).await {
            return;
        }
        let mut current = self.current.lock();
        if is_it(&current) {
            let (topic, partition) = (place.topic.as_str(), place.partition.0);
            match self.replace(&mut current) {
                Ok(_) => warn!(
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

    /// Whether the topic is there now; what the client knows of it is refreshed by the question.
    pub(super) async fn exists(&self, topic: &Topic) -> bool {
        let Ok(inner) = self.usable() else { return false };
        let name = topic.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = inner.producer().client().fetch_metadata(Some(name.as_str()), REPORT).ok()?;
            let found = metadata.topics().iter().find(|found| found.name() == name.as_str())?;
            Some(found.error().is_none() && !found.partitions().is_empty())
        });
        asked.await.ok().flatten().unwrap_or(false)
    }

    /// The client, made where there is none, and anew where it has failed for good.
    pub(super) fn usable(&self) -> Result<Arc<Inner>, KafkaError> {
        let mut current = self.current.lock();
        let failed = current.as_ref().and_then(|inner| inner.producer().client().fatal_error());
        if let Some((_, reason)) = &failed {
            warn!(error = reason, "the producer has failed for good and is made anew");
        }
        match &*current {
            Some(inner) if failed.is_none() => Ok(Arc::clone(inner)),
            _ => self.replace(&mut current),
        }
    }

    pub(super) fn replace(&self, current: &mut Option<Arc<Inner>>) -> Result<Arc<Inner>, KafkaError> {
        let inner = Arc::new(Inner::new(&self.properties)?);
        if let Some(former) = current.replace(Arc::clone(&inner)) {
            former.is_replaced.store(true, Ordering::Release);
        }
        Ok(inner)
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

impl Inner {
    pub(super) fn new(properties: &Properties) -> Result<Self, KafkaError> {
        let callbacks = Callbacks::new(&properties.config, Deliveries { delivered: Notify::new() });
        let served = Some(Served::new(&properties.client, callbacks, Bootstrap::new(&properties.config))?);
        Ok(Self { served, is_replaced: AtomicBool::new(false) })
    }

    fn served(&self) -> &Served<Callbacks<Deliveries>> {
        self.served.as_ref().expect("it is there until its end")
    }

    pub(super) fn producer(&self) -> &BaseProducer<Callbacks<Deliveries>> {
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
