//! Which lane a key has.
//!
//! A table of indices alone: what they are found by stands in the lanes, which whoever finds one looks at anyway. So it stays small enough
//! for the processor's caches with any number of keys that the lanes do.

use hashbrown::HashTable;

use super::lane::Lane;
use super::{LaneId, PlaceId};

/// The lanes that have a key, and something to do.
#[derive(Debug, Default)]
pub(super) struct LanesByKey(HashTable<u32>);

impl LanesByKey {
    /// The lane of this key.
    pub(super) fn find<P>(&self, lanes: &[Lane<P>], place: PlaceId, key: u64) -> Option<LaneId> {
        let is_it = |&id: &u32| lanes[id as usize].key() == Some(key) && lanes[id as usize].place() == place;
        self.0.find(hash(place, key), is_it).map(|&id| id as LaneId)
    }

    /// This lane may be found by the key that it has now, if it has one.
    pub(super) fn remember<P>(&mut self, lanes: &[Lane<P>], id: LaneId) {
        let hash_of = |id: u32| lanes[id as usize].key().map_or(0, |key| hash(lanes[id as usize].place(), key));
        let Some(key) = lanes[id].key() else { return };
        let id = u32::try_from(id).expect("fewer lanes than records that fit in memory");
        self.0.insert_unique(hash(lanes[id as usize].place(), key), id, |&id| hash_of(id));
    }

    /// It is no longer found by the key that it has, if it has one.
    pub(super) fn forget<P>(&mut self, lanes: &[Lane<P>], id: LaneId) {
        let Some(key) = lanes[id].key() else { return };
        if let Ok(found) = self.0.find_entry(hash(lanes[id].place(), key), |&one| one as LaneId == id) {
            found.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A key is a hash already, or 0 for none; partitions may have the same.
fn hash(place: PlaceId, key: u64) -> u64 {
    key ^ (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}
