//! The pipeline's micro-benchmarks: see [`crate::micro`].

pub(crate) mod lanes;
pub(crate) mod metadata;
pub(crate) mod tracker;

use super::tracker::OffsetTracker;
use crate::record::NextOffset;

/// Bytes of metadata that a commit may carry: a broker's default.
const METADATA_LIMIT: usize = 4_096;

/// A tracker at the beginning of a partition.
fn new_tracker() -> OffsetTracker {
    OffsetTracker::resume(Some(NextOffset::at(0)), "", &"key/".into(), METADATA_LIMIT).tracker
}
