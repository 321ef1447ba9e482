//! Reports: what a process tells of itself, as JSON that later versions still read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{Instance, shown};
use crate::payload::shortened;
use crate::record::Timestamp;
use crate::supervisor::{Inspected, Recent, Roster};

/// So much of a daemon is told, at most: what is worst stands first.
const PARTITIONS: usize = 500;
const ATTEMPTS: usize = 20;
const FAILURES: usize = 20;
const REBALANCES: usize = 20;
/// Characters of an error that are told.
const ERROR: usize = 500;

/// What a process is at.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Report {
    pub(crate) instance: Instance,
    /// When it was told, in milliseconds since 1970 UTC, by the process's own clock.
    pub(crate) at: u64,
    /// Its daemons.
    pub(crate) daemons: Vec<Reported>,
    /// What it knows of what operators have ordered.
    #[serde(default)]
    pub(crate) steered: Steered,
}

/// What a process knows of what operators have ordered.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Steered {
    /// The offset of the topic of orders that it reads next: it does as those before it say. Null before it has read it.
    pub(crate) read: Option<i64>,
    /// What came of the last orders that are carried out once.
    pub(crate) answers: Vec<Answer>,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Answer {
    /// The order's name.
    pub(crate) id: String,
    /// Where the partition goes on; null where it was refused.
    pub(crate) next: Option<i64>,
    /// Why it was refused.
    pub(crate) refused: Option<String>,
    /// It was not refused, but is not done yet.
    #[serde(default)]
    pub(crate) is_open: bool,
}

/// What a daemon of a process is at.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reported {
    pub(crate) daemon: shown::Daemon,
    /// Records that it was done with a second, lately.
    pub(crate) rate: f64,
    /// What it was at before.
    #[serde(default)]
    pub(crate) recent: Recent,
    /// Its partitions there, those that are stuck first.
    pub(crate) partitions: Vec<shown::Partition>,
    /// Partitions that are left out, as there are too many.
    pub(crate) partitions_left_out: usize,
    /// The handlers that run, the longest first: the first twenty.
    pub(crate) attempts: Vec<shown::Attempt>,
    /// Those that are left out.
    #[serde(default)]
    pub(crate) attempts_left_out: usize,
    /// Attempts that have failed, by what they have in common, the latest first: the first twenty.
    pub(crate) failures: Vec<shown::FailedAttempts>,
    /// Groups of them that are left out.
    #[serde(default)]
    pub(crate) failures_left_out: usize,
    /// When partitions came to it and went, the latest first: the last twenty times.
    #[serde(default)]
    pub(crate) rebalances: Vec<shown::Rebalance>,
}

impl Report {
    /// As this process is just now, cut to what is told.
    pub(crate) fn now(instance: &Instance, roster: &Roster, steered: Steered) -> Self {
        let whole = Self::whole(instance, roster, steered);
        Self { daemons: whole.daemons.into_iter().map(Reported::cut).collect(), ..whole }
    }

    /// As this process is just now.
    pub(crate) fn whole(instance: &Instance, roster: &Roster, steered: Steered) -> Self {
        let daemons = roster.inspect().iter().map(|daemon| Reported::of(daemon, roster)).collect();
        Self { instance: instance.clone(), at: Timestamp::now().as_millis(), daemons, steered }
    }
}

impl Reported {
    fn of(inspected: &Inspected, roster: &Roster) -> Self {
        let (name, control) = (&*inspected.status.name, inspected.control.as_ref());
        let view = control.and_then(|control| control.view());
        let failed = control.map(|control| control.failed()).unwrap_or_default();
        let rebalances = control.map(|control| control.rebalances()).unwrap_or_default();
        Self {
            daemon: shown::Daemon::of(inspected),
            rate: roster.history().rate(name),
            recent: roster.history().recent(name),
            partitions: shown::Partition::all(view.as_deref()),
            partitions_left_out: 0,
            attempts: shown::Attempt::all(view.as_deref()),
            attempts_left_out: 0,
            failures: failed.iter().map(shown::FailedAttempts::of).collect(),
            failures_left_out: 0,
            rebalances: rebalances.iter().map(shown::Rebalance::of).collect(),
        }
    }

    /// What is worst of it, and not all.
    fn cut(mut self) -> Self {
        self.partitions_left_out = shorten(&mut self.partitions, PARTITIONS);
        self.attempts_left_out = shorten(&mut self.attempts, ATTEMPTS);
        self.failures_left_out = shorten(&mut self.failures, FAILURES);
        self.rebalances.truncate(REBALANCES);
        for failure in &mut self.failures {
            for text in [&mut failure.pattern, &mut failure.example.error] {
                *text = shortened(text, ERROR);
            }
        }
        self
    }
}

/// Cuts it, and says how many are left out.
fn shorten<T>(all: &mut Vec<T>, most: usize) -> usize {
    let left_out = all.len().saturating_sub(most);
    all.truncate(most);
    left_out
}
