//! Partitions that must be fetched anew: their next offset does not exist any more, or a fetch of them failed.
//!
//! Owner: the event thread. What was removed unread is lost, and nobody can help that; so nothing goes on without a policy that
//! says so, and each time it is told. A failed fetch loses nothing as long as it is begun again where it stood: librdkafka counts the
//! error that comes in the place of a record as one, and would go on behind it after the next rebalance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use tracing::warn;

use super::assignment::Assignment;
use super::client::{Client, list};
use super::config::OutOfRange;
use super::errand::Errand;
use super::native::Failure;
use super::session::{Halt, Surroundings};
use super::starts::{pin, watermarks};
use crate::pipeline::source::{Assigned as Ours, Epoch, Event, Missed, SourceError};
use crate::pipeline::tracker::OffsetTracker;
use crate::record::{NextOffset, Offset, TopicPartition};

const AGAIN: Duration = Duration::from_secs(1);
/// The same where only somebody from outside can help. Under the eager protocol the others are fetched anew along with it.
const LATER: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Resets {
    under_way: Vec<Reset>,
}

#[derive(Debug)]
struct Reset {
    epoch: Epoch,
    place: TopicPartition,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Asking(Errand<Result<i64, String>>),
    Failed(Instant),
    Known(i64),
    /// Nothing is missing: it is fetched again from where it stands, then.
    Again(Instant),
}

impl Resets {
    /// Takes up a partition that can't be read on.
    pub(super) fn push(
        &mut self,
        epoch: Epoch,
        failure: &Failure,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &Surroundings,
    ) -> Result<(), Halt> {
        let Some(assigned) = assignment.get_mut(epoch) else { return Ok(()) };
        let (place, next) = (assigned.place.clone(), assigned.next);
        if around.config.out_of_range == OutOfRange::Stop {
            let at = next.map_or_else(|| "its beginning".to_owned(), |next| next.to_string());
            return Err(Halt::Fail(SourceError::Fatal(format!(
                "{place} can't be read on at {at}, its records were removed before they were read ({}): reset the group's offset, or set `out_of_range` to `earliest` or `latest`",
                failure.reason
            ))));
        }
        assigned.held = true;
        self.under_way.push(Reset { epoch, stage: ask(&place, client, around), place });
        Ok(())
    }

    /// Takes up a partition whose fetch failed, unless it is here already.
    pub(super) fn fetch_again(&mut self, epoch: Epoch, assignment: &mut Assignment) {
        let Some(assigned) = assignment.get_mut(epoch) else { return };
        assigned.held = true;
        if self.under_way.iter().all(|reset| reset.epoch != epoch) {
            let wait = if assigned.unreadable.is_some() { LATER } else { AGAIN };
            let stage = Stage::Again(Instant::now() + wait);
            self.under_way.push(Reset { epoch, stage, place: assigned.place.clone() });
        }
    }

    /// Goes on with those whose question is answered. Not while a rebalance is under way: both change the assignment.
    pub(super) fn advance(
        &mut self,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &mut Surroundings,
    ) -> Result<(), Halt> {
        for mut reset in std::mem::take(&mut self.under_way) {
            if assignment.get_mut(reset.epoch).is_none() {
                continue;
            }
            reset.stage = match reset.stage {
                Stage::Asking(errand) => match errand.answer() {
                    None => Stage::Asking(errand),
                    Some(Some(Ok(target))) => Stage::Known(target),
                    Some(Some(Err(error))) => {
                        warn!(topic = %reset.place.topic, partition = reset.place.partition.0, error, "no place to go on could be found, trying again");
                        Stage::Failed(Instant::now() + AGAIN)
                    }
                    Some(None) => Stage::Failed(Instant::now() + AGAIN),
                },
                Stage::Failed(at) if Instant::now() >= at => ask(&reset.place, client, around),
                stage => stage,
            };
            match reset.stage {
                Stage::Known(target) => go_on(&reset, Offset(target), client, assignment, around)?,
                Stage::Again(at) if Instant::now() >= at => {
                    let next = assignment.get_mut(reset.epoch).and_then(|assigned| assigned.next);
                    restart(&reset.place, reset.epoch, next, client, assignment, around)?;
                }
                _ => self.under_way.push(reset),
            }
        }
        Ok(())
    }
}

fn ask(place: &TopicPartition, client: &Arc<Client>, around: &Surroundings) -> Stage {
    let (client, place, policy) = (Arc::clone(client), place.clone(), around.config.out_of_range);
    let errand = Errand::run("kafka-reset", &around.wake, move || {
        let (first, end) = watermarks(&client, &place).map_err(|error| error.to_string())?;
        if policy != OutOfRange::Latest {
            return Ok(first);
        }
        // As with a start at the end: the next start must not skip what came in since.
        pin(&client, &place, end).map_err(|error| error.to_string())?;
        Ok(end)
    });
    errand.map_or_else(|_| Stage::Failed(Instant::now() + AGAIN), Stage::Asking)
}

fn go_on(
    reset: &Reset,
    target: Offset,
    client: &Arc<Client>,
    assignment: &mut Assignment,
    around: &mut Surroundings,
) -> Result<(), Halt> {
    let place = &reset.place;
    let Some(assigned) = assignment.get_mut(reset.epoch) else { return Ok(()) };
    warn!(topic = %place.topic, partition = place.partition.0, offset = target.0, expected = assigned.next.map(|next| next.0),
        "the next offset is gone, going on elsewhere");
    let offsets = assigned.next.and_then(|next| u64::try_from(target.0 - next.0).ok());
    around.mailbox.tell(Event::Missed(Missed { topic_partition: place.clone(), offsets }));
    // Forward, what is known of the partition stays true: there is a gap. Backward it was written anew.
    let forward =
        around.config.out_of_range == OutOfRange::Earliest && assigned.next.is_some_and(|next| target >= next);
    if !forward {
        around.mailbox.tell(Event::Lost(vec![reset.epoch]));
        assigned.renew(around.next_epoch());
        let tag = around.tag(&place.topic);
        let progress =
            OffsetTracker::resume(Some(NextOffset::at(target.0)), "", tag, around.config.metadata_limit).tracker;
        around.mailbox.tell(Event::Assigned(vec![Ours {
            epoch: assigned.epoch,
            topic_partition: place.clone(),
            progress,
        }]));
    }
    let epoch = assigned.epoch;
    restart(place, epoch, Some(target), client, assignment, around)
}

/// Has librdkafka fetch the partition from `next` on. A seek won't do: where the offset was gone it has stopped fetching.
pub(super) fn restart(
    place: &TopicPartition,
    epoch: Epoch,
    next: Option<Offset>,
    client: &Arc<Client>,
    assignment: &mut Assignment,
    around: &Surroundings,
) -> Result<(), Halt> {
    let Some(assigned) = assignment.get_mut(epoch) else { return Ok(()) };
    assigned.restart(next);
    fetch(place, client, assignment, around)
        .map_err(|error| Halt::Rebuild(format!("{place} could not be read on: {error}")))
}

fn fetch(
    place: &TopicPartition,
    client: &Arc<Client>,
    assignment: &mut Assignment,
    around: &Surroundings,
) -> KafkaResult<()> {
    let consumer = client.consumer();
    let is_incremental = client.is_incremental();
    let places: Vec<TopicPartition> = if is_incremental {
        vec![place.clone()]
    } else {
        assignment.iter().map(|assigned| assigned.place.clone()).collect()
    };
    if is_incremental {
        consumer.incremental_unassign(&list([(place, rdkafka::Offset::Invalid)])?)?;
    } else {
        consumer.unassign()?;
    }
    // Of a topic that was out of sight librdkafka has let go with that, and makes its partitions and their queues anew.
    assignment.retake(&places, client, &around.arrived())?;
    let start = |next: Option<Offset>| next.map_or(rdkafka::Offset::Beginning, |next| rdkafka::Offset::Offset(next.0));
    let again = assignment.iter().filter(|assigned| places.contains(&assigned.place));
    let again = list(again.map(|assigned| (&assigned.place, start(assigned.next))))?;
    if is_incremental { consumer.incremental_assign(&again) } else { consumer.assign(&again) }
}
