//! What librdkafka calls back into. Everything here runs inside a poll of the event thread, and only takes notes.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tracing::{debug, error, info, warn};

use crate::record::TopicPartition;

/// A note for the event thread.
#[derive(Debug)]
pub(super) enum Signal {
    /// The group gives us these partitions (more of them, under a cooperative protocol).
    Assign(Vec<TopicPartition>),
    /// The group takes these partitions back.
    Revoke(Vec<TopicPartition>),
    /// Something is wrong with the client, or with the cluster.
    Error(RDKafkaErrorCode, String),
}

/// The callbacks of one consumer.
#[derive(Debug, Default)]
pub(super) struct Context {
    signals: Mutex<VecDeque<Signal>>,
    closing: AtomicBool,
}

impl Context {
    /// The oldest note that was not taken yet.
    pub(super) fn next_signal(&self) -> Option<Signal> {
        self.signals.lock().pop_front()
    }

    /// From now on partitions are given up within the callback: closing polls until it is through, and would wait for ever
    /// for somebody to do it later.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    fn note(&self, signal: Signal) {
        self.signals.lock().push_back(signal);
    }

    fn rebalanced(&self, consumer: &BaseConsumer<Self>, assigned: bool, list: &TopicPartitionList) {
        if self.closing.load(Ordering::SeqCst) {
            let outcome = match (consumer.rebalance_protocol(), assigned) {
                // Ours for a moment only: nothing is read from it, the revocation follows.
                (RebalanceProtocol::Cooperative, true) => consumer.incremental_assign(list),
                (RebalanceProtocol::Cooperative, false) => consumer.incremental_unassign(list),
                (_, true) => consumer.assign(list),
                (_, false) => consumer.unassign(),
            };
            if let Err(error) = outcome {
                warn!(%error, "partitions could not be given up while closing");
            }
            return;
        }
        let places = places(list);
        self.note(if assigned { Signal::Assign(places) } else { Signal::Revoke(places) });
    }
}

/// Runs what librdkafka called. A panic must not unwind into C.
fn guarded(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        error!("a callback of the Kafka client panicked");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        guarded(|| log(level, facility, message));
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        guarded(|| {
            let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
            self.note(Signal::Error(code, reason.to_owned()));
        });
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assigned = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        guarded(|| self.rebalanced(consumer, assigned, list));
    }
}

/// librdkafka's own log lines, as ours.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            error!(facility, message, "the Kafka client reports an error");
        }
        RDKafkaLogLevel::Warning => warn!(facility, message, "the Kafka client warns"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => info!(facility, message, "the Kafka client informs"),
        RDKafkaLogLevel::Debug => debug!(facility, message, "the Kafka client"),
    }
}

/// The partitions of a list.
fn places(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| TopicPartition::new(element.topic(), element.partition())).collect()
}
