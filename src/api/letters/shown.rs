//! Dead letters as they are shown, and what is asked for with them: the JSON of the API.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::which::Which;
use crate::api::access::Identity;
use crate::api::masks::{Seen, Sight};
use crate::api::problem::Problem;
use crate::dead_letters::{self, Content, DeadLetter, Edit, Entry, MarkKind};
use crate::payload::Bytes;
use crate::record::Timestamp;

/// A topic of dead letters.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct LettersTopic {
    pub(in crate::api) topic: String,
    /// Whether what writes them can read them back: not where that is something of the program's own.
    pub(in crate::api) is_readable: bool,
    /// How many letters wait there: were neither re-driven nor discarded. Null where that isn't known within three seconds.
    pub(in crate::api) waiting: Option<u64>,
}

/// A part of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Letters {
    /// The letters, the oldest first. Perhaps none, though there are more: many may have been looked at for them.
    pub(in crate::api) letters: Vec<Letter>,
    /// How many records of the topic were looked at for them.
    pub(in crate::api) looked_at: u64,
    /// About so many marks are yet to be read before it is known which letters are done with; asked for what comes next, it goes on with them.
    pub(in crate::api) marks_left: u64,
    /// How many letters wait in all of the topic, whatever was asked for; null while marks are yet to be read.
    pub(in crate::api) waiting: Option<u64>,
    /// The next part begins here; null behind the last.
    pub(in crate::api) next: Option<String>,
}

/// A record of a dead-letter topic.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Letter {
    pub(in crate::api) partition: i32,
    pub(in crate::api) offset: i64,
    /// When it was written there, in milliseconds since 1970 UTC.
    pub(in crate::api) written_at: Option<u64>,
    /// What it says of its record's failure; null where it is no letter.
    pub(in crate::api) failure: Option<Failure>,
    /// Why it is no letter.
    pub(in crate::api) no_letter: Option<String>,
    /// The record that failed, as it was; null for viewers.
    pub(in crate::api) record: Option<RecordShown>,
    /// What became of it.
    pub(in crate::api) mark: Option<Mark>,
    /// About so many marks are yet to be read before it is known what became of it: ask again.
    pub(in crate::api) marks_left: u64,
}

/// What a letter says of the failure of its record.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Failure {
    /// When, in milliseconds since 1970 UTC.
    pub(in crate::api) at: Option<u64>,
    /// Where the record was read.
    pub(in crate::api) origin: Origin,
    pub(in crate::api) reason: &'static str,
    /// The error with its causes.
    pub(in crate::api) error: String,
    /// Attempts made.
    pub(in crate::api) attempts: u32,
    /// How often it was re-driven before it failed this time.
    pub(in crate::api) redrives: u32,
    pub(in crate::api) daemon: String,
    pub(in crate::api) handler: String,
}

/// Where a record was read.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Origin {
    pub(in crate::api) topic: String,
    pub(in crate::api) partition: i32,
    pub(in crate::api) offset: i64,
    /// The record's own time there, in milliseconds since 1970 UTC.
    pub(in crate::api) timestamp: Option<u64>,
}

/// A record.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct RecordShown {
    pub(in crate::api) key: Option<Bytes>,
    /// Null for a tombstone, and where all of it is masked.
    pub(in crate::api) value: Option<Bytes>,
    pub(in crate::api) headers: Vec<HeaderShown>,
    /// Parts of which something is masked: `key`, `value`, `header NAME`.
    pub(in crate::api) masked: Vec<String>,
}

/// A header of a record.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct HeaderShown {
    pub(in crate::api) name: Bytes,
    pub(in crate::api) value: Option<Bytes>,
}

/// What became of a letter. In a list its kind alone is told.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Mark {
    pub(in crate::api) kind: MarkKind,
    /// When, in milliseconds since 1970 UTC.
    pub(in crate::api) at: Option<u64>,
    /// Who it was.
    pub(in crate::api) by: Option<String>,
    /// Why it was discarded.
    pub(in crate::api) reason: Option<String>,
    /// The request that re-drove it.
    pub(in crate::api) request: Option<String>,
    /// The topic that its record was written to.
    pub(in crate::api) target: Option<String>,
    /// What was changed of the record before: `key`, `value`, `headers`.
    pub(in crate::api) edited: Vec<String>,
}

/// Letters whose records are to be written again.
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RedriveRequest {
    /// The request's name, of 1 to 100 letters, digits, `.`, `_` or `-`. The same again under its name goes on where it was, whatever ended it, and
    /// writes no record twice. By default one of its own, which is told.
    #[serde(default)]
    pub(in crate::api) request: Option<String>,
    /// Which letters.
    #[serde(default)]
    pub(in crate::api) which: Which,
    /// The topic to write them to, instead of those that they were read from.
    #[serde(default)]
    pub(in crate::api) to: Option<String>,
    /// So many records a second, at most.
    #[serde(default)]
    #[schemars(range(min = 0.001))]
    pub(in crate::api) per_second: Option<f64>,
    /// Leaves records that were re-driven so often before; 3 where nothing is said.
    #[serde(default)]
    pub(in crate::api) cap: Option<u32>,
    /// Does it. Without, what would be done is counted.
    #[serde(default)]
    pub(in crate::api) execute: bool,
    /// Why; for the audit log.
    pub(in crate::api) reason: String,
}

/// Letters that are to be given up.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct DiscardRequest {
    /// Which letters.
    #[serde(default)]
    pub(in crate::api) which: Which,
    /// Does it. Without, what would be done is counted.
    #[serde(default)]
    pub(in crate::api) execute: bool,
    /// Why; for the letters' marks and the audit log.
    pub(in crate::api) reason: String,
}

/// How a record is to be changed on its way. What is not named stays as it was.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct EditRequest {
    /// The new value.
    #[serde(default)]
    pub(in crate::api) value: Option<Bytes>,
    /// It is to be a tombstone, without a value.
    #[serde(default)]
    pub(in crate::api) tombstone: bool,
    /// The new headers, all of them.
    #[serde(default)]
    pub(in crate::api) headers: Option<Vec<HeaderShown>>,
    /// Why; for the audit log.
    pub(in crate::api) reason: String,
}

/// What came of a change.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Edited {
    /// Whether the record was written now; not where the same change was made before.
    pub(in crate::api) written: bool,
}

impl Letter {
    /// With what became of it, where that is known, and with what is to be seen of its record.
    pub(in crate::api) fn of(entry: &Entry, mark: Option<&dead_letters::Mark>, sight: Sight<'_>) -> Self {
        let no_letter = match &entry.content {
            Content::Letter(_) => None,
            Content::Foreign { why, .. } => Some(why.to_string()),
        };
        Self {
            partition: entry.partition.0,
            offset: entry.offset.0,
            written_at: entry.written_at.map(Timestamp::as_millis),
            failure: entry.letter().map(Failure::of),
            no_letter,
            record: sight.see(entry.record()).map(RecordShown::of),
            mark: mark.map(Mark::of).or_else(|| entry.mark.map(Mark::only)),
            marks_left: 0,
        }
    }
}

impl Failure {
    fn of(letter: &DeadLetter) -> Self {
        Self {
            at: letter.failed_at.map(Timestamp::as_millis),
            origin: Origin {
                topic: letter.origin.topic.to_string(),
                partition: letter.origin.partition.0,
                offset: letter.offset.0,
                timestamp: letter.timestamp.map(Timestamp::as_millis),
            },
            reason: letter.reason.name(),
            error: letter.error.clone(),
            attempts: letter.attempts,
            redrives: letter.redrives,
            daemon: letter.daemon.clone(),
            handler: letter.handler.clone(),
        }
    }
}

impl RecordShown {
    pub(in crate::api) fn of(Seen { record, masked, .. }: Seen<'_>) -> Self {
        let bytes = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(Bytes::of);
        let header =
            |(name, value): &(Vec<u8>, Option<Vec<u8>>)| HeaderShown { name: Bytes::of(name), value: bytes(value) };
        Self {
            key: bytes(&record.key),
            value: bytes(&record.value),
            headers: record.headers.iter().map(header).collect(),
            masked,
        }
    }
}

impl Mark {
    fn of(mark: &dead_letters::Mark) -> Self {
        Self {
            kind: mark.kind,
            at: mark.at().map(Timestamp::as_millis),
            by: mark.by.clone(),
            reason: mark.reason.clone(),
            request: mark.request.clone(),
            target: mark.target.clone(),
            edited: mark.edited.clone(),
        }
    }

    fn only(kind: MarkKind) -> Self {
        Self { kind, at: None, by: None, reason: None, request: None, target: None, edited: Vec::new() }
    }
}

impl EditRequest {
    /// The change that it asks for.
    pub(in crate::api) fn edit(self, identity: &Identity) -> Result<Edit, Problem> {
        let bytes = |what: &str, bytes: Bytes| {
            bytes.bytes().ok_or_else(|| Problem::bad_request(format!("the base64 of {what} is none")))
        };
        let edit = Edit::by(&*identity.name);
        let edit = match (self.value, self.tombstone) {
            (None, false) if self.headers.is_none() => {
                return Err(Problem::bad_request("name what to change: `value`, `tombstone` or `headers`"));
            }
            (Some(_), true) => return Err(Problem::bad_request("a tombstone has no `value`")),
            (Some(value), false) => edit.value(Some(bytes("the value", value)?)),
            (None, true) => edit.value(None),
            (None, false) => edit,
        };
        let Some(headers) = self.headers else { return Ok(edit) };
        let header = |HeaderShown { name, value }| {
            let value = value.map(|value| bytes("a header's value", value)).transpose()?;
            Ok((bytes("a header's name", name)?, value))
        };
        Ok(edit.headers(headers.into_iter().map(header).collect::<Result<_, Problem>>()?))
    }
}
