//! What librdkafka calls of a client that writes, or that only asks. The consumer's callbacks are in `context`.
//!
//! Owner: the client. The invariant: no panic unwinds into C.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use rdkafka::util::IntoOpaque;
use tracing::debug;

use super::config::KafkaConfig;
use super::context::{guarded, log};
use super::obstacles::Obstacles;
use crate::record::{Offset, Partition};

/// The outcome of a record of which nothing is reported but that a later one was acknowledged.
///
/// librdkafka calls it delivered: the broker would have refused the later batch if the record were missing. But a partition that remembers
/// nothing of a producer takes whatever comes first, and then the record is lost. Such a report names no offset.
pub(super) const UNPROVEN: Code = Code::Inconsistent;

/// A record that did not arrive, or of which nobody knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Undelivered {
    /// Why.
    pub(super) code: Code,
    /// Where it was to go, once that was known.
    pub(super) partition: Option<Partition>,
}

impl From<Code> for Undelivered {
    fn from(code: Code) -> Self {
        Self { code, partition: None }
    }
}

/// Takes the delivery reports of records that were handed to a client.
pub(super) trait Reports: Send + Sync + 'static {
    /// What was handed over with a record, and comes back with its report.
    type Receipt: IntoOpaque;

    /// A record has landed, or won't.
    fn report(&self, outcome: Result<(Partition, Offset), Undelivered>, receipt: Self::Receipt);
}

/// Of a client that writes nothing.
impl Reports for () {
    type Receipt = ();

    fn report(&self, _outcome: Result<(Partition, Offset), Undelivered>, _receipt: ()) {}
}

/// See the module.
pub(super) struct Callbacks<R> {
    /// What keeps the client from the brokers.
    pub(super) obstacles: Obstacles,
    /// Who hears of its records.
    pub(super) reports: R,
}

impl<R> Callbacks<R> {
    pub(super) fn new(config: &KafkaConfig, reports: R) -> Self {
        Self { obstacles: Obstacles::new(config), reports }
    }
}

impl<R: Reports> ClientContext for Callbacks<R> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        guarded(|| log(level, facility, message, &self.obstacles));
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        guarded(|| {
            // Whoever writes or asks hears of it by the outcome.
            debug!(error = reason, "a Kafka client has an error");
            if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
                self.obstacles.all_down();
            }
        });
    }
}

impl<R: Reports> ProducerContext<NoCustomPartitioner> for Callbacks<R> {
    type DeliveryOpaque = R::Receipt;

    fn delivery(&self, report: &DeliveryResult<'_>, receipt: R::Receipt) {
        guarded(|| {
            let outcome = match report {
                Ok(message) if message.offset() < 0 => Err(undelivered(UNPROVEN, message)),
                Ok(message) => {
                    self.obstacles.clear();
                    Ok((Partition(message.partition()), Offset(message.offset())))
                }
                Err((error, message)) => Err(undelivered(error.rdkafka_error_code().unwrap_or(Code::Unknown), message)),
            };
            self.reports.report(outcome, receipt);
        });
    }
}

fn undelivered(code: Code, message: &BorrowedMessage<'_>) -> Undelivered {
    Undelivered { code, partition: Some(message.partition()).filter(|number| *number >= 0).map(Partition) }
}
