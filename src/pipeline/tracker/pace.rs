//! How far apart the records of a partition lie: compaction and transactions leave gaps between their offsets.
//!
//! Owned by the tracker, which must know how many offsets the next records will take up. The invariant: the stride is
//! at least the widest step among the last [`WINDOW`] records, and no wider step than those of the last two windows
//! counts.

/// Records after which an older step begins to be forgotten.
const WINDOW: u32 = 1024;

/// The least that is expected: a transaction of one record is followed by its marker.
const NARROWEST: u64 = 2;

/// The widest recent step from one record to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    widest: u64,
    widest_before: u64,
    steps: u32,
}

impl Pace {
    /// Notes a step: the difference between two offsets, one where there is no gap.
    pub(super) fn step(&mut self, offsets: u64) {
        if self.steps == WINDOW {
            *self = Self { widest: 0, widest_before: self.widest, steps: 0 };
        }
        self.steps += 1;
        self.widest = self.widest.max(offsets);
    }

    /// How far apart the next records are expected to lie at most.
    pub(super) fn stride(self) -> u64 {
        self.widest.max(self.widest_before).max(NARROWEST)
    }
}
