//! The world's workers: how many there may be at something, and what each takes.

use proptest::sample::Index;

use super::super::haul::Load;
use super::super::*;
use super::chance::PARTITIONS;
use super::model::{Held, TOPIC, World};
use crate::pipeline::arrival::hash_of;
use crate::pipeline::ticket::Ticket;
use crate::record::Topic;

/// How many workers may be at something.
pub(super) struct Workers {
    pub(super) scaled: usize,
    pub(super) fixed: Option<usize>,
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
        self.loads.len()
    }

    /// How many workers a partition holds, or its route's batches.
    fn held_by(&self, place: Option<PlaceId>) -> usize {
        let of = |load: &&Taken| match load {
            Taken::Haul(haul) => place == Some(haul.place),
            Taken::Batch(_) => place.is_none(),
        };
        self.loads.values().filter(of).count()
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
        let beside = self.loads.len();
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
        let entries = &mut cargo.entries;
        self.numbers += 1;
        let open = self.logs.iter().filter(|log| log.is_open()).count();
        let most = if open > 1 { self.share() } else { self.workers.may() };
        if taken.is_some() {
            assert!(!is_held_back || entries.len() == 1, "{} records are tried at once", entries.len());
            assert!(idle > 0, "{} of {} workers were at something already", self.busy(), self.workers.may());
        }
        match taken {
            None => {
                self.told.worker = false;
                return false;
            }
            Some(Taken::Haul(haul)) => {
                let taken = cargo.lanes.len();
                assert!(taken == 1 || entries.len() <= self.setting.appetite, "more than was wanted");
                for Load { lane, count, .. } in cargo.lanes.drain_all() {
                    assert!(count > 0, "a lane without a record");
                    let run = Run { lane, place: haul.place, context: Arc::clone(&haul.context) };
                    self.held.push(Held { run, entries: entries.drain(count).collect(), load: self.numbers });
                }
                let busy = 1 + self.held_by(Some(haul.place));
                assert!(busy <= most, "a partition has {busy} of {} workers while {open} are open", self.workers.may());
                self.loads.insert(self.numbers, Taken::Haul(haul));
            }
            Some(Taken::Batch(mut batch)) => {
                let max = self.setting.batch.expect("the route takes batches");
                assert!((1..=max).contains(&entries.len()), "a batch of {} where {max} are allowed", entries.len());
                for (run, count) in std::mem::take(&mut batch.parts) {
                    assert!(count > 0, "a run without a record");
                    let entries = entries.drain(count).collect();
                    self.held.push(Held { run, entries, load: self.numbers });
                }
                self.loads.insert(self.numbers, Taken::Batch(batch));
                assert!(self.held_by(None) <= most, "{} batches at once of {most}", self.loads.len());
            }
        }
        assert!(cargo.entries.is_empty(), "records that belong to no lane");
        self.is_alone_or_no_suspect(beside);
        true
    }

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

    /// A worker is at the first record of a bundle for long: the others go back.
    pub(super) fn give_back(&mut self, held: Index, is_slow: bool) {
        let is_bundle = |held: &&mut Held| self.lanes.is_bundle(held.run.lane) && !held.entries.is_empty();
        let mut bundles: Vec<_> = self.held.iter_mut().filter(is_bundle).collect();
        if bundles.is_empty() {
            return;
        }
        let held = bundles.swap_remove(held.index(bundles.len()));
        let Run { lane, place, ref context } = held.run;
        let (epoch, context) = (context.epoch, Some(Arc::clone(context)));
        let first = held.entries.pop_front().expect("it was chosen for that");
        let (begun, rest) = (Some(first.key), std::mem::replace(&mut held.entries, Queue::from_iter([first])));
        if let (true, Some(context)) = (is_slow, &context) {
            context.takes_its_time();
        }
        if self.is_released(epoch) {
            rest.iter().for_each(|entry| assert!(self.alive.remove(&(epoch, entry.record.offset().0))));
        }
        let loads = [Load { lane, is_bundle: true, count: rest.len() }];
        let lanes = loads.into_iter().collect();
        let cargo = Cargo { context, place, begun, lanes, entries: rest, ..Cargo::default() };
        let effects = self.lanes.give_back(cargo, is_slow);
        self.hear(effects);
    }

    /// What was taken last, beside so many others: alone if it is on probation, and then it is what was announced.
    fn is_alone_or_no_suspect(&mut self, beside: usize) {
        let is_on_probation = |held: &&Held| self.lanes.places[held.run.place].is_on_probation();
        let taken = || self.held.iter().filter(|held| held.load == self.numbers);
        let unmarked = taken().find(|held| self.unmarked.contains(&held.run.context.epoch));
        assert!(unmarked.is_none(), "something runs that isn't committed to be read");
        if let Some(suspect) = taken().find(is_on_probation) {
            let epoch = suspect.run.context.epoch;
            let offsets: Vec<_> = taken().flat_map(|held| &held.entries).map(|entry| entry.record.offset().0).collect();
            let announced = self.announced.get(&epoch).into_iter().flatten().copied().collect::<Vec<_>>();
            assert_eq!(announced, offsets.into_iter().map(Some).collect::<Vec<_>>(), "what is announced");
            assert_eq!(beside, 0, "a record of {epoch:?} that is on probation runs beside others");
            self.suspect = Some(self.numbers);
        } else {
            let suspect = self.suspect.filter(|suspect| self.loads.contains_key(suspect));
            assert_eq!(suspect, None, "something runs beside a record on probation");
            let places = self.lanes.places.iter().filter(|place| place.is_on_probation());
            for epoch in places.filter_map(Place::open).map(|open| open.context.epoch) {
                let mut announced = self.announced.get(&epoch).into_iter().flatten();
                assert!(announced.all(Option::is_none), "something else runs while a record is announced");
            }
        }
    }
}
