//! What the checker found.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, bail};
use daemonry::record::{Offset, Partition};

/// What was promised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Invariant {
    /// Nothing is lost: every record has succeeded, or is a dead letter with its bytes untouched.
    I1,
    /// Nothing unfinished is committed, at any instant.
    I2,
    /// First successes come in order.
    I3,
    /// Nothing runs twice but what a crash has left uncommitted.
    I4,
    /// Progress goes on in time once nothing hinders it.
    I5,
    /// Memory, descriptors and threads stay bounded.
    I6,
    /// Probes and metrics tell the truth.
    I7,
}

/// One broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// The record it was broken for, where it was for one.
    pub record: Option<(Partition, Offset)>,
    /// What happened, with the lines of the ledger that show it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, record, what } = self;
        match record {
            Some((partition, offset)) => write!(f, "{invariant:?} [{partition}] offset {offset}: {what}"),
            None => write!(f, "{invariant:?}: {what}"),
        }
    }
}

/// What came out, and how much it rests on.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Records that were produced.
    pub records: usize,
    /// Successes in the ledger, repeated ones too.
    pub successes: usize,
    /// Letters, repeated ones too.
    pub letters: usize,
    /// Successes and letters beyond the first of each record.
    pub duplicates: usize,
    /// Times that the commits were looked at.
    pub samples: usize,
    /// Times that they had changed.
    pub commits: usize,
    /// Processes that crashed.
    pub crashes: usize,
    /// Everything that is wrong.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// The promises that were broken.
    pub fn broken(&self) -> BTreeSet<Invariant> {
        self.violations.iter().map(|violation| violation.invariant).collect()
    }

    /// Passes where nothing is wrong.
    ///
    /// # Errors
    /// With the whole verdict.
    pub fn ensure_clean(&self) -> Result<()> {
        if self.violations.is_empty() { Ok(()) } else { bail!("{self}") }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More of the same don't help.
        const SHOWN: usize = 10;
        let Self { records, successes, letters, duplicates, samples, commits, crashes, violations } = self;
        write!(
            f,
            "{records} records: {successes} successes, {letters} letters, {duplicates} duplicates, {crashes} crashes; \
             {commits} commits seen in {samples} samples; {} violations",
            violations.len()
        )?;
        for invariant in self.broken() {
            let of_it: Vec<&Violation> =
                violations.iter().filter(|violation| violation.invariant == invariant).collect();
            for violation in of_it.iter().take(SHOWN) {
                write!(f, "\n  {violation}")?;
            }
            if of_it.len() > SHOWN {
                write!(f, "\n  {invariant:?}: and {} more", of_it.len() - SHOWN)?;
            }
        }
        Ok(())
    }
}
