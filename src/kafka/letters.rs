//! Dead letters go through the idempotent producer.

use async_trait::async_trait;

use super::producer::KafkaProducer;
use crate::dead_letters::DeadLetters;
use crate::pipeline::dead_letter::{DeadLetterSink, Letter, PublishError};
use crate::producer::{SendError, Sent};
use crate::record::{Header, Topic};

#[async_trait]
impl DeadLetterSink for KafkaProducer {
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError> {
        let record = letter.record;
        let added =
            letter.added.iter().map(|(name, value)| Header { name: name.as_bytes(), value: Some(value.as_bytes()) });
        let headers: Vec<Header<'_>> = record.headers().chain(added).collect();
        // Its time is the present: with the record's own, the retention of the letters' topic could remove a late one at once.
        let sent = self.send(letter.topic, record.key(), record.value(), headers.into_iter(), None).await;
        sent.map(|(partition, offset)| Sent { partition, offset }).map_err(PublishError::from)
    }

    fn letters(&self, topic: &Topic) -> Option<DeadLetters> {
        // It could not have been made with what they refuse.
        DeadLetters::open(self.config(), topic.clone()).ok()
    }
}

impl From<SendError> for PublishError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::TooLarge(topic) => Self::TooLarge(topic),
            SendError::UnknownTopic(topic) => Self::UnknownTopic(topic),
            SendError::NotAuthorized(topic) => Self::NotAuthorized(topic),
            SendError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}
