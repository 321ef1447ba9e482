//! Partitions that somebody has asked to go on elsewhere.
//!
//! Owner: the event thread. The place is found first, so that a wrong one changes nothing. Then the partition is revoked from the
//! pipeline, but not handed back to the group, and assigned to it anew from there. Until then nobody reads it. The wish is fulfilled when
//! the place is committed: whatever becomes of this process then, the partition goes on there.

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
use crate::pipeline::seek::{Seek, SeekError, SeekTo};
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
    seek: Seek,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Its place is being looked up.
    Asking(Errand<Result<Offset, SeekError>>),
    /// Its place is known, but something else is under way with the partition.
    Waiting(Offset),
    /// What was started of it ends.
    Draining(Offset, Epoch, Drain),
    /// It goes on; that is being committed.
    Committing(NextOffset, Epoch),
}

impl Seeks {
    /// Takes up a wish.
    pub(super) fn push(&mut self, seek: Seek, client: &Arc<Client>, assignment: &Assignment, around: &Surroundings) {
        let place = seek.topic_partition().clone();
        if assignment.iter().all(|assigned| assigned.place != place) {
            return seek.refuse(SeekError::NotAssigned(place));
        }
        let (to, client) = (seek.to(), Arc::clone(client));
        match Errand::run("kafka-seek", &around.wake, move || find(&place, to, &client)) {
            Ok(errand) => self.under_way.push(UnderWay { seek, stage: Stage::Asking(errand) }),
            Err(error) => seek.refuse(SeekError::Failed(format!("no thread could be started for a seek: {error}"))),
        }
    }

    /// When to look again at the latest, whatever wakes us before.
    pub(super) fn due(&self) -> Option<Instant> {
        let deadlines = self.under_way.iter().filter_map(|one| match &one.stage {
            Stage::Draining(_, _, drain) => Some(drain.deadline()),
            Stage::Asking(_) | Stage::Waiting(_) | Stage::Committing(..) => None,
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
        let mut left = std::mem::take(&mut self.under_way).into_iter();
        let outcome = left.by_ref().try_for_each(|one| self.step(one, client, assignment, around));
        // After an error too: whoever asked is to hear of it.
        self.under_way.extend(left);
        outcome
    }

    fn step(
        &mut self,
        UnderWay { seek, stage }: UnderWay,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &mut Surroundings,
    ) -> Result<(), Halt> {
        let stage = match stage {
            Stage::Asking(errand) => match errand.answer() {
                None => Stage::Asking(errand),
                Some(answer) => {
                    let died = || Err(SeekError::Failed("the thread that looked for the place died".to_owned()));
                    match answer.unwrap_or_else(died) {
                        Ok(to) => self.begin(seek, to, assignment, around),
                        Err(error) => seek.refuse(error),
                    }
                    return Ok(());
                }
            },
            Stage::Waiting(to) => {
                self.begin(seek, to, assignment, around);
                return Ok(());
            }
            Stage::Draining(_, epoch, _) if assignment.get_mut(epoch).is_none() => {
                let place = seek.topic_partition().clone();
                seek.refuse(SeekError::NotAssigned(place));
                return Ok(());
            }
            Stage::Draining(to, epoch, mut drain) => match drain.ended(&around.wake) {
                Some(drained) => {
                    if drained == Drained::Overdue {
                        around.mailbox.tell(Event::Lost(vec![epoch]));
                    }
                    return self.go_on(seek, to, epoch, client, assignment, around);
                }
                None => Stage::Draining(to, epoch, drain),
            },
            Stage::Committing(_, epoch) if assignment.get_mut(epoch).is_none() => {
                let error = unknown(&seek, "it was taken from this process");
                seek.refuse(error);
                return Ok(());
            }
            stage @ Stage::Committing(..) => stage,
        };
        self.under_way.push(UnderWay { seek, stage });
        Ok(())
    }

    /// The coordinator has taken commits of these assignments.
    pub(super) fn committed(&mut self, epochs: &[Epoch]) {
        let is_done = |one: &mut UnderWay| matches!(one.stage, Stage::Committing(_, epoch) if epochs.contains(&epoch));
        for UnderWay { seek, stage } in self.under_way.extract_if(.., is_done) {
            if let Stage::Committing(next, _) = stage {
                seek.done(next);
            }
        }
    }

    /// Refuses all: the client is given up.
    pub(super) fn abandon(&mut self, reason: &str) {
        for UnderWay { seek, stage } in self.under_way.drain(..) {
            let error = match stage {
                Stage::Committing(..) => unknown(&seek, reason),
                _ => SeekError::Failed(format!("the Kafka client is made anew: {reason}")),
            };
            seek.refuse(error);
        }
    }

    /// Ends with the source. What has not gone on elsewhere counts as not running; of the others that is not known.
    pub(super) fn close(self) {
        for UnderWay { seek, stage } in self.under_way {
            if let Stage::Committing(..) = stage {
                let error = unknown(&seek, "the daemon stopped");
                seek.refuse(error);
            }
        }
    }

    /// The place is known: takes the partition from the pipeline, once nothing else holds it.
    fn begin(&mut self, seek: Seek, to: Offset, assignment: &mut Assignment, around: &Surroundings) {
        let Some(epoch) = assignment.epoch_of(seek.topic_partition()) else {
            let place = seek.topic_partition().clone();
            return seek.refuse(SeekError::NotAssigned(place));
        };
        if seek.is_forgotten() {
            return;
        }
        // One that was asked for before goes first.
        let is_before = |one: &UnderWay| {
            one.seek.topic_partition() == seek.topic_partition() && !matches!(one.stage, Stage::Committing(..))
        };
        let is_next = !self.under_way.iter().any(is_before);
        let stage = match assignment.get_mut(epoch).filter(|assigned| is_next && !assigned.held) {
            Some(assigned) => {
                assigned.held = true;
                Stage::Draining(to, epoch, Drain::begin(vec![epoch], around))
            }
            // Another seek is under way, or its fetch is begun again.
            None => Stage::Waiting(to),
        };
        self.under_way.push(UnderWay { seek, stage });
    }

    /// Assigns the partition to the pipeline anew, and fetches it from its new place.
    fn go_on(
        &mut self,
        seek: Seek,
        to: Offset,
        epoch: Epoch,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &mut Surroundings,
    ) -> Result<(), Halt> {
        let place = seek.topic_partition().clone();
        let Some(assigned) = assignment.get_mut(epoch) else { return Ok(()) };
        let epoch = around.next_epoch();
        assigned.renew(epoch);
        let next = NextOffset::at(to.0);
        let progress = OffsetTracker::moved_to(next, around.tag(&place.topic), around.metadata_room());
        around.mailbox.tell(Event::Assigned(vec![Ours { epoch, topic_partition: place.clone(), progress }]));
        self.under_way.push(UnderWay { seek, stage: Stage::Committing(next, epoch) });
        restart(&place, epoch, Some(to), client, assignment, around)?;
        info!(topic = %place.topic, partition = place.partition.0, offset = to.0, "going on elsewhere, as somebody asked");
        Ok(())
    }
}

/// Of a partition that went on, but maybe without a commit.
fn unknown(seek: &Seek, reason: &str) -> SeekError {
    let (place, to) = (seek.topic_partition(), seek.to());
    SeekError::Failed(format!(
        "nobody knows whether {place} goes on at {to}, {reason} before that was committed: ask whoever has it now"
    ))
}

/// The offset of the place.
fn find(place: &TopicPartition, to: SeekTo, client: &Client) -> Result<Offset, SeekError> {
    let failed = |error: rdkafka::error::KafkaError| {
        SeekError::Failed(format!("the brokers do not say where {to} of {place} is: {error}"))
    };
    let (first, end) = watermarks(client, place).map_err(failed)?;
    to.resolve(place, Offset(first), Offset(end), |time| at_time(client, place, time).map_err(failed))
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
