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

/// Which letter a record of the marks' topic tells of, and what: `None` where it is no mark of these letters, without a kind where a mark is
/// taken back.
pub(super) fn kind_of(letters: &TopicId, record: &Record) -> Option<(Partition, Offset, Option<MarkKind>)> {
    let (partition, offset) = place(letters, record.key()?)?;
    let kind = match record.value().map(serde_json::from_slice::<Mark>) {
        None => None,
        Some(Ok(mark)) => Some(mark.kind),
        Some(Err(_)) => return None,
    };
    Some((partition, offset, kind))
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
