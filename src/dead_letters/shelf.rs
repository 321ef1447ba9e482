//! Where letters lie: what a pass over them needs of a cluster. Kafka's side of it is in `kafka/shelf`, that of the broker in memory in
//! `testing/shelf.rs`. All of it blocks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::error::LettersError;
use super::marks::TopicId;
use crate::record::{NextOffset, Offset, OwnedRecord, Partition, Record, Timestamp, Topic};

/// A cluster.
pub(crate) trait Shelf: Send + Sync + std::fmt::Debug {
    /// Something to read with.
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError>;
    /// Something to write with. Whoever wrote for these letters before can't any more, and what they left open is undone.
    fn writer(&self, letters: &Topic, batching: Batching) -> Result<Box<dyn Writer>, LettersError>;
    /// Makes a compacted topic of one partition, unless it is there.
    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError>;
}

/// Reads topics from one end to the other, without a group.
pub(crate) trait Reader: Send {
    /// Where these partitions of the topic begin and end now; `None` where there is no such topic.
    fn survey(&mut self, topic: &Topic, of: Partitions) -> Result<Option<Survey>, LettersError>;
    /// Moves the beginnings up to the first record of this time or later.
    fn skip_to(&mut self, topic: &Topic, spans: &mut [Span], time: Timestamp) -> Result<(), LettersError>;
    /// Begins to read these spans.
    fn open(&mut self, topic: &Topic, spans: &[Span]) -> Result<(), LettersError>;
    /// The next record: the oldest by its time of those that come next in their partitions. Waits for it until then.
    fn poll(&mut self, until: Instant) -> Result<Polled, LettersError>;
    /// The same, for as long as it takes; `None` at the end.
    fn next(&mut self) -> Result<Option<Record>, LettersError>;
    /// Below this offset no record of the partition comes any more. That gets on though none comes: transactions leave behind what is none.
    fn reached(&self, partition: Partition) -> Option<Offset>;
}

/// What a reader has.
#[derive(Debug)]
pub(crate) enum Polled {
    /// A record.
    Record(Record),
    /// Nothing more.
    End,
    /// Nothing in time, though there is more.
    #[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "what is in memory is never late"))]
    Late,
}

/// The next record, in time where there is one.
pub(super) fn poll(reader: &mut dyn Reader, until: Option<Instant>) -> Result<Polled, LettersError> {
    match until {
        Some(until) => reader.poll(until),
        None => Ok(reader.next()?.map_or(Polled::End, Polled::Record)),
    }
}

/// Writes in transactions: all of one or nothing.
pub(crate) trait Writer: Send {
    /// How far this request got.
    fn progress(
        &mut self,
        letters: &Topic,
        request: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Progress>, LettersError>;
    /// Sees that a topic is there and may be written to. Once it was, it isn't asked for again.
    fn learn(&mut self, topic: &Topic) -> Result<(), LettersError>;
    /// Writes a record, to the partition of its key. `letter`: the one that it comes from.
    fn send(&mut self, topic: &Topic, record: &OwnedRecord, letter: (Partition, Offset)) -> Result<(), LettersError>;
    /// Ends the transaction, with the request's progress in it.
    fn commit(&mut self, letters: &Topic, progress: &[Progress]) -> Result<(), LettersError>;
    /// Waits until what was committed last can be read.
    fn settle(&mut self);
}

/// How records go to the brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batching {
    /// Many together.
    Together,
    /// One by one, in case it was their company that was too large.
    Alone,
}

/// Partitions of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partitions {
    /// Each of them: where one can't be asked, nothing is known.
    All,
    /// This one, if there is such, however it is with the others.
    One(Partition),
    /// Those whose leaders answer now; they are asked side by side.
    Led,
}

/// A topic as it stands.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    pub(crate) id: TopicId,
    /// How many partitions it has.
    pub(crate) partitions: usize,
    /// Those of them that were asked for.
    pub(crate) spans: Vec<Span>,
}

/// Part of a partition: from an offset up to, but without, another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) partition: Partition,
    pub(crate) from: Offset,
    pub(crate) end: Offset,
}

/// How far a request got in one partition, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) partition: Partition,
    pub(crate) next: NextOffset,
    /// Where it ends, and what it does there, as text.
    pub(crate) note: String,
}

/// Tells a thread that nobody waits for it any more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Whether it was told.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.0.lock()
    }

    /// An error once it was told.
    pub(crate) fn check(&self) -> Result<(), LettersError> {
        if self.is_set() { Err(LettersError::Stopped) } else { Ok(()) }
    }

    /// Waits until then, or until it is told.
    pub(crate) fn wait_until(&self, time: Instant) -> Result<(), LettersError> {
        let mut told = self.0.0.lock();
        while !*told && !self.0.1.wait_until(&mut told, time).timed_out() {}
        if *told { Err(LettersError::Stopped) } else { Ok(()) }
    }

    pub(crate) fn set(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }
}

/// Stops the thread when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct StopOnDrop(pub(crate) Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Lets so many pass a second, evenly.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    due: Option<Instant>,
}

/// What is late may be caught up with, so far: no wait ends on time.
const CREDIT: Duration = Duration::from_millis(50);

impl Pace {
    pub(super) fn new(per_second: f64) -> Self {
        Self { interval: Duration::from_secs_f64(1.0 / per_second), due: None }
    }

    /// When the next one may pass.
    pub(super) fn next(&mut self, now: Instant) -> Instant {
        let earliest = now.checked_sub(CREDIT).unwrap_or(now);
        let due = self.due.map_or(now, |last| (last + self.interval).max(earliest));
        self.due = Some(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_holds_and_catches_up_with_little() {
        let start = Instant::now();
        let mut pace = Pace::new(100.0);
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(pace.next(at(0)), at(0));
        assert_eq!(pace.next(at(1)), at(10));
        assert_eq!(pace.next(at(12)), at(20));
        // Ten seconds late: five may follow at once, not a thousand.
        assert_eq!(pace.next(at(10_020)), at(9_970));
        let late = (0..10).map(|_| pace.next(at(10_020))).filter(|due| *due <= at(10_020)).count();
        assert_eq!(late, 5);
    }
}
