//! A page of letters: as many as are wanted, and where the next ones begin.

use std::fmt;
use std::str::FromStr;
use std::time::Instant;

use super::error::LettersError;
use super::opened::{Pile, Walk};
use super::register::Time;
use super::shelf::Polled;
use super::{Entry, Filter};
use crate::record::{Offset, Partition};

/// Bytes of letters, about, with which a page is full.
const BYTES: usize = 1024 * 1024;

/// Letters, the oldest first, and where the next ones begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LettersPage {
    /// The letters; perhaps none, though there are more.
    pub letters: Vec<Entry>,
    /// How many records of the topic were looked at for them. Many that are known to be done with are passed over unseen.
    pub looked_at: u64,
    /// Where the next page begins; `None` where the topic ends.
    pub next: Option<Cursor>,
    /// About so many marks are yet to be read before it is known which letters are done with: the time was over before. The page is empty then,
    /// and the next one goes on with them.
    pub marks_left: u64,
    /// How many letters wait in all of the topic, whatever was asked for; `None` while marks are left to be read.
    pub waiting: Option<u64>,
}

impl LettersPage {
    /// One for which there was no time: what was asked for comes next.
    #[cfg(feature = "api")]
    pub(crate) fn put_off(from: Option<Cursor>) -> Self {
        Self { next: Some(from.unwrap_or(Cursor(vec![(Partition(0), Offset(0))]))), ..Self::default() }
    }
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
        text.split(',').map(|part| place_of(part).ok_or(NotACursor)).collect::<Result<_, _>>().map(Self)
    }
}

/// A place of a topic as `0:17`.
pub(crate) fn place_of(text: &str) -> Option<(Partition, Offset)> {
    let (partition, offset) = text.split_once(':')?;
    match (partition.parse(), offset.parse()) {
        (Ok(partition @ 0..), Ok(offset @ 0..)) => Some((Partition(partition), Offset(offset))),
        _ => None,
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
pub(super) fn page(pile: &Pile<'_>, wanted: &Wanted) -> Result<LettersPage, LettersError> {
    let Wanted { filter, from, size, until } = wanted;
    let time = Time::until(*until);
    let mut opened = pile.open(filter, time)?;
    for span in &mut opened.spans {
        let begun = from.as_ref().and_then(|from| from.of(span.partition));
        span.from = begun.map_or(span.from, |begun| begun.max(span.from));
    }
    // Those that are read through belong to where it goes on, too.
    let mut reached: Vec<(Partition, Offset)> = opened.spans.iter().map(|span| (span.partition, span.from)).collect();
    opened.spans.retain(|span| span.from < span.end);
    let mut page = LettersPage { waiting: opened.waiting().letters, ..LettersPage::default() };
    if opened.marks_left > 0 && !opened.spans.is_empty() {
        (page.marks_left, page.next) = (opened.marks_left, Some(Cursor(reached)));
        return Ok(page);
    }
    let mut walk = Walk::begin(opened, pile.topic, filter)?;
    let mut bytes = 0;
    loop {
        let record = match walk.next(time.end(page.looked_at > 0))? {
            Polled::Record(record) => record,
            Polled::End => break,
            Polled::Late => {
                page.next = Some(Cursor(reached));
                break;
            }
        };
        if let Some((_, offset)) = reached.iter_mut().find(|(partition, _)| *partition == record.partition()) {
            *offset = record.offset().next().offset();
        }
        page.looked_at += 1;
        if let Some(entry) = walk.meant(&record) {
            bytes += entry.weight();
            page.letters.push(entry);
        }
        if page.letters.len() >= *size || bytes >= BYTES || time.is_over() {
            page.next = Some(Cursor(reached));
            break;
        }
    }
    Ok(page)
}
