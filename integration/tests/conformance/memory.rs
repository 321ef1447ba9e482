//! The source in memory. In real time too, so that both sources are asked the same.

use std::time::Duration;

use daemonry::pipeline::subscription::Subscription;
use daemonry::record::{OwnedRecord, Timestamp};
use daemonry::testing::{MemoryBroker, MemorySource};
use integration::Message;
use integration::topics::Committed;

use crate::fixture::Fixture;

const TOPIC: &str = "asked";

/// A topic of a broker of its own, whose one group is the group.
pub(crate) struct Memory(MemoryBroker);

impl Fixture for Memory {
    type Source = MemorySource;

    fn announce(drain: Duration) -> Self {
        let broker = MemoryBroker::new();
        broker.revoke_within(drain);
        Self(broker)
    }

    fn topic(&self) -> &str {
        TOPIC
    }

    fn create(&self, topic: &str, partitions: u16) {
        self.0.create_topic(topic, partitions.into());
    }

    fn join_by(&self, subscription: Subscription) -> MemorySource {
        self.0.join(subscription)
    }

    fn produce(&self, partition: i32, messages: &[Message]) {
        for Message { key, value, headers } in messages.iter().cloned() {
            self.0.produce(TOPIC, partition, OwnedRecord { key, value, headers, timestamp: Some(Timestamp::now()) });
        }
    }

    fn leave_gap(&self, partition: i32) {
        self.0.skip_offsets(TOPIC, partition, 3);
    }

    fn end(&self, partition: i32) -> i64 {
        self.0.end(TOPIC, partition).0
    }

    fn committed(&self, partition: i32) -> Option<Committed> {
        let commit = self.0.committed(TOPIC, partition)?;
        Some(Committed { next: commit.next, metadata: commit.metadata })
    }
}

conforms!(Memory);

/// Only here: where it isn't known how far a gap goes, as with Kafka, it isn't told, and the place stays behind the last record.
#[tokio::test]
async fn a_batch_tells_how_far_a_gap_goes() {
    crate::ends::a_batch_tells_how_far_a_gap_goes::<Memory>().await;
}
