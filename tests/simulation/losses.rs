//! Logs that lose what was in them: they are cut, or what is old is removed.

use daemonry::pipeline::source::{Loss, LossPolicy, Missed};
use daemonry::record::{Offset, OwnedRecord};

use crate::plan::Behaviour;
use crate::world::World;
use crate::{Simulation, TOPIC};

impl Simulation {
    /// Cuts a partition behind a part of it, and writes these.
    pub(crate) fn truncate(&self, partition: i32, part: f64, records: Vec<(u64, Behaviour)>) {
        let end = self.part_of(partition, part);
        let was_read = self.broker.truncate(TOPIC, partition, end);
        self.world.lock().truncated(partition, end.0, was_read);
        self.write(partition, records);
    }

    /// Removes what stands before a part of a partition.
    pub(crate) fn remove(&self, partition: i32, part: f64) {
        let first = self.part_of(partition, part);
        self.world.lock().removed(partition, first.0);
        self.broker.remove(TOPIC, partition, first);
    }

    fn part_of(&self, partition: i32, part: f64) -> Offset {
        Offset((self.broker.end(TOPIC, partition).0 as f64 * part) as i64)
    }

    /// Writes to a partition, as it is now.
    pub(crate) fn write(&self, partition: i32, records: Vec<(u64, Behaviour)>) {
        for (key, behaviour) in records {
            let id = self.world.lock().records.len();
            let record = OwnedRecord::new(id.to_string()).with_key(key.to_string());
            let offset = self.broker.produce(TOPIC, partition, record);
            self.world.lock().add(partition, offset, key, behaviour);
            // Who wanted another record passed over meant this place.
            if self.wishes.lock().skips(partition, offset) {
                self.world.lock().waived(id);
            }
        }
    }

    /// Somebody has to say where to go on: at what is left.
    pub(crate) fn decide(&self) {
        self.broker.on_loss(LossPolicy::Earliest);
    }
}

impl World {
    /// What stood from `end` on is gone, and owed by nobody. If it `was_read`, commits may be of it until somebody hears of that.
    fn truncated(&mut self, partition: i32, end: i64, was_read: bool) {
        self.note("truncated", usize::try_from(end).unwrap_or(0));
        self.waive(partition, |offset| offset >= end);
        if was_read {
            let cut = self.cuts.entry(partition).or_insert(end);
            *cut = end.min(*cut);
        }
        self.forget(partition, end);
    }

    /// What stood below is gone.
    fn removed(&mut self, partition: i32, first: i64) {
        self.note("removed", usize::try_from(first).unwrap_or(0));
        self.waive(partition, |offset| offset < first);
    }

    /// Whoever reads it has heard of its loss, and goes on here.
    pub(crate) fn missed(&mut self, missed: &Missed, target: Offset) {
        let partition = missed.topic_partition.partition.0;
        self.note("missed", usize::try_from(target.0).unwrap_or(0));
        self.losses += 1;
        // Behind the end of what was read, of which all that is unfinished is counted.
        if missed.loss == Loss::Removed || self.is_end(partition, target.0) {
            self.waive(partition, |offset| offset < target.0);
        }
        if missed.loss == Loss::Truncated {
            self.cuts.remove(&partition);
            self.forget(partition, target.0);
            let again = self.records.iter_mut().filter(|known| known.partition == partition);
            again.filter(|known| known.offset >= target.0).for_each(|known| known.was_sought = true);
        }
    }

    fn waive(&mut self, partition: i32, is_it: impl Fn(i64) -> bool) {
        for known in self.records.iter_mut().filter(|known| known.partition == partition && is_it(known.offset)) {
            known.is_waived = true;
        }
    }
}
