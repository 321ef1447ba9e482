//! How far a topic was read, by somebody who reads on now and then: marks, orders and reports are read so.
//!
//! What was made anew under its name, or has lost its end, is another topic: it is read from its beginning.

use std::collections::BTreeMap;

use super::error::LettersError;
use super::marks::TopicId;
use super::shelf::{Partitions, Reader, Span};
use crate::record::{Offset, Partition, Record, Topic};

/// See the module. Nothing was read by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tail {
    /// Of which topic.
    id: Option<TopicId>,
    next: BTreeMap<Partition, Offset>,
}

/// What there is to read now.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// The topic is not the one that was read before.
    pub(crate) is_new: bool,
    /// Where its partitions begin and end.
    pub(crate) whole: Vec<Span>,
    /// What of it was not read; what is read already is left out.
    pub(crate) spans: Vec<Span>,
}

impl Tail {
    /// Looks what there is to read; `None` where there is no such topic. From here on that counts as begun, and none of it as read.
    pub(crate) fn look(&mut self, reader: &mut dyn Reader, topic: &Topic) -> Result<Option<Ahead>, LettersError> {
        let Some(survey) = reader.survey(topic, Partitions::All)? else { return Ok(None) };
        let is_cut = |span: &Span| self.next.get(&span.partition).is_some_and(|next| *next > span.end);
        let is_new = self.id.as_ref() != Some(&survey.id) || survey.spans.iter().any(is_cut);
        if is_new {
            *self = Self { id: Some(survey.id), next: BTreeMap::new() };
        }
        let mut spans = survey.spans.clone();
        for span in &mut spans {
            let begun = self.next.get(&span.partition).copied();
            span.from = begun.map_or(span.from, |next| next.max(span.from));
        }
        spans.retain(|span| span.from < span.end);
        Ok(Some(Ahead { is_new, whole: survey.spans, spans }))
    }

    /// This record was read, and what stands before it in its partition.
    pub(crate) fn passed(&mut self, record: &Record) {
        self.next.insert(record.partition(), record.offset().next().offset());
    }

    /// All of that was read, or need not be.
    pub(crate) fn reached(&mut self, ends: &[Span]) {
        self.next.extend(ends.iter().map(|span| (span.partition, span.end)));
    }

    /// How many records of these were not read, at most.
    pub(crate) fn left(&self, spans: &[Span]) -> u64 {
        let left = |span: &Span| {
            let next = self.next(span.partition).map_or(span.from, |next| next.max(span.from));
            u64::try_from(span.end.0 - next.0).unwrap_or(0)
        };
        spans.iter().map(left).sum()
    }

    /// Where the partition is read next.
    pub(crate) fn next(&self, partition: Partition) -> Option<Offset> {
        self.next.get(&partition).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letters::shelf::{Shelf, Stop};
    use crate::record::OwnedRecord;
    use crate::testing::MemoryBroker;

    const TOPIC: &str = "log";

    /// What it reads, and whether that is of a new topic.
    fn read_on(tail: &mut Tail, broker: &MemoryBroker) -> (Vec<i64>, bool) {
        let topic = Topic::from(TOPIC);
        let mut reader = broker.reader(&Stop::default()).expect("nothing fails");
        let ahead = tail.look(&mut *reader, &topic).expect("nothing fails").expect("it is there");
        reader.open(&topic, &ahead.spans).expect("nothing fails");
        let mut read = Vec::new();
        while let Some(record) = reader.next().expect("nothing fails") {
            tail.passed(&record);
            read.push(record.offset().0);
        }
        assert_eq!(tail.left(&ahead.spans), 0);
        tail.reached(&ahead.spans);
        (read, ahead.is_new)
    }

    #[test]
    fn each_record_is_read_once_and_a_topic_that_lost_its_end_anew() {
        let broker = MemoryBroker::new();
        broker.create_topic(TOPIC, 1);
        for _ in 0..3 {
            broker.produce(TOPIC, 0, OwnedRecord::new("v"));
        }
        let mut tail = Tail::default();
        assert_eq!(read_on(&mut tail, &broker), (vec![0, 1, 2], true));
        assert_eq!(read_on(&mut tail, &broker), (vec![], false));
        broker.produce(TOPIC, 0, OwnedRecord::new("v"));
        assert_eq!(read_on(&mut tail, &broker), (vec![3], false));
        assert_eq!(tail.next(Partition(0)), Some(Offset(4)));
        let shorter = MemoryBroker::new();
        shorter.create_topic(TOPIC, 1);
        shorter.produce(TOPIC, 0, OwnedRecord::new("v"));
        assert_eq!(read_on(&mut tail, &shorter), (vec![0], true));
    }

    #[test]
    fn what_was_read_of_it_before_it_failed_is_not_read_again() {
        let broker = MemoryBroker::new();
        broker.create_topic(TOPIC, 1);
        for _ in 0..3 {
            broker.produce(TOPIC, 0, OwnedRecord::new("v"));
        }
        let (mut tail, topic) = (Tail::default(), Topic::from(TOPIC));
        let mut reader = broker.reader(&Stop::default()).expect("nothing fails");
        let ahead = tail.look(&mut *reader, &topic).expect("nothing fails").expect("it is there");
        reader.open(&topic, &ahead.spans).expect("nothing fails");
        let record = reader.next().expect("nothing fails").expect("there are three");
        assert_eq!(tail.left(&ahead.spans), 3);
        tail.passed(&record);
        assert_eq!(tail.left(&ahead.spans), 2);
        assert_eq!(read_on(&mut tail, &broker), (vec![1, 2], false));
    }
}
