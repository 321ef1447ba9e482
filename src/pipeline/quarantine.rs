//! Quarantine of records that kill the process: by an abort, a stack that overflows, memory that the system no longer gives.
//!
//! Such a record is never finished, so whoever reads its partition next runs it again, and dies of it again. Nothing in the process can
//! see that; what can is whoever comes next, from what a commit tells beside the offset:
//!
//! - **A holder's name.** Written before the first record of an assignment starts, taken away by its last commit. Still there, it
//!   tells of an end without warning: a crash, but also a kill, or a partition that was lost. So it accuses nobody.
//! - **Probation.** After two such ends within five minutes the records that may have been running run one at a time, each *announced*:
//!   its offset is committed before it starts. While there is a record on probation to run, nothing else of the daemon runs: else the
//!   end could be another's fault. Where there is none, what was announced is taken back, and the others go on.
//! - **Accusations.** An end while a record is announced speaks against that record, and none other. It is gone as soon as the record is
//!   finished, and what has been accused is the first to run again, with what is in its way: what its key has before it, and what its partition
//!   has while there is no room to read on. Until it has come in the others wait for it, a second at most. A record with as many as the
//!   [limit](CrashQuarantine::limit) becomes a dead letter without being run again.
//!
//! Probation is over when as many records are finished as the queue holds, or all that the partition has. Attempts that fail don't count:
//! what waits for a retry may be ahead of what kills in every life of the process. If what kills is further behind, which takes more finished
//! and uncommitted records than that, the next end within five minutes brings it closer.
//!
//! A kill from outside in the middle of a record on probation speaks against that record as well: nobody can tell it from the system's own
//! for want of memory. It takes as many in a row of the same record, with no run between them that ended, each in the first moments of
//! the process.
//!
//! What a drain ends with, time enough or not, is an end in order: a handler that overstays has not killed anybody. So is a panic, which is
//! caught.

use std::num::NonZero;
use std::time::Duration;

/// Two ends without warning within this time bring probation.
pub(super) const WITHIN: Duration = Duration::from_secs(300);

/// When a record that kills the process is given up.
///
/// ```
/// use daemonry::pipeline::{CrashQuarantine, PipelineSettings};
///
/// let twice = CrashQuarantine { limit: 2.try_into().expect("above 0") };
/// let settings = PipelineSettings { crash_quarantine: Some(twice), ..PipelineSettings::default() };
/// assert!(settings.check().is_ok());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CrashQuarantine {
    /// How often the process may end while a record runs alone until that record becomes a dead letter (default: 3).
    pub limit: NonZero<u32>,
}

impl Default for CrashQuarantine {
    fn default() -> Self {
        Self { limit: NonZero::<u32>::MIN.saturating_add(2) }
    }
}

/// How a partition was left by whoever read it before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover<P> {
    /// That one ended without warning.
    pub unclean: bool,
    /// Records run one at a time for now, each announced first.
    pub probation: bool,
    /// Records that must not run again, each with how often the process ended while it ran alone.
    pub condemned: Vec<(P, u32)>,
}

impl<P> Default for Handover<P> {
    /// In order, or nobody knows.
    fn default() -> Self {
        Self { unclean: false, probation: false, condemned: Vec::new() }
    }
}
