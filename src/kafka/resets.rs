//! Partitions whose next offset does not exist any more.
//!
//! Owner: the event thread. What was removed unread is lost, and nobody can help that; so nothing goes on without a policy that
//! says so, and each time it is told.

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
use crate::pipeline::source::{Assigned as Ours, Epoch, Event, SourceError};
use crate::pipeline::tracker::OffsetTracker;
use crate::record::{NextOffset, Offset, TopicPartition};

const AGAIN: Duration = Duration::from_secs(1);

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
            if let Stage::Known(target) = reset.stage {
                go_on(&reset, Offset(target), client, assignment, around)?;
            } else {
                self.under_way.push(reset);
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
        "records were removed before they were read, going on behind them");
    // Forward, what is known of the partition stays true: there is a gap. Backward it was written anew.
    let forward =
        around.config.out_of_range == OutOfRange::Earliest && assigned.next.is_some_and(|next| target >= next);
    if !forward {
        around.mailbox.forget(&[reset.epoch]);
        around.mailbox.tell(Event::Lost(vec![reset.epoch]));
        assigned.epoch = around.next_epoch();
        let tag = around.tag(&place.topic);
        let progress =
            OffsetTracker::resume(Some(NextOffset::at(target.0)), "", tag, around.config.metadata_limit).tracker;
        around.mailbox.tell(Event::Assigned(vec![Ours {
            epoch: assigned.epoch,
            topic_partition: place.clone(),
            progress,
        }]));
    }
    assigned.next = Some(target);
    assigned.held = false;
    assigned.queue.ring();
    restart(place, target, client, assignment)
        .map_err(|error| Halt::Rebuild(format!("{place} could not be read on: {error}")))
}

/// Has librdkafka fetch the partition from `target` on. A seek won't do: it has stopped fetching the partition.
fn restart(place: &TopicPartition, target: Offset, client: &Client, assignment: &Assignment) -> KafkaResult<()> {
    let consumer = client.consumer();
    if client.is_incremental() {
        let one = list([(place, rdkafka::Offset::Offset(target.0))])?;
        consumer.incremental_unassign(&one)?;
        return consumer.incremental_assign(&one);
    }
    let next = |next: Option<Offset>| next.map_or(rdkafka::Offset::Beginning, |next| rdkafka::Offset::Offset(next.0));
    consumer.assign(&list(assignment.iter().map(|assigned| (&assigned.place, next(assigned.next))))?)
}
