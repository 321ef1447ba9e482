//! Dead letters of the broker in memory. Its transactions are written when they are committed.

use std::sync::Arc;
use std::time::Instant;

use super::broker::MemoryBroker;
use crate::dead_letters::shelf::{Batching, Partitions, Polled, Progress, Reader, Shelf, Span, Stop, Survey, Writer};
use crate::dead_letters::{LettersError, TopicId};
use crate::producer::SendError;
use crate::record::{Offset, OwnedRecord, OwnedRecords, Partition, Record, Timestamp, Topic, TopicPartition};

impl Shelf for MemoryBroker {
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError> {
        Ok(Box::new(MemoryReader { broker: self.clone(), stop: stop.clone(), records: Vec::new().into_iter() }))
    }

    fn writer(&self, letters: &Topic, _batching: Batching) -> Result<Box<dyn Writer>, LettersError> {
        let mut state = self.state.lock();
        let epoch = state.redrives.entry(letters.clone()).or_default();
        epoch.writer += 1;
        let writer = epoch.writer;
        drop(state);
        Ok(Box::new(MemoryWriter { broker: self.clone(), writer, request: None, open: Vec::new() }))
    }

    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError> {
        self.create_topic(topic.as_str(), 1);
        Ok(())
    }
}

/// What the broker remembers of the re-drives of a topic's letters.
#[derive(Debug, Default)]
pub(super) struct Redrives {
    /// Who writes now.
    writer: u64,
    progress: Vec<(String, Vec<Progress>)>,
}

#[derive(Debug)]
struct MemoryReader {
    broker: MemoryBroker,
    stop: Stop,
    records: std::vec::IntoIter<Record>,
}

impl MemoryReader {
    fn records(&self, topic: &Topic, span: &Span) -> Vec<(Offset, Arc<OwnedRecord>)> {
        let mut records = self.broker.records(topic.as_str(), span.partition.0);
        records.retain(|(offset, _)| (span.from..span.end).contains(offset));
        records
    }
}

impl Reader for MemoryReader {
    fn survey(&mut self, topic: &Topic, of: Partitions) -> Result<Option<Survey>, LettersError> {
        let partitions = self.broker.partitions(topic.as_str());
        let span = |partition| {
            let end = self.broker.end(topic.as_str(), partition);
            let first = self.broker.records(topic.as_str(), partition).first().map(|(offset, _)| *offset);
            Span { partition: Partition(partition), from: first.unwrap_or(end), end }
        };
        let is_asked = |partition: &i32| match of {
            Partitions::One(one) => one.0 == *partition,
            Partitions::All | Partitions::Led => true,
        };
        let spans = (0..partitions).filter(is_asked).map(span).collect();
        let partitions = usize::try_from(partitions).unwrap_or(0);
        Ok((partitions > 0).then(|| Survey { id: TopicId("memory".to_owned()), partitions, spans }))
    }

    fn skip_to(&mut self, topic: &Topic, spans: &mut [Span], time: Timestamp) -> Result<(), LettersError> {
        for span in spans {
            let records = self.records(topic, span);
            let first = records.iter().find(|(_, record)| record.timestamp.is_some_and(|at| at >= time));
            span.from = first.map_or(span.end, |(offset, _)| *offset);
        }
        Ok(())
    }

    fn open(&mut self, topic: &Topic, spans: &[Span]) -> Result<(), LettersError> {
        let mut records = Vec::new();
        for span in spans {
            let place = TopicPartition { topic: topic.clone(), partition: span.partition };
            // Within a partition it is the offsets that count.
            let mut latest = None;
            records.extend(OwnedRecords::handles(place, self.records(topic, span)).into_iter().map(|record| {
                latest = latest.max(record.timestamp());
                (latest, record)
            }));
        }
        records.sort_by_key(|(time, _)| *time);
        self.records = records.into_iter().map(|(_, record)| record).collect::<Vec<_>>().into_iter();
        Ok(())
    }

    fn poll(&mut self, _until: Instant) -> Result<Polled, LettersError> {
        Ok(self.next()?.map_or(Polled::End, Polled::Record))
    }

    fn next(&mut self) -> Result<Option<Record>, LettersError> {
        self.stop.check()?;
        Ok(self.records.next())
    }

    fn reached(&self, partition: Partition) -> Option<Offset> {
        let mut left = self.records.as_slice().iter();
        left.find(|record| record.partition() == partition).map(Record::offset)
    }
}

#[derive(Debug)]
struct MemoryWriter {
    broker: MemoryBroker,
    writer: u64,
    request: Option<String>,
    open: Vec<(Topic, OwnedRecord)>,
}

impl Writer for MemoryWriter {
    fn progress(
        &mut self,
        letters: &Topic,
        request: &str,
        partitions: &[Partition],
    ) -> Result<Vec<Progress>, LettersError> {
        self.request = Some(request.to_owned());
        let state = self.broker.state.lock();
        let of_topic = state.redrives.get(letters).map(|redrives| &redrives.progress);
        let found = of_topic.and_then(|all| all.iter().find(|(name, _)| name == request));
        let progress = found.map(|(_, progress)| progress.as_slice()).unwrap_or_default();
        Ok(progress.iter().filter(|progress| partitions.contains(&progress.partition)).cloned().collect())
    }

    fn learn(&mut self, topic: &Topic) -> Result<(), LettersError> {
        match self.broker.partitions(topic.as_str()) {
            0 => Err(LettersError::UnknownTopic(topic.clone())),
            _ => Ok(()),
        }
    }

    fn send(&mut self, topic: &Topic, record: &OwnedRecord, letter: (Partition, Offset)) -> Result<(), LettersError> {
        let fault = self.broker.state.lock().send_fault.clone();
        match fault {
            None => {
                self.learn(topic)?;
                self.open.push((topic.clone(), record.clone()));
                Ok(())
            }
            Some(SendError::TooLarge(target)) => {
                let (partition, offset) = letter;
                Err(LettersError::TooLarge { partition, offset, target })
            }
            Some(error) => Err(LettersError::Unavailable(error.to_string())),
        }
    }

    fn commit(&mut self, letters: &Topic, progress: &[Progress]) -> Result<(), LettersError> {
        let mut state = self.broker.state.lock();
        let redrives = state.redrives.entry(letters.clone()).or_default();
        if redrives.writer != self.writer {
            return Err(LettersError::Replaced);
        }
        if let Some(request) = &self.request {
            redrives.progress.retain(|(name, _)| name != request);
            redrives.progress.push((request.clone(), progress.to_vec()));
        }
        for (topic, record) in self.open.drain(..) {
            state.produce(&topic, &record).map_err(|error| LettersError::Unavailable(error.to_string()))?;
        }
        drop(state);
        self.broker.changed.notify_waiters();
        Ok(())
    }

    fn settle(&mut self) {}
}
