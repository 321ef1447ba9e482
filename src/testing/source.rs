//! A member of the in-memory group, as a [`Source`].

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::broker::{CommitFault, MemberId, MemoryBroker, PartitionFault, State};
use crate::pipeline::demand::Demand;
use crate::pipeline::seek::Seek;
use crate::pipeline::source::{Assigned, Batch, CommitError, Committer, Epoch, Event, Source, SourceError};
use crate::pipeline::tracker::{OffsetCommit, OffsetTracker};
use crate::record::{NextOffset, OwnedRecords, TopicPartition};
use crate::records::Records;

/// How many records of a partition one poll delivers at most.
const BATCH: usize = 50;

/// A member of a [`MemoryBroker`]'s group. Dropping it is a crash: the group hands its partitions on at once.
#[derive(Debug)]
pub struct MemorySource {
    broker: MemoryBroker,
    member: MemberId,
    /// The partition that is read first at the next poll.
    turn: usize,
    /// Whether it knows what it gets, be it nothing.
    told: bool,
}

impl MemorySource {
    pub(super) fn new(broker: MemoryBroker, member: MemberId) -> Self {
        Self { broker, member, turn: 0, told: false }
    }

    /// This member's number.
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// What there is for this member now.
    fn next(&mut self, demand: &Demand) -> Result<Option<Event<OffsetTracker>>, SourceError> {
        let broker = self.broker.clone();
        let mut state = broker.state.lock();
        if let Some(error) = state.poll_faults.pop_front() {
            return Err(SourceError::Transient(error));
        }
        if let Some(refusal) = state.members.get(&self.member).and_then(|member| member.refusal.clone()) {
            return Err(SourceError::Misconfigured(refusal));
        }
        if let Some(failure) = state.members.get(&self.member).and_then(|member| member.failure.clone()) {
            return Err(SourceError::Fatal(failure));
        }
        state.rebalance();
        if std::mem::take(&mut state.moved) {
            // Others wait for what came to them just now.
            broker.changed.notify_waiters();
        }
        if let Some(event) = state.members.get_mut(&self.member).and_then(|member| member.events.pop_front()) {
            return Ok(Some(event));
        }
        let assigned = self.assigned(&mut state);
        if !std::mem::replace(&mut self.told, true) || !assigned.is_empty() {
            return Ok(Some(Event::Assigned(assigned)));
        }
        if let Some(batches) = self.read(&mut state, demand.clone()) {
            return Ok(Some(Event::Records(batches)));
        }
        if let Some(silent) = self.silent(&mut state) {
            return Ok(Some(Event::Silent(silent)));
        }
        Ok(self.ends(&mut state).map(Event::Ends))
    }

    fn assigned(&self, state: &mut State) -> Vec<Assigned<OffsetTracker>> {
        let Some(subscription) = state.members.get(&self.member).map(|member| member.subscription.clone()) else {
            return Vec::new();
        };
        let untold = state.owners.iter().filter(|(_, owner)| owner.member == self.member && !owner.told);
        let untold: Vec<(TopicPartition, Epoch)> = untold.map(|(place, owner)| (place.clone(), owner.epoch)).collect();
        let assigned = untold.into_iter().filter_map(|(place, epoch)| {
            let tag = subscription.tag(&place.topic)?;
            let progress = state.resume(&place, tag);
            Some(Assigned { epoch, topic_partition: place, progress })
        });
        assigned.collect()
    }

    fn read(&mut self, state: &mut State, mut demand: Demand) -> Option<Vec<Batch>> {
        let mut open: Vec<TopicPartition> = state
            .owners
            .iter()
            .filter(|(place, owner)| {
                owner.member == self.member && owner.is_open() && !state.partition_faults.contains_key(place)
            })
            .map(|(place, _)| place.clone())
            .collect();
        if open.is_empty() {
            return None;
        }
        self.turn = (self.turn + 1) % open.len();
        open.rotate_left(self.turn);
        let mut batches = Vec::new();
        let ends = state.next_offset.clone();
        for place in open {
            let (Some(owner), Some(log)) = (state.owners.get_mut(&place), state.logs.get(&place)) else { continue };
            let mut records = Vec::new();
            let mut left = demand.records(owner.epoch).min(BATCH);
            while left > 0 && demand.records(owner.epoch) > 0 && owner.next < log.len() {
                let (offset, record) = &log[owner.next];
                let size = record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len);
                demand.take(owner.epoch, 1, size);
                records.push((*offset, record.clone()));
                owner.next += 1;
                left -= 1;
            }
            // What was left out at the end is told once all before it is delivered.
            let end = NextOffset::at(ends.get(&place).copied().unwrap_or(0));
            let next = (owner.next == log.len() && owner.passed.is_none_or(|passed| passed < end)).then_some(end);
            owner.passed = next.or(owner.passed);
            if next.is_some() || !records.is_empty() {
                let records = OwnedRecords::handles(place, records);
                batches.push(Batch { epoch: owner.epoch, records, next, rewritten: None });
            }
        }
        (!batches.is_empty()).then_some(batches)
    }

    /// Those that nobody answers for, where that has changed.
    fn silent(&self, state: &mut State) -> Option<Vec<Epoch>> {
        let is_silent = |place| state.partition_faults.get(place) == Some(&PartitionFault::Silent);
        let owned = state.owners.iter().filter(|(place, owner)| owner.member == self.member && is_silent(place));
        let silent: Vec<Epoch> = owned.map(|(_, owner)| owner.epoch).collect();
        let told = &mut state.members.get_mut(&self.member)?.silent_told;
        (*told != silent).then(|| {
            told.clone_from(&silent);
            silent
        })
    }

    fn ends(&self, state: &mut State) -> Option<Vec<(Epoch, crate::record::Offset)>> {
        let owned = state.owners.iter().filter(|(_, owner)| owner.member == self.member && owner.is_open());
        let ends: Vec<_> = owned.map(|(place, owner)| (owner.epoch, state.end(place))).collect();
        let told = &mut state.members.get_mut(&self.member)?.ends_told;
        let news: Vec<_> = ends.into_iter().filter(|(epoch, end)| told.insert(*epoch, *end) != Some(*end)).collect();
        (!news.is_empty()).then_some(news)
    }
}

impl Source for MemorySource {
    type Progress = OffsetTracker;
    type Committer = MemoryCommitter;

    async fn poll(&mut self, demand: &Demand, timeout: Duration) -> Result<Event<OffsetTracker>, SourceError> {
        let deadline = Instant::now() + timeout;
        let broker = self.broker.clone();
        loop {
            let mut changed = std::pin::pin!(broker.changed.notified());
            changed.as_mut().enable();
            if let Some(event) = self.next(demand)? {
                return Ok(event);
            }
            let over = broker.state.lock().next_deadline().map_or(deadline, |over| over.min(deadline));
            tokio::select! {
                biased;
                () = changed => {}
                () = sleep_until(over) => if over == deadline { return Ok(Event::Idle) },
            }
        }
    }

    fn committer(&mut self) -> MemoryCommitter {
        MemoryCommitter { broker: self.broker.clone(), member: self.member }
    }

    fn seek(&mut self, seek: Seek) {
        self.broker.state.lock().seek(self.member, seek);
        self.broker.changed.notify_waiters();
    }

    fn records(&self) -> Option<Records> {
        Some(Records::in_memory(&self.broker))
    }

    async fn close(self, _deadline: Instant) -> Result<(), SourceError> {
        // Dropping it leaves the group.
        Ok(())
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        let mut state = self.broker.state.lock();
        state.members.remove(&self.member);
        let member = self.member;
        state.owners.retain(|_, owner| owner.member != member);
        state.rebalance();
        drop(state);
        self.broker.changed.notify_waiters();
    }
}

/// Commits for a [`MemorySource`]: fenced, so that only the owner of a partition's present assignment can.
#[derive(Debug)]
pub struct MemoryCommitter {
    broker: MemoryBroker,
    member: MemberId,
}

impl MemoryCommitter {
    fn write(&self, commits: Vec<(Epoch, OffsetCommit)>) -> Result<(), CommitError> {
        let mut state = self.broker.state.lock();
        let mut places = Vec::new();
        for (epoch, commit) in commits {
            let owner = state.owners.iter().find(|(_, owner)| owner.epoch == epoch && owner.member == self.member);
            let Some((place, _)) = owner else {
                return Err(CommitError::IllegalGeneration(format!("assignment {} is over", epoch.0)));
            };
            places.push((place.clone(), commit));
        }
        for (place, commit) in places {
            state.write_commit(place, commit);
        }
        Ok(())
    }
}

impl Committer for MemoryCommitter {
    type Commit = OffsetCommit;

    async fn commit(&mut self, commits: Vec<(Epoch, OffsetCommit)>, deadline: Instant) -> Result<(), CommitError> {
        let fault = self.broker.state.lock().commit_faults.pop_front();
        match fault {
            None => self.write(commits),
            Some(CommitFault::Refuse(error)) => Err(error),
            Some(CommitFault::LoseAnswer(error)) => {
                self.write(commits)?;
                Err(error)
            }
            Some(CommitFault::Delay(delay)) => {
                if Instant::now() + delay > deadline {
                    sleep_until(deadline).await;
                    return Err(CommitError::Retriable("no answer in time".to_owned()));
                }
                sleep(delay).await;
                self.write(commits)
            }
        }
    }
}
