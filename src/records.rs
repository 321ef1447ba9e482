//! Records of a topic as they lie there: looked at beside whoever reads them, in no group, and without a trace.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use daemonry::kafka::KafkaConfig;
//! use daemonry::record::Partition;
//! use daemonry::records::{Records, Start};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let records = Records::kafka(&KafkaConfig::new("localhost:9092", "unused"))?;
//! let page = records.page("orders", Partition(3), Start::End, 20, Duration::from_secs(5)).await?;
//! for found in &page.records {
//!     println!("{} {:?}", found.offset, found.record.value);
//! }
//! // And those before them.
//! if let Some(before) = page.before {
//!     records.page("orders", Partition(3), Start::Before(before), 20, Duration::from_secs(5)).await?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! It takes the right READ on the topic, and none on a group. What transactions have not committed isn't seen, as daemons don't see it either. The
//! invariants: a page ends in its time and with 1 MiB of records at most, or one record; and a client of its own reads it, which goes with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::{Partitions, Polled, Reader, Shelf, Span, Stop, StopOnDrop, Survey};
#[cfg(feature = "kafka")]
use crate::kafka::{ConfigError, KafkaConfig, KafkaShelf};
use crate::record::{Offset, OwnedRecord, Partition, Record, Timestamp, Topic};
use crate::testing::MemoryBroker;

/// Bytes of records with which a page is full.
const BYTES: usize = 1024 * 1024;
/// Of a stretch that has more records than these, or bytes, the later part alone is looked through for its last ones.
const CROWD: usize = 5_000;
const CROWD_BYTES: usize = 16 * BYTES;

/// Records of a cluster. Its methods want a tokio runtime around them: they block, on threads of its pool for that. See the
/// [module](self).
#[derive(Clone, Debug)]
pub struct Records {
    shelf: Arc<dyn Shelf>,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// At the first record that there still is.
    Beginning,
    /// At this offset, or the first behind it that there is.
    Offset(Offset),
    /// At the first record of this time or later.
    Time(Timestamp),
    /// So that it ends before this offset.
    Before(Offset),
    /// So that it ends where the partition does.
    End,
}

/// A part of a partition, in the order of its offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordsPage {
    /// The records; perhaps none, though there are some: not every offset has one, and the time may be over.
    pub records: Vec<Found>,
    /// The partition's first offset.
    pub first: Offset,
    /// The offset that its next record will get.
    pub end: Offset,
    /// The page before this one ends [before](Start::Before) this offset; `None` where nothing is before it.
    pub before: Option<Offset>,
    /// The next page begins at this offset, at the end with what comes in yet.
    pub next: Offset,
    /// The time was over before all was read that the page has room for.
    pub is_late: bool,
}

/// A record, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// Its offset.
    pub offset: Offset,
    /// It.
    pub record: OwnedRecord,
}

/// A partition, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extent {
    /// Its number.
    pub partition: Partition,
    /// Its first offset, and the one that its next record will get; `None` where no broker leads it now, or the one that does says nothing.
    pub offsets: Option<(Offset, Offset)>,
}

impl Records {
    /// Those of a Kafka, with the connection of `config`, without its group. Connects to nobody yet.
    ///
    /// # Errors
    /// What librdkafka refuses.
    #[cfg(feature = "kafka")]
    pub fn kafka(config: &KafkaConfig) -> Result<Self, ConfigError> {
        Ok(Self { shelf: Arc::new(KafkaShelf::new(config)?) })
    }

    /// Those of the broker in memory, to test with.
    pub fn in_memory(broker: &MemoryBroker) -> Self {
        Self { shelf: Arc::new(broker.clone()) }
    }

    /// The partitions of a topic.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn partitions(&self, topic: impl Into<Topic>) -> Result<Vec<Extent>, LettersError> {
        let topic = topic.into();
        self.run(move |shelf, stop| {
            let (_, survey) = survey(shelf, &topic, Partitions::Led, stop)?;
            let offsets = |partition| survey.spans.iter().find(|span| span.partition == partition);
            let extent =
                |partition| Extent { partition, offsets: offsets(partition).map(|span| (span.from, span.end)) };
            Ok((0..).map(Partition).take(survey.partitions).map(extent).collect())
        })
        .await
    }

    /// The offset of a partition's first record of this time or later; its end where there is none.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn offset_at(
        &self,
        topic: impl Into<Topic>,
        partition: Partition,
        time: Timestamp,
    ) -> Result<Offset, LettersError> {
        let topic = topic.into();
        self.run(move |shelf, stop| {
            let (mut reader, whole) = whole(shelf, stop, (&topic, partition))?;
            let mut from = [whole];
            reader.skip_to(&topic, &mut from, time)?;
            Ok(from[0].from)
        })
        .await
    }

    /// Up to `size` records of a partition. However long that takes, it ends after `time`, and says where to go on.
    ///
    /// # Errors
    /// See [`LettersError`].
    pub async fn page(
        &self,
        topic: impl Into<Topic>,
        partition: Partition,
        start: Start,
        size: usize,
        time: Duration,
    ) -> Result<RecordsPage, LettersError> {
        let (topic, now) = (topic.into(), Instant::now());
        let until = now.checked_add(time).unwrap_or(now);
        self.run(move |shelf, stop| page(shelf, stop, (&topic, partition), start, (size.max(1), until))).await
    }

    /// Does what blocks on a thread for it; stops it when nobody waits any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Shelf, &Stop) -> Result<T, LettersError> + Send + 'static,
    ) -> Result<T, LettersError> {
        let guard = StopOnDrop::default();
        let (stop, shelf) = (guard.0.clone(), Arc::clone(&self.shelf));
        let done = tokio::task::spawn_blocking(move || work(&*shelf, &stop)).await;
        drop(guard);
        done.map_err(|error| LettersError::Unavailable(format!("the reading has died: {error}")))?
    }
}

fn survey(
    shelf: &dyn Shelf,
    topic: &Topic,
    of: Partitions,
    stop: &Stop,
) -> Result<(Box<dyn Reader>, Survey), LettersError> {
    let mut reader = shelf.reader(stop)?;
    let survey = reader.survey(topic, of)?.ok_or_else(|| LettersError::UnknownTopic(topic.clone()))?;
    Ok((reader, survey))
}

/// All of a partition.
fn whole(
    shelf: &dyn Shelf,
    stop: &Stop,
    (topic, partition): (&Topic, Partition),
) -> Result<(Box<dyn Reader>, Span), LettersError> {
    let (reader, survey) = survey(shelf, topic, Partitions::One(partition), stop)?;
    let why = format!("the topic has {} partitions", survey.partitions);
    let whole = survey.spans.into_iter().next();
    let missing = || LettersError::NotFound { topic: topic.clone(), partition, offset: Offset(0), why };
    Ok((reader, whole.ok_or_else(missing)?))
}

fn page(
    shelf: &dyn Shelf,
    stop: &Stop,
    (topic, partition): (&Topic, Partition),
    start: Start,
    (size, until): (usize, Instant),
) -> Result<RecordsPage, LettersError> {
    let (mut reader, whole) = whole(shelf, stop, (topic, partition))?;
    let within = |offset: Offset| offset.clamp(whole.from, whole.end);
    let mut pages = Pages { reader: &mut *reader, topic, size, until };
    let (found, from) = match start {
        Start::Beginning => pages.forward(whole)?,
        Start::Offset(offset) => pages.forward(Span { from: within(offset), ..whole })?,
        Start::Time(time) => {
            let mut from = [whole];
            pages.reader.skip_to(topic, &mut from, time)?;
            pages.forward(from[0])?
        }
        Start::Before(offset) => pages.backward(Span { end: within(offset), ..whole })?,
        Start::End => pages.backward(whole)?,
    };
    let before = found.records.first().map_or(from, |first| first.offset());
    Ok(RecordsPage {
        before: (before > whole.from).then_some(before),
        next: found.next,
        is_late: found.is_late,
        first: whole.from,
        end: whole.end,
        records: found.records.into_iter().map(Found::of).collect(),
    })
}

/// What is being read.
struct Pages<'a> {
    reader: &'a mut dyn Reader,
    topic: &'a Topic,
    size: usize,
    until: Instant,
}

/// What was.
struct Part {
    records: Vec<Record>,
    next: Offset,
    is_late: bool,
}

/// What there is in a span, seen from its end.
enum Last {
    None,
    /// The last ones, as many as there is room for.
    Some(Vec<Record>),
    /// More than it is looked through for them.
    Crowd,
    /// The time was over: what was read of it, from its beginning, if anything.
    Late(Option<Part>),
}

impl Pages<'_> {
    /// From the beginning of the span, and that.
    fn forward(&mut self, span: Span) -> Result<(Part, Offset), LettersError> {
        Ok((self.read(span)?, span.from))
    }

    /// Up to the end of the span, and where it was begun to look. Not every offset has a record: stretch by stretch it is looked further back, each of
    /// them once, until there is one or the time is over. The next page goes on there.
    fn backward(&mut self, span: Span) -> Result<(Part, Offset), LettersError> {
        let none = |is_late| Part { records: Vec::new(), next: span.end, is_late };
        let mut wide = i64::try_from(self.size).unwrap_or(i64::MAX);
        let (mut end, mut widens) = (span.end, true);
        loop {
            let from = Offset(end.0.saturating_sub(wide)).max(span.from);
            // Behind `end` there is none.
            if end < span.end && Instant::now() >= self.until {
                return Ok((none(true), end));
            }
            match self.read_last(Span { from, end, ..span })? {
                // What was read of it doesn't reach to the end: where it goes on is told.
                Last::Late(Some(part)) if end == span.end => return Ok((part, from)),
                Last::Late(_) => return Ok((none(true), end)),
                Last::Crowd => (wide, widens) = ((end.0 - from.0) / 4, false),
                Last::Some(records) => return Ok((Part { records, next: span.end, is_late: false }, from)),
                Last::None if from == span.from => return Ok((none(false), from)),
                Last::None => {
                    end = from;
                    wide = if widens { wide.saturating_mul(4) } else { wide };
                }
            }
            wide = wide.max(1);
        }
    }

    /// The last of the span that there is room for.
    fn read_last(&mut self, span: Span) -> Result<Last, LettersError> {
        if span.from >= span.end {
            return Ok(Last::None);
        }
        self.reader.open(self.topic, &[span])?;
        let (mut last, mut bytes) = (VecDeque::new(), 0);
        let (mut passed, mut passed_bytes) = (0, 0);
        loop {
            let mut record = match self.reader.poll(self.until)? {
                Polled::Record(record) => record,
                Polled::End if last.is_empty() => return Ok(Last::None),
                Polled::End => return Ok(Last::Some(last.into())),
                Polled::Late => {
                    let next = last.back().map(|record: &Record| record.offset().next().offset());
                    let part = next.map(|next| Part { records: last.into(), next, is_late: true });
                    return Ok(Last::Late(part));
                }
            };
            record.detach();
            let size = record.size();
            bytes += size;
            (passed, passed_bytes) = (passed + 1, passed_bytes + size);
            if passed > CROWD.max(self.size) || (passed > 1 && passed_bytes > CROWD_BYTES) {
                return Ok(Last::Crowd);
            }
            last.push_back(record);
            while last.len() > self.size || (bytes > BYTES && last.len() > 1) {
                bytes -= last.pop_front().map_or(0, |record| record.size());
            }
        }
    }

    fn read(&mut self, span: Span) -> Result<Part, LettersError> {
        let mut part = Part { records: Vec::new(), next: span.from, is_late: false };
        if span.from >= span.end {
            part.next = span.end;
            return Ok(part);
        }
        self.reader.open(self.topic, &[span])?;
        let mut bytes = 0;
        while part.records.len() < self.size && bytes < BYTES {
            match self.reader.poll(self.until)? {
                Polled::Record(mut record) => {
                    // Of a fetch there may be little that is kept.
                    record.detach();
                    bytes += record.size();
                    part.next = record.offset().next().offset();
                    part.records.push(record);
                }
                Polled::End => {
                    part.next = span.end;
                    break;
                }
                Polled::Late => {
                    // A long stretch without a record is got over in as many pages as it takes.
                    let reached = self.reader.reached(span.partition).unwrap_or(span.from);
                    part.next = part.next.max(reached).min(span.end);
                    part.is_late = true;
                    break;
                }
            }
        }
        Ok(part)
    }
}

impl Found {
    fn of(record: Record) -> Self {
        Self { offset: record.offset(), record: OwnedRecord::of(&record) }
    }
}

#[cfg(test)]
mod tests;
