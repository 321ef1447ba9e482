//! Rebalances, one after the other, outside librdkafka's callback.
//!
//! Owner: the event thread. The invariants: each change that the group asked for is acknowledged, once and in order, an
//! empty one too; nothing is read from a partition before its committed offset is known; a partition that is taken back
//! stays ours until its revocation is completed or overdue, unless the group has taken it already.
//!
//! A member that leaves the group sends no heartbeats any more from the moment that librdkafka is told, and the group waits for it no longer
//! than a session. So everything is drained first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use tracing::{debug, info, warn};

use super::assignment::{Assigned, Assignment};
use super::client::{Client, list};
use super::drain::{Drain, Drained};
use super::errand::Errand;
use super::identities::made_anew;
use super::native::{PartitionQueue, set_leader_epochs};
use super::session::{Halt, Surroundings};
use super::starts::{Asked, NoStart, Start, Starts, look_up};
use super::trouble::Until;
use crate::pipeline::source::{Assigned as Ours, Epoch, Event, Loss, Missed};
use crate::pipeline::tracker::OffsetTracker;
use crate::record::{NextOffset, Offset, TopicPartition};

/// The pause before the coordinator is asked again.
const AGAIN: Duration = Duration::from_millis(500);
/// Longer than any source takes to end.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What the group asks for.
#[derive(Debug)]
pub(super) enum Change {
    /// To take these partitions.
    Assign(Vec<TopicPartition>),
    /// To give these partitions back.
    Revoke(Vec<TopicPartition>),
    /// Nothing: we give everything back, to join it anew.
    Leave,
}

/// Who wants partitions given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    ByGroup,
    ByUs,
}

/// What was given up before the group was told, which it has not taken back yet.
#[derive(Debug)]
struct Left {
    epochs: Vec<Epoch>,
    /// When to tell it again: one that is rebalancing forgets it.
    again: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rebalances {
    queue: VecDeque<Change>,
    step: Step,
    left: Option<Left>,
}

#[derive(Debug, Default)]
enum Step {
    #[default]
    None,
    /// The committed offsets of these partitions are being looked up.
    Looking(Vec<TopicPartition>, Errand<Result<Starts, NoStart>>),
    /// That did not work; it is tried again then.
    Waiting(Vec<TopicPartition>, Instant),
    /// These partitions are being given up.
    Draining(Vec<TopicPartition>, Drain, Wanted),
}

impl Rebalances {
    /// Takes up a change.
    pub(super) fn push(&mut self, change: Change) {
        self.queue.push_back(change);
    }

    /// Whether no change is under way.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.step, Step::None) && self.queue.is_empty() && self.left.is_none()
    }

    /// When to look again at the latest, whatever wakes us before.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.step {
            Step::Waiting(_, at) => Some(*at),
            Step::Draining(_, drain, _) => Some(drain.deadline()),
            _ => self.left.as_ref().map(|left| left.again),
        }
    }

    /// Goes as far as it can without waiting.
    pub(super) fn advance(
        &mut self,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &mut Surroundings,
    ) -> Result<(), Halt> {
        loop {
            self.step = match std::mem::take(&mut self.step) {
                Step::None => match self.queue.pop_front() {
                    None => {
                        self.look_after_leave(client, assignment);
                        return Ok(());
                    }
                    Some(Change::Assign(places)) => self.look(places, client, assignment, around)?,
                    Some(Change::Revoke(places)) => self.revoke(places, client, assignment, around)?,
                    Some(Change::Leave) => self.begin_to_leave(client, assignment, around),
                },
                Step::Looking(places, errand) => match errand.answer() {
                    None if self.is_overtaken(client) => acknowledge_unread(&places, client, around)?,
                    None => {
                        self.step = Step::Looking(places, errand);
                        return Ok(());
                    }
                    Some(Some(Ok(Starts { starts, ids, missed }))) => {
                        if let Some((topic, id)) = around.learn(ids) {
                            // Acknowledged once the client, or the source, ends.
                            self.step = Step::Waiting(places, Instant::now() + NEVER);
                            return Err(made_anew(&topic, id, assignment, around));
                        }
                        for topic_partition in missed {
                            let (loss, offsets) = (Loss::Recreated, None);
                            around.mailbox.tell(Event::Missed(Missed { topic_partition, loss, offsets }));
                        }
                        assign(&starts, client, assignment, around)?;
                        Step::None
                    }
                    Some(Some(Err(NoStart::Refused(error)))) => {
                        // The source ends, and acknowledges this then.
                        self.step = Step::Waiting(places, Instant::now() + NEVER);
                        return Err(Halt::Fail(error));
                    }
                    Some(Some(Err(NoStart::Unknown(error)))) => {
                        warn!(partitions = places.len(), error, "committed offsets could not be read, trying again");
                        let say =
                            format!("the committed offsets of {} partitions could not be read: {error}", places.len());
                        around.mailbox.trouble(Until::Assigned, say);
                        Step::Waiting(places, Instant::now() + AGAIN)
                    }
                    Some(None) => Step::Waiting(places, Instant::now() + AGAIN),
                },
                Step::Waiting(places, _) if self.is_overtaken(client) => acknowledge_unread(&places, client, around)?,
                Step::Waiting(places, at) if Instant::now() >= at => self.look(places, client, assignment, around)?,
                Step::Draining(places, mut drain, wanted) => {
                    match drain.ended(&around.wake) {
                        Some(Drained::Completed) => {}
                        Some(Drained::Overdue) => {
                            warn!("revoked partitions are given up unfinished, their time is over");
                        }
                        None if client.assignment_lost() => lose(&places, assignment, around),
                        None => {
                            self.step = Step::Draining(places, drain, wanted);
                            return Ok(());
                        }
                    }
                    match wanted {
                        Wanted::ByGroup => give_up(&places, client, assignment)?,
                        Wanted::ByUs => self.leave(&places, client, assignment),
                    }
                }
                waiting @ Step::Waiting(..) => {
                    self.step = waiting;
                    return Ok(());
                }
            };
        }
    }

    /// Acknowledges at once whatever is under way or waits, without reading or draining anything: the client is to be
    /// closed, and would wait for it. Partitions that are only now assigned are revoked again while it closes.
    pub(super) fn finish(&mut self, client: &Client) {
        let step = match std::mem::take(&mut self.step) {
            Step::None => None,
            Step::Looking(places, _) | Step::Waiting(places, _) => Some(Change::Assign(places)),
            Step::Draining(places, _, Wanted::ByGroup) => Some(Change::Revoke(places)),
            Step::Draining(_, _, Wanted::ByUs) => None,
        };
        for change in step.into_iter().chain(self.queue.drain(..)) {
            let outcome = match &change {
                Change::Assign(places) => {
                    acknowledge(places.iter().map(|place| (place, rdkafka::Offset::Beginning)), client)
                }
                Change::Revoke(places) => release(places, client),
                Change::Leave => continue,
            };
            if let Err(error) = outcome {
                warn!(%error, "a rebalance could not be acknowledged while closing");
            }
        }
    }

    /// Whether the group has taken away by now what it is about to assign.
    fn is_overtaken(&self, client: &Client) -> bool {
        client.assignment_lost() && self.queue.iter().any(|change| matches!(change, Change::Revoke(_)))
    }

    fn revoke(
        &self,
        places: Vec<TopicPartition>,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &Surroundings,
    ) -> Result<Step, Halt> {
        let lost = client.assignment_lost();
        info!(partitions = places.len(), lost, "partitions revoked");
        let mut epochs = assignment.hold(&places);
        if let Some(left) = &self.left {
            epochs.retain(|epoch| !left.epochs.contains(epoch));
        }
        if epochs.is_empty() {
            return give_up(&places, client, assignment);
        }
        if lost {
            around.mailbox.tell(Event::Lost(epochs));
            return give_up(&places, client, assignment);
        }
        Ok(Step::Draining(places, Drain::begin(epochs, around), Wanted::ByGroup))
    }

    /// Gives up everything. The group hears of it afterwards.
    fn begin_to_leave(&mut self, client: &Client, assignment: &mut Assignment, around: &Surroundings) -> Step {
        let places: Vec<_> = assignment.iter().map(|assigned| assigned.place.clone()).collect();
        let epochs = assignment.hold(&places);
        if epochs.is_empty() {
            return self.leave(&places, client, assignment);
        }
        Step::Draining(places, Drain::begin(epochs, around), Wanted::ByUs)
    }

    /// Tells the group that these partitions, which are given up, are to go elsewhere, and this member with them. Its answer is that it takes
    /// them back.
    fn leave(&mut self, places: &[TopicPartition], client: &Client, assignment: &mut Assignment) -> Step {
        client.consumer().unsubscribe();
        self.left = Some(Left { epochs: assignment.hold(places), again: Instant::now() + AGAIN });
        Step::None
    }

    /// Tells it again when it is time, until everything is taken back.
    fn look_after_leave(&mut self, client: &Client, assignment: &Assignment) {
        let Some(left) = &mut self.left else { return };
        if assignment.is_empty() {
            self.left = None;
        } else if Instant::now() >= left.again {
            client.consumer().unsubscribe();
            left.again = Instant::now() + AGAIN;
        }
    }

    fn look(
        &self,
        places: Vec<TopicPartition>,
        client: &Arc<Client>,
        assignment: &mut Assignment,
        around: &mut Surroundings,
    ) -> Result<Step, Halt> {
        if places.is_empty() {
            assign(&[], client, assignment, around)?;
            return Ok(Step::None);
        }
        let found = places.iter().map(|place| &place.topic).filter(|topic| around.selection.is_found(topic));
        let (anew, found) = (around.topics.anew(), found.cloned().collect());
        let asked = Asked { places: places.clone(), anew, found };
        let (client, config, known) = (Arc::clone(client), around.config.clone(), Arc::clone(&around.known));
        let look = move || look_up(&client, &asked, &config, &known);
        let errand = Errand::run("kafka-offsets", &around.wake, look);
        Ok(match errand {
            Ok(errand) => Step::Looking(places, errand),
            Err(error) => {
                warn!(%error, "no thread could be started to read committed offsets, trying again");
                Step::Waiting(places, Instant::now() + AGAIN)
            }
        })
    }
}

/// Acknowledges an assignment that is void already.
fn acknowledge_unread(places: &[TopicPartition], client: &Arc<Client>, around: &Surroundings) -> Result<Step, Halt> {
    // Once taken, a partition's records don't come through the common queue any more, where they would be strays.
    places.iter().for_each(|place| drop(PartitionQueue::take(client, place, around.arrived())));
    acknowledge(places.iter().map(|place| (place, rdkafka::Offset::Beginning)), client).map_err(broken)?;
    Ok(Step::None)
}

/// Takes the partitions, each from where it was committed, and tells the pipeline.
fn assign(
    starts: &[Start],
    client: &Arc<Client>,
    assignment: &mut Assignment,
    around: &mut Surroundings,
) -> Result<(), Halt> {
    let places: Vec<_> = starts.iter().map(|start| start.place.clone()).collect();
    // The group never assigns what we have; if it does, the older assignment is worth nothing, and its queue must go first.
    lose(&places, assignment, around);
    drop(assignment.remove(&places));
    let mut queues = Vec::with_capacity(starts.len());
    for place in &places {
        let queue = PartitionQueue::take(client, place, around.arrived());
        queues.push(queue.ok_or_else(|| Halt::Rebuild(format!("the queue of {place} could not be taken")))?);
    }
    take(starts, client).map_err(broken)?;
    let mut ours = Vec::with_capacity(starts.len());
    for (start, queue) in starts.iter().zip(queues) {
        let epoch = around.next_epoch();
        let tag = around.tag(&start.place.topic);
        let resumed =
            OffsetTracker::resume(start.offset.map(NextOffset::at), &start.metadata, tag, around.metadata_room());
        if let Some(warning) = resumed.warning {
            warn!(topic = %start.place.topic, partition = start.place.partition.0, offset = start.offset, error = %warning,
                "what the last commit remembered beside its offset is not used");
        }
        debug!(topic = %start.place.topic, partition = start.place.partition.0, offset = start.offset, "partition is read from here");
        let places = (start.offset.map(Offset), resumed.tracker.restored_end());
        assignment.add(Assigned::new(epoch, start.place.clone(), queue, places, start.leader_epoch, client));
        ours.push(Ours { epoch, topic_partition: start.place.clone(), progress: resumed.tracker });
    }
    around.was_assigned |= !ours.is_empty();
    // An empty one is news too: the group has taken this member in, and has nothing for it now.
    around.mailbox.tell(Event::Assigned(ours));
    around.mailbox.assigned();
    Ok(())
}

/// Tells the pipeline that nothing can be done for these partitions any more.
fn lose(places: &[TopicPartition], assignment: &mut Assignment, around: &Surroundings) {
    let epochs = assignment.hold(places);
    if !epochs.is_empty() {
        around.mailbox.tell(Event::Lost(epochs));
    }
}

/// Hands the partitions back to the group.
fn give_up(places: &[TopicPartition], client: &Arc<Client>, assignment: &mut Assignment) -> Result<Step, Halt> {
    // Out of here first: from now on nothing is committed for them.
    let gone = assignment.remove(places);
    let outcome = release(places, client);
    gone.into_iter().for_each(|assigned| assigned.queue.discard());
    outcome.map_err(broken)?;
    Ok(Step::None)
}

fn acknowledge<'a>(
    places: impl Iterator<Item = (&'a TopicPartition, rdkafka::Offset)>,
    client: &Client,
) -> KafkaResult<()> {
    take_list(&list(places)?, client)
}

/// The same of partitions that are read from there on.
fn take(starts: &[Start], client: &Client) -> KafkaResult<()> {
    let list = list(starts.iter().map(|start| (&start.place, start.offset())))?;
    set_leader_epochs(&list, starts.iter().map(|start| start.leader_epoch));
    take_list(&list, client)
}

fn take_list(list: &TopicPartitionList, client: &Client) -> KafkaResult<()> {
    if client.is_incremental() { client.consumer().incremental_assign(list) } else { client.consumer().assign(list) }
}

fn release(places: &[TopicPartition], client: &Client) -> KafkaResult<()> {
    if client.is_incremental() {
        client.consumer().incremental_unassign(&list(places.iter().map(|place| (place, rdkafka::Offset::Invalid)))?)
    } else {
        client.consumer().unassign()
    }
}

/// A change that librdkafka refuses leaves it waiting for one it doesn't: only a new client helps.
fn broken(error: impl std::fmt::Display) -> Halt {
    Halt::Rebuild(format!("a rebalance could not be acknowledged: {error}"))
}
