//! Partitions that must be fetched anew: their next offset does not exist any more, or a fetch of them failed.
//!
//! Owner: the event thread. What the brokers have now is asked first, so that what happened can be told, and the policy for it asked. A failed
//! fetch loses nothing as long as it is begun again where it stood: librdkafka counts the error that comes in the place of a record as one, and
//! would go on behind it after the next rebalance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use tracing::warn;

use super::assignment::Assignment;
use super::client::{Client, list};
use super::config::LossPolicy;
use super::describe::ids;
use super::drain::{Drain, Drained};
use super::errand::Errand;
use super::identities::made_anew;
use super::losses::{Cause, Lost};
use super::native::{committed, set_leader_epochs};
use super::session::{Halt, Surroundings};
use super::starts::{PATIENCE, pin, watermarks};
use crate::pipeline::metadata::finished_above;
use crate::pipeline::source::{Assigned as Ours, Epoch, Event, Loss, Missed, SourceError};
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
    /// What the brokers have of it now is asked.
    Asking(Cause, Errand<Result<Found, String>>),
    Unanswered(Cause, Instant),
    /// What was started of what is left, or passed over, ends: what is finished of it is to be committed.
    Draining(Way, Drain),
    /// Where that leads is being made sure of.
    Placing(Way, Errand<Result<Goal, String>>),
    Unplaced(Way, Instant),
    /// Nothing is missing: it is fetched again from where it stands, then.
    Again(Instant),
}

/// What the brokers have of a partition.
#[derive(Debug)]
struct Found {
    first: Offset,
    end: Offset,
    /// Its topic's id, if they tell.
    id: Option<u128>,
}

/// Where a partition goes on.
#[derive(Debug, Clone, Copy)]
struct Way {
    loss: Loss,
    policy: LossPolicy,
    target: Offset,
    /// What is left of what was read, where its log was cut.
    left: Option<Offset>,
    /// The first that was read.
    began: Option<Offset>,
    /// What was to be read next.
    next: Option<Offset>,
    /// How many offsets are lost by it that were not read.
    offsets: Option<u64>,
}

impl Way {
    /// Whether what was read is ended first: it can't go on beside what follows, or is passed over.
    fn drains(&self) -> bool {
        self.loss == Loss::Truncated || (self.loss == Loss::Removed && self.policy == LossPolicy::Latest)
    }

    /// Of what was read, up to where it may still be done.
    fn read(&self) -> Option<Offset> {
        self.left.or(self.next)
    }

    /// Where it leads by what the group has committed once it is drained.
    fn goal(&self, standing: Option<Standing>) -> Goal {
        // Where nothing is committed, nothing that was read is finished.
        let standing = standing.or_else(|| self.began.map(|low| Standing { low, finished: 0 }));
        let mut goal = Goal { target: self.target, unfinished: 0 };
        if self.policy == LossPolicy::Latest {
            goal.unfinished = standing.zip(self.read()).map_or(0, |(standing, read)| standing.unfinished(read));
        } else if let Some(standing) = standing {
            // What is left may not be finished. The runs that are remembered above it may be of what is gone: they are not asked for.
            goal.target = goal.target.min(standing.low);
        }
        goal
    }
}

/// Where a partition really goes on.
#[derive(Debug, Clone, Copy)]
struct Goal {
    target: Offset,
    /// How many offsets are lost by it that were read and not finished.
    unfinished: u64,
}

impl Resets {
    /// Takes up a partition that can't be read on.
    pub(super) fn push(
        &mut self,
        epoch: Epoch,
        cause: Cause,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &Surroundings,
    ) {
        let Some(assigned) = assignment.get_mut(epoch) else { return };
        assigned.held = true;
        let place = assigned.place.clone();
        let stage = match cause {
            Cause::Truncated(left) if assigned.suspect(left) => Stage::Again(Instant::now()),
            cause => ask(cause, &place, client, around),
        };
        self.under_way.push(Reset { epoch, stage, place });
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

    /// When to look again at the latest, whatever wakes us before.
    pub(super) fn due(&self) -> Option<Instant> {
        let deadlines = self.under_way.iter().filter_map(|reset| match &reset.stage {
            Stage::Draining(_, drain) => Some(drain.deadline()),
            _ => None,
        });
        deadlines.min()
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
                Stage::Asking(cause, errand) => match errand.answer() {
                    None => Stage::Asking(cause, errand),
                    Some(Some(Ok(found))) => {
                        let way = decide(&reset.place, reset.epoch, cause, &found, assignment, around)?;
                        if way.drains() {
                            Stage::Draining(way, Drain::begin(vec![reset.epoch], around))
                        } else {
                            make_sure(way, &reset.place, client, around)
                        }
                    }
                    Some(answer) => {
                        tell_unknown(&reset.place, answer.and_then(Result::err));
                        Stage::Unanswered(cause, Instant::now() + AGAIN)
                    }
                },
                Stage::Unanswered(cause, at) if Instant::now() >= at => ask(cause, &reset.place, client, around),
                Stage::Draining(way, mut drain) => match drain.ended(&around.wake) {
                    Some(drained) => {
                        if drained == Drained::Overdue {
                            around.mailbox.tell(Event::Lost(vec![reset.epoch]));
                        }
                        make_sure(way, &reset.place, client, around)
                    }
                    None => Stage::Draining(way, drain),
                },
                Stage::Placing(way, errand) => match errand.answer() {
                    None => Stage::Placing(way, errand),
                    Some(Some(Ok(goal))) => {
                        go_on(&reset.place, reset.epoch, way, goal, client, assignment, around)?;
                        continue;
                    }
                    Some(answer) => {
                        tell_unknown(&reset.place, answer.and_then(Result::err));
                        Stage::Unplaced(way, Instant::now() + AGAIN)
                    }
                },
                Stage::Unplaced(way, at) if Instant::now() >= at => make_sure(way, &reset.place, client, around),
                Stage::Again(at) if Instant::now() >= at => {
                    let next = assignment.get_mut(reset.epoch).and_then(|assigned| assigned.next);
                    restart(&reset.place, reset.epoch, next, client, assignment, around)?;
                    if let Some(assigned) = assignment.get_mut(reset.epoch) {
                        assigned.doubt();
                    }
                    continue;
                }
                stage => stage,
            };
            self.under_way.push(reset);
        }
        Ok(())
    }
}

fn tell_unknown(place: &TopicPartition, error: Option<String>) {
    warn!(topic = %place.topic, partition = place.partition.0, error, "no place to go on could be found, trying again");
}

fn ask(cause: Cause, place: &TopicPartition, client: &Arc<Client>, around: &Surroundings) -> Stage {
    let (client, place) = (Arc::clone(client), place.clone());
    let errand = Errand::run("kafka-reset", &around.wake, move || {
        // First, and again where the brokers don't tell: what is asked next may be another topic's.
        let topics = [place.topic.clone()];
        let id = ids(client.consumer().client(), &topics, PATIENCE).into_iter().next().map(|(_, id)| id);
        let (first, end) = watermarks(&client, &place).map_err(|error| error.to_string())?;
        Ok(Found { first: Offset(first), end: Offset(end), id })
    });
    errand.map_or_else(|_| Stage::Unanswered(cause, Instant::now() + AGAIN), |errand| Stage::Asking(cause, errand))
}

/// What happened, and what the policy for that says.
fn decide(
    place: &TopicPartition,
    epoch: Epoch,
    cause: Cause,
    found: &Found,
    assignment: &Assignment,
    around: &mut Surroundings,
) -> Result<Way, Halt> {
    if let Some(id) = found.id.filter(|id| around.topics.is_another(&place.topic, *id)) {
        return Err(made_anew(&place.topic, id, assignment, around));
    }
    let assigned = assignment.iter().find(|assigned| assigned.epoch == epoch);
    let next = assigned.and_then(|assigned| assigned.next);
    let began = assigned.and_then(|assigned| assigned.began);
    // What was committed of the former one, before anybody knew, is no place in the new one.
    let is_stale = assigned.is_some_and(|assigned| assigned.unread) && around.topics.anew().contains(&place.topic);
    // It was fetched before it could be asked again; or it ends before what was read of it, and nobody had said so before it was fetched.
    let known = assigned.filter(|assigned| assigned.leader_epoch.is_some());
    let cause = match (cause, known) {
        (Cause::Gone, Some(known)) if known.suspected.is_some() || next.is_some_and(|next| next > found.end) => {
            Cause::Truncated(known.suspected.flatten())
        }
        (cause, _) => cause,
    };
    let left = match cause {
        Cause::Truncated(left) => left,
        Cause::Gone | Cause::Rewound => None,
    };
    let loss = match cause {
        Cause::Rewound => {
            return Err(Halt::Rebuild(format!(
                "the offsets of {place} went back, it may have been deleted and made anew"
            )));
        }
        _ if is_stale => Loss::Recreated,
        Cause::Truncated(_) => Loss::Truncated,
        Cause::Gone => Loss::Removed,
    };
    let lost = Lost { place, next, left, first: found.first, end: found.end };
    let policy = around.config.policy(loss);
    if policy == LossPolicy::Stop {
        return Err(Halt::Fail(SourceError::Fatal(lost.refusal(loss))));
    }
    let target = lost.target(loss, policy);
    Ok(Way { loss, policy, target, left, began, next, offsets: lost.offsets(loss, target) })
}

/// Has the place be one that loses no more than it must: behind nothing that is unfinished, and committed where a start would otherwise skip what
/// came in since.
fn make_sure(way: Way, place: &TopicPartition, client: &Arc<Client>, around: &Surroundings) -> Stage {
    let (client, place, origin) = (Arc::clone(client), place.clone(), around.origin(&place.topic));
    let errand = Errand::run("kafka-reset", &around.wake, move || {
        let goal = if way.drains() {
            way.goal(standing(&client, &place)?)
        } else {
            Goal { target: way.target, unfinished: 0 }
        };
        if way.policy == LossPolicy::Latest {
            pin(&client, &place, goal.target.0, origin).map_err(|error| error.to_string())?;
        }
        Ok(goal)
    });
    errand.map_or_else(|_| Stage::Unplaced(way, Instant::now() + AGAIN), |errand| Stage::Placing(way, errand))
}

/// What the group has committed of a partition.
struct Standing {
    low: Offset,
    /// How much is remembered as finished above it.
    finished: u64,
}

impl Standing {
    /// How many offsets of those below `read` are not finished.
    fn unfinished(&self, read: Offset) -> u64 {
        u64::try_from(read.0 - self.low.0).unwrap_or(0).saturating_sub(self.finished)
    }
}

fn standing(client: &Client, place: &TopicPartition) -> Result<Option<Standing>, String> {
    let question = list([(place, rdkafka::Offset::Invalid)]).map_err(|error| error.to_string())?;
    let answer = client.consumer().committed_offsets(question, PATIENCE).map_err(|error| error.to_string())?;
    match committed(&answer).into_iter().next() {
        Some(committed) if committed.error.is_none() => Ok(committed.offset.map(|low| {
            let low = Offset(low);
            // What can't be read counts as not finished.
            Standing { low, finished: finished_above(&committed.metadata, low).unwrap_or(0) }
        })),
        _ => Err("the group's offset could not be read".to_owned()),
    }
}

fn go_on(
    place: &TopicPartition,
    epoch: Epoch,
    way: Way,
    goal: Goal,
    client: &Arc<Client>,
    assignment: &mut Assignment,
    around: &mut Surroundings,
) -> Result<(), Halt> {
    let Some(assigned) = assignment.get_mut(epoch) else { return Ok(()) };
    let target = goal.target;
    warn!(topic = %place.topic, partition = place.partition.0, offset = target.0, expected = assigned.next.map(|next| next.0), loss = ?way.loss,
        "the next offset is gone, going on elsewhere");
    // Of a topic that was made anew it was told when that was found out.
    if way.loss != Loss::Recreated {
        let topic_partition = place.clone();
        let offsets = way.offsets.map(|offsets| offsets + goal.unfinished);
        around.mailbox.tell(Event::Missed(Missed { topic_partition, loss: way.loss, offsets }));
    }
    // Forward, what is known of the partition stays true: there is a gap. Backward it was written anew.
    let forward = way.loss == Loss::Removed
        && way.policy == LossPolicy::Earliest
        && assigned.next.is_some_and(|next| target >= next);
    if !forward {
        // Unless it is drained by now.
        if !way.drains() {
            around.mailbox.tell(Event::Lost(vec![epoch]));
        }
        assigned.renew(around.next_epoch());
        // It is committed at once: what is committed now is beyond what is there, and what comes in must not be taken for it.
        let progress =
            OffsetTracker::moved_to(NextOffset::at(target.0), around.tag(&place.topic), around.metadata_room());
        around.mailbox.tell(Event::Assigned(vec![Ours {
            epoch: assigned.epoch,
            topic_partition: place.clone(),
            progress,
        }]));
    }
    if way.left.is_none_or(|left| target > left) {
        assigned.forget_leader();
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
    assigned.restart(next, client);
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
    let again = || assignment.iter().filter(|assigned| places.contains(&assigned.place));
    let list = list(again().map(|assigned| (&assigned.place, start(assigned.next))))?;
    set_leader_epochs(&list, again().map(|assigned| assigned.leader_epoch));
    if is_incremental {
        return consumer.incremental_assign(&list);
    }
    assignment.doubt_others(place);
    consumer.assign(&list)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log that was read from 20 up to 160, and cut at 100.
    fn cut(policy: LossPolicy, target: i64) -> Way {
        let (left, began, next) = (Some(Offset(100)), Some(Offset(20)), Some(Offset(160)));
        Way { loss: Loss::Truncated, policy, target: Offset(target), left, began, next, offsets: Some(60) }
    }

    fn goal(way: Way, standing: Option<(i64, u64)>) -> (i64, u64) {
        let goal = way.goal(standing.map(|(low, finished)| Standing { low: Offset(low), finished }));
        (goal.target.0, goal.unfinished)
    }

    #[test]
    fn what_is_left_and_unfinished_is_read_again() {
        assert_eq!(goal(cut(LossPolicy::Earliest, 100), Some((160, 0))), (100, 0), "all was finished");
        assert_eq!(goal(cut(LossPolicy::Earliest, 100), Some((30, 40))), (30, 0));
        // As the coordinator took no commit since it was assigned.
        assert_eq!(goal(cut(LossPolicy::Earliest, 100), None), (20, 0), "nothing was finished");
        assert_eq!(goal(Way { began: None, ..cut(LossPolicy::Earliest, 100) }, None), (100, 0), "nothing was read");
    }

    #[test]
    fn what_is_passed_over_unfinished_counts_as_lost() {
        assert_eq!(goal(cut(LossPolicy::Latest, 130), Some((30, 40))), (130, 30));
        assert_eq!(goal(cut(LossPolicy::Latest, 130), None), (130, 80), "nothing was finished");
    }
}
