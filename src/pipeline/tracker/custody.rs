//! Custody: what a tracker's commits tell of how its partition is used, and what it made of what it found there.
//!
//! See [quarantine](crate::pipeline::quarantine) for what it is for.

use std::num::NonZero;

use super::super::metadata::Usage;
use super::super::quarantine::{Handover, WITHIN};
use crate::record::{Offset, Timestamp};

/// See the module.
#[derive(Debug)]
pub(super) struct Custody {
    limit: NonZero<u32>,
    pub(super) usage: Usage,
    /// What was acknowledged last.
    pub(super) told: Notice,
}

impl Custody {
    /// Takes a partition over from whoever left it with this usage, which accuses unfinished records alone.
    pub(super) fn take_over(
        found: Usage,
        holder: u32,
        limit: NonZero<u32>,
        now: Timestamp,
    ) -> (Self, Handover<Offset>) {
        let seconds = u32::try_from(now.as_millis() / 1_000).unwrap_or(u32::MAX);
        let recent = found.ended.filter(|ended| u64::from(ended.abs_diff(seconds)) <= WITHIN.as_secs());
        let unclean = found.holder.is_some_and(|before| before != holder);
        let mut accused = found.accused.clone();
        if let Some(running) = found.running.filter(|_| unclean) {
            match accused.iter_mut().find(|(offset, _)| *offset == running) {
                Some((_, ends)) => *ends = ends.saturating_add(1),
                None => accused.push((running, 1)),
            }
        }
        let probation = found.probation || unclean && recent.is_some();
        let ended = if unclean { Some(seconds) } else { recent };
        let usage = Usage { holder: Some(holder), probation, ended, running: None, accused };
        let custody = Self { limit, usage, told: Notice::from(&found) };
        let condemned = custody.usage.accused.iter().copied().filter(|(_, ends)| *ends >= limit.get()).collect();
        (custody, Handover { unclean, probation, condemned })
    }

    /// How often the process ended while this record ran alone.
    pub(super) fn accusations(&self, offset: Offset) -> u32 {
        let accused = self.usage.accused.iter().find(|(accused, _)| *accused == offset);
        accused.map_or(0, |(_, ends)| *ends)
    }

    /// The same, where that is too often.
    pub(super) fn condemns(&self, offset: Offset) -> Option<u32> {
        Some(self.accusations(offset)).filter(|ends| *ends >= self.limit.get())
    }

    /// Whether what is to be told was acknowledged last.
    pub(super) fn is_told(&self) -> bool {
        self.told == Notice::from(&self.usage)
    }
}

/// What a usage says of the present: what whoever reads the partition waits for to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Notice {
    holder: Option<u32>,
    probation: bool,
    running: Option<Offset>,
}

impl From<&Usage> for Notice {
    fn from(&Usage { holder, probation, running, .. }: &Usage) -> Self {
        Self { holder, probation, running }
    }
}
