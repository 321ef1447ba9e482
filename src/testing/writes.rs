//! What is written to the broker: dead letters, and what handlers produce.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::broker::{MemoryBroker, State};
use crate::dead_letters::DeadLetters;
use crate::pipeline::dead_letter::{DeadLetterSink, Letter, PublishError};
use crate::producer::{RecordSink, SendError, Sent};
use crate::record::{OwnedRecord, Partition, Timestamp, Topic, TopicPartition};

#[async_trait]
impl DeadLetterSink for MemoryBroker {
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError> {
        let (delay, stranded) = {
            let state = self.state.lock();
            (state.letter_delay, state.stranded_letters.get(letter.topic).cloned())
        };
        if let Some((time, error)) = stranded {
            sleep(time).await;
            return Err(error);
        }
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let mut state = self.state.lock();
        if let Some(error) = &state.letter_fault {
            return Err(error.clone());
        }
        let record = letter.record;
        let original = record.headers().map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec)));
        let added =
            letter.added.iter().map(|(name, value)| (name.as_bytes().to_vec(), Some(value.clone().into_bytes())));
        let written = OwnedRecord {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: original.chain(added).collect(),
            timestamp: Some(Timestamp::now()),
        };
        if let Some(observer) = &mut state.on_letter {
            observer(&written);
        }
        let place = TopicPartition { topic: letter.topic.clone(), partition: record.partition() };
        let partition = place.partition;
        Ok(Sent { partition, offset: state.append(place, written) })
    }

    fn letters(&self, topic: &Topic) -> Option<DeadLetters> {
        Some(DeadLetters::in_memory(self, topic.clone()))
    }
}

#[async_trait]
impl RecordSink for MemoryBroker {
    /// Records of one key go to one partition of the topic, those without a key to its first. A topic that wasn't created is unknown.
    async fn write(&self, topic: &Topic, record: &OwnedRecord) -> Result<Sent, SendError> {
        let (sent, delay) = {
            let mut state = self.state.lock();
            let outcome = match &state.send_fault {
                Some(error) => Err(error.clone()),
                None => state.produce(topic, record),
            };
            (outcome, state.send_delay)
        };
        self.changed.notify_waiters();
        // Written at once; the acknowledgement takes its time.
        if !delay.is_zero() {
            sleep(delay).await;
        }
        sent
    }
}

impl MemoryBroker {
    /// Dead letters that go to this topic are refused with this error, after so long, until that is taken back by [`heal`](Self::heal).
    pub fn strand_letters(&self, topic: &str, time: Duration, error: PublishError) {
        self.state.lock().stranded_letters.insert(topic.into(), (time, error));
    }

    /// Writes a record to the partition of its key, whatever faults were injected.
    pub(super) fn append(&self, topic: &Topic, record: &OwnedRecord) -> Result<Sent, SendError> {
        let sent = self.state.lock().produce(topic, record);
        self.changed.notify_waiters();
        sent
    }
}

impl State {
    pub(super) fn produce(&mut self, topic: &Topic, record: &OwnedRecord) -> Result<Sent, SendError> {
        let partitions = usize::try_from(self.partitions(topic.as_str())).unwrap_or(0);
        if partitions == 0 {
            return Err(SendError::UnknownTopic(topic.clone()));
        }
        // Any function does that is the same each time.
        let hash =
            |key: &[u8]| key.iter().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add((*byte).into()));
        let index = record.key.as_deref().map_or(0, hash) % partitions;
        let partition = Partition(i32::try_from(index).unwrap_or(0));
        let mut written = record.clone();
        written.timestamp.get_or_insert_with(Timestamp::now);
        let offset = self.append(TopicPartition { topic: topic.clone(), partition }, written);
        Ok(Sent { partition, offset })
    }
}
