//! One dead letter, read back from the headers that were added to its record.

use crate::pipeline::dead_letter::Reason;
use crate::record::{Offset, OwnedRecord, Timestamp, TopicPartition};

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
    /// The record as it was: key, value, and its own headers.
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

impl DeadLetter {
    /// Reads a record of a dead-letter topic.
    ///
    /// # Errors
    /// The first header that is missing or can't be read.
    pub fn of(letter: &OwnedRecord) -> Result<Self, NotALetter> {
        let header = |header: &'static str| {
            let found = letter.headers.iter().rfind(|(name, _)| name == header.as_bytes());
            let value = found.and_then(|(_, value)| value.as_deref());
            let value = value.ok_or(NotALetter { header, what: "is missing" })?;
            std::str::from_utf8(value).map_err(|_| NotALetter { header, what: "is not text" })
        };
        fn number<T: std::str::FromStr>(header: &'static str, text: &str) -> Result<T, NotALetter> {
            text.parse().map_err(|_| NotALetter { header, what: "is not a number" })
        }
        let time = |header| Timestamp::from_millis(optional(letter, header)?.parse().ok()?);
        let reason = header("daemonry-reason")?;
        Ok(Self {
            origin: TopicPartition::new(
                header("daemonry-topic")?,
                number("daemonry-partition", header("daemonry-partition")?)?,
            ),
            offset: Offset(number("daemonry-offset", header("daemonry-offset")?)?),
            timestamp: time("daemonry-timestamp"),
            reason: Reason::ALL
                .into_iter()
                .find(|known| known.name() == reason)
                .ok_or(NotALetter { header: "daemonry-reason", what: "names no reason" })?,
            error: header("daemonry-error")?.to_owned(),
            attempts: number("daemonry-attempts", header("daemonry-attempts")?)?,
            daemon: header("daemonry-daemon")?.to_owned(),
            handler: header("daemonry-handler")?.to_owned(),
            failed_at: time("daemonry-failed-at"),
            record: original(letter),
        })
    }
}

fn optional<'a>(letter: &'a OwnedRecord, header: &str) -> Option<&'a str> {
    let (_, value) = letter.headers.iter().rfind(|(name, _)| name == header.as_bytes())?;
    std::str::from_utf8(value.as_deref()?).ok()
}

/// The record without what was added.
fn original(letter: &OwnedRecord) -> OwnedRecord {
    let own = letter.headers.iter().filter(|(name, _)| !name.starts_with(PREFIX));
    let timestamp =
        optional(letter, "daemonry-timestamp").and_then(|millis| Timestamp::from_millis(millis.parse().ok()?));
    OwnedRecord { headers: own.cloned().collect(), timestamp, ..letter.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> OwnedRecord {
        let record = OwnedRecord::new("{").with_key("a").with_header("trace", "x");
        [
            ("daemonry-topic", "orders"),
            ("daemonry-partition", "3"),
            ("daemonry-offset", "41"),
            ("daemonry-timestamp", "1600000000000"),
            ("daemonry-reason", "undecodable"),
            ("daemonry-error", "not JSON"),
            ("daemonry-attempts", "1"),
            ("daemonry-daemon", "shop"),
            ("daemonry-handler", "orders::create"),
            ("daemonry-failed-at", "1600000000001"),
        ]
        .into_iter()
        .fold(record, |record, (name, value)| record.with_header(name, value))
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
