//! A member driven by hand, one poll at a time, as the pipeline's reader would.
//!
//! Owner: a test. It asserts at each step what must hold whatever is asked: records only of assignments that are held, in order and
//! behind all before them, no more than the demand has room for; no epoch twice; no report of an assignment that never was.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use daemonry::pipeline::demand::{Demand, Share};
use daemonry::pipeline::seek::{Seek, SeekError, SeekTo};
use daemonry::pipeline::source::{
    Batch, CommitError, Committer, Epoch, Event, Progress as _, Revocation, Source, SourceError,
};
use daemonry::pipeline::tracker::{OffsetCommit, OffsetTracker};
use daemonry::record::{NextOffset, Record, Topic, TopicPartition};
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use crate::fixture::Fixture;

/// Longer than anything here may take.
const LONG: Duration = Duration::from_secs(40);
/// How long a poll waits where nothing is said of it.
const POLL: Duration = Duration::from_millis(100);

/// A member of a fixture's group.
pub(crate) type Member<F> = Driver<<F as Fixture>::Source>;

/// See the module.
pub(crate) struct Driver<S: Source> {
    source: S,
    committer: S::Committer,
    topic: Option<Topic>,
    /// How often the group has told it what it gets, be it nothing.
    pub(crate) told: usize,
    /// What is assigned and not on its way out, by partition.
    pub(crate) held: BTreeMap<i32, Epoch>,
    /// Every assignment so far, with how its progress was told.
    pub(crate) progress: HashMap<Epoch, OffsetTracker>,
    /// All records, as they came.
    pub(crate) records: Vec<(Epoch, Record)>,
    /// Revocations that are not completed.
    pub(crate) revocations: Vec<Revocation>,
    /// Assignments that were told to be lost.
    pub(crate) lost: HashSet<Epoch>,
    /// Where partitions end, as told last.
    pub(crate) ends: HashMap<Epoch, i64>,
    /// Where the source was told to read on, at each assignment.
    pub(crate) next: HashMap<Epoch, NextOffset>,
    /// Partitions without room.
    pub(crate) full: Vec<i32>,
    /// How many records each poll asks for.
    pub(crate) appetite: usize,
    /// And how many bytes.
    pub(crate) bytes: usize,
    /// Whether revocations are completed as they come.
    pub(crate) is_obliging: bool,
}

impl<S> Driver<S>
where
    S: Source<Progress = OffsetTracker, Committer: Committer<Commit = OffsetCommit>>,
{
    /// Takes a member over from its first poll on.
    pub(crate) fn new(mut source: S) -> Self {
        let committer = source.committer();
        Self {
            source,
            committer,
            topic: None,
            told: 0,
            held: BTreeMap::new(),
            progress: HashMap::new(),
            records: Vec::new(),
            revocations: Vec::new(),
            lost: HashSet::new(),
            ends: HashMap::new(),
            next: HashMap::new(),
            full: Vec::new(),
            appetite: 1000,
            bytes: 1 << 30,
            is_obliging: true,
        }
    }

    /// What is asked for: nothing counts as queued, since whatever came was handled at once.
    fn demand(&self) -> Demand {
        let open = self.held.iter().filter(|(partition, _)| !self.full.contains(partition));
        let share = Share { queued: 0, room: self.appetite, brief: false };
        Demand::new(self.appetite, self.bytes, open.map(|(_, epoch)| (*epoch, share)))
    }

    /// One poll of a tenth of a second at most.
    pub(crate) async fn step(&mut self) {
        self.poll(POLL).await;
    }

    /// One poll; answers whether anything came.
    pub(crate) async fn poll(&mut self, timeout: Duration) -> bool {
        let demand = self.demand();
        match self.source.poll(&demand, timeout).await {
            Ok(event) => self.take(event, demand),
            // A broker's hiccup is none of what is asked here.
            Err(SourceError::Transient(_)) => true,
            Err(error) => panic!("the source failed: {error}"),
        }
    }

    fn take(&mut self, event: Event<OffsetTracker>, demand: Demand) -> bool {
        match event {
            Event::Assigned(assigned) => {
                self.told += 1;
                for one in assigned {
                    self.topic = Some(one.topic_partition.topic.clone());
                    let before = self.progress.insert(one.epoch, one.progress);
                    assert!(before.is_none(), "{:?} names two assignments", one.epoch);
                    let before = self.held.insert(one.topic_partition.partition.0, one.epoch);
                    assert!(before.is_none(), "{} is assigned twice at a time", one.topic_partition);
                }
            }
            Event::Records(batches) => self.read(batches, demand),
            Event::Revoked(revocation) => {
                for epoch in revocation.epochs() {
                    assert!(self.held.values().any(|held| held == epoch), "{epoch:?} is revoked, but not held");
                }
                self.held.retain(|_, epoch| !revocation.epochs().contains(epoch));
                if self.is_obliging { revocation.complete() } else { self.revocations.push(revocation) }
            }
            Event::Lost(epochs) => {
                for epoch in epochs {
                    assert!(self.progress.contains_key(&epoch), "{epoch:?} is lost, but was never assigned");
                    self.held.retain(|_, held| *held != epoch);
                    assert!(self.lost.insert(epoch), "{epoch:?} is lost twice");
                }
            }
            Event::Ends(ends) => {
                for (epoch, end) in ends {
                    assert!(self.progress.contains_key(&epoch), "the end of {epoch:?}, which was never assigned");
                    self.ends.insert(epoch, end.0);
                }
            }
            // A broker's hiccup is none of what is asked here.
            Event::Silent(_) | Event::Trouble(_) => {}
            Event::Missed(missed) => panic!("{missed:?}, where nothing is removed"),
            Event::Idle => return false,
        }
        true
    }

    /// Takes records one by one, as a demand is used up.
    fn read(&mut self, batches: Vec<Batch>, mut left: Demand) {
        assert!(!batches.is_empty(), "no records, and an event of them");
        for Batch { epoch, records, next, .. } in batches {
            let Some((partition, _)) = self.held.iter().find(|(_, held)| **held == epoch) else {
                panic!("records of {epoch:?}, which is not held");
            };
            for record in records {
                assert_eq!(record.partition().0, *partition, "a record of another partition");
                assert!(left.records(epoch) > 0, "more records than were asked for");
                left.take(epoch, 1, record.size());
                let next = self.next.insert(epoch, record.offset().next());
                assert!(next.is_none_or(|next| record.offset() >= next.offset()), "{record:?} comes behind {next:?}");
                self.records.push((epoch, record));
            }
            if let Some(next) = next {
                let before = self.next.insert(epoch, next);
                assert!(before.is_none_or(|before| next >= before), "read on at {next}, behind {before:?}");
            }
        }
    }

    /// Polls until `done`, which has to happen soon.
    pub(crate) async fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !done(self) {
            assert!(Instant::now() < deadline, "in vain: {what}; {}", self.describe());
            self.step().await;
        }
    }

    /// Polls until so many partitions are held.
    pub(crate) async fn until_held(&mut self, count: usize) {
        self.until("an assignment", |member| member.held.len() == count).await;
    }

    /// Polls for so long, whatever comes.
    pub(crate) async fn linger(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step().await;
        }
    }

    /// The offsets of the records of one partition, as they came.
    pub(crate) fn offsets(&self, partition: i32) -> Vec<i64> {
        let of = self.records.iter().filter(|(_, record)| record.partition().0 == partition);
        of.map(|(_, record)| record.offset().0).collect()
    }

    /// Commits for one assignment.
    pub(crate) async fn commit(&mut self, epoch: Epoch, next: i64, metadata: &str) -> Result<(), CommitError> {
        let commit = OffsetCommit { next: NextOffset::at(next), metadata: metadata.to_owned() };
        self.committer.commit(vec![(epoch, commit)], Instant::now() + LONG).await
    }

    /// Asks for a partition to go on elsewhere, and does nothing about it.
    pub(crate) fn ask(&mut self, partition: i32, to: SeekTo) -> Receiver<Result<NextOffset, SeekError>> {
        let topic = self.topic.as_ref().expect("something was assigned");
        let (seek, answer) = Seek::new(TopicPartition::new(topic.as_str(), partition), to);
        self.source.seek(seek);
        answer
    }

    /// Asks for a partition to go on elsewhere, commits its place as the pipeline would, and polls until that is done, or refused.
    pub(crate) async fn seek(&mut self, partition: i32, to: SeekTo) -> Result<NextOffset, SeekError> {
        let mut answer = self.ask(partition, to);
        let deadline = Instant::now() + LONG;
        loop {
            self.step().await;
            self.commit_places().await;
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Closed) => return Err(SeekError::NotRunning),
                Err(TryRecvError::Empty) => assert!(Instant::now() < deadline, "no answer; {}", self.describe()),
            }
        }
    }

    /// Commits for assignments that have a place to commit first.
    async fn commit_places(&mut self) {
        let news = |epoch: &&Epoch| self.progress.get(epoch).and_then(|progress| progress.commit());
        let commits: Vec<_> = self.held.values().filter_map(|epoch| Some((*epoch, news(&epoch)?))).collect();
        for (epoch, commit) in commits {
            self.commit(epoch, commit.next.offset().0, "").await.expect("it is ours");
            self.progress.get_mut(&epoch).expect("it is held").acknowledge(&commit);
        }
    }

    /// Closes, and hands back what commits for it.
    pub(crate) async fn close(self) -> S::Committer {
        let deadline = Instant::now() + LONG;
        self.source.close(deadline).await.expect("the group is left");
        self.committer
    }

    fn describe(&self) -> String {
        format!(
            "holds {:?}, {} records, {} revocations, ends {:?}, read to {:?}",
            self.held,
            self.records.len(),
            self.revocations.len(),
            self.ends,
            self.next
        )
    }
}

/// Polls both until `done`.
pub(crate) async fn both<S>(
    a: &mut Driver<S>,
    b: &mut Driver<S>,
    what: &str,
    done: impl Fn(&Driver<S>, &Driver<S>) -> bool,
) where
    S: Source<Progress = OffsetTracker, Committer: Committer<Commit = OffsetCommit>>,
{
    let deadline = Instant::now() + LONG;
    while !done(a, b) {
        assert!(Instant::now() < deadline, "in vain: {what}; {}; {}", a.describe(), b.describe());
        tokio::join!(a.step(), b.step());
    }
}
