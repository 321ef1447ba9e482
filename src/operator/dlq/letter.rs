//! A letter as an answer has it.

use console::truncate_str;
use serde::{Serialize, Serializer};

use super::super::moment::Moment;
use super::super::rows::{Cell, Column, Row, Tone};
use crate::dead_letters::{Content, DeadLetter, Entry, Mark, MarkKind};
use crate::payload::{Bytes, harmless, inline};
use crate::record::Timestamp;

/// How wide a key is in a table, and an error.
const KEY: usize = 24;
const ERROR: usize = 60;

/// A row of a list.
#[derive(Debug)]
pub(super) struct LetterRow(pub(super) Entry);

/// A letter in JSON: everything, whatever the table cuts.
#[derive(Debug, Serialize)]
pub(super) struct LetterView<'a> {
    partition: i32,
    offset: i64,
    written_at: Option<Moment>,
    #[serde(flatten)]
    letter: Option<Said<'a>>,
    /// Why it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_letter: Option<String>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<HeaderView>,
    mark: Option<MarkView<'a>>,
}

/// What a letter says of itself.
#[derive(Debug, Serialize)]
struct Said<'a> {
    failed_at: Option<Moment>,
    origin: Origin<'a>,
    reason: &'static str,
    error: &'a str,
    attempts: u32,
    redrives: u32,
    daemon: &'a str,
    handler: &'a str,
}

#[derive(Debug, Serialize)]
struct Origin<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    /// The record's own time there.
    timestamp: Option<Moment>,
}

#[derive(Debug, Serialize)]
struct HeaderView {
    name: Bytes,
    value: Option<Bytes>,
}

/// What became of it; of a list's letters it is the kind alone that is known.
#[derive(Debug, Serialize)]
struct MarkView<'a> {
    kind: MarkKind,
    #[serde(flatten)]
    known: Option<Known<'a>>,
}

#[derive(Debug, Serialize)]
struct Known<'a> {
    at: Option<Moment>,
    by: Option<&'a str>,
    reason: Option<&'a str>,
    request: Option<&'a str>,
    target: Option<&'a str>,
    edited: &'a [String],
}

impl<'a> LetterView<'a> {
    pub(super) fn of(entry: &'a Entry, mark: Option<&'a Mark>) -> Self {
        let record = entry.record();
        let header = |(name, value): &(Vec<u8>, Option<Vec<u8>>)| HeaderView {
            name: Bytes::of(name),
            value: value.as_deref().map(Bytes::of),
        };
        let why = match &entry.content {
            Content::Letter(_) => None,
            Content::Foreign { why, .. } => Some(why.to_string()),
        };
        Self {
            partition: entry.partition.0,
            offset: entry.offset.0,
            written_at: entry.written_at.map(Moment),
            letter: entry.letter().map(Said::by),
            no_letter: why,
            key: record.key.as_deref().map(Bytes::of),
            value: record.value.as_deref().map(Bytes::of),
            headers: record.headers.iter().map(header).collect(),
            mark: entry.mark.map(|kind| MarkView { kind, known: mark.map(Known::of) }),
        }
    }
}

impl<'a> Said<'a> {
    fn by(letter: &'a DeadLetter) -> Self {
        Self {
            failed_at: letter.failed_at.map(Moment),
            origin: Origin {
                topic: letter.origin.topic.as_str(),
                partition: letter.origin.partition.0,
                offset: letter.offset.0,
                timestamp: letter.timestamp.map(Moment),
            },
            reason: letter.reason.name(),
            error: &letter.error,
            attempts: letter.attempts,
            redrives: letter.redrives,
            daemon: &letter.daemon,
            handler: &letter.handler,
        }
    }
}

impl<'a> Known<'a> {
    fn of(mark: &'a Mark) -> Self {
        Self {
            at: mark.at().map(Moment),
            by: mark.by.as_deref(),
            reason: mark.reason.as_deref(),
            request: mark.request.as_deref(),
            target: mark.target.as_deref(),
            edited: &mark.edited,
        }
    }
}

impl Serialize for LetterRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        LetterView::of(&self.0, None).serialize(serializer)
    }
}

impl Row for LetterRow {
    const HEAD: &'static [Column] = &[
        Column::text("FAILED"),
        Column::text("PLACE"),
        Column::text("ORIGIN"),
        Column::text("REASON"),
        Column::number("ATTEMPTS"),
        Column::number("REDRIVES"),
        Column::text("KEY"),
        Column::text("ERROR"),
        Column::text("MARK"),
    ];

    fn cells(&self) -> Vec<Cell> {
        let Self(entry) = self;
        let letter = entry.letter();
        let at = |time: Option<Timestamp>| Cell::of(time.map(|time| Moment(time).in_seconds()));
        let (reason, error) = match &entry.content {
            Content::Letter(letter) => (Cell::new(letter.reason.name()), cut(&letter.error, ERROR)),
            Content::Foreign { why, .. } => (Cell::new("no letter").tone(Tone::Warning), cut(&why.to_string(), ERROR)),
        };
        let key = entry.record().key.as_deref();
        vec![
            at(letter.map_or(entry.written_at, |letter| letter.failed_at)),
            Cell::new(format!("{}:{}", entry.partition, entry.offset)),
            Cell::of(letter.map(|letter| format!("{}@{}", letter.origin, letter.offset))),
            reason,
            Cell::of(letter.map(|letter| letter.attempts)),
            Cell::of(letter.map(|letter| letter.redrives)),
            Cell::of(key.map(|key| cut(&inline(begin(key)), KEY))),
            Cell::new(error),
            Cell::of(entry.mark.map(MarkKind::said)).tone(Tone::Faint),
        ]
    }
}

/// So much of a key as is shown: it may be long. Not cut within a character, as which it would be text no more.
fn begin(key: &[u8]) -> &[u8] {
    let end = key.len().min(KEY * 4);
    let is_boundary = |at: &usize| key.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let end = (end.saturating_sub(3)..=end).rev().find(is_boundary).unwrap_or(end);
    &key[..end]
}

/// So much of a text as a column of this width shows.
fn cut(text: &str, width: usize) -> String {
    let begin: String = text.chars().take(width + 1).collect();
    truncate_str(&harmless(&begin), width, "…").into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::work::block_on;
    use super::*;
    use crate::dead_letters::DeadLetters;
    use crate::record::{Offset, OwnedRecord, Partition};
    use crate::testing::MemoryBroker;

    /// An entry of this record, with the headers of a letter if `error` is one.
    fn entry(record: OwnedRecord, error: Option<&str>) -> Entry {
        let added = error.map(|error| {
            [
                ("daemonry-topic", "orders"),
                ("daemonry-partition", "3"),
                ("daemonry-offset", "41"),
                ("daemonry-reason", "poison"),
                ("daemonry-error", error),
                ("daemonry-attempts", "2"),
                ("daemonry-daemon", "shop"),
                ("daemonry-handler", "orders::create"),
                ("daemonry-failed-at", "1600000000001"),
            ]
        });
        let add = |record: OwnedRecord, (name, value)| record.with_header(name, value);
        let broker = MemoryBroker::new();
        broker.create_topic("dlq", 1);
        broker.produce("dlq", 0, added.into_iter().flatten().fold(record, add));
        let letters = DeadLetters::in_memory(&broker, "dlq");
        let shown = block_on(async { Ok(letters.show(Partition(0), Offset(0)).await?) });
        shown.expect("it is there").entry
    }

    fn texts(entry: Entry) -> Vec<String> {
        LetterRow(entry).cells().iter().map(|cell| cell.text().to_owned()).collect()
    }

    #[test]
    fn a_row_says_what_failed_where_and_why() {
        let record = OwnedRecord::new("{}").with_key("ada").with_header("trace", "x");
        let row = texts(entry(record, Some("order id is zero")));
        let expected =
            ["2020-09-13T12:26:40Z", "0:0", "orders[3]@41", "poison", "2", "0", "ada", "order id is zero", "-"];
        assert_eq!(row, expected);
    }

    #[test]
    fn long_errors_and_keys_are_cut_and_steer_no_terminal() {
        let record = OwnedRecord::new("{}").with_key("k".repeat(10_000));
        let row = texts(entry(record, Some(&format!("\x1b[2J{}", "é".repeat(100)))));
        assert_eq!(row[6], format!("{}…", "k".repeat(KEY - 1)));
        assert_eq!(row[7], format!("\\u{{1b}}[2J{}…", "é".repeat(ERROR - 10)));
        for before in ["", "a"] {
            let row =
                texts(entry(OwnedRecord::new("{}").with_key(format!("{before}{}", "ж".repeat(100))), Some("down")));
            assert!(row[6].starts_with(before) && row[6].ends_with("жж…"), "{}", row[6]);
        }
        let row = texts(entry(OwnedRecord::new("{}").with_key(vec![0xff; 3]), Some("down")));
        assert_eq!((row[6].as_str(), row[7].as_str()), ("0xffffff", "down"));
    }

    #[test]
    fn a_record_that_is_no_letter_says_why() {
        let row = texts(entry(OwnedRecord::new("v"), None));
        assert_eq!(
            row[2..],
            ["-", "no letter", "-", "-", "-", "no dead letter: header `daemonry-reason` is missing", "-"]
        );
    }

    #[test]
    fn json_has_everything() {
        let record = OwnedRecord::new(vec![0xff]).with_header("trace", "x");
        let error = "e".repeat(500);
        let found = serde_json::to_value(LetterRow(entry(record, Some(&error)))).expect("it can be written");
        let expected = json!({
            "partition": 0,
            "offset": 0,
            "written_at": null,
            "failed_at": "2020-09-13T12:26:40.001Z",
            "origin": {"topic": "orders", "partition": 3, "offset": 41, "timestamp": null},
            "reason": "poison",
            "error": error,
            "attempts": 2,
            "redrives": 0,
            "daemon": "shop",
            "handler": "orders::create",
            "key": null,
            "value": {"base64": "/w=="},
            "headers": [{"name": {"text": "trace"}, "value": {"text": "x"}}],
            "mark": null,
        });
        assert_eq!(found, expected);
        let foreign: Value = serde_json::to_value(LetterRow(entry(OwnedRecord::new("v"), None))).expect("as above");
        assert_eq!(foreign["no_letter"], "no dead letter: header `daemonry-reason` is missing");
        assert_eq!(foreign.get("reason"), None);
    }
}
