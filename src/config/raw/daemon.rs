//! A daemon, and the topics it reads.

use std::collections::BTreeMap;
use std::num::NonZero;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::circuit_breaker::CircuitBreakerSection;
use super::overrides::OverridesSection;
use super::scaling::ScalingSection;
use crate::config::units::{Limit, Period, Size};
use crate::daemon::MissingDeadLetterTopic;
use crate::handler::ProcessingOrder;
use crate::pipeline::{CrashQuarantine, PipelineSettings};

/// A daemon. One that reads no Kafka topics takes `enabled` alone.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct DaemonSection {
    /// Whether this process runs it.
    pub(in crate::config) enabled: bool,
    /// The cluster to read, by its name under `kafka`; by default the only one, or the one named `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) cluster: Option<String>,
    /// The consumer group; by default the cluster's. Daemons that read the same topic need one each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) group: Option<String>,
    /// Handlers at once; where `scaling` changes their number, at most.
    #[schemars(range(min = 1, max = 100_000))]
    pub(in crate::config) workers: usize,
    /// How the number of workers follows what there is to do.
    #[serde(skip_serializing_if = "ScalingSection::is_fixed")]
    pub(in crate::config) scaling: ScalingSection,
    /// Records that may be ready or running; at least twice the workers.
    #[schemars(range(min = 2, max = 10_000_000))]
    pub(in crate::config) queue_records: usize,
    /// Bytes of keys and values that may be ready or running.
    pub(in crate::config) queue_bytes: Size,
    /// Records that may wait for a retry or a dead letter, or behind one of their lane that does.
    #[schemars(range(min = 1))]
    pub(in crate::config) parked_records: usize,
    /// Bytes of keys and values that may wait so.
    pub(in crate::config) parked_bytes: Size,
    /// Share of the queue at which fetching is held back.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) high_mark: f64,
    /// Share of the queue at which it goes on.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) low_mark: f64,
    /// Time between two commits.
    pub(in crate::config) commit_interval: Period,
    /// Completions after which a commit is made before that time; no more than twenty times a second.
    #[schemars(range(min = 1))]
    pub(in crate::config) commit_after: usize,
    /// How long started handlers may go on when their partition is revoked.
    pub(in crate::config) rebalance_drain: Period,
    /// How long one read waits for records.
    pub(in crate::config) read_timeout: Period,
    /// How long to wait after a failed read.
    pub(in crate::config) read_error_wait: Period,
    /// How long nothing of a partition may be processed while its records wait until the daemon is no longer ready; after as long again it is restarted.
    pub(in crate::config) stall_after: Period,
    /// What becomes of a record that kills the process.
    pub(in crate::config) crash_quarantine: QuarantineSection,
    /// What to do about a dead-letter topic that doesn't exist: refuse to start, and leave a topic alone that a pattern finds later; or create it.
    pub(in crate::config) missing_dead_letter_topic: MissingDeadLetterTopic,
    /// Threads that the handlers run on; by default the cores and 8, and one more than the workers up to 64 of them.
    #[schemars(range(min = 1, max = 10_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) handler_threads: Option<usize>,
    /// What operators would else change while it runs.
    #[serde(skip_serializing_if = "OverridesSection::is_empty")]
    pub(in crate::config) overrides: OverridesSection,
    /// What is said here of a topic, or of a pattern by its text, counts more than what the program says of it. Each must be one that the
    /// daemon reads.
    pub(in crate::config) topics: BTreeMap<String, TopicSection>,
}

impl Default for DaemonSection {
    fn default() -> Self {
        let PipelineSettings {
            workers,
            scaling: _,
            queue_records,
            queue_bytes,
            parked_records,
            parked_bytes,
            high_mark,
            low_mark,
            commit_interval,
            commit_after,
            rebalance_drain,
            read_timeout,
            read_error_wait,
            stall_after,
            crash_quarantine: _,
            seed: _,
        } = PipelineSettings::default();
        Self {
            enabled: true,
            cluster: None,
            group: None,
            workers,
            scaling: ScalingSection::default(),
            queue_records,
            queue_bytes: Size(queue_bytes),
            parked_records,
            parked_bytes: Size(parked_bytes),
            high_mark,
            low_mark,
            commit_interval: Period(commit_interval),
            commit_after,
            rebalance_drain: Period(rebalance_drain),
            read_timeout: Period(read_timeout),
            read_error_wait: Period(read_error_wait),
            stall_after: Period(stall_after),
            crash_quarantine: QuarantineSection::default(),
            missing_dead_letter_topic: MissingDeadLetterTopic::default(),
            handler_threads: None,
            overrides: OverridesSection::default(),
            topics: BTreeMap::new(),
        }
    }
}

impl DaemonSection {
    pub(in crate::config) fn pipeline(&self) -> PipelineSettings {
        PipelineSettings {
            workers: self.workers,
            scaling: self.scaling.scaling(),
            queue_records: self.queue_records,
            queue_bytes: self.queue_bytes.0,
            parked_records: self.parked_records,
            parked_bytes: self.parked_bytes.0,
            high_mark: self.high_mark,
            low_mark: self.low_mark,
            commit_interval: self.commit_interval.0,
            commit_after: self.commit_after,
            rebalance_drain: self.rebalance_drain.0,
            read_timeout: self.read_timeout.0,
            read_error_wait: self.read_error_wait.0,
            stall_after: self.stall_after.0,
            crash_quarantine: self.crash_quarantine.quarantine(),
            seed: None,
        }
    }
}

/// What becomes of a record that kills the process.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct QuarantineSection {
    /// Whether it becomes a dead letter at last, where its route has any; else it runs again after each restart.
    pub(in crate::config) enabled: bool,
    /// How often the process may end while the record runs alone until then.
    #[schemars(range(min = 1))]
    pub(in crate::config) limit: NonZero<u32>,
}

impl Default for QuarantineSection {
    fn default() -> Self {
        Self { enabled: true, limit: CrashQuarantine::default().limit }
    }
}

impl QuarantineSection {
    fn quarantine(&self) -> Option<CrashQuarantine> {
        self.enabled.then_some(CrashQuarantine { limit: self.limit })
    }
}

/// A topic that a daemon reads. What is left out is as the program has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TopicSection {
    /// Which records wait for one another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<ProcessingOrder>,
    /// How failed attempts are repeated.
    #[serde(skip_serializing_if = "RetriesSection::is_empty")]
    pub(crate) retries: RetriesSection,
    /// What tells an outage from records that can't be handled, and holds the topic back meanwhile.
    #[serde(skip_serializing_if = "CircuitBreakerSection::is_empty")]
    pub(crate) circuit_breaker: CircuitBreakerSection,
    /// How long an attempt may take; with `none` as long as it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout: Option<Limit>,
    /// The topic for dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dead_letter: Option<String>,
}

/// How failed attempts are repeated. What is left out is as the program has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetriesSection {
    /// Retries after the first attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<u32>,
    /// The delay before the first retry; it doubles with each further one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) base: Option<Period>,
    /// No delay is longer than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cap: Option<Period>,
    /// The share by which delays are shortened at random.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jitter: Option<f64>,
}

impl RetriesSection {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
