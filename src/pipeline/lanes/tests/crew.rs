//! The world's workers: how many there may be at something, and what each takes.

use proptest::sample::Index;

use super::super::*;
use super::chance::{Ending, PARTITIONS};
use super::failure;
use super::hauler::{Hauler, Out};
use super::model::{Held, TOPIC, World};
use crate::pipeline::arrival::hash_of;
use crate::pipeline::ticket::Ticket;
use crate::record::Topic;

/// How many workers may be at something.
pub(super) struct Workers {
    pub(super) scaled: usize,
    pub(super) fixed: Option<usize>,
}

/// What a worker may be at: a haul, of the worker of this number, or this part of a batch.
#[derive(Clone, Copy)]
pub(super) enum Work {
    Haul(u64),
    Part(usize),
}

impl Workers {
    pub(super) fn may(&self) -> usize {
        self.fixed.unwrap_or(self.scaled)
    }
}

impl World {
    pub(super) fn scale(&mut self, workers: Index) {
        self.workers.scaled = 1 + workers.index(self.setting.workers);
        let effects = self.lanes.set_workers(self.workers.scaled);
        self.hear(effects);
    }

    pub(super) fn fix(&mut self, workers: Option<Index>) {
        self.workers.fixed = workers.map(|workers| 1 + workers.index(self.setting.workers));
        let effects = self.lanes.fix_workers(self.workers.fixed.and_then(NonZeroUsize::new));
        self.hear(effects);
    }

    pub(super) fn pause_key(&mut self, key: Option<Index>) {
        let keys = usize::try_from(self.setting.keys).expect("few keys");
        self.paused_key = key.map(|key| key.index(keys) as u64);
        let hash =
            |key: u64| hash_of(&u8::try_from(key).ok().filter(|key| *key > 0).map(|key| vec![key]).unwrap_or_default());
        let keys = self.paused_key.map(|key| (Topic::from(TOPIC), hash(key))).into_iter().collect();
        let effects = self.lanes.set_paused_keys(keys);
        self.hear(effects);
    }

    /// Workers that are at something.
    pub(super) fn busy(&self) -> usize {
        self.haulers.len() + self.batches.len()
    }

    /// One of the hauls, or of the parts of batches.
    pub(super) fn work(&self, which: Index) -> Option<Work> {
        let hauls = self.haulers.keys().map(|number| Work::Haul(*number));
        let all: Vec<_> = hauls.chain((0..self.held.len()).map(Work::Part)).collect();
        (!all.is_empty()).then(|| all[which.index(all.len())])
    }

    /// How many workers a partition holds, or its route's batches.
    fn held_by(&self, place: Option<PlaceId>) -> usize {
        match place {
            Some(place) => self.haulers.values().filter(|hauler| hauler.haul.place == place).count(),
            None => self.batches.len(),
        }
    }

    fn place(&self, partition: usize) -> PlaceId {
        self.lanes.place_of[&TopicPartition::new(TOPIC, i32::try_from(partition).expect("few partitions"))]
    }

    /// How many one partition may hold while there are others.
    fn share(&self) -> usize {
        (self.workers.may() - 1).max(1)
    }

    /// How many more workers may take something: what anybody holds beyond the share counts for nobody.
    pub(super) fn idle(&self) -> usize {
        let open: Vec<_> = (0..PARTITIONS).filter(|partition| self.logs[*partition].is_open()).collect();
        let alone = match open[..] {
            [only] if self.setting.batch.is_none() => Some(Some(self.place(only))),
            [_] => Some(None),
            _ => None,
        };
        let most = |place| if alone == Some(place) { self.workers.may() } else { self.share() };
        let places = (0..self.lanes.places.len()).map(Some).chain([None]);
        let held: usize = places.map(|place| self.held_by(place).min(most(place))).sum();
        let beyond_share = self.workers.may().saturating_sub(held);
        self.workers.may().saturating_sub(self.busy()).max(beyond_share).min(self.setting.workers - self.busy())
    }

    pub(super) fn take(&mut self) -> bool {
        let beside = self.busy();
        let (idle, is_held_back) = (self.idle(), self.lanes.held_back > 0);
        let mut cargo = Cargo::default();
        let now = self.now;
        let (taken, effects) = self.lanes.take(&mut cargo, || now);
        self.hear(effects);
        for entry in cargo.entries.iter() {
            let partition = usize::try_from(entry.record.partition().0).expect("few partitions");
            let lane = self.lane(partition, entry.record.offset().0);
            assert!(lane.is_none() || lane != self.paused_key, "{lane:?} begins though it is paused");
        }
        self.numbers += 1;
        let open = self.logs.iter().filter(|log| log.is_open()).count();
        let most = if open > 1 { self.share() } else { self.workers.may() };
        let taken_at_once = cargo.entries.len();
        if taken.is_some() {
            assert!(!is_held_back || taken_at_once == 1, "{taken_at_once} records are tried at once");
            assert!(idle > 0, "{} of {} workers were at something already", self.busy(), self.workers.may());
        }
        match taken {
            None => {
                self.told.worker = false;
                return false;
            }
            Some(Taken::Haul(haul)) => {
                assert!(cargo.lanes.len() == 1 || taken_at_once <= self.setting.appetite, "more than was wanted");
                assert!(cargo.lanes.iter().all(|load| load.count > 0), "a lane without a record");
                let busy = 1 + self.held_by(Some(haul.place));
                assert!(busy <= most, "a partition has {busy} of {} workers while {open} are open", self.workers.may());
                self.haulers.insert(self.numbers, Hauler::new(haul, cargo));
            }
            Some(Taken::Batch(mut batch)) => {
                let max = self.setting.batch.expect("the route takes batches");
                assert!((1..=max).contains(&taken_at_once), "a batch of {taken_at_once} where {max} are allowed");
                for (run, count) in std::mem::take(&mut batch.parts) {
                    assert!(count > 0, "a run without a record");
                    let entries = cargo.entries.drain(count).collect();
                    self.held.push(Held { run, entries, batch: self.numbers });
                }
                assert!(cargo.entries.is_empty(), "records that belong to no lane");
                self.batches.insert(self.numbers, batch);
                assert!(self.held_by(None) <= most, "{} batches at once of {most}", self.batches.len());
            }
        }
        self.is_alone_or_no_suspect(beside);
        true
    }

    /// Of a part of a batch so many records succeed.
    pub(super) fn settle(&mut self, held: usize, records: usize) {
        let mut settled = Vec::new();
        for _ in 0..records {
            let held = &mut self.held[held];
            let Some(entry) = held.entries.pop_front() else { break };
            let (epoch, offset) = (held.run.context.epoch, entry.record.offset().0);
            settled.push(entry.settle(Ticket::done));
            self.done(epoch, offset);
        }
        let effects = self.lanes.settle(&self.held[held].run, &mut settled);
        self.hear(effects);
    }

    /// What comes back of an assignment that is on its way out is dropped: what was not started, and what `halted` but for a letter, which is
    /// still written where the assignment is not over.
    pub(super) fn void(&mut self, epoch: Epoch, unstarted: Vec<i64>, halted: Option<i64>, is_letter: bool) {
        if self.is_released(epoch) {
            let is_over = self.log_of(epoch).is_none();
            for offset in unstarted.into_iter().chain(halted.filter(|_| is_over || !is_letter)) {
                self.alive.remove(&(epoch, offset));
            }
        }
    }

    /// What becomes of a record that was not finished.
    pub(super) fn halt(&mut self, epoch: Epoch, mut entry: Entry<Offset>, ending: Ending) -> Halt<Offset> {
        match ending {
            Ending::Fail(delay) | Ending::Retry(delay) => {
                entry.failures += 1;
                Halt::Retry(entry, self.now + std::time::Duration::from_millis(delay.into()))
            }
            Ending::Letter => Halt::Letter(entry, Box::new(failure())),
            Ending::Stop | Ending::Whole => {
                if let Some(log) = self.log_of(epoch) {
                    self.logs[log].stopped = true;
                }
                Halt::Stop(entry)
            }
        }
    }

    /// A part of a batch ends.
    pub(super) fn finish(&mut self, part: usize, ending: Ending) {
        let Held { run, mut entries, batch } = self.held.swap_remove(part);
        let epoch = run.context.epoch;
        let halted = if let Ending::Whole = ending { None } else { entries.pop_front() };
        let (offset, key) =
            (halted.as_ref().map(|entry| entry.record.offset()), halted.as_ref().and_then(|entry| entry.key));
        let left = entries.iter().map(|entry| entry.record.offset().0).collect();
        self.void(epoch, left, offset.map(|offset| offset.0), matches!(ending, Ending::Letter));
        let halt = halted.map(|entry| self.halt(epoch, entry, ending));
        if let (Ending::Fail(_), Some(offset)) = (ending, offset) {
            let complaint = Complaint { offset, key, error: "down".to_owned(), beside: 0 };
            let effects = self.lanes.complain(run.lane, &run.context, complaint, self.now);
            self.hear(effects);
        }
        let effects = self.lanes.finish(run, &mut entries, halt);
        assert!(entries.is_empty(), "what was not started stays with the worker");
        self.hear(effects);
        if self.held.iter().any(|held| held.batch == batch) {
            return;
        }
        // Whose it was looks for something else.
        self.told.worker = true;
        let batch = self.batches.remove(&batch).expect("its lanes were held");
        let effects = self.lanes.finish_batch(batch);
        self.hear(effects);
    }

    /// What was taken last, beside so many others: alone if it is on probation, and then it is what was announced.
    fn is_alone_or_no_suspect(&mut self, beside: usize) {
        let lanes: Vec<_> = match self.haulers.get(&self.numbers) {
            Some(hauler) => hauler.out().collect(),
            None => self.held.iter().filter(|held| held.batch == self.numbers).map(Out::from).collect(),
        };
        let unmarked = lanes.iter().find(|out| self.unmarked.contains(&out.epoch));
        assert!(unmarked.is_none(), "something runs that isn't committed to be read");
        if let Some(suspect) = lanes.iter().find(|out| self.lanes.places[out.place].is_on_probation()) {
            let epoch = suspect.epoch;
            let offsets = lanes.iter().flat_map(|out| &out.entries).map(|entry| Some(entry.record.offset().0));
            let announced = self.announced.get(&epoch).into_iter().flatten().copied().collect::<Vec<_>>();
            assert_eq!(announced, offsets.collect::<Vec<_>>(), "what is announced");
            assert_eq!(beside, 0, "a record of {epoch:?} that is on probation runs beside others");
            self.suspect = Some(self.numbers);
        } else {
            let is_out = |suspect: &u64| self.haulers.contains_key(suspect) || self.batches.contains_key(suspect);
            let suspect = self.suspect.filter(is_out);
            assert_eq!(suspect, None, "something runs beside a record on probation");
            let places = self.lanes.places.iter().filter(|place| place.is_on_probation());
            for epoch in places.filter_map(Place::open).map(|open| open.context.epoch) {
                let mut announced = self.announced.get(&epoch).into_iter().flatten();
                assert!(announced.all(Option::is_none), "something else runs while a record is announced");
            }
        }
    }
}
