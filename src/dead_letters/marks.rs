//! What became of letters: one record a letter, in a compacted topic beside theirs.
//!
//! A topic gives no single record away, so a letter that is done with stays where it is, and a mark says so. Marks go to
//! `<letters' topic>.marks`: of one partition, compacted, so that the last mark of a letter stays for as long as the topic does
//! (about 100 bytes each). They are written in the transaction of what they tell of. A topic of their own, since marks among the letters
//! would be read as letters by everybody else.
//!
//! | | |
//! |---|---|
//! | key | `<topic id>:<partition>:<offset>` of the letter; the id tells a topic from an earlier one of its name |
//! | value | JSON: `kind` (`redriven`, `discarded`), `by`, `reason`, `request`, `target`, `edited`, `at` (milliseconds since 1970 UTC) |
//!
//! A mark with a null value takes the earlier one back.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::record::{Offset, OwnedRecord, Partition, Record, Timestamp, Topic};

/// What became of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "api", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum MarkKind {
    /// Its record was written again.
    Redriven,
    /// It was given up, for a reason.
    Discarded,
}

#[cfg(feature = "api")]
impl MarkKind {
    /// As people say it.
    pub(crate) fn said(self) -> &'static str {
        match self {
            Self::Redriven => "re-driven",
            Self::Discarded => "discarded",
        }
    }
}

/// The mark of a letter: what became of it, who wanted it so, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Mark {
    /// What became of it.
    pub kind: MarkKind,
    /// Who it was, as they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it was discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request that re-drove it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The topic that its record was written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What was changed of the record before: `key`, `value`, `headers`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<String>,
    /// When, in milliseconds since 1970 UTC.
    pub(super) at: u64,
}

impl Mark {
    pub(super) fn new(kind: MarkKind) -> Self {
        let at = Timestamp::now().as_millis();
        Self { kind, by: None, reason: None, request: None, target: None, edited: Vec::new(), at }
    }

    /// When it was made.
    pub fn at(&self) -> Option<Timestamp> {
        Timestamp::from_millis(i64::try_from(self.at).ok()?)
    }

    /// The mark as a record.
    pub(super) fn record(&self, letters: &TopicId, partition: Partition, offset: Offset) -> OwnedRecord {
        let value = serde_json::to_vec(self).expect("it is made of texts and numbers");
        OwnedRecord::new(value).with_key(key(letters, partition, offset))
    }
}

/// Which topic of a name it is: the brokers' id of it, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TopicId(pub(crate) String);

/// What is put behind the name of the letters' topic for that of their marks.
const MARKS: &str = ".marks";

/// Where the marks of these letters go.
pub(super) fn topic_of(letters: &Topic) -> Topic {
    Topic::from(format!("{letters}{MARKS}"))
}

/// The topic of the letters whose marks would go here; whether it is one of letters its name doesn't tell.
pub(crate) fn letters_of_marks(marks: &Topic) -> Option<Topic> {
    marks.as_str().strip_suffix(MARKS).map(Topic::from)
}

fn key(letters: &TopicId, partition: Partition, offset: Offset) -> String {
    format!("{}:{partition}:{offset}", letters.0)
}

/// How many offsets stand in one chunk.
const CHUNK: i64 = 512;

/// Offsets side by side, two bits each.
#[derive(Default)]
struct Chunk {
    redriven: [u64; 8],
    discarded: [u64; 8],
}

/// Which letters have a mark. Of a mark itself only its kind is kept: 128 bytes for 512 offsets side by side.
#[derive(Default)]
pub(super) struct Marks {
    chunks: HashMap<(Partition, i64), Chunk>,
}

impl Marks {
    /// Learns from a record of the marks' topic. What is none is passed over.
    pub(super) fn learn(&mut self, letters: &TopicId, record: &Record) {
        let Some((partition, offset)) = record.key().and_then(|key| place(letters, key)) else { return };
        let kind = match record.value().map(serde_json::from_slice::<Mark>) {
            None => None,
            Some(Ok(mark)) => Some(mark.kind),
            Some(Err(_)) => return,
        };
        self.set(partition, offset, kind);
    }

    /// The kind of the letter's mark.
    pub(super) fn of(&self, partition: Partition, offset: Offset) -> Option<MarkKind> {
        let chunk = self.chunks.get(&(partition, offset.0 / CHUNK))?;
        let (word, bit) = bit(offset);
        if chunk.redriven[word] & bit != 0 {
            return Some(MarkKind::Redriven);
        }
        (chunk.discarded[word] & bit != 0).then_some(MarkKind::Discarded)
    }

    fn set(&mut self, partition: Partition, offset: Offset, kind: Option<MarkKind>) {
        let chunk = self.chunks.entry((partition, offset.0 / CHUNK)).or_default();
        let (word, bit) = bit(offset);
        chunk.redriven[word] &= !bit;
        chunk.discarded[word] &= !bit;
        match kind {
            Some(MarkKind::Redriven) => chunk.redriven[word] |= bit,
            Some(MarkKind::Discarded) => chunk.discarded[word] |= bit,
            None => {}
        }
    }
}

fn bit(offset: Offset) -> (usize, u64) {
    let within = usize::try_from(offset.0 % CHUNK).unwrap_or(0);
    (within / 64, 1 << (within % 64))
}

/// The mark of this letter in a record of the marks' topic: `None` where it is of another one, `Some(None)` where it was taken back.
pub(super) fn mark_of(
    letters: &TopicId,
    partition: Partition,
    offset: Offset,
    record: &Record,
) -> Option<Option<Mark>> {
    record.key().and_then(|key| place(letters, key)).filter(|place| *place == (partition, offset))?;
    match record.value().map(serde_json::from_slice) {
        None => Some(None),
        Some(Ok(mark)) => Some(Some(mark)),
        Some(Err(_)) => None,
    }
}

fn place(letters: &TopicId, key: &[u8]) -> Option<(Partition, Offset)> {
    let mut parts = std::str::from_utf8(key).ok()?.split(':');
    let (id, partition, offset) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (id == letters.0 && offset >= 0 && parts.next().is_none()).then_some((Partition(partition), Offset(offset)))
}

#[cfg(test)]
mod tests {
    use super::super::samples::record_at;
    use super::*;

    fn learned(marks: &mut Marks, id: &str, partition: i32, offset: i64, mark: Option<MarkKind>) {
        let id = TopicId(id.to_owned());
        let mut record = Mark::new(MarkKind::Redriven).record(&id, Partition(partition), Offset(offset));
        record.value = mark.and_then(|kind| Mark::new(kind).record(&id, Partition(0), Offset(0)).value);
        marks.learn(&TopicId("a".to_owned()), &record_at(0, 0, record));
    }

    #[test]
    fn a_mark_is_of_its_letter_alone_and_the_last_one_counts() {
        let mut marks = Marks::default();
        for offset in [0, 63, 64, 511, 512, 1 << 40] {
            learned(&mut marks, "a", 1, offset, Some(MarkKind::Redriven));
            assert_eq!(marks.of(Partition(1), Offset(offset)), Some(MarkKind::Redriven), "{offset}");
        }
        for (partition, offset) in [(0, 0), (1, 1), (1, 62), (1, 65), (1, 513), (1, (1 << 40) - 512)] {
            assert_eq!(marks.of(Partition(partition), Offset(offset)), None, "{partition} {offset}");
        }
        learned(&mut marks, "a", 1, 63, Some(MarkKind::Discarded));
        assert_eq!(marks.of(Partition(1), Offset(63)), Some(MarkKind::Discarded));
        learned(&mut marks, "a", 1, 63, None);
        assert_eq!(marks.of(Partition(1), Offset(63)), None);
    }

    #[test]
    fn marks_of_an_earlier_topic_of_the_name_and_foreign_records_are_passed_over() {
        let mut marks = Marks::default();
        learned(&mut marks, "earlier", 0, 5, Some(MarkKind::Discarded));
        assert_eq!(marks.of(Partition(0), Offset(5)), None);
        for (key, value) in [("a:0:5", "no JSON"), ("a:0:-5", "{}"), ("a:0", "{}"), ("a:0:5:6", "{}"), ("", "")] {
            let record = OwnedRecord::new(value).with_key(key);
            marks.learn(&TopicId("a".to_owned()), &record_at(0, 0, record));
        }
        assert_eq!(marks.of(Partition(0), Offset(5)), None);
    }

    #[test]
    fn a_mark_is_read_back_as_it_was_written() {
        let id = TopicId("a".to_owned());
        let mut mark = Mark::new(MarkKind::Discarded);
        (mark.by, mark.reason) = (Some("ada".to_owned()), Some("test \"order\"".to_owned()));
        let record = record_at(0, 0, mark.record(&id, Partition(4), Offset(9)));
        assert_eq!(mark_of(&id, Partition(4), Offset(9), &record), Some(Some(mark)));
        assert_eq!(mark_of(&id, Partition(4), Offset(8), &record), None);
    }
}
