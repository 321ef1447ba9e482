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
use crate::dead_letters::shelf::{Polled, Reader, Shelf, Span, Stop, StopOnDrop};
#[cfg(feature = "kafka")]
use crate::kafka::{ConfigError, KafkaConfig, KafkaShelf};
use crate::record::{Offset, OwnedRecord, Partition, Record, Timestamp, Topic};
use crate::testing::MemoryBroker;

/// Bytes of records with which a page is full.
const BYTES: usize = 1024 * 1024;
/// Behind a place that has no record within so many offsets before it, one is looked for no further.
const WIDEST: i64 = 1_000_000;

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
    /// Its first offset.
    pub first: Offset,
    /// The offset that its next record will get.
    pub end: Offset,
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
            let (_, spans) = survey(shelf, &topic, stop)?;
            Ok(spans.iter().map(Extent::of).collect())
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

impl Extent {
    fn of(span: &Span) -> Self {
        Self { partition: span.partition, first: span.from, end: span.end }
    }
}

fn survey(shelf: &dyn Shelf, topic: &Topic, stop: &Stop) -> Result<(Box<dyn Reader>, Vec<Span>), LettersError> {
    let mut reader = shelf.reader(stop)?;
    let survey = reader.survey(topic)?.ok_or_else(|| LettersError::UnknownTopic(topic.clone()))?;
    Ok((reader, survey.spans))
}

/// All of a partition.
fn whole(
    shelf: &dyn Shelf,
    stop: &Stop,
    (topic, partition): (&Topic, Partition),
) -> Result<(Box<dyn Reader>, Span), LettersError> {
    let (reader, spans) = survey(shelf, topic, stop)?;
    let why = format!("the topic has {} partitions", spans.len());
    let whole = spans.into_iter().find(|span| span.partition == partition);
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

impl Pages<'_> {
    /// From the beginning of the span, and that.
    fn forward(&mut self, span: Span) -> Result<(Part, Offset), LettersError> {
        Ok((self.read(span)?, span.from))
    }

    /// Up to the end of the span, and where it was begun to look. Not every offset has a record: where there is none it is looked further back.
    fn backward(&mut self, span: Span) -> Result<(Part, Offset), LettersError> {
        let mut wide = i64::try_from(self.size).unwrap_or(WIDEST).min(WIDEST);
        loop {
            let from = Offset(span.end.0.saturating_sub(wide)).max(span.from);
            let part = self.read_last(Span { from, ..span })?;
            if part.is_late {
                // What was read doesn't reach to the end: the same is to be asked again.
                return Ok((Part { records: Vec::new(), next: span.end, is_late: true }, span.end));
            }
            if !part.records.is_empty() || from == span.from || wide >= WIDEST {
                return Ok((part, from));
            }
            wide = wide.saturating_mul(4);
        }
    }

    /// The last of the span that there is room for.
    fn read_last(&mut self, span: Span) -> Result<Part, LettersError> {
        let (mut last, mut bytes, mut is_late) = (VecDeque::new(), 0, false);
        if span.from < span.end {
            self.reader.open(self.topic, &[span])?;
            loop {
                let mut record = match self.reader.poll(self.until)? {
                    Polled::Record(record) => record,
                    Polled::End => break,
                    Polled::Late => {
                        is_late = true;
                        break;
                    }
                };
                record.detach();
                bytes += record.size();
                last.push_back(record);
                while last.len() > self.size || (bytes > BYTES && last.len() > 1) {
                    bytes -= last.pop_front().map_or(0, |record| record.size());
                }
            }
        }
        Ok(Part { records: last.into(), next: span.end, is_late })
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
