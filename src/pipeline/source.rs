//! What stands under the pipeline: a source of records, and what it can promise about them.
//!
//! The pipeline knows no Kafka. It asks a [`Source`] for [`Event`]s within a [`Demand`], keeps one [`Progress`] for each
//! partition it was assigned, and hands what is finished to the source's [`Committer`]. A source of your own (a table, a
//! stream, RabbitMQ, a WebSocket) stands under it in the same way.

use std::fmt;
use std::future::Future;
use std::num::NonZero;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::demand::Demand;
use super::quarantine::Handover;
use super::seek::{Seek, SeekError};
use super::ticket::Settled;
use super::view::Reach;
use crate::record::{NextOffset, Offset, Record, Timestamp, TopicPartition};
use crate::records::Records;

/// One assignment of one partition to this process. A partition that is revoked and assigned again gets a new epoch, so
/// whatever is still on its way from the old one can be told apart, and ignored. Unique within a source, for its lifetime.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Epoch(pub u64);

/// A source of records.
pub trait Source: Send + 'static {
    /// What it remembers of an assigned partition.
    type Progress: Progress;
    /// What takes its commits.
    type Committer: Committer<Commit = <Self::Progress as Progress>::Commit>;

    /// The next event, waiting at most `timeout` for it; [`Event::Idle`] when there is none. Delivers no record that `demand`
    /// doesn't allow. Safe to cancel: nothing is lost when the future is dropped, and the next call's demand replaces this one's.
    ///
    /// # Errors
    /// [`SourceError::Transient`] where trying again may help; the other kinds end the daemon.
    fn poll(
        &mut self,
        demand: &Demand,
        timeout: Duration,
    ) -> impl Future<Output = Result<Event<Self::Progress>, SourceError>> + Send;

    /// What takes the commits while [`poll`](Self::poll) goes on. Called once.
    fn committer(&mut self) -> Self::Committer;

    /// Has a partition go on at another place, if it is assigned now: [revokes](Event::Revoked) it, so that what was started ends and
    /// is committed, and [assigns](Event::Assigned) it anew from there, with a progress whose first commit names the place. The wish is
    /// [done](Seek::done) once a commit of that assignment was taken: before, a crash would make it undone. A source that can't seek, as
    /// by default, refuses.
    fn seek(&mut self, seek: Seek) {
        seek.refuse(SeekError::Unsupported);
    }

    /// What shows the records of its topics to operators, beside what it reads itself; by default nothing does.
    fn records(&self) -> Option<Records> {
        None
    }

    /// Gives up what is still assigned and leaves the group, within the time until `deadline`. No commit is made here.
    ///
    /// # Errors
    /// Where it could not leave in time; the process may end all the same.
    fn close(self, deadline: Instant) -> impl Future<Output = Result<(), SourceError>> + Send;
}

/// What a source reports.
#[derive(Debug)]
pub enum Event<G: Progress> {
    /// These partitions are ours from now on. Comes before any of their records. Empty where the group has taken this member in
    /// and has none for it.
    Assigned(Vec<Assigned<G>>),
    /// Records, batched by partition, in the order of their partition.
    Records(Vec<Batch>),
    /// These partitions are to be given up: end what was started, commit, then complete the revocation.
    Revoked(Revocation),
    /// These partitions are no longer ours, and nothing can be committed for them.
    Lost(Vec<Epoch>),
    /// What was to be read next is gone, and the partition goes on elsewhere, as a policy says.
    Missed(Missed),
    /// Where these partitions end now (the offset that the next record written to them will get), for the lag.
    Ends(Vec<(Epoch, Offset)>),
    /// Of these partitions, and of none of the others that are ours, nothing can be had at present: nobody answers for them, such as while
    /// they have no leader, or what comes next can't be read. That nothing comes of them is no fault of the source's. Told when that
    /// changes; a source that can't tell never does.
    Silent(Vec<Epoch>),
    /// Something stands in the way of the reading, of all of it or of a part, and what to do about it; the source goes on trying by
    /// itself. It stands until `None` tells that it is over. Unlike an error of [`poll`](Source::poll) it holds nothing else up.
    Trouble(Option<String>),
    /// Nothing within the timeout.
    Idle,
}

impl<G: Progress> Event<G> {
    /// How many records come with it.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Records(batches) => batches.iter().map(|batch| batch.records.len()).sum(),
            _ => 0,
        }
    }
}

/// A partition whose next records were gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Which partition.
    pub topic_partition: TopicPartition,
    /// What happened to them.
    pub loss: Loss,
    /// How many offsets were lost by it: passed over unread, and of a log that was cut also those that had been read and are gone. `None`
    /// where that can't be known.
    pub offsets: Option<u64>,
}

/// Why the next records of a partition are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// They were removed before they were read, or the offset that is to be read next never was one.
    Removed,
    /// The log was cut below what was read of it, as by an unclean leader election.
    Truncated,
    /// The topic was deleted and made anew.
    Recreated,
}

/// What is done when what was to be read next is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
pub enum LossPolicy {
    /// The daemon fails, and says why.
    #[default]
    Stop,
    /// The partition goes on at the first record that is there and was not read.
    Earliest,
    /// The partition goes on at its end.
    Latest,
}

/// A partition that became ours.
#[derive(Debug)]
pub struct Assigned<G> {
    /// The assignment.
    pub epoch: Epoch,
    /// Which partition.
    pub topic_partition: TopicPartition,
    /// What was finished before, read back from where it was committed.
    pub progress: G,
}

/// Records of one partition, in its order, each later than all before it in the same assignment.
#[derive(Debug)]
pub struct Batch {
    /// The assignment that they were read under.
    pub epoch: Epoch,
    /// The records; none where there is only a place to tell.
    pub records: Vec<Record>,
    /// Where the source reads on, where it knows that to be further than behind the last record: past a transaction's markers, or
    /// past what compaction took. Everything below it has been delivered.
    pub next: Option<NextOffset>,
    /// From here on these are not the records that were finished at their places before this assignment: the log was cut below those, and
    /// written to since.
    pub rewritten: Option<Offset>,
}

/// Partitions on their way out. The source keeps them until this is completed or dropped, or until its deadline has passed.
#[derive(Debug)]
pub struct Revocation {
    epochs: Vec<Epoch>,
    deadline: Instant,
    done: oneshot::Sender<()>,
}

impl Revocation {
    /// A revocation, and what the source waits on: it resolves when the partitions may go.
    pub fn new(epochs: Vec<Epoch>, deadline: Instant) -> (Self, oneshot::Receiver<()>) {
        let (done, wait) = oneshot::channel();
        (Self { epochs, deadline, done }, wait)
    }

    /// The assignments that end.
    pub fn epochs(&self) -> &[Epoch] {
        &self.epochs
    }

    /// When the source gives them up, finished or not.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What was started has ended and is committed: the partitions may go.
    pub fn complete(self) {
        // The source may have given them up already; then nobody listens any more.
        self.done.send(()).ok();
    }
}

/// What is known of one assigned partition: which records came in, which are finished, and so what may be committed.
/// Pure: no I/O, no clock. Owned by the lanes, under the lock that they share with the workers.
pub trait Progress: Send + fmt::Debug + 'static {
    /// Where a record stands: an offset, a row and its fence, a stream entry's id.
    type Position: Copy + Send + Sync + fmt::Debug + 'static;
    /// What is written back to the source.
    type Commit: Clone + Send + Sync + fmt::Debug + 'static;

    /// A record came in. `None` where it is known to be finished already: then it must not run again.
    fn receive(&mut self, record: &Record) -> Option<Self::Position>;

    /// What is known to be finished from here on was finished before this assignment, and is gone: its places are other records'.
    fn rewritten(&mut self, _from: Offset) {}

    /// The source reads on from here: what lies below and didn't come in needs no work.
    fn passed(&mut self, _next: NextOffset) {}

    /// A record is finished.
    fn settle(&mut self, settled: Settled<Self::Position>);

    /// How many more records may come in before what is finished could no longer be remembered.
    fn room(&self) -> usize;

    /// What to write back, where that may differ from what the source has. `None` too where not all that is finished
    /// can be remembered just now: then the last commit stands.
    fn commit(&self) -> Option<Self::Commit>;

    /// As [`commit`](Self::commit), but rather forgets something than not to commit: for the last commit before a
    /// partition is given up. With it goes how many finished positions it forgets; they will run again.
    fn commit_forgetting(&self) -> Option<(Self::Commit, u64)> {
        self.commit().map(|commit| (commit, 0))
    }

    /// The last commit goes to the source. Until one is acknowledged nobody knows what stands there: it may be told of a refusal, and have
    /// taken it. By default that makes no difference.
    fn sent(&mut self) {}

    /// The source has taken this commit.
    fn acknowledge(&mut self, commit: &Self::Commit);

    /// The source refused the last commit as too large: make them smaller from now on.
    fn shrink(&mut self) {}

    /// How many records came in and are not finished.
    fn unfinished(&self) -> usize;

    /// What commits have to remember; for the metrics.
    fn window(&self) -> Window {
        Window::default()
    }

    /// How far the partition has come, where positions are offsets; for whoever looks at it.
    fn reach(&self) -> Reach {
        Reach::default()
    }

    /// How many records lie between what is finished without a gap and `end`; `None` while nobody knows where that begins.
    fn lag(&self, end: Offset) -> Option<u64>;

    /// Before any record comes in: has the commits from now on tell that the partition is read by `holder`, so that the
    /// [quarantine](super::quarantine) works, where `limit` ends without warning condemn a record. Answers how the
    /// partition was left. By default nothing is told, and nothing is known; then none of the methods below is asked.
    fn take_over(&mut self, _holder: u32, _limit: NonZero<u32>, _now: Timestamp) -> Handover<Self::Position> {
        Handover::default()
    }

    /// Whether records are to run one at a time, each announced.
    fn is_on_probation(&self) -> bool {
        false
    }

    /// How often the process ended while this record ran alone.
    fn accusations(&self, _position: Self::Position) -> u32 {
        0
    }

    /// Whether it did while any record did that isn't finished, be it read or not.
    fn is_accusing(&self) -> bool {
        false
    }

    /// The same of records that have not come in yet.
    fn accuses_unread(&self) -> bool {
        false
    }

    /// How often it ended while this record ran alone, where that is too often for another try.
    fn condemns(&self, _position: Self::Position) -> Option<u32> {
        None
    }

    /// The commits from now on tell that this record runs alone; `None`: that none does.
    fn announce(&mut self, _position: Option<Self::Position>) {}

    /// Whether what is to be told of the partition's use, what was announced last too, was acknowledged, and nothing
    /// was [sent](Self::sent) since.
    fn is_announced(&self) -> bool {
        true
    }

    /// The records that were to run one at a time have done so.
    fn end_probation(&mut self) {}

    /// The commits from now on tell that nobody reads the partition: for the last one of an assignment.
    fn hand_over(&mut self) {}
}

/// What is finished above the oldest unfinished record, and so goes into a commit's metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// How many positions.
    pub records: u64,
    /// How many bytes of metadata the commit took that was acknowledged last.
    pub bytes: usize,
}

/// Takes commits. One call at a time.
pub trait Committer: Send + 'static {
    /// What it writes.
    type Commit: Send;

    /// Writes these commits and waits for the source's acknowledgement, at most until `deadline`. All or nothing as far as the
    /// caller is concerned: after an error none counts as made, though some may have been.
    ///
    /// # Errors
    /// See [`CommitError`]; each kind says what the pipeline does about it.
    fn commit(
        &mut self,
        commits: Vec<(Epoch, Self::Commit)>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), CommitError>> + Send;
}

/// Why a commit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// It may work the next time.
    #[error("commit failed, it will be tried again: {0}")]
    Retriable(String),
    /// The group is rebalancing; it may work when that is over.
    #[error("commit refused while the group rebalances, it will be tried again")]
    RebalanceInProgress,
    /// The assignment isn't ours any more: nothing of it can be committed.
    #[error("commit refused, the assignment is no longer valid: {0}")]
    IllegalGeneration(String),
    /// Another member with the same instance id took this one's place.
    #[error("commit refused, another member uses the same instance id: give each process its own `group.instance.id`")]
    Fenced,
    /// What goes with the offset is larger than the source takes.
    #[error(
        "commit refused, its metadata is too large: raise `offset.metadata.max.bytes` on the broker or lower the queue's capacity"
    )]
    MetadataTooLarge,
    /// The client can't go on; where the source can, it makes another one. Nothing that this one was given will be committed.
    #[error("commit failed for good with this client: {0}")]
    Fatal(String),
}

/// Why a source could not be polled or closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// It may work the next time.
    #[error("{0}")]
    Transient(String),
    /// What was configured can't work: a missing topic, a property that the client refuses. Ends the process with code 2, unless
    /// the daemon has worked before.
    #[error("{0}")]
    Misconfigured(String),
    /// It can't go on; one made anew may. The daemon has failed, and is restarted. What was finished is still committed first, for as long
    /// as a stop may take: where that can't be, [`Event::Lost`] comes before this.
    #[error("{0}")]
    Failed(String),
    /// It can't go on, and one made anew must not be tried: another member took its place, or a policy says to stop. Ends the
    /// process with code 4.
    #[error("{0}")]
    Fatal(String),
}
