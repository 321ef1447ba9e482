//! Partitions that somebody has asked to go on elsewhere.
//!
//! Owner: the event thread. The place is found first, so that a wrong one changes nothing. Then the partition is revoked from the
//! pipeline, but not handed back to the group, and assigned to it anew from there. Until then nobody reads it.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::Consumer;
use tracing::info;

use super::assignment::Assignment;
use super::client::{Client, list};
use super::drain::{Drain, Drained};
use super::errand::Errand;
use super::resets::restart;
use super::session::{Halt, Surroundings};
use super::starts::{PATIENCE, watermarks};
use crate::pipeline::seek::{Seek, SeekError};
use crate::pipeline::source::{Assigned as Ours, Epoch, Event};
use crate::pipeline::tracker::OffsetTracker;
use crate::record::{NextOffset, Offset, Timestamp, TopicPartition};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Seeks {
    under_way: Vec<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    epoch: Epoch,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Its place is being looked up, on a thread that gives the wish back with it.
    Asking(Errand<(Seek, Result<Offset, SeekError>)>),
    /// What was started of it ends.
    Draining(Seek, Offset, Drain),
}

impl Seeks {
    /// Takes up a wish.
    pub(super) fn push(&mut self, seek: Seek, client: &Arc<Client>, assignment: &Assignment, around: &Surroundings) {
        let found = assignment.iter().find(|assigned| assigned.place == *seek.topic_partition() && !assigned.held);
        let Some(assigned) = found else {
            let place = seek.topic_partition().clone();
            return seek.refuse(SeekError::NotAssigned(place));
        };
        let (epoch, client) = (assigned.epoch, Arc::clone(client));
        let ask = move || {
            let place = find(&seek, &client);
            (seek, place)
        };
        // Without a thread the wish is dropped, and so refused.
        if let Ok(errand) = Errand::run("kafka-seek", &around.wake, ask) {
            self.under_way.push(UnderWay { epoch, stage: Stage::Asking(errand) });
        }
    }

    /// When to look again at the latest, whatever wakes us before.
    pub(super) fn due(&self) -> Option<Instant> {
        let deadlines = self.under_way.iter().filter_map(|one| match &one.stage {
            Stage::Draining(_, _, drain) => Some(drain.deadline()),
            Stage::Asking(_) => None,
        });
        deadlines.min()
    }

    /// Goes on with those that can. Not while a rebalance is under way: both change the assignment.
    pub(super) fn advance(
        &mut self,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &mut Surroundings,
    ) -> Result<(), Halt> {
        for one in std::mem::take(&mut self.under_way) {
            let UnderWay { epoch, stage } = one;
            match stage {
                Stage::Asking(errand) => match errand.answer() {
                    None => self.under_way.push(UnderWay { epoch, stage: Stage::Asking(errand) }),
                    Some(Some((seek, Ok(to)))) => self.begin(seek, to, epoch, assignment, around),
                    Some(Some((seek, Err(error)))) => seek.refuse(error),
                    // Its thread died, and the wish with it.
                    Some(None) => {}
                },
                Stage::Draining(seek, to, mut drain) => {
                    let drained = drain.ended(&around.wake);
                    if assignment.get_mut(epoch).is_none() {
                        let place = seek.topic_partition().clone();
                        seek.refuse(SeekError::NotAssigned(place));
                    } else if let Some(drained) = drained {
                        go_on(seek, to, epoch, drained, client, assignment, around)?;
                    } else {
                        self.under_way.push(UnderWay { epoch, stage: Stage::Draining(seek, to, drain) });
                    }
                }
            }
        }
        Ok(())
    }

    /// The place is known: takes the partition from the pipeline.
    fn begin(&mut self, seek: Seek, to: Offset, epoch: Epoch, assignment: &mut Assignment, around: &Surroundings) {
        let Some(assigned) = assignment.get_mut(epoch).filter(|assigned| !assigned.held) else {
            let place = seek.topic_partition().clone();
            return seek.refuse(SeekError::NotAssigned(place));
        };
        if seek.is_forgotten() {
            return;
        }
        assigned.held = true;
        let stage = Stage::Draining(seek, to, Drain::begin(vec![epoch], around));
        self.under_way.push(UnderWay { epoch, stage });
    }
}

/// The offset of the place.
fn find(seek: &Seek, client: &Client) -> Result<Offset, SeekError> {
    let place = seek.topic_partition();
    let failed = |error: rdkafka::error::KafkaError| {
        SeekError::Failed(format!("the brokers do not say where {} of {place} is: {error}", seek.to()))
    };
    let (first, end) = watermarks(client, place).map_err(failed)?;
    seek.resolve(Offset(first), Offset(end), |time| at_time(client, place, time).map_err(failed))
}

/// The first record of that time or later, if there is one.
fn at_time(client: &Client, place: &TopicPartition, time: Timestamp) -> rdkafka::error::KafkaResult<Option<Offset>> {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let question = list([(place, rdkafka::Offset::Offset(millis))])?;
    let answer = client.consumer().offsets_for_times(question, PATIENCE)?;
    let elements = answer.elements();
    let Some(element) = elements.first() else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        rdkafka::Offset::Offset(offset) => Some(Offset(offset)),
        _ => None,
    })
}

/// Assigns the partition to the pipeline anew, and fetches it from its new place.
fn go_on(
    seek: Seek,
    to: Offset,
    epoch: Epoch,
    drained: Drained,
    client: &Arc<Client>,
    assignment: &mut Assignment,
    around: &mut Surroundings,
) -> Result<(), Halt> {
    let place = seek.topic_partition().clone();
    if drained == Drained::Overdue {
        around.mailbox.tell(Event::Lost(vec![epoch]));
    }
    let Some(assigned) = assignment.get_mut(epoch) else { return Ok(()) };
    let epoch = around.next_epoch();
    assigned.renew(epoch);
    let next = NextOffset::at(to.0);
    let progress = OffsetTracker::moved_to(next, around.tag(&place.topic), around.config.metadata_limit);
    around.mailbox.tell(Event::Assigned(vec![Ours { epoch, topic_partition: place.clone(), progress }]));
    restart(&place, epoch, Some(to), client, assignment, around)?;
    info!(topic = %place.topic, partition = place.partition.0, offset = to.0, "going on elsewhere, as somebody asked");
    seek.done(next);
    Ok(())
}
