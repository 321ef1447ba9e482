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
use tracing::{Level, debug, error, warn};

use super::config::{GroupProtocol, KafkaConfig};
use super::obstacles::Obstacles;
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
#[derive(Debug)]
pub(super) struct Context {
    obstacles: Obstacles,
    is_classic: bool,
    signals: Mutex<VecDeque<Signal>>,
    closing: AtomicBool,
}

impl Context {
    /// Nothing has happened yet.
    pub(super) fn new(config: &KafkaConfig) -> Self {
        Self {
            obstacles: Obstacles::new(config),
            is_classic: config.protocol != GroupProtocol::Consumer,
            signals: Mutex::default(),
            closing: AtomicBool::new(false),
        }
    }

    /// Whether the members of the group agree by the classic protocol.
    pub(super) fn is_classic(&self) -> bool {
        self.is_classic
    }

    /// What keeps the client from the brokers.
    pub(super) fn obstacles(&self) -> &Obstacles {
        &self.obstacles
    }

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
pub(super) fn guarded(call: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(call)).is_err() {
        error!("a callback of the Kafka client panicked");
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        guarded(|| log(level, facility, message, &self.obstacles));
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

/// librdkafka's own log lines, as ours; one about a connection that failed may tell what is in the way.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str, obstacles: &Obstacles) {
    if facility == "FAIL" {
        obstacles.hear(message);
    }
    match level_of(level, facility) {
        Level::ERROR => error!(facility, message, "the Kafka client reports an error"),
        Level::WARN => warn!(facility, message, "the Kafka client warns"),
        _ => debug!(facility, message, "the Kafka client informs"),
    }
}

/// How much it matters to whoever runs this what librdkafka says.
fn level_of(level: RDKafkaLogLevel, facility: &str) -> Level {
    match (level, facility) {
        // What follows is told by whoever makes the client anew, or stops.
        (RDKafkaLogLevel::Emerg, "FATAL") => Level::WARN,
        // An error that a partition's queue held when it was read anew: it has been told.
        (RDKafkaLogLevel::Warning, "PARTDEL") => Level::DEBUG,
        (RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error, _) => {
            Level::ERROR
        }
        (RDKafkaLogLevel::Warning, _) => Level::WARN,
        // Connections that come and go, for the most part.
        (RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug, _) => Level::DEBUG,
    }
}

/// The partitions of a list.
fn places(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| TopicPartition::new(element.topic(), element.partition())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_tells_is_no_error() {
        assert_eq!(level_of(RDKafkaLogLevel::Emerg, "FATAL"), Level::WARN, "the client is made anew");
        assert_eq!(level_of(RDKafkaLogLevel::Debug, "FATAL"), Level::DEBUG, "what led to it");
        assert_eq!(level_of(RDKafkaLogLevel::Error, "FAIL"), Level::ERROR);
        assert_eq!(level_of(RDKafkaLogLevel::Warning, "PARTDEL"), Level::DEBUG);
        assert_eq!(level_of(RDKafkaLogLevel::Warning, "MAXPOLL"), Level::WARN);
        assert_eq!(level_of(RDKafkaLogLevel::Notice, "PARTDEL"), Level::DEBUG);
    }
}
