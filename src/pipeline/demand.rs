//! Demand: how many records the lanes will take now, partition by partition.
//!
//! A value, made by the lanes for one poll and used up by the source as it reads. The policy of who is held back stands
//! here and nowhere else. Invariants: no more than the free slots are taken in all; while one partition is read
//! further, a free slot is left for each other partition that has none in the queue.

use super::source::Epoch;

/// What one partition may still contribute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Its records that are queued or running now.
    pub queued: usize,
    /// How many more it may have whatever is free: its window, its share while the queue is pressed, its parked room.
    pub room: usize,
    /// Whether its records are done in no time lately. Where they are not, or where nothing is known yet, a source does well to give each
    /// memory of its own, if they share any.
    pub brief: bool,
}

/// What may be read now.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    free: usize,
    bytes: usize,
    /// In the order of the epochs.
    shares: Vec<(Epoch, Share)>,
    /// Partitions with nothing queued, each of which keeps a slot.
    empty: usize,
}

impl Demand {
    /// Nothing may be read; events still come.
    pub fn none() -> Self {
        Self::default()
    }

    /// A demand for `free` records of `bytes` bytes in all, from these partitions and no others.
    pub fn new(free: usize, bytes: usize, shares: impl IntoIterator<Item = (Epoch, Share)>) -> Self {
        let mut shares: Vec<_> = shares.into_iter().collect();
        if !shares.is_sorted_by_key(|(epoch, _)| *epoch) {
            shares.sort_unstable_by_key(|(epoch, _)| *epoch);
        }
        let empty = shares.iter().filter(|(_, share)| share.queued == 0 && share.room > 0).count();
        Self { free, bytes, shares, empty }
    }

    fn share(&self, epoch: Epoch) -> Option<&Share> {
        self.find(epoch).map(|index| &self.shares[index].1)
    }

    /// Where the share of this epoch stands. Partitions are assigned together, mostly: then their epochs follow one another.
    fn find(&self, epoch: Epoch) -> Option<usize> {
        let (first, _) = self.shares.first()?;
        let guess = usize::try_from(epoch.0.checked_sub(first.0)?).unwrap_or(usize::MAX);
        match self.shares.get(guess) {
            Some((at, _)) if *at == epoch => Some(guess),
            _ => self.shares.binary_search_by_key(&epoch, |(epoch, _)| *epoch).ok(),
        }
    }

    /// How many records of this partition may be delivered now.
    pub fn records(&self, epoch: Epoch) -> usize {
        let Some(share) = self.share(epoch) else { return 0 };
        let own_empty = usize::from(share.queued == 0 && share.room > 0);
        let others = self.empty - own_empty;
        let unreserved = self.free.saturating_sub(others);
        // A partition without a record in the queue may have one even where not all of the others can: they take turns.
        // Nor do others' bytes keep it from that one.
        let turn = if share.queued == 0 { self.free.min(1) } else { 0 };
        let unreserved = if self.bytes == 0 { 0 } else { unreserved };
        unreserved.max(turn).min(share.room)
    }

    /// Whether this partition's records are done in no time lately.
    pub fn are_brief(&self, epoch: Epoch) -> bool {
        self.share(epoch).is_some_and(|share| share.brief)
    }

    /// How many more bytes may be delivered in all. A record is delivered whole, so the last one may go over it, and so may the one
    /// record of a partition that has none in the queue.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing at all may be delivered.
    pub fn is_none(&self) -> bool {
        let takes = |share: &Share| share.room > 0 && (self.bytes > 0 || share.queued == 0);
        self.free == 0 || !self.shares.iter().any(|(_, share)| takes(share))
    }

    /// Notes that `records` of this partition, of `bytes` bytes, are delivered.
    pub fn take(&mut self, epoch: Epoch, records: usize, bytes: usize) {
        let Some(index) = self.find(epoch) else { return };
        let (_, share) = &mut self.shares[index];
        if share.queued == 0 && share.room > 0 && records > 0 {
            self.empty -= 1;
        }
        share.queued += records;
        share.room = share.room.saturating_sub(records);
        self.free = self.free.saturating_sub(records);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests;
