//! Logs that lose what was in them, and who reads them: a policy says where they go on.
//!
//! As on Kafka: what was read beyond the place where a log was cut is drained, and the partition begins anew where it was cut, or at its end;
//! a commit is known by the log under which it was made, so that a start finds out as well.

use super::broker::{MemberId, MemoryBroker, State};
use super::ownership::{Onward, Ownership};
use crate::pipeline::metadata::decode;
use crate::pipeline::source::{Event, Loss, LossPolicy, Missed};
use crate::record::{NextOffset, Offset, TopicPartition};

/// Called with every loss as the partition goes on elsewhere, and with the place.
pub(super) type LossObserver = Box<dyn FnMut(&Missed, Offset) + Send>;

/// Where the logs of a partition were cut, one after the other.
#[derive(Debug, Default)]
pub(super) struct Cuts(Vec<Offset>);

impl Cuts {
    /// The log as it is now.
    pub(super) fn now(&self) -> usize {
        self.0.len()
    }

    /// What is left of what was read when there had been so many.
    fn left(&self, then: usize) -> Option<Offset> {
        self.0.get(then..).and_then(|since| since.iter().min()).copied()
    }
}

/// What a partition's commit is of.
#[derive(Debug)]
pub(super) struct CommittedOf {
    /// Which of its logs, by how often that was cut before.
    pub(super) log: usize,
    /// Behind all that is finished by it, as whoever made it reads it.
    pub(super) reach: Offset,
}

/// A partition of which something is gone that was to be read, or had been.
#[derive(Debug)]
pub(super) struct Gone {
    loss: Loss,
    /// Up to where it had been read, or was to be.
    next: Offset,
    /// What is left of that, where the log was cut …
    left: Option<Offset>,
    /// … and how often it had been before. It may be cut again until somebody goes on.
    cuts: usize,
}

impl MemoryBroker {
    /// Cuts a partition: what stands at `end` and behind it is gone, and the next record gets that offset, as after an unclean leader election.
    /// What was [removed](Self::remove) stays so. Whoever has read more goes on as the [policy](Self::on_loss) says. Answers whether somebody had, or had committed it.
    pub fn truncate(&self, topic: &str, partition: i32, end: Offset) -> bool {
        let (place, mut state) = (TopicPartition::new(topic, partition), self.state.lock());
        let was_read = state.truncate(&place, end);
        drop(state);
        self.changed.notify_waiters();
        was_read
    }

    /// Removes what stands below `first` in a partition, as retention does. Whoever was to read it goes on as the [policy](Self::on_loss) says.
    pub fn remove(&self, topic: &str, partition: i32, first: Offset) {
        let (place, mut state) = (TopicPartition::new(topic, partition), self.state.lock());
        state.remove(&place, first);
        drop(state);
        self.changed.notify_waiters();
    }

    /// What happens where what was to be read next is gone (default: [`LossPolicy::Stop`]).
    pub fn on_loss(&self, policy: LossPolicy) {
        self.state.lock().on_loss = policy;
    }

    /// Calls `observer` with every loss as its partition goes on elsewhere, and with that place. It must not call the broker.
    pub fn on_missed(&self, observer: impl FnMut(&Missed, Offset) + Send + 'static) {
        self.state.lock().on_missed = Some(Box::new(observer));
    }
}

impl State {
    fn truncate(&mut self, place: &TopicPartition, end: Offset) -> bool {
        let (read, committed) = (self.position(place), self.committed_of.get(place).map(|known| known.reach));
        // What was removed is not there to be cut.
        let end = end.max(self.first(place));
        if end >= self.end(place) {
            return false;
        }
        if let Some(log) = self.logs.get_mut(place) {
            log.truncate(log.partition_point(|(offset, _)| *offset < end));
        }
        self.next_offset.insert(place.clone(), end.0);
        let cuts = self.cuts.entry(place.clone()).or_default();
        cuts.0.push(end);
        let cuts = cuts.now() - 1;
        // What is remembered as finished may lie behind what was read.
        let reach = read.max(committed).filter(|reach| *reach > end);
        match reach {
            Some(next) => self.lose(place, Gone { loss: Loss::Truncated, next, left: Some(end), cuts }),
            // It goes on in the new log as in the old one.
            None => self.read_on(place),
        }
        reach.is_some()
    }

    fn remove(&mut self, place: &TopicPartition, first: Offset) {
        let read = self.position(place);
        let first = first.min(self.end(place));
        let Some(log) = self.logs.get_mut(place) else { return };
        let removed = log.partition_point(|(offset, _)| *offset < first);
        log.drain(..removed);
        if let Some(owner) = self.owners.get_mut(place) {
            owner.next = owner.next.saturating_sub(removed);
        }
        self.first.insert(place.clone(), first);
        if let Some(next) = read.filter(|next| *next < first) {
            self.lose(place, Gone { loss: Loss::Removed, next, left: None, cuts: 0 });
        }
    }

    /// What the owner of a partition, if it was told, reads next.
    fn position(&self, place: &TopicPartition) -> Option<Offset> {
        let owner = self.owners.get(place).filter(|owner| owner.told)?;
        let log = self.logs.get(place)?;
        Some(log.get(owner.next).map_or_else(|| self.end(place), |(offset, _)| *offset))
    }

    /// Behind all that is committed as finished.
    pub(super) fn committed_reach(&self, place: &TopicPartition) -> Option<Offset> {
        let (commit, low) = self.committed.get(place).map(|commit| (commit, commit.next.offset()))?;
        let tags = self.members.values().filter_map(|member| member.subscription.tag(&place.topic));
        let runs = tags.filter_map(|tag| decode(&commit.metadata, *tag, low).ok()).flatten();
        Some(runs.map(|run| run.end).fold(low, Offset::max))
    }

    fn read_on(&mut self, place: &TopicPartition) {
        let now = self.cuts.get(place).map_or(0, Cuts::now);
        // Whoever is on its way out, or can't go on, is at an older one.
        let is_before = |owner: &&mut Ownership| owner.is_open() && owner.log + 1 == now;
        if let Some(owner) = self.owners.get_mut(place).filter(is_before) {
            owner.log = now;
            owner.passed = owner.passed.filter(|passed| *passed <= NextOffset::at(self.next_offset[place]));
        }
    }

    /// The owner of a partition hears of its loss; one that is on its way out leaves that to who follows.
    fn lose(&mut self, place: &TopicPartition, gone: Gone) {
        let deadline = self.revocation_deadline();
        let Some(owner) = self.owners.get_mut(place).filter(|owner| owner.is_open()) else { return };
        let id = owner.member;
        match (self.on_loss, gone.loss) {
            (LossPolicy::Stop, _) => self.fail(id, place, &gone),
            // What is known of the partition stays true: there is a gap.
            (LossPolicy::Earliest, Loss::Removed) => drop(self.miss(place, id, &gone)),
            _ => {
                let revocation = owner.leave(deadline, Some(Onward::Loss(gone)));
                if let Some(member) = self.members.get_mut(&id) {
                    member.events.push_back(Event::Revoked(revocation));
                }
            }
        }
    }

    /// Where a partition that is assigned now has to go on, of what is committed no word.
    pub(super) fn find_start(&mut self, place: &TopicPartition) -> Option<NextOffset> {
        let owner = self.owners.get(place)?;
        let (member, Some(start)) = (owner.member, owner.start) else { return self.find_loss(place) };
        // Cut once more before it was told.
        let cuts = owner.log;
        let left = self.cuts.get(place).and_then(|known| known.left(cuts)).filter(|left| *left < start.offset());
        if left.is_none() {
            return Some(start);
        }
        let gone = Gone { loss: Loss::Truncated, next: start.offset(), left, cuts };
        Some(NextOffset::at(self.miss(place, member, &gone).0))
    }

    /// Where a partition that is assigned now has to go on as something is gone that was to be read, or is committed.
    fn find_loss(&mut self, place: &TopicPartition) -> Option<NextOffset> {
        let (id, low) = (self.owners.get(place)?.member, self.committed.get(place)?.next.offset());
        let (reach, then) = (self.committed_reach(place)?, self.committed_of.get(place).map_or(0, |known| known.log));
        let left = self.cuts.get(place).and_then(|cuts| cuts.left(then)).filter(|left| *left < reach);
        let gone = match left {
            Some(_) => Gone { loss: Loss::Truncated, next: reach, left, cuts: then },
            None if low < self.first(place) => Gone { loss: Loss::Removed, next: low, left: None, cuts: then },
            None => return None,
        };
        if self.on_loss == LossPolicy::Stop {
            self.fail(id, place, &gone);
            return None;
        }
        let target = self.miss(place, id, &gone);
        let is_gap = gone.loss == Loss::Removed && self.on_loss == LossPolicy::Earliest;
        (!is_gap).then_some(NextOffset::at(target.0))
    }

    /// A partition goes on elsewhere: where, and that is told.
    pub(super) fn miss(&mut self, place: &TopicPartition, member: MemberId, gone: &Gone) -> Offset {
        let (first, end) = (self.first(place), self.end(place));
        let low = self.committed.get(place).map_or(first, |commit| commit.next.offset());
        let left = gone.left.and_then(|_| self.cuts.get(place)?.left(gone.cuts));
        let target = match (self.on_loss, left) {
            (LossPolicy::Latest, _) => end,
            // What is left may not be finished.
            (_, Some(left)) => left.min(low).max(first),
            (_, None) => first,
        };
        let passed = |from: Offset, to: Offset| u64::try_from(to.0 - from.0).unwrap_or(0);
        let offsets = match left {
            Some(left) => passed(left, gone.next) + passed(left, target),
            None => passed(gone.next, target),
        };
        let missed = Missed { topic_partition: place.clone(), loss: gone.loss, offsets: Some(offsets) };
        if let Some(observer) = &mut self.on_missed {
            observer(&missed, target);
        }
        if let Some(member) = self.members.get_mut(&member) {
            member.events.push_back(Event::Missed(missed));
        }
        target
    }

    /// Nobody has said where to go on.
    fn fail(&mut self, member: MemberId, place: &TopicPartition, gone: &Gone) {
        if let Some(member) = self.members.get_mut(&member) {
            let Gone { loss, next, .. } = gone;
            member.failure = Some(format!("{place} can't be read on at {next}, {loss:?}: say where with `on_loss`"));
        }
    }

    fn first(&self, place: &TopicPartition) -> Offset {
        self.first.get(place).copied().unwrap_or(Offset(0))
    }
}
