//! One letter, with all that is known of what became of it.

use super::entry::{Entry, Shown};
use super::error::LettersError;
use super::letter::View;
use super::marked::Marks;
use super::marks::{Mark, TopicId, mark_of, topic_of};
use super::opened::Pile;
use super::register::{Known, Time};
use super::shelf::{Polled, Reader, Span, poll};
use crate::record::{Offset, Partition, Topic};

/// Shows the letter at this place, and of its mark what is known in time.
pub(super) fn show(
    pile: &Pile<'_>,
    (partition, offset): (Partition, Offset),
    time: Time,
) -> Result<Shown, LettersError> {
    let topic = pile.topic;
    let not_found = |why: String| LettersError::NotFound { topic: topic.clone(), partition, offset, why };
    let (mut reader, survey) = pile.survey()?;
    let span = survey.spans.iter().find(|span| span.partition == partition);
    let span = span.ok_or_else(|| not_found(format!("the topic has {} partitions", survey.spans.len())))?;
    if offset < span.from || offset >= span.end {
        return Err(not_found(format!("the partition has offsets {} to {}, without the latter", span.from, span.end)));
    }
    reader.open(topic, &[Span { partition, from: offset, end: offset.next().offset() }])?;
    let record = reader.next()?.filter(|record| record.offset() == offset);
    let record = record
        .ok_or_else(|| not_found("it was compacted away, or is no record but a transaction's marker".to_owned()))?;
    let Known { marks, left: marks_left } = pile.marks(&mut *reader, &survey, time)?;
    let kind = marks.of(partition, offset);
    let mark = match kind {
        Some(_) => found(&mut *reader, (topic, &survey.id), &marks, (partition, offset), time)?,
        None => None,
    };
    let view = View::of(record.headers().collect());
    Ok(Shown { entry: Entry::of(&record, view, kind), mark, marks_left })
}

/// Looks for the letter's mark where it may stand. It isn't there where it was removed since, or the time is over.
fn found(
    reader: &mut dyn Reader,
    (letters, id): (&Topic, &TopicId),
    marks: &Marks,
    (partition, offset): (Partition, Offset),
    time: Time,
) -> Result<Option<Mark>, LettersError> {
    let topic = topic_of(letters);
    for stretch in marks.stretches(partition, offset) {
        reader.open(&topic, &[stretch])?;
        let mut last = None;
        loop {
            match poll(reader, time.end(false))? {
                Polled::Record(record) => last = mark_of(id, partition, offset, &record).or(last),
                Polled::End => break,
                Polled::Late => return Ok(None),
            }
        }
        // The later ones were looked at before.
        if let Some(mark) = last {
            return Ok(mark);
        }
    }
    Ok(None)
}
