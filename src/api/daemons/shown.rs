//! Daemons as they are shown: the JSON of the API.

use std::cmp::Reverse;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

pub(crate) use super::held::HeldBack;
pub(crate) use super::reads::{Patterns, Reads};
#[cfg(all(test, feature = "cli"))]
pub(crate) use super::stake::Effect;
#[cfg(feature = "cli")]
pub(crate) use super::stake::StakeShown;
use super::steering::Limits;
pub(crate) use super::steering::{Destination, RateLimit, Scope};
#[cfg(feature = "cli")]
pub(crate) use super::steering::{LimitChange, ScopeChange, SeekRequest, SkipRequest, Sought, Steered, WorkersChange};
use crate::metrics::{self, MessageStatus};
use crate::pipeline::failures::FailureGroup;
use crate::pipeline::rebalances;
use crate::pipeline::view::{AttemptView, PartitionView, View};
use crate::supervisor::{DaemonState, Inspected};

/// A daemon.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) state: State,
    /// Milliseconds for which it has been in that.
    pub(crate) state_for: u64,
    /// Why it can't do its work now; null while it can, and where it does not run.
    pub(crate) unready: Option<String>,
    /// How often it was restarted.
    pub(crate) restarts: u64,
    /// Why it failed the last time.
    pub(crate) last_error: Option<String>,
    /// What it reads by; null for a daemon that reads nothing, and before its first start.
    pub(crate) consumer: Option<Consumer>,
}

/// How a daemon is to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// It is at its work.
    Good,
    /// It isn't, or not yet, or no longer.
    Warning,
    /// It can't be.
    Bad,
}

/// What a daemon is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// It is made, or runs and was not ready yet.
    Starting,
    /// It runs, and has been ready in this run.
    Running,
    /// It failed, and is about to be started again.
    Restarting,
    /// It has ended.
    Ended,
    /// It could not work as it was configured.
    Misconfigured,
    /// It failed for good.
    Failed,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Restarting => "restarting",
            Self::Ended => "ended",
            Self::Misconfigured => "misconfigured",
            Self::Failed => "failed",
        }
    }
}

/// A daemon that reads partitions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Consumer {
    /// The topics that its routes are for; null before it has begun.
    #[serde(default)]
    pub(crate) reads: Option<Reads>,
    /// What somebody has paused.
    pub(crate) paused: Vec<Scope>,
    /// How much of that is left out, as there is too much.
    #[serde(default)]
    pub(crate) paused_left_out: usize,
    /// What somebody has limited.
    pub(crate) limits: Limits,
    /// What became of records since the process began.
    pub(crate) counts: Counts,
    /// What it holds now; null while it does not run.
    pub(crate) now: Option<Now>,
}

/// What became of records since the process began.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Counts {
    /// Records that were handled.
    pub(crate) succeeded: u64,
    /// Records that were passed over.
    pub(crate) skipped: u64,
    /// Records that became dead letters.
    pub(crate) dead_lettered: u64,
    /// Attempts that failed.
    pub(crate) failed_attempts: u64,
    /// Failed attempts that were to be followed by another one.
    pub(crate) retries: u64,
    /// Handlers that ran past their timeout without ending, each once.
    #[serde(default)]
    pub(crate) overdue: u64,
}

/// What a daemon holds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Now {
    /// When it was seen, in milliseconds since 1970 UTC; a second ago at most.
    pub(crate) at: u64,
    /// Partitions that are assigned to this process.
    pub(crate) partitions: usize,
    /// Those of them that aren't read, though there is room.
    pub(crate) held: usize,
    /// Those of them of which nothing is done though something could be.
    pub(crate) stalled: usize,
    /// Records up to the ends of them, as far as those are known.
    pub(crate) lag: u64,
    /// Milliseconds for which the oldest unfinished record has been in its topic.
    pub(crate) behind: u64,
    /// Records that are ready or running.
    pub(crate) queued: usize,
    /// How many may be.
    pub(crate) queue_capacity: usize,
    /// Records that wait for a retry or a letter, or behind one of their lane that does.
    pub(crate) parked: usize,
    /// Workers that are at something.
    pub(crate) busy: usize,
    /// How many may be.
    pub(crate) workers: usize,
    /// Handlers that overstay their timeout.
    pub(crate) overdue: usize,
}

/// A partition that is assigned to this process.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Records between what is finished without a gap and the partition's end; null while that is not known.
    pub(crate) lag: Option<u64>,
    /// Milliseconds for which its oldest unfinished record has been in the topic.
    pub(crate) behind: u64,
    /// The offset that is read next.
    pub(crate) position: Option<i64>,
    /// The offset that the last acknowledged commit names.
    pub(crate) committed: Option<i64>,
    /// The oldest record that is not finished.
    pub(crate) oldest_unfinished: Option<i64>,
    /// Records that came in and are not finished.
    pub(crate) unfinished: usize,
    /// Those of them that are ready or running.
    pub(crate) queued: usize,
    /// Those of them that wait for a retry or a letter, or behind one that does.
    pub(crate) parked: usize,
    /// Workers that hold one of its lanes.
    pub(crate) busy: usize,
    /// Lanes that have a record: what could be worked on side by side.
    pub(crate) lanes: usize,
    /// Records of the lane that has the most of them; of those that a worker has taken of a lane, one counts.
    pub(crate) deepest_lane: usize,
    /// Why nothing more of it is read, though there is room.
    pub(crate) held: Option<HeldBack>,
    /// Milliseconds for which nothing was done of it though something could be.
    pub(crate) stalled: Option<u64>,
    /// Its records run one at a time, since a process has ended without warning.
    pub(crate) probation: bool,
    /// Milliseconds that the last of its retries has yet to wait.
    pub(crate) waits: Option<u64>,
    /// No broker answers for it.
    pub(crate) silent: bool,
    /// Records that were finished since it was assigned.
    pub(crate) finished: u64,
    /// Those of them that no acknowledged commit covers yet.
    pub(crate) uncommitted: u64,
    /// Offsets above the oldest unfinished record that need no work any more.
    pub(crate) finished_ahead: u64,
}

/// A handler that runs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Attempt {
    /// The worker's number.
    pub(crate) worker: usize,
    pub(crate) handler: String,
    /// Of its record; of a batch, of the first one.
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// For how many milliseconds it has run.
    pub(crate) runs: u64,
    /// For how many it may; null where there is no limit.
    pub(crate) timeout: Option<u64>,
    /// It overstays that: it may block its thread.
    pub(crate) overdue: bool,
}

/// Failed attempts that have something in common.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FailedAttempts {
    /// The same for the same failures, in every process.
    pub(crate) fingerprint: String,
    pub(crate) topic: String,
    pub(crate) handler: String,
    /// As in the letters' header.
    pub(crate) reason: String,
    /// What was said, with `#` for each word that has a digit in it.
    pub(crate) pattern: String,
    pub(crate) count: u64,
    /// When it was first seen, in milliseconds since 1970 UTC.
    pub(crate) first: u64,
    /// When it was last seen.
    pub(crate) last: u64,
    /// One of the latest.
    pub(crate) example: Example,
}

/// A failed attempt.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Example {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    /// Which attempt it was.
    pub(crate) attempt: u32,
    /// What was said, with the causes: its first 4 KiB.
    pub(crate) error: String,
}

/// A change of what is assigned to a daemon of a process.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Rebalance {
    /// When, in milliseconds since 1970 UTC.
    pub(crate) at: u64,
    pub(crate) kind: RebalanceKind,
    /// How many partitions came, or went.
    pub(crate) partitions: usize,
}

/// What a rebalance did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RebalanceKind {
    /// Partitions came.
    Assigned,
    /// Partitions were given up.
    Revoked,
    /// Partitions were taken away without asking.
    Lost,
}

impl Daemon {
    pub(crate) fn of(inspected: &Inspected) -> Self {
        let Inspected { status, metrics, control } = inspected;
        let messages = |status| metrics.messages.of(status).get();
        let consumer = control.as_ref().map(|control| Consumer {
            reads: control.reading().map(|reading| Reads::of(&reading)),
            paused: control.paused().iter().map(Scope::of).collect(),
            paused_left_out: 0,
            limits: Limits::of(control),
            counts: Counts {
                succeeded: messages(MessageStatus::Success),
                skipped: messages(MessageStatus::Skipped),
                dead_lettered: messages(MessageStatus::DeadLettered),
                failed_attempts: messages(MessageStatus::Failed),
                retries: messages(MessageStatus::Retried),
                overdue: metrics.handlers_overdue_total.get(),
            },
            now: control.view().map(|view| Now::of(&view)),
        });
        Self {
            name: status.name.to_string(),
            state: State::of(status.state),
            state_for: millis(Instant::now().saturating_duration_since(status.since)),
            unready: status.unready.clone(),
            restarts: status.restarts,
            last_error: status.last_error.as_deref().map(str::to_owned),
            consumer,
        }
    }

    /// Leaves out half of what is paused, and of what its routes are for. Whether there was anything.
    pub(crate) fn shorten(&mut self) -> bool {
        let Some(consumer) = &mut self.consumer else { return false };
        let paused = consumer.paused.len();
        consumer.paused.truncate(paused / 2);
        consumer.paused_left_out += paused - consumer.paused.len();
        let reads = consumer.reads.as_mut().is_some_and(Reads::shorten);
        paused > 0 || reads
    }

    pub(crate) fn condition(&self) -> Condition {
        match (self.state, &self.unready) {
            (State::Running, None) => Condition::Good,
            (State::Running | State::Starting | State::Ended, _) => Condition::Warning,
            (State::Restarting | State::Misconfigured | State::Failed, _) => Condition::Bad,
        }
    }

    /// Why it is not at its work.
    pub(crate) fn why(&self) -> Option<&str> {
        let failed = || self.last_error.as_deref().filter(|_| self.condition() == Condition::Bad);
        self.unready.as_deref().or_else(failed)
    }
}

impl State {
    fn of(state: DaemonState) -> Self {
        match state {
            DaemonState::Starting => Self::Starting,
            DaemonState::Running => Self::Running,
            DaemonState::Restarting { .. } => Self::Restarting,
            DaemonState::Ended(_) | DaemonState::Stopped => Self::Ended,
            DaemonState::Misconfigured => Self::Misconfigured,
            DaemonState::Failed => Self::Failed,
        }
    }
}

impl Now {
    fn of(view: &View) -> Self {
        let partitions = &view.partitions;
        Self {
            at: view.taken.as_millis(),
            partitions: partitions.len(),
            held: partitions.iter().filter(|partition| partition.held.is_some()).count(),
            stalled: partitions.iter().filter(|partition| partition.stalled.is_some()).count(),
            lag: partitions.iter().filter_map(|partition| partition.lag).sum(),
            behind: partitions.iter().map(|partition| millis(partition.behind)).max().unwrap_or(0),
            queued: view.queued.records,
            queue_capacity: view.queue_capacity,
            parked: view.parked.records,
            busy: view.busy,
            workers: view.workers,
            overdue: view.attempts.iter().filter(|attempt| attempt.overdue).count(),
        }
    }
}

impl Partition {
    /// Those of a view, in their [rank](Self::rank).
    pub(crate) fn all(view: Option<&View>) -> Vec<Self> {
        let mut all: Vec<Self> = view.into_iter().flat_map(|view| &view.partitions).map(Self::of).collect();
        all.sort_by_cached_key(Self::rank);
        all
    }

    fn of(seen: &PartitionView) -> Self {
        Self {
            topic: seen.topic_partition.topic.to_string(),
            partition: seen.topic_partition.partition.0,
            lag: seen.lag,
            behind: millis(seen.behind),
            position: seen.reach.read.map(|next| next.offset().0),
            committed: seen.reach.committed.map(|next| next.offset().0),
            oldest_unfinished: seen.reach.oldest_unfinished.map(|offset| offset.0),
            unfinished: seen.unfinished,
            queued: seen.queued.records,
            parked: seen.parked.records,
            busy: seen.busy,
            lanes: seen.lanes,
            deepest_lane: seen.deepest_lane,
            held: seen.held.map(HeldBack::from),
            stalled: seen.stalled.map(millis),
            probation: seen.probation,
            waits: seen.waits.map(millis),
            silent: seen.silent,
            finished: seen.finished,
            uncommitted: seen.uncommitted,
            finished_ahead: seen.finished_ahead,
        }
    }

    pub(super) fn is_of(&self, topic: &str) -> bool {
        self.topic == topic
    }

    pub(super) fn is_held(&self, held: HeldBack) -> bool {
        self.held == Some(held)
    }

    /// Whether it is held back, or stalls.
    pub(in crate::api) fn is_stuck(&self) -> bool {
        self.held.is_some() || self.stalled.is_some()
    }

    /// What is stuck stands first, then what is furthest behind.
    pub(in crate::api) fn rank(&self) -> impl Ord + use<> {
        let of_itself = (Reverse(self.stalled), Reverse(self.held.is_some()), Reverse(self.behind), Reverse(self.lag));
        (of_itself, self.topic.clone(), self.partition)
    }
}

impl Attempt {
    /// Those of a view, in their [rank](Self::rank).
    pub(crate) fn all(view: Option<&View>) -> Vec<Self> {
        let mut all: Vec<Self> = view.into_iter().flat_map(|view| &view.attempts).map(Self::of).collect();
        all.sort_by_key(Self::rank);
        all
    }

    fn of(seen: &AttemptView) -> Self {
        Self {
            worker: seen.worker,
            handler: seen.handler.to_owned(),
            topic: seen.topic_partition.topic.to_string(),
            partition: seen.topic_partition.partition.0,
            offset: seen.offset.0,
            runs: millis(seen.runs),
            timeout: (seen.timeout != crate::handler::NO_TIMEOUT).then(|| millis(seen.timeout)),
            overdue: seen.overdue,
        }
    }

    /// The longest stands first.
    pub(in crate::api) fn rank(&self) -> impl Ord + use<> {
        (Reverse(self.runs), self.worker)
    }
}

impl Rebalance {
    pub(crate) fn of(seen: &rebalances::Rebalance) -> Self {
        let kind = match seen.kind {
            metrics::RebalanceKind::Assigned => RebalanceKind::Assigned,
            metrics::RebalanceKind::Revoked => RebalanceKind::Revoked,
            metrics::RebalanceKind::Lost => RebalanceKind::Lost,
        };
        Self { at: seen.at.as_millis(), kind, partitions: seen.partitions }
    }
}

impl FailedAttempts {
    pub(crate) fn of(group: &FailureGroup) -> Self {
        Self {
            fingerprint: group.fingerprint.to_string(),
            topic: group.topic.to_string(),
            handler: group.handler.to_owned(),
            reason: group.reason.name().to_owned(),
            pattern: group.pattern.clone(),
            count: group.count,
            first: group.first.as_millis(),
            last: group.last.as_millis(),
            example: Example {
                partition: group.example.topic_partition.partition.0,
                offset: group.example.offset.0,
                attempt: group.example.attempt,
                error: group.example.error.clone(),
            },
        }
    }
}

pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
