//! The log of what operators order: a topic of one partition, read from where it was read to.

use crate::dead_letters::shelf::{Reader, Shelf, Stop};
use crate::dead_letters::{LettersError, TopicId};
use crate::record::{Offset, Record, Topic};

/// What is known of the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Place(pub(super) Option<(TopicId, Offset)>);

/// What was read of it.
pub(super) struct Page {
    pub(super) reader: Box<dyn Reader>,
    pub(super) place: Place,
    /// The topic is not the one that was read before.
    pub(super) is_new: bool,
    pub(super) records: Vec<Record>,
}

/// Reads what came since, from the beginning where nothing is known.
pub(super) fn read_on(
    reader: Option<Box<dyn Reader>>,
    place: Place,
    (shelf, topic): (&dyn Shelf, &Topic),
    stop: &Stop,
) -> Result<Page, LettersError> {
    let mut reader = match reader {
        Some(reader) => reader,
        None => shelf.reader(stop)?,
    };
    let survey = reader.survey(topic)?.ok_or_else(|| LettersError::UnknownTopic(topic.clone()))?;
    let mut spans = survey.spans;
    spans.truncate(1);
    let Some(span) = spans.first_mut() else {
        return Err(LettersError::Unavailable(format!("topic `{topic}` has no partition")));
    };
    // A topic that was made anew, or was cut, begins anew.
    let known = place.0.filter(|(id, next)| *id == survey.id && *next <= span.end);
    let is_new = known.is_none();
    span.from = known.map_or(span.from, |(_, next)| span.from.max(next));
    let place = Place(Some((survey.id, span.end)));
    let mut records = Vec::new();
    if span.from < span.end {
        reader.open(topic, &spans)?;
        while let Some(record) = reader.next()? {
            // Of a fetch there may be little that is kept.
            let mut record = record;
            record.detach();
            records.push(record);
        }
    }
    Ok(Page { reader, place, is_new, records })
}
