//! What a daemon shows of itself while it runs: taken once a second by the watchdog, looked at through the daemon's
//! [`Control`](super::control::Control). The invariant: looking costs the daemon nothing, however often.

use std::time::Duration;

use tokio::time::Instant;

use super::lanes::{Census, Hold, Load, PartitionCensus};
use super::stall::Stall;
use crate::record::{NextOffset, Offset, Timestamp, TopicPartition};

/// One moment of a running daemon, a second old at most.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct View {
    /// When it was taken.
    pub taken: Timestamp,
    /// Records that are ready or running.
    pub queued: Amount,
    /// How many records may be.
    pub queue_capacity: usize,
    /// Records that wait for a retry or a letter, or behind one of their lane that does.
    pub parked: Amount,
    /// Workers that are at something.
    pub busy: usize,
    /// How many may be.
    pub workers: usize,
    /// What is assigned to this process, in no order.
    pub partitions: Vec<PartitionView>,
    /// The attempts that run.
    pub attempts: Vec<AttemptView>,
}

/// Records, and the bytes that they count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many records.
    pub records: usize,
    /// Bytes of their keys and values, and some for themselves.
    pub bytes: usize,
}

/// An assigned partition.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PartitionView {
    /// Which one.
    pub topic_partition: TopicPartition,
    /// Records between what is finished without a gap and the partition's end; none while that is not known.
    pub lag: Option<u64>,
    /// For how long its oldest unfinished record has been in the topic.
    pub behind: Duration,
    /// How far it has come, where its source counts offsets.
    pub reach: Reach,
    /// Records that came in and are not finished.
    pub unfinished: usize,
    /// Those of them that are ready or running.
    pub queued: Amount,
    /// Those of them that wait for a retry or a letter, or behind one of their lane that does.
    pub parked: Amount,
    /// Workers that hold one of its lanes.
    pub busy: usize,
    /// Lanes that have a record: what could be worked on side by side.
    pub lanes: usize,
    /// Records of the lane that has the most of them; of those that a worker has taken of a lane, one counts.
    pub deepest_lane: usize,
    /// Why nothing more of it is read, though the queue has room.
    pub held: Option<HeldBack>,
    /// For how long nothing was done of it though something could be.
    pub stalled: Option<Duration>,
    /// Its records run one at a time, since the process has ended without warning.
    pub probation: bool,
    /// How long the last of its retries has yet to wait.
    pub waits: Option<Duration>,
    /// Nobody answers for it.
    pub silent: bool,
    /// Records that were finished in this assignment.
    pub finished: u64,
    /// Those of them that no acknowledged commit covers yet.
    pub uncommitted: u64,
    /// Offsets above the oldest unfinished record that need no work any more.
    pub finished_ahead: u64,
}

/// How far a partition has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// Where the source reads on.
    pub read: Option<NextOffset>,
    /// The oldest record that is not finished.
    pub oldest_unfinished: Option<Offset>,
    /// What the last acknowledged commit names.
    pub committed: Option<NextOffset>,
}

/// Why nothing more of a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeldBack {
    /// What is finished could no longer be remembered in the commit's metadata; or nothing is, before the first commit.
    Window,
    /// The bound of the parked records is reached.
    Parked,
    /// A dead letter can't be written.
    DeadLetter,
    /// Somebody has paused it.
    Paused,
    /// The circuit breaker of its route is open.
    CircuitBreaker,
}

/// An attempt that runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttemptView {
    /// The worker's number.
    pub worker: usize,
    /// Whose record it is; of a batch the first one's.
    pub topic_partition: TopicPartition,
    /// Which one.
    pub offset: Offset,
    /// The handler's name.
    pub handler: &'static str,
    /// For how long.
    pub runs: Duration,
    /// How long it may.
    pub timeout: Duration,
    /// It overstays that: it may block its thread.
    pub overdue: bool,
}

impl View {
    /// Whether the partition is assigned here.
    #[cfg(feature = "api")]
    pub(crate) fn has(&self, place: &TopicPartition) -> bool {
        self.partitions.iter().any(|one| one.topic_partition == *place)
    }

    pub(super) fn of(census: &Census, attempts: Vec<AttemptView>, stalls: &[Stall], seen: Seen<'_>) -> Self {
        let partitions = census.partitions.iter().zip(seen.behind);
        Self {
            taken: seen.clock,
            queued: census.queued.into(),
            queue_capacity: seen.queue_capacity,
            parked: census.parked.into(),
            busy: census.busy,
            workers: census.workers,
            partitions: partitions.map(|(census, &behind)| partition(census, behind, stalls, seen.now)).collect(),
            attempts,
        }
    }
}

/// When a view is taken, and what the census alone doesn't tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    pub(super) now: Instant,
    pub(super) clock: Timestamp,
    pub(super) queue_capacity: usize,
    /// For each partition of the census, how far behind it is.
    pub(super) behind: &'a [Duration],
}

fn partition(census: &PartitionCensus, behind: Duration, stalls: &[Stall], now: Instant) -> PartitionView {
    let stall = stalls.iter().find(|stall| stall.topic_partition == census.topic_partition);
    PartitionView {
        topic_partition: census.topic_partition.clone(),
        lag: census.lag,
        behind,
        reach: census.reach,
        unfinished: census.unfinished,
        queued: census.queued.into(),
        parked: census.parked.into(),
        busy: census.busy,
        lanes: census.lanes,
        deepest_lane: census.deepest_lane,
        held: census.hold.map(HeldBack::from),
        stalled: stall.map(|stall| stall.time),
        probation: census.probation,
        waits: census.waits_until.map(|until| until.saturating_duration_since(now)).filter(|wait| !wait.is_zero()),
        silent: census.is_silent,
        finished: census.finished,
        uncommitted: census.uncommitted,
        finished_ahead: census.window.records,
    }
}

impl From<Load> for Amount {
    fn from(Load { records, bytes }: Load) -> Self {
        Self { records, bytes }
    }
}

impl From<Hold> for HeldBack {
    fn from(hold: Hold) -> Self {
        match hold {
            Hold::Window => Self::Window,
            Hold::Parked => Self::Parked,
            Hold::DeadLetter => Self::DeadLetter,
            Hold::Paused => Self::Paused,
            Hold::CircuitBreaker => Self::CircuitBreaker,
        }
    }
}
