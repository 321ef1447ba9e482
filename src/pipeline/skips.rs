//! Skips: single records that somebody wants passed over, as if their handlers had said so.
//!
//! It is looked before each attempt, and before each letter is written. Where there are none, which is nearly always, that costs a look at one byte.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tracing::info;

use crate::record::{Offset, Record, TopicPartition};

/// A record's place.
pub(crate) type Place = (TopicPartition, Offset);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Skips {
    any: AtomicBool,
    places: RwLock<BTreeSet<Place>>,
}

impl Skips {
    /// These are to be passed over from now on, and no others. Answers with those that were not before.
    pub(super) fn set(&self, places: BTreeSet<Place>) -> Vec<Place> {
        let mut known = self.places.write();
        let new = places.difference(&known).cloned().collect();
        self.any.store(!places.is_empty(), Ordering::Relaxed);
        *known = places;
        new
    }

    /// Whether this one is, which is told then.
    pub(super) fn has(&self, daemon: &str, record: &Record) -> bool {
        // Whoever sees it late passes it over late.
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let place = (TopicPartition { topic: record.topic().clone(), partition: record.partition() }, record.offset());
        let has = self.places.read().contains(&place);
        if has {
            let (topic, partition, offset) = (place.0.topic.as_str(), place.0.partition.0, place.1.0);
            info!(daemon, topic, partition, offset, "record is passed over, as somebody wants");
        }
        has
    }
}
