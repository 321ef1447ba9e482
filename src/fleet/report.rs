//! Reports: what a process tells of itself, as JSON that later versions still read.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{Instance, shown};
use crate::record::Timestamp;
use crate::supervisor::{Inspected, Roster};

/// So much of a daemon is told, at most: what is worst stands first.
const PARTITIONS: usize = 500;
const ATTEMPTS: usize = 20;
const FAILURES: usize = 20;
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
}

/// What a daemon of a process is at.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reported {
    pub(crate) daemon: shown::Daemon,
    /// Records that it was done with a second, since the report before.
    pub(crate) rate: f64,
    /// Its partitions there, those that are stuck first.
    pub(crate) partitions: Vec<shown::Partition>,
    /// Partitions that are left out, as there are too many.
    pub(crate) partitions_left_out: usize,
    /// The handlers that run, the longest first: the first twenty.
    pub(crate) attempts: Vec<shown::Attempt>,
    /// Attempts that have failed, by what they have in common, the latest first: the first twenty.
    pub(crate) failures: Vec<shown::FailedAttempts>,
}

/// A rate is told of no shorter time.
const WHILE: Duration = Duration::from_secs(1);

/// When each daemon was last looked at, how many records it was done with by then, and how many a second.
#[derive(Debug, Default)]
pub(super) struct Before(HashMap<String, (Instant, u64, f64)>);

impl Report {
    /// As this process is just now, without rates.
    pub(crate) fn now(instance: &Instance, roster: &Roster, steered: Steered) -> Self {
        Self::of(instance, roster, &mut Before::default(), steered)
    }

    pub(super) fn of(instance: &Instance, roster: &Roster, before: &mut Before, steered: Steered) -> Self {
        let daemons = roster.inspect().iter().map(|daemon| Reported::of(daemon, before)).collect();
        Self { instance: instance.clone(), at: Timestamp::now().as_millis(), daemons, steered }
    }
}

impl Reported {
    fn of(inspected: &Inspected, before: &mut Before) -> Self {
        let view = inspected.control.as_ref().and_then(|control| control.view());
        let mut partitions = shown::Partition::all(view.as_deref());
        let partitions_left_out = partitions.len().saturating_sub(PARTITIONS);
        partitions.truncate(PARTITIONS);
        let mut attempts = shown::Attempt::all(view.as_deref());
        attempts.truncate(ATTEMPTS);
        let failed = inspected.control.as_ref().map(|control| control.failed()).unwrap_or_default();
        let failures = failed.iter().take(FAILURES).map(|group| {
            let mut told = shown::FailedAttempts::of(group);
            shorten(&mut told.pattern);
            shorten(&mut told.example.error);
            told
        });
        Self {
            daemon: shown::Daemon::of(inspected),
            rate: before.rate(inspected),
            partitions,
            partitions_left_out,
            attempts,
            failures: failures.collect(),
        }
    }
}

impl Before {
    #[allow(clippy::cast_precision_loss)]
    fn rate(&mut self, inspected: &Inspected) -> f64 {
        let (now, handled) = (Instant::now(), inspected.handled());
        let known = self.0.entry(inspected.status.name.to_string()).or_insert((now, handled, 0.0));
        let time = now.duration_since(known.0);
        if time >= WHILE {
            *known = (now, handled, handled.saturating_sub(known.1) as f64 / time.as_secs_f64());
        }
        known.2
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(ERROR) {
        text.truncate(end);
        text.push('…');
    }
}
