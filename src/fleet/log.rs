//! The log of what operators order: a topic of one partition, read from where it was read to.

use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::{Reader, Shelf, Stop};
use crate::dead_letters::tail::Tail;
use crate::record::{Partition, Record, Topic};

/// The log's partition.
pub(super) const PARTITION: Partition = Partition(0);

/// What was read of it.
pub(super) struct Page {
    pub(super) reader: Box<dyn Reader>,
    pub(super) tail: Tail,
    /// The topic is not the one that was read before.
    pub(super) is_new: bool,
    pub(super) records: Vec<Record>,
}

/// Reads what came since, from the beginning where nothing is known.
pub(super) fn read_on(
    reader: Option<Box<dyn Reader>>,
    mut tail: Tail,
    (shelf, topic): (&dyn Shelf, &Topic),
    stop: &Stop,
) -> Result<Page, LettersError> {
    let mut reader = match reader {
        Some(reader) => reader,
        None => shelf.reader(stop)?,
    };
    let ahead = tail.look(&mut *reader, topic)?.ok_or_else(|| LettersError::UnknownTopic(topic.clone()))?;
    if ahead.whole.is_empty() {
        return Err(LettersError::Unavailable(format!("topic `{topic}` has no partition")));
    }
    let mut spans = ahead.spans;
    spans.retain(|span| span.partition == PARTITION);
    let mut records = Vec::new();
    if !spans.is_empty() {
        reader.open(topic, &spans)?;
        while let Some(record) = reader.next()? {
            // Of a fetch there may be little that is kept.
            let mut record = record;
            record.detach();
            records.push(record);
        }
    }
    tail.reached(&ahead.whole);
    Ok(Page { reader, tail, is_new: ahead.is_new, records })
}
