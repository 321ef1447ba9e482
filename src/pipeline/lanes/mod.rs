//! Lanes: the bounded queue between the reader and the workers, and the state of every record in it.
//!
//! A lane is the unit of order: a partition, a key of a partition, or a single record; or several of these while they take no time. One
//! worker at a time holds a lane; a lane whose head waits for a retry or a dead letter is parked, and holds none.
//!
//! This is a state machine without I/O, clock or tasks: every call says what happened and answers, as [`Effects`], who must hear
//! of it. It lives under one lock ([`Shared`](super::shared::Shared)), taken for batches and runs, never for single records.
//!
//! Invariants:
//! - an entry is in exactly one lane's queue, or out with one worker or the dead-letter stage;
//! - a lane's entries are in the order they came in, and its head alone may be out or waiting;
//! - `queued` counts the entries of [`Bound::Queue`], `parked` those of [`Bound::Parked`]; the former never exceeds the capacity;
//! - what comes back for an epoch that is over changes counts, and nothing else.

mod admission;
mod arriving;
mod breaking;
mod bundles;
mod by_key;
mod commits;
mod entry;
mod gather;
mod haul;
mod key_rate;
mod lane;
mod letters;
mod parking;
mod pausing;
mod place;
mod probation;
mod queue;
mod rate;
mod release;
mod running;
mod scaling;
mod spare;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::time::Instant;

use super::dead_letter::Failure;
use super::source::{Assigned, Epoch, Progress};
use crate::handler::RouteSpec;
use crate::record::{Offset, TopicPartition};

pub(super) use breaking::{BreakerChange, BreakerNews, Complaint};
use breaking::{Circuit, Passage};
use by_key::LanesByKey;
pub(super) use commits::CommitDue;
use entry::{Bound, Loads};
pub(super) use entry::{Entry, Load, Trial};
pub(super) use gather::BatchRun;
use gather::{Gather, Turn};
#[cfg(test)]
pub(super) use haul::laden;
pub(super) use haul::{Bench, Cargo, Haul};
use key_rate::KeyBudgets;
pub(in crate::pipeline) use key_rate::Keys;
use lane::{Lane, State};
use place::{Assignment, Place};
pub(super) use place::{AssignmentContext, Hold};
pub(super) use queue::Queue;
use rate::Budget;
pub(super) use release::{Census, PartitionCensus};
pub(super) use running::Taken;
pub(super) use scaling::Demands;
use spare::Spare;

/// The index of a lane.
pub(super) type LaneId = usize;
/// The index of a place.
type PlaceId = usize;

/// The bounds of the lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) queue: Load,
    pub(super) parked: Load,
    /// Fetching is held back at this share of the queue …
    pub(super) high: f64,
    /// … and goes on at this one.
    pub(super) low: f64,
    /// How many workers there are.
    pub(super) workers: usize,
    /// Ready lanes from which on nothing more is asked for, of all partitions: workers find enough, and what waits for longer grows cold.
    pub(super) ahead: usize,
    /// Lanes that the keys of a partition may share while their records take no time; none where it is 0.
    pub(super) bundles: usize,
    /// Records that come in at a partition after a handler of it waited or failed, before there is such a lane again.
    pub(super) unbundled: usize,
    /// Completions after which a commit is due before its time.
    pub(super) commit_after: usize,
}

/// Who must hear of what a call changed.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    /// Lanes that a worker may now take.
    pub(super) ready: usize,
    /// The reader may ask for more.
    pub(super) room: bool,
    /// There is a dead letter to publish.
    pub(super) letters: bool,
    /// A retry is due earlier than any before.
    pub(super) timer: bool,
    /// Nothing is out any more for an assignment on its way out.
    pub(super) drained: bool,
    /// Enough is finished for a commit.
    pub(super) commit: bool,
    /// Backpressure began (true) or ended.
    pub(super) pressure: Option<bool>,
    /// Records that were passed over because their route doesn't want them.
    pub(super) unwanted: usize,
    /// Partitions have passed their probation.
    pub(super) passed: bool,
    /// Something became of a circuit breaker.
    pub(super) breakers: bool,
}

impl Effects {
    /// Those of two calls in a row.
    pub(super) fn and(self, later: Self) -> Self {
        Self {
            ready: self.ready + later.ready,
            room: self.room || later.room,
            letters: self.letters || later.letters,
            timer: self.timer || later.timer,
            drained: self.drained || later.drained,
            commit: self.commit || later.commit,
            pressure: later.pressure.or(self.pressure),
            unwanted: self.unwanted + later.unwanted,
            passed: self.passed || later.passed,
            breakers: self.breakers || later.breakers,
        }
    }
}

/// A lane that is out by itself, in a batch or for a letter, and the assignment that its records came in under. Comes back through
/// [`Lanes::finish`].
#[must_use]
#[derive(Debug)]
pub(super) struct Run {
    lane: LaneId,
    place: PlaceId,
    pub(super) context: Arc<AssignmentContext>,
}

impl Run {
    pub(super) fn lane(&self) -> LaneId {
        self.lane
    }
}

/// Why a run stopped before its end.
#[derive(Debug)]
pub(super) enum Halt<P> {
    /// This record is to be tried again, at this time.
    Retry(Entry<P>, Instant),
    /// This record is to become a dead letter.
    Letter(Entry<P>, Box<Failure>),
    /// This record is given back unfinished: the daemon stops because of it.
    Stop(Entry<P>),
}

/// A dead letter to publish. Comes back through [`Lanes::letter_acknowledged`] or [`Lanes::letter_failed`].
#[must_use]
#[derive(Debug)]
pub(super) struct LetterJob<P> {
    pub(super) run: Run,
    pub(super) entry: Entry<P>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes<G: Progress> {
    limits: Limits,
    /// When they were made.
    origin: Instant,
    places: Vec<Place<G>>,
    /// For each route that takes batches, what is ready for the next one.
    gathers: Vec<Gather>,
    place_of: HashMap<TopicPartition, PlaceId>,
    place_by_epoch: HashMap<Epoch, PlaceId>,
    lanes: Vec<Lane<G::Position>>,
    spare: Spare,
    lane_of: LanesByKey,
    /// Places and gathers with something to run, in turn.
    turns: VecDeque<Turn>,
    retries: BTreeMap<(Instant, u64), LaneId>,
    retry_number: u64,
    due: VecDeque<LaneId>,
    /// Places with dead letters to write, in turn.
    letters: VecDeque<PlaceId>,
    /// What counts against the bounds, of all places.
    loads: Loads,
    /// How many workers may be at something: as many as are fixed, else as the load was found to need.
    workers: usize,
    scaled: usize,
    fixed: Option<NonZeroUsize>,
    /// How many are.
    busy: usize,
    /// Open places without a queued record: each keeps a slot.
    empty: usize,
    /// Places with an assignment that is open.
    open: usize,
    pressed: bool,
    /// The reader is told once this many records are queued at most.
    wake_at: Option<usize>,
    /// Partitions are held because the bound of the parked is reached.
    parked_holds: bool,
    uncommitted: usize,
    /// An assignment began at a place that was not committed.
    placed: bool,
    /// What the committer has heard of since the last commit.
    commit_told: Option<CommitDue>,
    /// What may begin, where that is limited.
    budget: Option<Budget>,
    /// The same for each key.
    key_budgets: Option<KeyBudgets>,
    /// Keys that somebody has paused.
    paused_keys: Keys,
    /// Places on probation.
    on_probation: usize,
    /// A record on probation is out, unless nobody is at anything.
    suspect_out: bool,
    /// Partitions that have passed their probation, until somebody is told.
    passed: Vec<TopicPartition>,
    /// For each route that has a circuit breaker, what it is at.
    circuits: Vec<Circuit>,
    /// How many of them hold their routes back.
    held_back: usize,
    /// What became of them since somebody looked.
    news: Vec<BreakerNews>,
}

impl<G: Progress> Lanes<G> {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            origin: now,
            places: Vec::new(),
            gathers: Vec::new(),
            place_of: HashMap::new(),
            place_by_epoch: HashMap::new(),
            lanes: Vec::new(),
            spare: Spare::default(),
            lane_of: LanesByKey::default(),
            turns: VecDeque::new(),
            retries: BTreeMap::new(),
            retry_number: 0,
            due: VecDeque::new(),
            letters: VecDeque::new(),
            loads: Loads::default(),
            workers: limits.workers,
            scaled: limits.workers,
            fixed: None,
            busy: 0,
            empty: 0,
            open: 0,
            pressed: false,
            wake_at: None,
            parked_holds: false,
            uncommitted: 0,
            placed: false,
            commit_told: None,
            budget: None,
            key_budgets: None,
            paused_keys: Keys::new(),
            on_probation: 0,
            suspect_out: false,
            passed: Vec::new(),
            circuits: Vec::new(),
            held_back: 0,
            news: Vec::new(),
        }
    }

    /// A partition became ours.
    pub(super) fn assign(&mut self, assigned: Assigned<G>, route: Arc<RouteSpec>) -> Effects {
        let Assigned { epoch, topic_partition, progress } = assigned;
        let places = &mut self.places;
        let id = *self.place_of.entry(topic_partition.clone()).or_insert_with_key(|topic_partition| {
            places.push(Place::new(topic_partition.clone()));
            places.len() - 1
        });
        let mut effects = Effects::default();
        if let Some(earlier) = self.places[id].assignment.as_ref().map(|assignment| assignment.context.epoch) {
            // The source replaced an assignment without ending it; what is out for the earlier one is void.
            effects = self.lose(&[earlier]);
        }
        // A place that nobody has committed yet: whoever sought it waits for that.
        self.placed |= progress.commit().is_some();
        effects.commit |= self.tells_commit();
        let gather = route.settings.batch.map(|size| self.gather(&route, size));
        let circuit = self.circuit(&route);
        let context = Arc::new(AssignmentContext::new(epoch, topic_partition, route));
        let standing = self.standing_of(&progress);
        let place = &mut self.places[id];
        (place.gather, place.circuit) = (gather, circuit);
        place.assignment = Some(Assignment::new(context, progress));
        place.let_pass(circuit.map_or(Passage::Free, |circuit| self.circuits[circuit].passage));
        self.set_standing(id, standing);
        self.place_by_epoch.insert(epoch, id);
        self.open += 1;
        self.count_slot(id);
        effects.room = true;
        effects
    }

    /// Where partitions end now.
    pub(super) fn note_ends(&mut self, ends: &[(Epoch, Offset)]) -> Effects {
        for (epoch, end) in ends {
            if let Some(assignment) = self.assignment(*epoch) {
                assignment.end = Some(*end);
            }
        }
        let mut effects = Effects::default();
        self.review(&mut effects);
        effects
    }

    /// Of these assignments, and of no others, nobody answers for their partition now.
    pub(super) fn note_silent(&mut self, silent: &[Epoch]) {
        for assignment in self.places.iter_mut().filter_map(|place| place.assignment.as_mut()) {
            assignment.is_silent = silent.contains(&assignment.context.epoch);
        }
    }

    /// What of these effects is to be told, now that all of them are known.
    pub(super) fn told(&self, mut effects: Effects) -> Effects {
        if effects.ready > 0 && self.startable() == 0 {
            // A worker would find nothing that it may begin: whoever has the clock is to look when it may.
            (effects.ready, effects.timer) = (0, true);
        }
        // Several lanes may be one worker's; and more than those that are idle, and the one that asks, is nobody's.
        if effects.ready > 1 {
            effects.ready = self.ready(effects.ready.min(self.idle() + 1));
        }
        effects
    }

    /// How many workers could take something now, were there no rate, counted up to `most`: with many partitions nobody wants to look at
    /// all of them.
    fn ready(&self, most: usize) -> usize {
        let mut ready = 0;
        for turn in &self.turns {
            if ready >= most {
                return most;
            }
            ready += match *turn {
                Turn::Place(place) => self.places[place].hauls(),
                Turn::Gather(gather) => self.gathers[gather].batches(),
            };
        }
        ready.min(most)
    }

    /// How many of the idle workers could take something now.
    pub(super) fn wanted(&self) -> usize {
        if self.startable() > 0 { self.ready(self.idle()) } else { 0 }
    }

    /// Handlers that run, for assignments that are over too.
    pub(super) fn busy(&self) -> usize {
        self.busy
    }

    fn assignment(&mut self, epoch: Epoch) -> Option<&mut Assignment<G>> {
        let place = *self.place_by_epoch.get(&epoch)?;
        self.places[place].live(epoch)
    }

    /// Takes an entry off its bound.
    fn uncount(&mut self, place: PlaceId, bound: Bound, bytes: usize) {
        for loads in [&mut self.loads, &mut self.places[place].loads] {
            loads.of(bound).remove(bytes);
        }
    }

    /// Gives a record back to its source, unfinished.
    fn drop_entry(&mut self, place: PlaceId, entry: Entry<G::Position>) {
        self.uncount(place, entry.bound, entry.bytes());
        entry.ticket.release();
    }

    fn note_drained(&self, place: PlaceId, effects: &mut Effects) {
        let leaving = self.places[place].assignment.as_ref().filter(|assignment| assignment.context.is_released());
        effects.drained |= leaving.is_some_and(|assignment| assignment.out == 0);
    }
}

#[cfg(test)]
mod tests;
