//! A worker of the world that has a haul. It begins, finishes, reports, waits and ends as the pipeline's workers do, with a bench and a cargo like
//! theirs: whatever they may hold between two calls of the lanes, it does.

use parking_lot::Mutex;
use proptest::sample::Index;

use super::super::*;
use super::chance::Ending;
use super::model::{Held, World};
use crate::pipeline::lanes::Bench;
use crate::pipeline::ticket::Ticket;

pub(super) struct Hauler {
    pub(super) haul: Haul,
    pub(super) cargo: Cargo<Offset>,
    pub(super) bench: Bench<Offset>,
    /// What is being tried.
    pub(super) current: Option<Entry<Offset>>,
}

/// A lane that is out, with what its holder has of it.
pub(super) struct Out<'a> {
    pub(super) lane: LaneId,
    pub(super) place: PlaceId,
    pub(super) epoch: Epoch,
    pub(super) entries: Vec<&'a Entry<Offset>>,
}

impl<'a> From<&'a Held> for Out<'a> {
    fn from(held: &'a Held) -> Self {
        let Run { lane, place, ref context } = held.run;
        Out { lane, place, epoch: context.epoch, entries: held.entries.iter().collect() }
    }
}

impl Hauler {
    pub(super) fn new(haul: Haul, cargo: Cargo<Offset>) -> Self {
        Self { haul, cargo, bench: Bench::new(), current: None }
    }

    /// The next record is being tried, unless there is none that may be.
    pub(super) fn begin(&mut self) -> bool {
        if self.current.is_none() && self.haul.may_start() {
            let cargo = Mutex::new(std::mem::take(&mut self.cargo));
            self.current = self.bench.begin(&cargo);
            self.cargo = cargo.into_inner();
        }
        self.current.is_some()
    }

    /// Its lanes: first the one that is begun, then those that are not, and those that it has finished and not reported.
    pub(super) fn out(&self) -> impl Iterator<Item = Out<'_>> {
        let mut left = self.cargo.entries.iter();
        let mut outs: Vec<(LaneId, Vec<&Entry<Offset>>)> = self
            .bench
            .lane
            .map(|lane| (lane, self.current.iter().chain(&self.bench.entries).collect()))
            .into_iter()
            .collect();
        for load in self.cargo.lanes.iter() {
            let entries = left.by_ref().take(load.count);
            match outs.iter_mut().find(|(lane, _)| *lane == load.lane) {
                // The bundle that is begun.
                Some((_, known)) => known.extend(entries),
                None => outs.push((load.lane, entries.collect())),
            }
        }
        assert!(left.next().is_none(), "records that belong to no lane");
        outs.extend(self.cargo.done.iter().map(|lane| (*lane, Vec::new())));
        let (place, epoch) = (self.haul.place, self.haul.context.epoch);
        outs.into_iter().map(move |(lane, entries)| Out { lane, place, epoch, entries })
    }

    /// What it has finished and not reported, each with its bytes.
    pub(super) fn unreported(&self) -> impl Iterator<Item = usize> {
        self.cargo.settled.iter().chain(&self.bench.settled).map(|(_, bytes)| *bytes)
    }
}

impl World {
    /// All lanes that workers have.
    pub(super) fn out(&self) -> impl Iterator<Item = Out<'_>> {
        self.held.iter().map(Out::from).chain(self.haulers.values().flat_map(Hauler::out))
    }

    /// One of those that have a haul.
    fn hauler(&self, which: Index) -> Option<u64> {
        let numbers: Vec<_> = self.haulers.keys().copied().collect();
        (!numbers.is_empty()).then(|| numbers[which.index(numbers.len())])
    }

    /// The handler is called with the next record.
    pub(super) fn begin(&mut self, which: Index) {
        if let Some(number) = self.hauler(which) {
            self.haulers.get_mut(&number).expect("just found").begin();
        }
    }

    /// So many records succeed.
    pub(super) fn succeed(&mut self, number: u64, records: usize) {
        for _ in 0..records {
            let hauler = self.haulers.get_mut(&number).expect("it has a haul");
            if !hauler.begin() {
                return;
            }
            let entry = hauler.current.take().expect("it was begun");
            let (epoch, offset) = (hauler.haul.context.epoch, entry.record.offset().0);
            hauler.bench.settled.push(entry.settle(Ticket::done));
            self.done(epoch, offset);
        }
    }

    /// What it has finished becomes known.
    pub(super) fn report(&mut self, which: Index) {
        let Some(number) = self.hauler(which) else { return };
        let Hauler { haul, cargo, bench, .. } = self.haulers.get_mut(&number).expect("just found");
        let Cargo { settled, done, .. } = cargo;
        settled.append(&mut bench.settled);
        let effects = self.lanes.report(haul, settled, done);
        self.hear(effects);
    }

    /// What it is at waits, or keeps its thread: then it is others that see that. Whatever need not wait with it goes back.
    pub(super) fn give_back(&mut self, which: Index, waits: bool) {
        let Some(number) = self.hauler(which) else { return };
        let Hauler { haul, cargo, bench, current } = self.haulers.get_mut(&number).expect("just found");
        if current.is_none() && (waits || bench.lane.is_none()) {
            return;
        }
        if waits {
            cargo.settled.append(&mut bench.settled);
        }
        if cargo.is_empty() {
            return;
        }
        let context = Arc::clone(&haul.context);
        if cargo.has_lanes() {
            context.takes_its_time();
        }
        let back = cargo.take();
        if context.is_released() {
            back.entries.iter().for_each(|entry| assert!(self.alive.remove(&(context.epoch, entry.record.offset().0))));
        }
        let effects = self.lanes.give_back(back, waits);
        self.hear(effects);
        let Hauler { cargo, bench, .. } = &self.haulers[&number];
        assert!(cargo.is_empty() && cargo.entries.is_empty(), "others wait with it");
        assert!(!waits || bench.settled.is_empty(), "what is finished waits with it");
    }

    /// It ends: with what it is at, if `ending` says nothing else of the next record.
    pub(super) fn end(&mut self, number: u64, ending: Ending) {
        if let Ending::Whole = ending
            && self.haulers[&number].current.is_some()
        {
            self.succeed(number, 1);
        }
        let Hauler { haul, mut cargo, mut bench, mut current } = {
            let hauler = self.haulers.get_mut(&number).expect("it has a haul");
            if !matches!(ending, Ending::Whole) {
                hauler.begin();
            }
            self.haulers.remove(&number).expect("it has a haul")
        };
        let epoch = haul.context.epoch;
        let left = bench.entries.iter().chain(&cargo.entries).map(|entry| entry.record.offset().0).collect();
        let halt = current.take().map(|entry| (entry.record.offset(), entry.key, self.halt(epoch, entry, ending)));
        let is_letter = matches!(ending, Ending::Letter);
        self.void(epoch, left, halt.as_ref().map(|(offset, ..)| offset.0), is_letter);

        cargo.settled.append(&mut bench.settled);
        let (lane, mut effects) = (bench.lane.take(), {
            let Cargo { settled, done, .. } = &mut cargo;
            self.lanes.report(&haul, settled, done)
        });
        if let (Ending::Fail(_), Some((offset, key, _)), Some(lane)) = (ending, &halt, lane) {
            let (key, beside) = (*key, cargo.bundled());
            let complaint = Complaint { offset: *offset, key, error: "down".to_owned(), beside };
            effects = effects.and(self.lanes.complain(lane, &haul.context, complaint, self.now));
        }
        let begun = lane.map(|lane| (lane, &mut bench.entries));
        let halt = halt.map(|(_, _, halt)| halt);
        effects = effects.and(self.lanes.unload(haul, begun, &mut cargo, halt, super::NOTHING));
        assert!(bench.entries.is_empty() && cargo.entries.is_empty(), "what was not started stays with the worker");
        // It looks for something else.
        self.told.worker = true;
        self.hear(effects);
    }
}
