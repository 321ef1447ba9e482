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
/// Bytes of a report, whatever is in it; so many of them are kept for counts.
const BYTES: usize = 256 * 1024;
const SPARE: usize = 64;
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
    /// Those that are left out, as they say too much.
    #[serde(default)]
    pub(crate) daemons_left_out: usize,
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
        Self { daemons: whole.daemons.into_iter().map(Reported::cut).collect(), ..whole }.bounded(BYTES)
    }

    /// The same in no more bytes than this, whatever is in it: of the daemons that say the most, what is least bad is left out first, and then
    /// daemons.
    fn bounded(mut self, bytes: usize) -> Self {
        let mut sizes: Vec<usize> = self.daemons.iter().map(size).collect();
        // Counts of what is left out get longer.
        let mut all = size(&self) + SPARE;
        while all > bytes
            && let Some((index, most)) = sizes.iter().copied().enumerate().max_by_key(|(_, size)| *size)
        {
            all -= most;
            if self.daemons[index].halve() {
                sizes[index] = size(&self.daemons[index]);
                all += sizes[index];
            } else {
                self.daemons.swap_remove(index);
                sizes.swap_remove(index);
                self.daemons_left_out += 1;
            }
        }
        self
    }

    /// As this process is just now.
    pub(crate) fn whole(instance: &Instance, roster: &Roster, steered: Steered) -> Self {
        let daemons = roster.inspect().iter().map(|daemon| Reported::of(daemon, roster)).collect();
        let at = Timestamp::now().as_millis();
        Self { instance: instance.clone(), at, daemons, daemons_left_out: 0, steered }
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

    /// Leaves out half of that of which there is the most, and shortens what can't be. Whether there was anything.
    fn halve(&mut self) -> bool {
        let least = [size(&self.partitions), size(&self.attempts), size(&self.failures), size(&self.rebalances)];
        let most = least.iter().copied().max().unwrap_or(0);
        let text = |text: &mut Option<String>| match text {
            // It ends with a word that it goes on.
            Some(long) if long.chars().count() > ERROR + 1 => {
                *long = shortened(long, ERROR);
                true
            }
            _ => false,
        };
        // What says why it can't do its work goes last, but is no longer than any error.
        let (unready, failed) = (text(&mut self.daemon.unready), text(&mut self.daemon.last_error));
        if unready || failed {
            return true;
        }
        let half = |all: usize| all / 2;
        if most == least[0] && !self.partitions.is_empty() {
            let most = half(self.partitions.len());
            self.partitions_left_out += shorten(&mut self.partitions, most);
        } else if most == least[1] && !self.attempts.is_empty() {
            let most = half(self.attempts.len());
            self.attempts_left_out += shorten(&mut self.attempts, most);
        } else if most == least[2] && !self.failures.is_empty() {
            let most = half(self.failures.len());
            self.failures_left_out += shorten(&mut self.failures, most);
        } else if !self.rebalances.is_empty() {
            self.rebalances.truncate(half(self.rebalances.len()));
        } else {
            return self.daemon.shorten();
        }
        true
    }
}

/// How many bytes something takes as it is told.
fn size(told: &impl Serialize) -> usize {
    serde_json::to_vec(told).map_or(0, |text| text.len())
}

/// Cuts it, and says how many are left out.
fn shorten<T>(all: &mut Vec<T>, most: usize) -> usize {
    let left_out = all.len().saturating_sub(most);
    all.truncate(most);
    left_out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A daemon of so much of everything, each text so long.
    fn daemon(number: usize, count: usize, long: usize) -> Value {
        let text = "x".repeat(long);
        let topics: Vec<String> = (0..count).map(|topic| format!("{text}-{topic}")).collect();
        let paused: Vec<Value> = topics.iter().map(|topic| json!({"topic": topic})).collect();
        let partition = |partition: usize| {
            json!({
                "topic": text, "partition": partition, "lag": 0, "behind": 0, "position": 0, "committed": 0,
                "oldest_unfinished": null, "unfinished": 0, "queued": 0, "parked": 0, "busy": 0, "lanes": 0, "deepest_lane": 0,
                "held": null, "stalled": null, "probation": false, "waits": null, "silent": false, "finished": 0,
                "uncommitted": 0, "finished_ahead": 0,
            })
        };
        let failure = json!({
            "fingerprint": "a", "topic": text, "handler": text, "reason": "error", "pattern": text, "count": 1, "first": 1, "last": 1,
            "example": {"partition": 0, "offset": 0, "attempt": 1, "error": text},
        });
        let attempt = json!({
            "worker": 1, "handler": text, "topic": text, "partition": 0, "offset": 0, "runs": 1, "timeout": null, "overdue": false,
        });
        json!({
            "daemon": {
                "name": format!("daemon-{number}"), "state": "running", "state_for": 1, "unready": text, "restarts": 0, "last_error": text,
                "consumer": {
                    "reads": {"topics": topics, "patterns": topics}, "paused": paused, "limits": {"rate": null, "key_rate": null},
                    "counts": {"succeeded": 0, "skipped": 0, "dead_lettered": 0, "failed_attempts": 0, "retries": 0, "overdue": 0},
                    "now": null,
                },
            },
            "rate": 0.0, "partitions": (0..count).map(partition).collect::<Vec<_>>(), "partitions_left_out": 3,
            "attempts": vec![attempt; count], "failures": vec![failure; count],
            "rebalances": vec![json!({"at": 1, "kind": "assigned", "partitions": 1}); count],
        })
    }

    fn report(daemons: Vec<Value>) -> Report {
        let instance = Instance::this("shop", None);
        let told = json!({
            "instance": instance, "at": 1, "daemons": daemons, "steered": {"read": 7, "answers": []},
        });
        serde_json::from_value(told).expect("a report")
    }

    #[test]
    fn a_report_is_no_larger_than_256_kib_whatever_is_in_it_and_says_what_is_left_out() {
        let small = report(vec![daemon(0, 10, 10)]);
        let told = size(&small);
        assert_eq!(size(&small.bounded(BYTES)), told, "what is small stays as it is");
        for (daemons, count, long) in
            [(1, 500, 249), (40, 200, 100), (3, 20, 100_000), (2_000, 1, 10), (1, 1, 1_000_000)]
        {
            let whole = report((0..daemons).map(|number| daemon(number, count, long)).collect());
            let bounded = whole.bounded(BYTES);
            assert!(size(&bounded) <= BYTES, "{daemons} of {count}, {long}: {} bytes", size(&bounded));
            assert_eq!(bounded.daemons.len() + bounded.daemons_left_out, daemons);
            assert_eq!(bounded.steered.read, Some(7), "what it has heard of is told");
            for daemon in &bounded.daemons {
                assert_eq!(daemon.partitions.len() + daemon.partitions_left_out, count + 3);
                assert_eq!(daemon.attempts.len() + daemon.attempts_left_out, count);
                assert_eq!(daemon.failures.len() + daemon.failures_left_out, count);
                let consumer = daemon.daemon.consumer.as_ref().expect("it is one");
                assert_eq!(consumer.paused.len() + consumer.paused_left_out, count);
            }
        }
    }
}
