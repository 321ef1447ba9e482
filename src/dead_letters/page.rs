//! A page of letters: as many as are wanted, and where the next ones begin.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use super::error::LettersError;
use super::opened::{Opened, meant, open};
use super::shelf::{Shelf, Stop};
use super::{Entry, Filter};
use crate::record::{Offset, Partition, Topic};

/// Bytes of letters, about, with which a page is full.
const BYTES: usize = 1024 * 1024;

/// Letters, the oldest first, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LettersPage {
    /// The letters; perhaps none, though there are more.
    pub letters: Vec<Entry>,
    /// How many records of the topic were looked at for them.
    pub looked_at: u64,
    /// Where the next page begins; `None` where the topic ends.
    pub next: Option<Cursor>,
}

/// A place in a letters' topic: an offset in each of its partitions. As text it is `0:17,1:4`.
///
/// ```
/// use daemonry::dead_letters::Cursor;
///
/// let cursor: Cursor = "0:17,1:4".parse().unwrap();
/// assert_eq!(cursor.to_string(), "0:17,1:4");
/// assert!("0:17,".parse::<Cursor>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Vec<(Partition, Offset)>);

/// A text that is no [`Cursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place in a topic: an offset for each partition is one, as in `0:17,1:4`")]
pub struct NotACursor;

impl Cursor {
    fn of(&self, partition: Partition) -> Option<Offset> {
        self.0.iter().find(|(one, _)| *one == partition).map(|(_, offset)| *offset)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (partition, offset)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(f, "{separator}{partition}:{offset}")?;
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let place = |part: &str| {
            let (partition, offset) = part.split_once(':').ok_or(NotACursor)?;
            match (partition.parse(), offset.parse()) {
                (Ok(partition @ 0..), Ok(offset @ 0..)) => Ok((Partition(partition), Offset(offset))),
                _ => Err(NotACursor),
            }
        };
        text.split(',').map(place).collect::<Result<_, _>>().map(Self)
    }
}

/// What a page is to have.
pub(super) struct Wanted {
    pub(super) filter: Filter,
    pub(super) from: Option<Cursor>,
    pub(super) size: usize,
    /// When it ends, full or not.
    pub(super) until: Instant,
}

/// Reads a page.
pub(super) fn page(
    shelf: &dyn Shelf,
    letters: &Topic,
    wanted: &Wanted,
    stop: &Stop,
) -> Result<LettersPage, LettersError> {
    let Wanted { filter, from, size, until } = wanted;
    let Opened { mut reader, marks, mut spans, .. } = open(shelf, letters, filter, stop)?;
    for span in &mut spans {
        let begun = from.as_ref().and_then(|from| from.of(span.partition));
        span.from = begun.map_or(span.from, |begun| begun.max(span.from));
    }
    // Those that are read through belong to where it goes on, too.
    let mut reached: Vec<(Partition, Offset)> = spans.iter().map(|span| (span.partition, span.from)).collect();
    spans.retain(|span| span.from < span.end);
    reader.open(letters, &spans)?;
    let (mut page, mut bytes) = (LettersPage::default(), 0);
    while let Some(record) = reader.next()? {
        if let Some((_, offset)) = reached.iter_mut().find(|(partition, _)| *partition == record.partition()) {
            *offset = record.offset().next().offset();
        }
        page.looked_at += 1;
        if let Some(entry) = meant(&record, &marks, filter) {
            bytes += entry.weight();
            page.letters.push(entry);
        }
        if page.letters.len() >= *size || bytes >= BYTES || Instant::now() >= *until {
            page.next = Some(Cursor(reached));
            break;
        }
    }
    Ok(page)
}
