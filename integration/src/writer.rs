//! A producer that answers where each message was stored: nothing counts as produced that wasn't acknowledged.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use daemonry::record::{Offset, Partition};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use crate::message::Message;
use crate::topics::{DEADLINE, config};
use crate::wire;

/// After so long without all reports it is looked whether the producer has anybody to write to.
const OVERDUE: Duration = Duration::from_secs(3);

/// An idempotent producer. Keep it when writing often: it holds connections.
pub struct Writer {
    producer: BaseProducer<Reports>,
    bootstrap: CString,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    /// A producer for the brokers at `bootstrap`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn connect(bootstrap: &str) -> Result<Self> {
        Self::with(bootstrap, &[])
    }

    /// One whose batches have so many records each, however large they are, and are compressed by this codec.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn compressing(bootstrap: &str, codec: &str, records: usize) -> Result<Self> {
        let (large, records) = (("batch.size", "500000000"), records.to_string());
        // Sent when they are full, and not before.
        let full = [("batch.num.messages", records.as_str()), ("linger.ms", "10000")];
        Self::with(bootstrap, &[("compression.type", codec), large, full[0], full[1]])
    }

    fn with(bootstrap: &str, properties: &[(&str, &str)]) -> Result<Self> {
        let mut config = config(bootstrap);
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            // As Java's producers do it.
            .set("partitioner", "murmur2_random")
            // The broker's limit is the one that tests are about.
            .set("message.max.bytes", "500000000")
            .set("delivery.timeout.ms", DEADLINE.as_millis().to_string());
        for (name, value) in properties {
            config.set(*name, *value);
        }
        let producer =
            config.create_with_context(Reports(Mutex::new(BTreeMap::new()))).context("cannot make a producer")?;
        Ok(Self { producer, bootstrap: CString::new(bootstrap).context("an address can't hold a NUL")? })
    }

    /// Writes messages in order, each to `partition` or else to the partition of its key (a random one for a null key),
    /// and returns where each stands once all are acknowledged by all replicas.
    ///
    /// # Errors
    /// When one is refused or not acknowledged in time.
    pub fn write(
        &mut self,
        topic: &str,
        partition: Option<Partition>,
        messages: &[Message],
    ) -> Result<Vec<(Partition, Offset)>> {
        let name = CString::new(topic).context("a topic's name can't hold a NUL")?;
        self.reports().clear();
        for (tag, message) in messages.iter().enumerate() {
            loop {
                match wire::enqueue(&self.producer, &name, partition, message, tag) {
                    Ok(()) => break,
                    // Every message leaves the queue within the delivery timeout, acknowledged or not.
                    Err(RDKafkaErrorCode::QueueFull) => self.producer.poll(Duration::from_millis(10)),
                    Err(code) => bail!("cannot produce message {tag} to `{topic}`: {code}"),
                }
            }
            if tag % 1_000 == 0 {
                self.producer.poll(Duration::ZERO);
            }
        }
        // Not `flush`, which waits a tenth of a second at a time. Reports come within the delivery timeout.
        let deadline = Instant::now() + 2 * DEADLINE;
        let mut overdue = Instant::now() + OVERDUE;
        while self.reports().len() < messages.len() {
            ensure!(Instant::now() < deadline, "not all messages to `{topic}` were acknowledged");
            if Instant::now() >= overdue {
                overdue = Instant::now() + OVERDUE;
                wire::name_brokers(&self.producer, &self.bootstrap);
            }
            self.producer.poll(Duration::from_millis(5));
        }
        let mut reports = self.reports();
        let place = |tag| {
            let report = reports.remove(&tag).with_context(|| format!("no report for message {tag} to `{topic}`"))?;
            report.with_context(|| format!("message {tag} to `{topic}` was not acknowledged"))
        };
        (0..messages.len()).map(place).collect()
    }

    fn reports(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Report>> {
        self.producer.context().0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a message was stored, or why it was not.
type Report = Result<(Partition, Offset), KafkaError>;

/// The delivery reports so far, by tag.
struct Reports(Mutex<BTreeMap<usize, Report>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        let report = match result {
            // A report without an offset is an inference from the next batch's, which brokers have belied.
            Ok(message) if message.offset() < 0 => Err(KafkaError::MessageProduction(RDKafkaErrorCode::Inconsistent)),
            Ok(message) => Ok((Partition(message.partition()), Offset(message.offset()))),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tag, report);
    }
}
