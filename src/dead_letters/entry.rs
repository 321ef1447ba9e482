//! A record of a dead-letter topic, as it is listed and shown.

use super::letter::View;
use super::{DeadLetter, Mark, MarkKind, NotALetter};
use crate::record::{Offset, OwnedRecord, Partition, Record, Timestamp};

/// A record of a dead-letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its partition of the letters' topic.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// The time of the record there.
    pub written_at: Option<Timestamp>,
    /// What it is.
    pub content: Content,
    /// What became of it.
    pub mark: Option<MarkKind>,
}

/// What a record of a dead-letter topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A dead letter.
    Letter(Box<DeadLetter>),
    /// Something else. It is listed, and otherwise left alone.
    Foreign {
        /// The record as it stands.
        record: OwnedRecord,
        /// What it lacks to be a letter.
        why: NotALetter,
    },
}

/// A letter, and all that is known of what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shown {
    /// The letter.
    pub entry: Entry,
    /// Its mark. Where it has been removed since, or its time was over before, the entry alone says that there is one.
    pub mark: Option<Mark>,
    /// About so many marks are yet to be read before it is known whether it has one: the time was over before.
    pub marks_left: u64,
}

impl Entry {
    pub(super) fn of(record: &Record, view: Result<View<'_>, NotALetter>, mark: Option<MarkKind>) -> Self {
        let content = match view {
            Ok(view) => Content::Letter(Box::new(view.letter(record.key(), record.value()))),
            Err(why) => Content::Foreign { record: OwnedRecord::of(record), why },
        };
        let (partition, offset) = (record.partition(), record.offset());
        Self { partition, offset, written_at: record.timestamp(), content, mark }
    }

    /// The letter, if it is one.
    pub fn letter(&self) -> Option<&DeadLetter> {
        match &self.content {
            Content::Letter(letter) => Some(letter),
            Content::Foreign { .. } => None,
        }
    }

    /// The record that failed, as it was; or the one that is no letter.
    pub fn record(&self) -> &OwnedRecord {
        match &self.content {
            Content::Letter(letter) => &letter.record,
            Content::Foreign { record, .. } => record,
        }
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        let record = self.record();
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers: usize = record.headers.iter().map(|(name, value)| name.len() + length(value) + 64).sum();
        length(&record.key) + length(&record.value) + headers + 512
    }
}
