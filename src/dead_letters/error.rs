//! What can go wrong with dead letters, and what to do about it.

use super::Counts;
use crate::record::{Offset, Partition, Topic};

/// A re-drive or a discard that was not brought to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}{}", done_before(counts))]
pub struct Interrupted {
    /// What was done, for good.
    pub counts: Counts,
    /// Why it ended.
    pub error: LettersError,
}

/// Where nothing was done the error says it all.
fn done_before(counts: &Counts) -> String {
    match counts.selected {
        0 => String::new(),
        done => format!(" ({done} letters were done before, the same again goes on behind them)"),
    }
}

/// Why dead letters could not be read, re-driven or discarded. What was committed before stands; a re-drive goes on where it was when the
/// same request is run again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LettersError {
    /// There is no such topic.
    #[error("there is no topic `{0}`: check its name, or create it")]
    UnknownTopic(Topic),
    /// A right is missing.
    #[error("not authorised: grant this user {operation} on {resource}")]
    NotAuthorized {
        /// As an ACL names it.
        operation: &'static str,
        /// What it is a right on.
        resource: String,
    },
    /// The brokers refuse the connection: says what to check.
    #[error("{0}")]
    NotLetIn(String),
    /// There is no record at this place.
    #[error("there is no record at offset {offset} of {topic}[{partition}]: {why}")]
    NotFound {
        /// The topic.
        topic: Topic,
        /// Its partition.
        partition: Partition,
        /// The offset.
        offset: Offset,
        /// Where it may have gone.
        why: String,
    },
    /// The record at this place is no dead letter.
    #[error("the record at offset {offset} of partition {partition} can't be re-driven: {why}")]
    NotALetter {
        /// The partition.
        partition: Partition,
        /// The offset.
        offset: Offset,
        /// What it lacks.
        why: super::NotALetter,
    },
    /// A letter's record is larger than its target takes.
    #[error(
        "the letter at offset {offset} of partition {partition} is larger than topic `{target}` takes: raise its `max.message.bytes`, or discard the letter"
    )]
    TooLarge {
        /// The letter's partition.
        partition: Partition,
        /// The letter's offset.
        offset: Offset,
        /// Where its record was to go.
        target: Topic,
    },
    /// The topic for marks can't be made.
    #[error(
        "topic `{topic}` is needed to remember what became of the letters, and can't be created: {reason}; create it with `cleanup.policy=compact` and one partition"
    )]
    NoMarks {
        /// Its name.
        topic: Topic,
        /// What the cluster says.
        reason: String,
    },
    /// A request goes on as it was begun, or not at all.
    #[error(
        "request `{0}` was begun with another selection, another target, or for an earlier topic of the name: choose another name for this one"
    )]
    AnotherRequest(String),
    /// Somebody else changes letters of this topic; or the brokers have given up a transaction that stayed open for too long.
    #[error(
        "another re-drive or discard of these letters has begun since, or the brokers were too slow for a transaction, and this one has stopped: one at a time"
    )]
    Replaced,
    /// A setting that can't work.
    #[error("{0}")]
    Unusable(String),
    /// It was stopped: nobody waits for it any more, or whoever watches it has said so.
    #[error("stopped")]
    Stopped,
    /// It may work the next time.
    #[error("{0}")]
    Unavailable(String),
}
