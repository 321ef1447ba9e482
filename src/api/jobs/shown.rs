//! Jobs as they are shown: the JSON of the API.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Order, Progress, Work};
use crate::api::letters::which::Which;
use crate::api::masks::Sight;
use crate::dead_letters::{Counts, Left, LettersError, Way};

/// Work on dead letters.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Job {
    /// Its name, which no other job has or had; the process that was asked does it.
    pub(in crate::api) job: String,
    pub(in crate::api) daemon: String,
    /// The letters' topic.
    pub(in crate::api) topic: String,
    pub(in crate::api) what: What,
    /// Whether it does that; else it counts what would be done.
    pub(in crate::api) executes: bool,
    /// With `***` in place of what it asks of records, where that is hidden from whoever looks.
    pub(in crate::api) which: Which,
    /// The re-drive's name, by which it goes on.
    pub(in crate::api) request: Option<String>,
    /// The topic that records are written to; null where each goes back to its own.
    pub(in crate::api) to: Option<String>,
    /// Who has begun it.
    pub(in crate::api) by: String,
    /// Why.
    pub(in crate::api) reason: String,
    /// In milliseconds since 1970 UTC.
    pub(in crate::api) began_at: u64,
    /// In milliseconds since 1970 UTC; null while it runs.
    pub(in crate::api) ended_at: Option<u64>,
    pub(in crate::api) state: State,
    /// Why it failed.
    pub(in crate::api) error: Option<String>,
    pub(in crate::api) counts: Tally,
    /// The first hundred that were left where they are since nothing could be done with them.
    pub(in crate::api) left: Vec<LeftShown>,
    /// Where the records of the selected letters go; once that is counted.
    pub(in crate::api) ways: Vec<WayShown>,
}

/// What is done to letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum What {
    /// Their records are written again.
    Redrive,
    /// They are given up.
    Discard,
}

/// What a job is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::api) enum State {
    /// It runs.
    Running,
    /// It is through.
    Done,
    /// Somebody has stopped it; what it has done stands.
    Stopped,
    /// It could not go on; what it has done stands.
    Failed,
}

impl State {
    pub(in crate::api) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What became of the records that were looked at.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(in crate::api) struct Tally {
    /// Re-driven, or discarded; where it is counted those that would be.
    pub(in crate::api) selected: u64,
    /// Left, since their records were re-driven too often.
    pub(in crate::api) at_cap: u64,
    /// Left, since they were re-driven before.
    pub(in crate::api) already_redriven: u64,
    /// Left, since they were discarded before.
    pub(in crate::api) already_discarded: u64,
    /// Left, since they are no letters.
    pub(in crate::api) no_letter: u64,
    /// Left, since their records can't be written: `left` says why. Not known before it is done.
    pub(in crate::api) not_written: u64,
    /// Those that don't meet the conditions.
    pub(in crate::api) not_meant: u64,
}

/// A record of the letters' topic that was left.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct LeftShown {
    pub(in crate::api) partition: i32,
    pub(in crate::api) offset: i64,
    /// Why nothing could be done with it.
    pub(in crate::api) why: String,
}

/// Records that come from one topic and go to one.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct WayShown {
    /// Where they were read.
    pub(in crate::api) origin: String,
    /// Where they are written; null where they are given up.
    pub(in crate::api) target: Option<String>,
    pub(in crate::api) letters: u64,
}

impl Job {
    /// As whoever sees this much of records sees it.
    pub(in crate::api) fn of(job: &super::Job, sight: Sight<'_>) -> Self {
        let Order { daemon, work, executes, by, reason } = &job.order;
        let Progress { counts, plan, left, end } = job.progress();
        let (what, request, to) = match work {
            Work::Redrive { redrive, to, .. } => (What::Redrive, Some(redrive.name().to_owned()), to.clone()),
            Work::Discard { .. } => (What::Discard, None, None),
        };
        let error = end.as_ref().and_then(|end| end.error.as_ref());
        let state = match (&end, error) {
            (None, _) => State::Running,
            (Some(_), None) => State::Done,
            (Some(_), Some(LettersError::Stopped)) => State::Stopped,
            (Some(_), Some(_)) => State::Failed,
        };
        let way = |way: &Way| WayShown {
            origin: way.origin.to_string(),
            target: (what == What::Redrive).then(|| way.target.to_string()),
            letters: way.letters,
        };
        Self {
            job: job.name.clone(),
            daemon: daemon.clone(),
            topic: job.topic.to_string(),
            what,
            executes: *executes,
            which: sight.conditions(work.which()),
            request,
            to,
            by: by.name.to_string(),
            reason: reason.clone(),
            began_at: job.began_at,
            ended_at: end.as_ref().map(|end| end.at),
            state,
            error: error.filter(|_| state == State::Failed).map(ToString::to_string),
            counts: counts.into(),
            left: left.iter().map(LeftShown::of).collect(),
            ways: plan.iter().flat_map(|plan| &plan.ways).map(way).collect(),
        }
    }
}

impl LeftShown {
    fn of(Left { partition, offset, why, .. }: &Left) -> Self {
        Self { partition: partition.0, offset: offset.0, why: why.to_string() }
    }
}

impl From<Counts> for Tally {
    fn from(counts: Counts) -> Self {
        let Counts { selected, at_cap, already_redriven, already_discarded, foreign, unwritten, unmatched } = counts;
        Self {
            selected,
            at_cap,
            already_redriven,
            already_discarded,
            no_letter: foreign,
            not_written: unwritten,
            not_meant: unmatched,
        }
    }
}
