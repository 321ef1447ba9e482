//! An entry: a record in the lanes, with the ticket that will settle it.

use std::num::NonZero;
use std::time::Duration;

use tokio::time::Instant;

use super::super::dead_letter::Failure;
use super::super::ticket::{Settled, Ticket};
use crate::record::Record;

/// Which bound an entry counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Bound {
    /// Ready or running: the queue's capacity.
    Queue,
    /// Waiting for a retry or a dead letter, or behind one that does.
    Parked,
}

/// The hash of what a record shares with those that it must wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct KeyHash(NonZero<u64>);

impl KeyHash {
    /// One of all these hashes counts as the one before it, so that an `Option` of this is no larger.
    pub(super) fn new(hash: u64) -> Self {
        Self(NonZero::new(!hash).unwrap_or(NonZero::<u64>::MIN))
    }

    pub(super) fn get(self) -> u64 {
        !self.0.get()
    }
}

/// Whether it was tried while its route's circuit breaker was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pipeline) enum Trial {
    Never,
    /// For nothing, if it failed.
    Free,
    /// As any attempt: it uses up a retry.
    Counted,
}

/// A record that came in and is not finished. `R` is the record itself, or nothing while it is lent to its handler.
#[derive(Debug)]
pub(in crate::pipeline) struct Entry<P, R = Record> {
    pub(in crate::pipeline) ticket: Ticket<P>,
    pub(in crate::pipeline) record: R,
    /// Whom it waits for; `None` where it waits for nobody.
    pub(in crate::pipeline) key: Option<KeyHash>,
    /// Attempts that have failed so far.
    pub(in crate::pipeline) failures: u32,
    pub(in crate::pipeline) age: Age,
    /// What it counts against the byte budgets. No record of Kafka's is larger than this can say; one that is counts as so large.
    pub(in crate::pipeline) bytes: u32,
    /// Why it is to become a dead letter, once that is decided.
    pub(in crate::pipeline) failure: Option<Box<Failure>>,
    /// How often its letter could not be written.
    pub(in crate::pipeline) letter_tries: u32,
    /// Its partition waits for its letter.
    pub(in crate::pipeline) stuck: bool,
    /// It was in a batch that failed as a whole: it is tried by itself, so that it is known whose fault it was.
    pub(in crate::pipeline) alone: bool,
    pub(in crate::pipeline) trial: Trial,
    pub(in crate::pipeline) bound: Bound,
}

/// When a record came in, and its own time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) struct Age {
    pub(super) received: Moment,
    /// The time that the first record of its batch carries, in milliseconds: its own, or a little before it.
    pub(super) stamp: Option<NonZero<u64>>,
}

/// A time since the lanes were made, in half the bytes of an [`Instant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::pipeline) struct Moment(NonZero<u64>);

impl Moment {
    pub(super) fn new(origin: Instant, now: Instant) -> Self {
        let nanos = u64::try_from(now.saturating_duration_since(origin).as_nanos()).unwrap_or(u64::MAX);
        Self(NonZero::<u64>::MIN.saturating_add(nanos))
    }

    /// How long before it the other one was.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    pub(super) fn after(self, origin: Instant) -> Instant {
        origin + self.since(Self(NonZero::<u64>::MIN))
    }
}

impl<P> Entry<P> {
    /// One that came in just now.
    pub(super) fn new(ticket: Ticket<P>, record: Record, key: Option<KeyHash>, age: Age, bound: Bound) -> Self {
        let bytes = u32::try_from(record.size()).unwrap_or(u32::MAX);
        Self {
            ticket,
            record,
            key,
            failures: 0,
            age,
            bytes,
            failure: None,
            letter_tries: 0,
            stuck: false,
            alone: false,
            trial: Trial::Never,
            bound,
        }
    }
}

impl<P, R> Entry<P, R> {
    /// What it counts against the byte budgets.
    pub(in crate::pipeline) fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Spends its ticket. Answers with the bytes, too, that are to be taken off the counts.
    pub(in crate::pipeline) fn settle(self, spend: impl FnOnce(Ticket<P>) -> Settled<P>) -> (Settled<P>, usize) {
        let bytes = self.bytes();
        (spend(self.ticket), bytes)
    }

    /// Puts another record in its place, and hands out this one.
    pub(in crate::pipeline) fn exchange<R2>(self, record: R2) -> (Entry<P, R2>, R) {
        let Self {
            ticket,
            record: handed_out,
            key,
            failures,
            age,
            bytes,
            failure,
            letter_tries,
            stuck,
            alone,
            trial,
            bound,
        } = self;
        let entry =
            Entry { ticket, record, key, failures, age, bytes, failure, letter_tries, stuck, alone, trial, bound };
        (entry, handed_out)
    }
}

impl<P> Entry<P> {
    /// Has it count against this bound instead of the one so far, in each of these counts.
    pub(super) fn count_against(&mut self, bound: Bound, counts: [&mut Loads; 2]) {
        for loads in counts {
            loads.of(self.bound).remove(self.bytes());
            loads.of(bound).add(self.bytes());
        }
        if bound == Bound::Parked {
            self.record.detach();
        }
        self.bound = bound;
    }

    /// What must be taken off the counts once it is finished.
    pub(in crate::pipeline) fn weight(&self) -> Weight {
        Weight { bytes: self.bytes(), bound: self.bound, stuck: self.stuck }
    }
}

/// What an entry counts for.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Weight {
    pub(super) bytes: usize,
    pub(super) bound: Bound,
    pub(super) stuck: bool,
}

/// Records and bytes, counted together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::pipeline) struct Load {
    pub(in crate::pipeline) records: usize,
    pub(in crate::pipeline) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        debug_assert!(self.records > 0 && self.bytes >= bytes, "more was taken off than was put on");
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn reaches(self, limit: Load) -> bool {
        self.records >= limit.records || self.bytes >= limit.bytes
    }
}

/// What counts against each of the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loads {
    pub(super) queued: Load,
    pub(super) parked: Load,
}

impl Loads {
    pub(super) fn of(&mut self, bound: Bound) -> &mut Load {
        match bound {
            Bound::Queue => &mut self.queued,
            Bound::Parked => &mut self.parked,
        }
    }
}
