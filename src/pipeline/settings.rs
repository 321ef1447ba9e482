//! The pipeline's settings, with their defaults, and what is wrong with them.

use std::time::Duration;

use super::quarantine::CrashQuarantine;
use super::scaling::Scaling;

/// How a daemon reads, queues, works and commits. Every field has a default; use struct update syntax to change some.
///
/// ```
/// use daemonry::pipeline::PipelineSettings;
///
/// let settings = PipelineSettings { workers: 32, queue_records: 1_000, ..PipelineSettings::default() };
/// assert!(settings.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineSettings {
    /// Handlers at once (default: 10); where they are scaled, at most.
    pub workers: usize,
    /// How their number follows what there is to do; `None`, the default, leaves it as it is.
    pub scaling: Option<Scaling>,
    /// Records that may be ready or running (default: 100); at least twice the workers.
    pub queue_records: usize,
    /// Bytes of keys and values that may be ready or running (default: 64 MiB).
    pub queue_bytes: usize,
    /// Records that may wait for a retry or a dead letter, or behind one of their lane that does (default: 10,000).
    pub parked_records: usize,
    /// Bytes of those (default: 64 MiB).
    pub parked_bytes: usize,
    /// Share of the queue at which fetching is held back (default: 0.8).
    pub high_mark: f64,
    /// Share of the queue at which it goes on (default: 0.5).
    pub low_mark: f64,
    /// Time between two commits (default: 1 s).
    pub commit_interval: Duration,
    /// Completions after which a commit is made before that time (default: 1,000); no more than twenty times a second.
    pub commit_after: usize,
    /// How long started handlers may go on when their partition is revoked (default: 10 s).
    pub rebalance_drain: Duration,
    /// How long one read waits for records (default: 5 s).
    pub read_timeout: Duration,
    /// How long to wait after a failed read (default: 1 s).
    pub read_error_wait: Duration,
    /// How long nothing of a partition may be processed while its records wait until the daemon is no longer ready (default: 5 min). After as
    /// long again it fails and is restarted, with a client made anew; where that has not helped, the process ends with code 4. Handlers
    /// within their timeout, retries before their time, pauses, circuit breakers and partitions that nobody answers for are waited for; a
    /// dead letter that isn't written yet, or can't be, restarts nothing. Not below the half minute in which silence is noticed.
    pub stall_after: Duration,
    /// When a record that kills the process is given up (default: after 3 ends while it ran alone); `None`: never. See
    /// [quarantine](super::quarantine).
    pub crash_quarantine: Option<CrashQuarantine>,
    /// Seed of the jitter; `None` takes one from the system.
    pub seed: Option<u64>,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            workers: 10,
            scaling: None,
            queue_records: 100,
            queue_bytes: 64 << 20,
            parked_records: 10_000,
            parked_bytes: 64 << 20,
            high_mark: 0.8,
            low_mark: 0.5,
            commit_interval: Duration::from_secs(1),
            commit_after: 1_000,
            rebalance_drain: Duration::from_secs(10),
            read_timeout: Duration::from_secs(5),
            read_error_wait: Duration::from_secs(1),
            stall_after: Duration::from_secs(300),
            crash_quarantine: Some(CrashQuarantine::default()),
            seed: None,
        }
    }
}

/// A setting that can't work.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("setting `{setting}` is {found}, but must be {allowed}")]
pub struct SettingsError {
    /// The setting's name.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it may be.
    pub allowed: &'static str,
}

impl PipelineSettings {
    /// Everything that is wrong, at once.
    ///
    /// # Errors
    /// One [`SettingsError`] for each setting that can't work.
    pub fn check(&self) -> Result<(), Vec<SettingsError>> {
        let mut errors = Vec::new();
        let mut require = |holds: bool, setting: &'static str, found: String, allowed: &'static str| {
            if !holds {
                errors.push(SettingsError { setting, found, allowed });
            }
        };
        require((1..=100_000).contains(&self.workers), "workers", self.workers.to_string(), "between 1 and 100,000");
        if let Some(scaling) = &self.scaling {
            scaling.check(self.workers, &mut require);
        }
        let enough = self.queue_records >= self.workers.saturating_mul(2);
        require(enough, "queue_records", self.queue_records.to_string(), "at least twice `workers`");
        require(
            self.queue_records <= 10_000_000,
            "queue_records",
            self.queue_records.to_string(),
            "at most 10,000,000",
        );
        require(self.queue_bytes > 0, "queue_bytes", self.queue_bytes.to_string(), "above 0");
        require(self.parked_records > 0, "parked_records", self.parked_records.to_string(), "above 0");
        require(self.parked_bytes > 0, "parked_bytes", self.parked_bytes.to_string(), "above 0");
        let marks = 0.0 < self.low_mark && self.low_mark < self.high_mark && self.high_mark <= 1.0;
        let found = format!("{} (low mark {})", self.high_mark, self.low_mark);
        require(marks, "high_mark", found, "above the low mark, and both above 0 and at most 1");
        require(self.commit_after > 0, "commit_after", self.commit_after.to_string(), "above 0");
        for (setting, time) in [
            ("commit_interval", self.commit_interval),
            ("read_timeout", self.read_timeout),
            ("stall_after", self.stall_after),
        ] {
            require(!time.is_zero(), setting, format!("{time:?}"), "above 0");
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}
