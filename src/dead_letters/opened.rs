//! Reading letters: where to begin and to end, what their marks say, and which are meant.

use super::error::LettersError;
use super::letter::View;
use super::marks::{Marks, TopicId, topic_of};
use super::shelf::{Reader, Shelf, Span, Stop, Survey};
use super::{Entry, Filter};
use crate::record::{Record, Timestamp, Topic};

/// How much earlier than a time to begin to read for it: clocks differ, and a broker may stamp letters with its own.
const CLOCKS: u64 = 60_000;

/// Letters that are ready to be read.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Reader>,
    pub(super) id: TopicId,
    pub(super) marks: Marks,
    /// All that there is.
    pub(super) all: Vec<Span>,
    /// What of it may be meant.
    pub(super) spans: Vec<Span>,
}

/// Looks at the letters' topic, and learns the marks.
pub(super) fn open(shelf: &dyn Shelf, letters: &Topic, filter: &Filter, stop: &Stop) -> Result<Opened, LettersError> {
    let mut reader = shelf.reader(stop)?;
    let Survey { id, spans: all } =
        reader.survey(letters)?.ok_or_else(|| LettersError::UnknownTopic(letters.clone()))?;
    let mut spans = all.clone();
    let mut marks = Marks::default();
    each_mark(reader.as_mut(), letters, |record| marks.learn(&id, record))?;
    narrow(&mut spans, filter);
    if let Some(since) = filter.since {
        let early = Timestamp::from_millis(i64::try_from(since.as_millis().saturating_sub(CLOCKS)).unwrap_or(i64::MAX));
        if let Some(early) = early {
            reader.skip_to(letters, &mut spans, early)?;
        }
    }
    spans.retain(|span| span.from < span.end);
    Ok(Opened { reader, id, marks, all, spans })
}

/// Reads the marks' topic.
pub(super) fn each_mark(
    reader: &mut dyn Reader,
    letters: &Topic,
    mut each: impl FnMut(&Record),
) -> Result<(), LettersError> {
    let topic = topic_of(letters);
    let Some(survey) = reader.survey(&topic)? else { return Ok(()) };
    let spans: Vec<Span> = survey.spans.into_iter().filter(|span| span.from < span.end).collect();
    reader.open(&topic, &spans)?;
    while let Some(record) = reader.next()? {
        each(&record);
    }
    Ok(())
}

/// Leaves out what the filter's places and partitions don't reach.
fn narrow(spans: &mut Vec<Span>, filter: &Filter) {
    if !filter.partitions.is_empty() {
        spans.retain(|span| filter.partitions.contains(&span.partition));
    }
    if filter.places.is_empty() {
        return;
    }
    spans.retain_mut(|span| {
        let offsets = || filter.places.iter().filter(|place| place.0 == span.partition).map(|place| place.1);
        let (Some(first), Some(last)) = (offsets().min(), offsets().max()) else { return false };
        *span = Span { from: span.from.max(first), end: span.end.min(last.next().offset()), ..*span };
        span.from < span.end
    });
}

/// A record as it is listed, if it is meant.
pub(super) fn meant(record: &Record, marks: &Marks, filter: &Filter) -> Option<Entry> {
    let view = View::of(record.headers().collect());
    let mark = marks.of(record.partition(), record.offset());
    (filter.meets(record, &view) && !filter.leaves_out(mark)).then(|| Entry::of(record, view, mark))
}

/// Gives each letter that is meant to `each`, until that says no.
pub(super) fn list(
    shelf: &dyn Shelf,
    letters: &Topic,
    filter: &Filter,
    stop: &Stop,
    mut each: impl FnMut(Entry) -> bool,
) -> Result<(), LettersError> {
    let Opened { mut reader, marks, spans, .. } = open(shelf, letters, filter, stop)?;
    reader.open(letters, &spans)?;
    while let Some(record) = reader.next()? {
        if meant(&record, &marks, filter).is_some_and(|entry| !each(entry)) {
            break;
        }
    }
    Ok(())
}
