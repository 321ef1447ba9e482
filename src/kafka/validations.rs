//! Whether a log still is the one that was read, looked at when a partition is assigned: nothing is read of it before.
//!
//! Owner: the event thread. librdkafka asks the brokers for it only when a leader changes while it reads. What was cut off while nobody read, or
//! what made a process stop that is started again, it would not notice as soon as there is a new record where the next one was to be. So
//! it is sent to where it stands already, with the epoch of the leader under which the last record was read: a seek asks. What it finds
//! comes in the place of a record, as ever.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use tracing::warn;

use super::assignment::{Assigned, Assignment};
use super::client::{Client, list};
use super::native::set_leader_epochs;
use crate::pipeline::source::Epoch;
use crate::record::TopicPartition;

/// What a seek may take: no broker is asked before it is done, only a thread of the client's.
const TURN: Duration = Duration::from_millis(50);
/// How soon what has arrived is no longer of a seek that is still on its way.
const SETTLED: Duration = Duration::from_millis(500);
/// How long it is tried. After that the partition is read without having been looked at.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Validations {
    waiting: Vec<(Epoch, Instant)>,
}

impl Validations {
    /// Looks at those that are assigned since this was last done.
    pub(super) fn advance(&mut self, client: &Client, assignment: &mut Assignment) {
        // What is gone, or is fetched anew meanwhile, needs no look any more.
        self.waiting.retain(|(epoch, _)| assignment.get_mut(*epoch).is_some_and(|assigned| assigned.is_to_prove()));
        let known: Vec<Epoch> = self.waiting.iter().map(|(epoch, _)| *epoch).collect();
        let unseen = assignment.iter().filter(|assigned| assigned.is_to_prove() && !known.contains(&assigned.epoch));
        self.waiting.extend(unseen.map(|assigned| (assigned.epoch, Instant::now())));
        if self.waiting.is_empty() {
            return;
        }
        let unproven: Vec<&Assigned> = assignment.iter().filter(|assigned| assigned.is_to_prove()).collect();
        let sought = seek(client, &unproven);
        self.waiting.retain(|(epoch, since)| {
            let Some(assigned) = assignment.get_mut(*epoch) else { return false };
            let error = match &sought {
                Ok(failed) => failed.iter().find(|(place, _)| *place == assigned.place).map(|(_, error)| error),
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                // Its fetching has begun, and failed before it could be asked: what comes in the place of a record says so.
                if since.elapsed() >= SETTLED && assigned.has_arrived() {
                    assigned.prove(client);
                    return false;
                }
                // Its fetching may not have begun yet.
                if since.elapsed() < PATIENCE {
                    return true;
                }
                let (topic, partition) = (&assigned.place.topic, assigned.place.partition.0);
                warn!(%topic, partition, %error, "a partition is read without a look at whether its log was cut");
            }
            assigned.prove(client);
            false
        });
    }
}

/// Sends them to where they stand. Says which are not there yet.
fn seek(client: &Client, unproven: &[&Assigned]) -> KafkaResult<Vec<(TopicPartition, KafkaError)>> {
    let offset = |assigned: &Assigned| assigned.next.map_or(Offset::Beginning, |next| Offset::Offset(next.0));
    let list = list(unproven.iter().map(|assigned| (&assigned.place, offset(assigned))))?;
    set_leader_epochs(&list, unproven.iter().map(|assigned| assigned.leader_epoch));
    let sought = client.consumer().seek_partitions(list, TURN)?;
    let failed = sought.elements().into_iter().filter_map(|element| {
        let place = TopicPartition::new(element.topic(), element.partition());
        element.error().err().map(|error| (place, error))
    });
    Ok(failed.collect())
}
