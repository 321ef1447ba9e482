//! One dead letter, read back from the headers that were added to its record.

use crate::pipeline::dead_letter::Reason;
use crate::record::{Header, Offset, OwnedRecord, Timestamp, TopicPartition};

/// What the headers of a dead letter say. Of a letter of a letter it is what was added last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where the record was read.
    pub origin: TopicPartition,
    /// Its offset there.
    pub offset: Offset,
    /// The record's own time, if it had one.
    pub timestamp: Option<Timestamp>,
    /// How the last attempt failed.
    pub reason: Reason,
    /// The error with its causes.
    pub error: String,
    /// Attempts made.
    pub attempts: u32,
    /// The daemon that gave it up.
    pub daemon: String,
    /// The handler that failed.
    pub handler: String,
    /// When the letter was written.
    pub failed_at: Option<Timestamp>,
    /// How often the record was re-driven before it failed this time.
    pub redrives: u32,
    /// The record as it was: key, value, and its own headers, those of an earlier re-drive included.
    pub record: OwnedRecord,
}

/// A record that is no dead letter.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no dead letter: header `{header}` {what}")]
pub struct NotALetter {
    /// The header.
    pub header: &'static str,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What the names of all added headers begin with.
const PREFIX: &[u8] = b"daemonry-";
/// The header that a letter's own begin with.
const FIRST: &str = "daemonry-topic";
/// How often a record was re-driven; stands among the record's own headers, so that its next letter has it too.
pub(super) const REDRIVES: &str = "daemonry-redrives";

/// The headers of a letter, read where they stand.
pub(super) struct View<'a> {
    headers: Vec<Header<'a>>,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    offset: i64,
    pub(super) reason: Reason,
    pub(super) error: &'a str,
    attempts: u32,
    daemon: &'a str,
    handler: &'a str,
    pub(super) failed_at: Option<Timestamp>,
    pub(super) redrives: u32,
}

impl<'a> View<'a> {
    /// Reads the headers of a record.
    pub(super) fn of(headers: Vec<Header<'a>>) -> Result<Self, NotALetter> {
        let text = |name: &'static str| {
            let value = last(&headers, name).ok_or(NotALetter { header: name, what: "is missing" })?;
            std::str::from_utf8(value).map_err(|_| NotALetter { header: name, what: "is not text" })
        };
        fn number<T: std::str::FromStr>(header: &'static str, text: &str) -> Result<T, NotALetter> {
            text.parse().map_err(|_| NotALetter { header, what: "is not a number" })
        }
        let reason = text("daemonry-reason")?;
        Ok(Self {
            topic: text(FIRST)?,
            partition: number("daemonry-partition", text("daemonry-partition")?)?,
            offset: number("daemonry-offset", text("daemonry-offset")?)?,
            reason: Reason::ALL
                .into_iter()
                .find(|known| known.name() == reason)
                .ok_or(NotALetter { header: "daemonry-reason", what: "names no reason" })?,
            error: text("daemonry-error")?,
            attempts: number("daemonry-attempts", text("daemonry-attempts")?)?,
            daemon: text("daemonry-daemon")?,
            handler: text("daemonry-handler")?,
            failed_at: time(&headers, "daemonry-failed-at"),
            // Whatever else stands there was not written by a re-drive.
            redrives: last(&headers, REDRIVES).and_then(parsed).unwrap_or(0),
            headers,
        })
    }

    /// All of it, with the record's key and value.
    pub(super) fn letter(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> DeadLetter {
        let timestamp = time(&self.headers, "daemonry-timestamp");
        let own = own_headers(&self.headers).map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec)));
        DeadLetter {
            origin: TopicPartition::new(self.topic, self.partition),
            offset: Offset(self.offset),
            timestamp,
            reason: self.reason,
            error: self.error.to_owned(),
            attempts: self.attempts,
            daemon: self.daemon.to_owned(),
            handler: self.handler.to_owned(),
            failed_at: self.failed_at,
            redrives: self.redrives,
            record: OwnedRecord {
                key: key.map(<[u8]>::to_vec),
                value: value.map(<[u8]>::to_vec),
                headers: own.collect(),
                timestamp,
            },
        }
    }
}

impl DeadLetter {
    /// Reads a record of a dead-letter topic.
    ///
    /// # Errors
    /// The first header that is missing or can't be read.
    pub fn of(letter: &OwnedRecord) -> Result<Self, NotALetter> {
        let headers = letter.headers.iter().map(|(name, value)| Header { name, value: value.as_deref() });
        Ok(View::of(headers.collect())?.letter(letter.key.as_deref(), letter.value.as_deref()))
    }
}

/// The headers that were there before the letter was written: all before the last of its first header. Behind it only what is not
/// ours, which somebody added to the letter. So the letter of a letter gives back the letter.
fn own_headers<'a, 'h>(headers: &'h [Header<'a>]) -> impl Iterator<Item = &'h Header<'a>> {
    let start = headers.iter().rposition(|header| header.name == FIRST.as_bytes()).unwrap_or(headers.len());
    let (before, added) = headers.split_at(start);
    before.iter().chain(added.iter().filter(|header| !header.name.starts_with(PREFIX)))
}

/// The value of the last header of this name.
fn last<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    headers.iter().rfind(|header| header.name == name.as_bytes())?.value
}

fn parsed<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn time(headers: &[Header<'_>], name: &str) -> Option<Timestamp> {
    Timestamp::from_millis(last(headers, name).and_then(parsed)?)
}

#[cfg(test)]
mod tests {
    use super::super::samples::letter_of;
    use super::*;

    fn letter() -> OwnedRecord {
        letter_of(OwnedRecord::new("{").with_key("a").with_header("trace", "x"))
    }

    #[test]
    fn a_letter_is_read_back_with_its_record_as_it_was() {
        let letter = DeadLetter::of(&letter()).expect("all is there");
        assert_eq!((letter.origin.to_string(), letter.offset), ("orders[3]".to_owned(), Offset(41)));
        assert_eq!((letter.reason, letter.attempts), (Reason::Undecodable, 1));
        assert_eq!(letter.timestamp.map(Timestamp::as_millis), Some(1_600_000_000_000));
        let record = OwnedRecord::new("{").with_key("a").with_header("trace", "x");
        assert_eq!(letter.record, OwnedRecord { timestamp: letter.timestamp, ..record });
    }

    #[test]
    fn of_a_letter_of_a_letter_the_last_headers_count() {
        let again = letter().with_header("daemonry-offset", "7").with_header("daemonry-topic", "orders.dlq");
        let letter = DeadLetter::of(&again).expect("all is there");
        assert_eq!((letter.origin.topic.as_str(), letter.offset), ("orders.dlq", Offset(7)));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let without = |name: &str| {
            let mut letter = letter();
            letter.headers.retain(|(found, _)| found != name.as_bytes());
            DeadLetter::of(&letter).map_err(|error| error.to_string())
        };
        assert_eq!(without("daemonry-offset"), Err("no dead letter: header `daemonry-offset` is missing".to_owned()));
        assert!(without("daemonry-timestamp").is_ok(), "not every record has a time");
        let wrong = letter().with_header("daemonry-attempts", "many");
        let error = DeadLetter::of(&wrong).expect_err("no number");
        assert_eq!(error.to_string(), "no dead letter: header `daemonry-attempts` is not a number");
    }
}
