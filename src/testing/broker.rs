//! The broker's state: logs, commits, who owns which partition, and the faults that are due.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::losses::{CommittedOf, Cuts, LossObserver};
use super::ownership::{Onward, Ownership};
use super::shelf::Redrives;
use super::source::MemorySource;
use crate::pipeline::dead_letter::PublishError;
use crate::pipeline::metadata::LaneTag;
use crate::pipeline::seek::{Seek, SeekError};
use crate::pipeline::source::{CommitError, Epoch, Event, LossPolicy};
use crate::pipeline::subscription::Subscription;
use crate::pipeline::tracker::{OffsetCommit, OffsetTracker};
use crate::producer::SendError;
use crate::record::{NextOffset, Offset, OwnedRecord, Topic, TopicPartition};

/// How long a member may take to give up what is revoked.
const REVOKE_WITHIN: Duration = Duration::from_secs(13);
/// Bytes of metadata that a commit may carry.
const METADATA_LIMIT: usize = 4_096;

/// The broker. Clones are handles of the same one.
#[derive(Clone, Default)]
pub struct MemoryBroker {
    pub(super) state: Arc<Mutex<State>>,
    /// Something changed that a source may be waiting for.
    pub(super) changed: Arc<Notify>,
}

/// What a commit meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Refused with this error; nothing is written.
    Refuse(CommitError),
    /// Written, but the answer is lost: the caller is told this error.
    LoseAnswer(CommitError),
    /// Not answered for this long, then written.
    Delay(Duration),
}

/// What is wrong with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionFault {
    /// None of its records are delivered, though where it ends is told: as by a client whose fetching got stuck.
    Withheld,
    /// Nobody answers for it, as where it has no leader.
    Silent,
}

/// A member's number in its group; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(super) u64);

/// A member of the group, as the broker sees it.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) subscription: Subscription,
    /// Why it can't be told how to read some topic that was there when it joined.
    pub(super) refusal: Option<String>,
    /// What it was to read is gone, and nobody has said where to go on.
    pub(super) failure: Option<String>,
    pub(super) events: VecDeque<Event<OffsetTracker>>,
    pub(super) ends_told: HashMap<Epoch, Offset>,
    pub(super) silent_told: Vec<Epoch>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) logs: BTreeMap<TopicPartition, Vec<(Offset, Arc<OwnedRecord>)>>,
    pub(super) next_offset: HashMap<TopicPartition, i64>,
    pub(super) committed: BTreeMap<TopicPartition, OffsetCommit>,
    /// What of a partition that is of.
    pub(super) committed_of: HashMap<TopicPartition, CommittedOf>,
    pub(super) cuts: HashMap<TopicPartition, Cuts>,
    /// Where partitions begin of which something was removed.
    pub(super) first: HashMap<TopicPartition, Offset>,
    pub(super) on_loss: LossPolicy,
    pub(super) on_missed: Option<LossObserver>,
    pub(super) owners: BTreeMap<TopicPartition, Ownership>,
    pub(super) members: BTreeMap<MemberId, Member>,
    /// Seeks that wait for something else to be over with their partition.
    seeks: Vec<(MemberId, Seek)>,
    next_member: u64,
    next_epoch: u64,
    /// A partition was assigned, and not everybody who waits knows it.
    pub(super) moved: bool,
    pub(super) commit_faults: VecDeque<CommitFault>,
    pub(super) poll_faults: VecDeque<String>,
    pub(super) partition_faults: HashMap<TopicPartition, PartitionFault>,
    pub(super) letter_fault: Option<PublishError>,
    pub(super) letter_delay: Duration,
    pub(super) stranded_letters: HashMap<Topic, (Duration, PublishError)>,
    pub(super) send_fault: Option<SendError>,
    pub(super) send_delay: Duration,
    pub(super) redrives: HashMap<Topic, Redrives>,
    revoke_within: Option<Duration>,
    on_commit: Option<CommitObserver>,
    pub(super) on_letter: Option<LetterObserver>,
}

/// Called with every commit as it is written.
type CommitObserver = Box<dyn FnMut(&TopicPartition, &OffsetCommit) + Send>;
/// Called with every dead letter as it is written.
type LetterObserver = Box<dyn FnMut(&OwnedRecord) + Send>;

impl MemoryBroker {
    /// A broker without topics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a topic of this many partitions, or adds the partitions that it lacks.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        let mut state = self.state.lock();
        for partition in 0..partitions {
            state.logs.entry(TopicPartition::new(topic, partition)).or_default();
        }
        state.rebalance();
        drop(state);
        self.changed.notify_waiters();
    }

    /// Appends a record, and answers its offset. The partition is made if there is none.
    pub fn produce(&self, topic: &str, partition: i32, record: OwnedRecord) -> Offset {
        let offset = self.state.lock().append(TopicPartition::new(topic, partition), record);
        self.changed.notify_waiters();
        offset
    }

    /// Leaves out the next `count` offsets of a partition, as compaction and transactions do.
    pub fn skip_offsets(&self, topic: &str, partition: i32, count: i64) {
        *self.state.lock().next_offset.entry(TopicPartition::new(topic, partition)).or_insert(0) += count;
    }

    /// Where a partition ends: the offset that its next record gets.
    pub fn end(&self, topic: &str, partition: i32) -> Offset {
        self.state.lock().end(&TopicPartition::new(topic, partition))
    }

    /// How many partitions a topic has; 0 where there is no such topic.
    pub fn partitions(&self, topic: &str) -> i32 {
        self.state.lock().partitions(topic)
    }

    /// Its topics.
    pub fn topics(&self) -> BTreeSet<Topic> {
        self.state.lock().logs.keys().map(|place| place.topic.clone()).collect()
    }

    /// Everything in a partition.
    pub fn records(&self, topic: &str, partition: i32) -> Vec<(Offset, Arc<OwnedRecord>)> {
        self.state.lock().logs.get(&TopicPartition::new(topic, partition)).cloned().unwrap_or_default()
    }

    /// What is committed for a partition.
    pub fn committed(&self, topic: &str, partition: i32) -> Option<OffsetCommit> {
        self.state.lock().committed.get(&TopicPartition::new(topic, partition)).cloned()
    }

    /// Calls `observer` with every commit as it is written. It must not call the broker.
    pub fn on_commit(&self, observer: impl FnMut(&TopicPartition, &OffsetCommit) + Send + 'static) {
        self.state.lock().on_commit = Some(Box::new(observer));
    }

    /// Calls `observer` with every dead letter as it is written. It must not call the broker.
    pub fn on_letter(&self, observer: impl FnMut(&OwnedRecord) + Send + 'static) {
        self.state.lock().on_letter = Some(Box::new(observer));
    }

    /// The partitions that the member behind this source owns now, as far as it has been told.
    pub fn owned(&self, member: MemberId) -> Vec<TopicPartition> {
        let state = self.state.lock();
        let owned = state.owners.iter().filter(|(_, owner)| owner.member == member && owner.is_open());
        owned.map(|(place, _)| place.clone()).collect()
    }

    /// A new member of the group. It joins at once: partitions move to it as soon as their owners have given them up.
    pub fn join(&self, subscription: Subscription) -> MemorySource {
        let mut state = self.state.lock();
        let id = MemberId(state.next_member);
        state.next_member += 1;
        let refusal = state.logs.keys().find_map(|place| subscription.ambiguity(&place.topic));
        let refusal = refusal.map(|ambiguity| ambiguity.to_string());
        let (events, ends_told, silent_told) = (VecDeque::new(), HashMap::new(), Vec::new());
        state.members.insert(id, Member { subscription, refusal, failure: None, events, ends_told, silent_told });
        state.rebalance();
        drop(state);
        self.changed.notify_waiters();
        MemorySource::new(self.clone(), id)
    }

    /// Revokes a partition from its owner; when it is given up, the group assigns it anew. Nothing happens where nobody owns it.
    pub fn revoke(&self, topic: &str, partition: i32) {
        let mut state = self.state.lock();
        state.revoke(vec![TopicPartition::new(topic, partition)]);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes a partition from its owner without asking: it is told that the assignment is lost, and the group assigns it anew.
    pub fn lose(&self, topic: &str, partition: i32) {
        let mut state = self.state.lock();
        if let Some(ownership) = state.owners.remove(&TopicPartition::new(topic, partition))
            && let Some(member) = state.members.get_mut(&ownership.member)
            && ownership.told
        {
            member.events.push_back(Event::Lost(vec![ownership.epoch]));
        }
        state.rebalance();
        drop(state);
        self.changed.notify_waiters();
    }

    /// How long a member may take to give revoked partitions up (default: 13 s).
    pub fn revoke_within(&self, time: Duration) {
        self.state.lock().revoke_within = Some(time);
    }

    /// What the next commits meet, one each, in this order.
    pub fn fail_commits(&self, faults: impl IntoIterator<Item = CommitFault>) {
        self.state.lock().commit_faults.extend(faults);
    }

    /// The next polls fail with these messages.
    pub fn fail_polls(&self, errors: impl IntoIterator<Item = String>) {
        self.state.lock().poll_faults.extend(errors);
    }

    /// This is wrong with a partition, until it is taken back with `None`.
    pub fn fault(&self, topic: &str, partition: i32, fault: Option<PartitionFault>) {
        let (place, mut state) = (TopicPartition::new(topic, partition), self.state.lock());
        match fault {
            Some(fault) => state.partition_faults.insert(place, fault),
            None => state.partition_faults.remove(&place),
        };
        drop(state);
        self.changed.notify_waiters();
    }

    /// Dead letters are refused with this error, until it is taken back with `None`.
    pub fn refuse_letters(&self, error: Option<PublishError>) {
        self.state.lock().letter_fault = error;
    }

    /// Takes back every fault that was not met yet.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.commit_faults.clear();
        state.poll_faults.clear();
        state.partition_faults.clear();
        state.letter_fault = None;
        state.stranded_letters.clear();
        state.send_fault = None;
    }

    /// What handlers produce is refused with this error, until it is taken back with `None`.
    pub fn refuse_sends(&self, error: Option<SendError>) {
        self.state.lock().send_fault = error;
    }

    /// How long what handlers produce takes to be acknowledged.
    pub fn delay_sends(&self, delay: Duration) {
        self.state.lock().send_delay = delay;
    }

    /// How long a dead letter takes to be acknowledged.
    pub fn delay_letters(&self, delay: Duration) {
        self.state.lock().letter_delay = delay;
    }
}

impl State {
    pub(super) fn append(&mut self, place: TopicPartition, record: OwnedRecord) -> Offset {
        let next = self.next_offset.entry(place.clone()).or_insert(0);
        let offset = Offset(*next);
        *next += 1;
        self.logs.entry(place).or_default().push((offset, Arc::new(record)));
        offset
    }

    /// How many partitions a topic has; those of letters were made as they were needed.
    pub(super) fn partitions(&self, topic: &str) -> i32 {
        let of_topic = self.logs.keys().filter(|place| place.topic.as_str() == topic);
        of_topic.map(|place| place.partition.0 + 1).max().unwrap_or(0)
    }

    /// Where a partition ends: the offset that its next record gets.
    pub(super) fn end(&self, place: &TopicPartition) -> Offset {
        Offset(self.next_offset.get(place).copied().unwrap_or(0))
    }

    pub(super) fn write_commit(&mut self, place: TopicPartition, commit: OffsetCommit) {
        if let Some(observer) = &mut self.on_commit {
            observer(&place, &commit);
        }
        if let Some(owner) = self.owners.get_mut(&place)
            && let (Some(seek), Some(start)) = (owner.seek.take(), owner.start)
        {
            seek.done(start);
        }
        let log = self.owners.get(&place).map_or(0, |owner| owner.log);
        self.committed.insert(place.clone(), commit);
        let reach = self.committed_reach(&place).expect("committed just now");
        self.committed_of.insert(place, CommittedOf { log, reach });
    }

    /// Moves the group towards an even assignment: what stands with the wrong member is revoked, what is free is assigned.
    pub(super) fn rebalance(&mut self) {
        self.collect_given_up();
        let places: Vec<_> = self.logs.keys().cloned().collect();
        let mut moves: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        let mut turn: HashMap<Topic, usize> = HashMap::new();
        for place in places {
            let reads = |(_, member): &(&MemberId, &Member)| member.subscription.tag(&place.topic).is_some();
            let readers: Vec<MemberId> = self.members.iter().filter(reads).map(|(id, _)| *id).collect();
            let turn = turn.entry(place.topic.clone()).or_insert(0);
            let target = (!readers.is_empty()).then(|| readers[*turn % readers.len()]);
            *turn += 1;
            match (self.owners.get(&place).map(|owner| owner.member), target) {
                (None, Some(member)) => self.assign(place, member),
                (Some(owner), target) if Some(owner) != target => moves.entry(owner).or_default().push(place),
                _ => {}
            }
        }
        for places in moves.into_values() {
            self.revoke(places);
        }
    }

    /// Takes back what its owner has given up, or has not in time.
    pub(super) fn collect_given_up(&mut self) {
        let now = Instant::now();
        let (mut late, mut moved) = (Vec::new(), Vec::new());
        self.owners.retain(|place, owner| {
            let Some(leaving) = &mut owner.leaving else { return true };
            // A revocation that was dropped gives its partitions up just the same.
            let is_given_up = !matches!(leaving.given_up.try_recv(), Err(oneshot::error::TryRecvError::Empty));
            let is_over = now >= leaving.deadline;
            if !is_given_up && is_over {
                late.push((owner.member, owner.epoch));
            }
            if (is_given_up || is_over)
                && let Some(onward) = leaving.onward.take()
            {
                moved.push((place.clone(), owner.member, onward));
            }
            !is_given_up && !is_over
        });
        for (member, epoch) in late {
            if let Some(member) = self.members.get_mut(&member) {
                member.events.push_back(Event::Lost(vec![epoch]));
            }
        }
        for (place, member, onward) in moved {
            self.assign(place.clone(), member);
            let (to, seek) = match onward {
                // The log may have been cut meanwhile.
                Onward::Seek(seek, to) => (to.min(self.end(&place)), Some(seek)),
                Onward::Loss(gone) => (self.miss(&place, member, &gone), None),
            };
            let owner = self.owners.get_mut(&place).expect("assigned just now");
            (owner.start, owner.seek) = (Some(NextOffset::at(to.0)), seek);
        }
        for (member, seek) in std::mem::take(&mut self.seeks) {
            self.seek(member, seek);
        }
    }

    /// Begins to move a member's partition to another place.
    pub(super) fn seek(&mut self, member: MemberId, seek: Seek) {
        let place = seek.topic_partition().clone();
        let (first, end) = (Offset(0), self.end(&place));
        let log = self.logs.get(&place).map(Vec::as_slice).unwrap_or_default();
        // What comes with no time of its own counts as written at once.
        let to = seek.resolve(first, end, |time| {
            let at = log.iter().find(|(_, record)| record.timestamp.is_none_or(|written| written >= time));
            Ok(at.map(|(offset, _)| *offset))
        });
        let deadline = self.revocation_deadline();
        let owner = self.owners.get_mut(&place).filter(|owner| owner.member == member);
        match (owner, to) {
            // Something else is under way with it.
            (Some(owner), _) if !owner.is_open() => self.seeks.push((member, seek)),
            (None, _) => seek.refuse(SeekError::NotAssigned(place)),
            (_, Err(error)) => seek.refuse(error),
            (Some(owner), Ok(to)) => {
                let revocation = owner.leave(deadline, Some(Onward::Seek(seek, to)));
                if let Some(member) = self.members.get_mut(&member) {
                    member.events.push_back(Event::Revoked(revocation));
                }
            }
        }
    }

    /// The earliest time at which a revocation is over by itself.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.owners.values().filter_map(|owner| Some(owner.leaving.as_ref()?.deadline)).min()
    }

    /// When what is revoked now is given up at the latest.
    pub(super) fn revocation_deadline(&self) -> Instant {
        Instant::now() + self.revoke_within.unwrap_or(REVOKE_WITHIN)
    }

    fn assign(&mut self, place: TopicPartition, member: MemberId) {
        let epoch = Epoch(self.next_epoch);
        self.next_epoch += 1;
        let log = self.cuts.get(&place).map_or(0, Cuts::now);
        self.moved = true;
        self.owners.insert(
            place,
            Ownership {
                member,
                epoch,
                next: 0,
                passed: None,
                told: false,
                start: None,
                log,
                seek: None,
                leaving: None,
            },
        );
    }

    /// Revokes these partitions of one member.
    fn revoke(&mut self, places: Vec<TopicPartition>) {
        let deadline = self.revocation_deadline();
        let mut by_member: BTreeMap<MemberId, Vec<TopicPartition>> = BTreeMap::new();
        for place in places {
            match self.owners.get(&place) {
                Some(owner) if !owner.told => drop(self.owners.remove(&place)),
                Some(owner) if owner.leaving.is_none() => by_member.entry(owner.member).or_default().push(place),
                _ => {}
            }
        }
        for (id, places) in by_member {
            let Some(member) = self.members.get_mut(&id) else { continue };
            // One revocation each, so that each goes when it has drained.
            for place in places {
                let Some(owner) = self.owners.get_mut(&place) else { continue };
                member.events.push_back(Event::Revoked(owner.leave(deadline, None)));
            }
        }
    }

    /// What the member reads from: set back to what is committed, or to where it was asked to go on.
    pub(super) fn resume(&mut self, place: &TopicPartition, tag: &LaneTag) -> OffsetTracker {
        let commit = self.committed.get(place).cloned();
        let moved = self.find_start(place);
        let next: Option<NextOffset> = moved.or(commit.as_ref().map(|commit| commit.next));
        let start = next.map_or(0, |next| next.offset().0);
        let log = self.cuts.get(place).map_or(0, Cuts::now);
        let index = self.logs.get(place).map_or(0, |log| log.partition_point(|(offset, _)| offset.0 < start));
        if let Some(owner) = self.owners.get_mut(place) {
            owner.next = index;
            owner.told = true;
            // Who can't go on has read nothing of the log as it is now.
            let fails = self.members.get(&owner.member).is_some_and(|member| member.failure.is_some());
            owner.log = if fails { self.committed_of.get(place).map_or(0, |known| known.log) } else { log };
        }
        if let Some(next) = moved {
            return OffsetTracker::moved_to(next, tag, METADATA_LIMIT);
        }
        let metadata = commit.map(|commit| commit.metadata).unwrap_or_default();
        OffsetTracker::resume(next, &metadata, tag, METADATA_LIMIT).tracker
    }
}

impl fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("MemoryBroker")
            .field("partitions", &state.logs.len())
            .field("members", &state.members.len())
            .finish()
    }
}
