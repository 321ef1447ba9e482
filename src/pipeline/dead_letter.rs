//! Dead letters: publishes what can't be handled, and settles its record only when the letter is acknowledged.
//!
//! A record whose letter can't be written keeps its lane closed and its partition waiting; the letter is tried again with backoff,
//! for as long as the partition is ours. Nothing is skipped and nothing is cut short. Since a lane gives its next record only when its
//! head is settled, the letters of a key keep their order.
//!
//! Original bytes and headers are not touched. What is added:
//!
//! | header | contents |
//! |---|---|
//! | `daemonry-topic` | topic that the record was read from |
//! | `daemonry-partition` | its partition, decimal |
//! | `daemonry-offset` | its offset, decimal |
//! | `daemonry-timestamp` | the record's own time, milliseconds since 1970 UTC; absent if it had none |
//! | `daemonry-reason` | `undecodable`, `poison`, `not_retryable`, `error`, `panic`, `timeout` or `crash`: how the last attempt failed |
//! | `daemonry-error` | the error with its causes, at most 2,048 bytes |
//! | `daemonry-attempts` | attempts made, decimal |
//! | `daemonry-daemon` | name of the daemon |
//! | `daemonry-handler` | name of the handler |
//! | `daemonry-failed-at` | when the letter was written, milliseconds since 1970 UTC |
//!
//! A letter of a letter has each of them twice, in the order in which they were added: the last one counts.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::warn;

use super::lanes::LetterJob;
use super::shared::Shared;
use super::source::Progress;
use super::ticket::{Receipt, Settled, Ticket};
use crate::dead_letters;
use crate::producer::Sent;
use crate::record::{Record, Timestamp, Topic};
use crate::retry::RetryPolicy;

/// The longest error text that goes into a letter.
const ERROR_BYTES: usize = 2_048;

/// How the last attempt at a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// An argument of the handler could not be drawn from the record.
    Undecodable,
    /// The handler said that no attempt will succeed.
    Poison,
    /// The route doesn't retry errors of this kind.
    NotRetryable,
    /// The handler failed, and the retries are used up.
    Error,
    /// The handler panicked, and the retries are used up.
    Panic,
    /// The handler overstayed its timeout, and the retries are used up.
    Timeout,
    /// The process ended without warning each time that it ran alone; see [quarantine](super::quarantine).
    Crash,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Undecodable, Self::Poison, Self::NotRetryable, Self::Error, Self::Panic, Self::Timeout, Self::Crash];

    /// The reason as it stands in the letter's header and in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Poison => "poison",
            Self::NotRetryable => "not_retryable",
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Crash => "crash",
        }
    }
}

/// Why a record is to become a dead letter.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    pub(super) error: String,
    /// Attempts made, the last one included.
    pub(super) attempts: u32,
    pub(super) handler: &'static str,
}

/// A letter, ready to be written: the record's key, value, headers and time as they are, and then `added`.
#[derive(Debug)]
pub struct Letter<'a> {
    /// Where it is to be written.
    pub topic: &'a Topic,
    /// The record as it was read.
    pub record: &'a Record,
    /// Headers to put behind the record's own.
    pub added: Vec<(&'static str, String)>,
}

/// Writes dead letters. [`publish`](Self::publish) answers once the letter is safe, and not before.
#[async_trait]
pub trait DeadLetterSink: Send + Sync + 'static {
    /// Writes one letter, waits for its acknowledgement and answers where it stands. What has no partitions says partition 0.
    ///
    /// # Errors
    /// Why it was not written; it will be tried again.
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError>;

    /// What reads a topic's letters back, re-drives and discards them: for the admin API. By default nothing does.
    fn letters(&self, _topic: &Topic) -> Option<dead_letters::DeadLetters> {
        None
    }
}

/// Why a dead letter could not be written. Whatever it is, the letter's partition waits, and the letter is tried again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic takes no record of this size.
    #[error("the letter is larger than its topic takes: raise `max.message.bytes` of topic `{0}`")]
    TooLarge(Topic),
    /// There is no such topic.
    #[error("there is no topic `{0}`: create it")]
    UnknownTopic(Topic),
    /// The producer may not write it.
    #[error("not allowed to write topic `{0}`: grant this client the right to")]
    NotAuthorized(Topic),
    /// The topic's brokers don't answer, or something else that may pass.
    #[error("{0}")]
    Unavailable(String),
}

/// Writes letters for one daemon.
struct DeadLetters {
    sink: Arc<dyn DeadLetterSink>,
    daemon: String,
}

impl DeadLetters {
    /// Publishes the letter of the record that the ticket is for. Only an acknowledged letter settles, and only this ticket.
    async fn publish<P: Copy>(
        &self,
        ticket: Ticket<P>,
        record: &Record,
        topic: &Topic,
        failure: &Failure,
    ) -> Result<(Settled<P>, Sent), (Ticket<P>, PublishError)> {
        let letter = Letter { topic, record, added: headers(&self.daemon, record, failure) };
        match self.sink.publish(&letter).await {
            Ok(sent) => Ok((ticket.dead_lettered(Receipt::acknowledged()), sent)),
            Err(error) => Err((ticket, error)),
        }
    }
}

fn headers(daemon: &str, record: &Record, failure: &Failure) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("daemonry-topic", record.topic().to_string()),
        ("daemonry-partition", record.partition().to_string()),
        ("daemonry-offset", record.offset().to_string()),
    ];
    if let Some(timestamp) = record.timestamp() {
        headers.push(("daemonry-timestamp", timestamp.as_millis().to_string()));
    }
    headers.extend([
        ("daemonry-reason", failure.reason.name().to_owned()),
        ("daemonry-error", cut(&failure.error, ERROR_BYTES).to_owned()),
        ("daemonry-attempts", failure.attempts.to_string()),
        ("daemonry-daemon", daemon.to_owned()),
        ("daemonry-handler", failure.handler.to_owned()),
        ("daemonry-failed-at", Timestamp::now().as_millis().to_string()),
    ]);
    headers
}

/// The start of a text, at most this many bytes, ending with a whole character.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Publishes the letters that the lanes have, many at a time, for ever.
pub(super) async fn publish_letters<G: Progress>(shared: Arc<Shared<G>>, sink: Arc<dyn DeadLetterSink>, seed: u64) {
    let letters = DeadLetters { sink, daemon: shared.daemon.clone() };
    // Never given up: `delay` grows to its cap and stays there.
    let backoff = RetryPolicy::exponential().max_retries(u32::MAX);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut under_way = FuturesUnordered::new();
    loop {
        loop {
            // How many there are at once is for the lanes to say.
            let Some(job) = shared.lanes().take_letter() else { break };
            under_way.push(write(&letters, &shared, job));
        }
        tokio::select! {
            biased;
            Some(unwritten) = under_way.next(), if !under_way.is_empty() => {
                if let Some(Unwritten { job, failures }) = unwritten {
                    let delay = backoff.delay(failures, random.f64()).unwrap_or(Duration::from_secs(30));
                    let due = Instant::now() + delay;
                    shared.change(|lanes| lanes.letter_failed(job, due));
                }
            }
            () = shared.letters.notified() => {}
        }
    }
}

/// A letter that could not be written.
struct Unwritten<P> {
    job: LetterJob<P>,
    failures: u32,
}

/// Writes one letter and says so to the lanes; gives it back where it could not be written.
async fn write<G: Progress>(
    letters: &DeadLetters,
    shared: &Shared<G>,
    job: LetterJob<G::Position>,
) -> Option<Unwritten<G::Position>> {
    let LetterJob { run, mut entry } = job;
    let Some(failure) = entry.failure.take() else { unreachable!("a letter has a failure") };
    let weight = entry.weight();
    let Some(topic) = run.context.dead_letter_topic.clone() else {
        unreachable!("a route without dead letters makes none")
    };
    let (daemon, offset) = (shared.daemon.as_str(), entry.record.offset().0);
    let (from, partition) = (entry.record.topic().as_str(), entry.record.partition().0);
    if shared.skips.has(daemon, &entry.record) {
        shared.meter.unwanted(1);
        shared.change(|lanes| lanes.letter_acknowledged(run, entry.ticket.pass_over(), weight));
        return None;
    }
    match letters.publish(entry.ticket, &entry.record, &topic, &failure).await {
        Ok((settled, sent)) => {
            let (reason, error) = (failure.reason.name(), failure.error.as_str());
            warn!(
                daemon,
                topic = from,
                partition,
                offset,
                attempt = failure.attempts,
                handler = failure.handler,
                reason,
                error,
                dead_letter_topic = topic.as_str(),
                dead_letter_partition = sent.partition.0,
                dead_letter_offset = sent.offset.0,
                "record is a dead letter"
            );
            shared.meter.dead_lettered(failure.reason);
            shared.change(|lanes| lanes.letter_acknowledged(run, settled, weight));
            None
        }
        Err((ticket, error)) => {
            let tries = entry.letter_tries.saturating_add(1);
            warn!(daemon, topic = from, partition, offset, attempt = tries, %error, dead_letter_topic = topic.as_str(), "dead letter can't be written, its partition waits");
            shared.meter.dead_letter_failed(&error);
            let entry = super::lanes::Entry { ticket, failure: Some(failure), letter_tries: tries, ..entry };
            Some(Unwritten { job: LetterJob { run, entry }, failures: tries })
        }
    }
}
