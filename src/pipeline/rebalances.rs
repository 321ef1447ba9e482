//! Rebalances: which partitions a daemon was given or lost, and when. The invariant: the last fifty are known, through restarts of the daemon.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::metrics::RebalanceKind;
use crate::record::Timestamp;

/// Changes that are kept.
const KEPT: usize = 50;

/// A change of what is assigned to a daemon of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rebalance {
    /// When.
    pub at: Timestamp,
    /// Whether partitions came or went, and how.
    pub kind: RebalanceKind,
    /// How many.
    pub partitions: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rebalances(Mutex<VecDeque<Rebalance>>);

impl Rebalances {
    /// So many partitions came or went now.
    pub(super) fn note(&self, kind: RebalanceKind, partitions: usize) {
        let mut kept = self.0.lock();
        kept.truncate(KEPT - 1);
        kept.push_front(Rebalance { at: Timestamp::now(), kind, partitions });
    }

    /// Those that are kept, the latest first.
    pub(super) fn latest(&self) -> Vec<Rebalance> {
        self.0.lock().iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_fifty_are_kept_and_stand_first() {
        let rebalances = Rebalances::default();
        (0..60).for_each(|partitions| rebalances.note(RebalanceKind::Assigned, partitions));
        let latest = rebalances.latest();
        assert_eq!((latest.len(), latest[0].partitions, latest[49].partitions), (50, 59, 10));
    }
}
