//! Lanes: the bounded queue between the reader and the workers, and the state of every record in it.
//!
//! A lane is the unit of order: a partition, a key of a partition, or a single record. One worker at a time holds a lane; a
//! lane whose head waits for a retry or a dead letter is parked, and holds none.
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
mod commits;
mod entry;
mod lane;
mod parking;
mod place;
mod release;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use foldhash::fast::FixedState;
use tokio::time::Instant;

use super::arrival::{Admittance, Arrival, Arrivals};
use super::dead_letter::Failure;
use super::source::{Assigned, Epoch, Progress};
use super::ticket::{Settled, Ticket};
use crate::handler::RouteSpec;
use crate::record::{Offset, Timestamp, TopicPartition};

use entry::Bound;
pub(super) use entry::{Entry, Load};
use lane::{Lane, State};
use place::{Assignment, Place};
pub(super) use place::{AssignmentContext, Hold};
pub(super) use release::Census;

/// The index of a lane.
type LaneId = usize;
/// The index of a place.
type PlaceId = usize;

/// How many records of a lane a worker takes at once, at most.
const RUN: usize = 256;

/// The bounds of the lanes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) queue: Load,
    pub(super) parked: Load,
    /// Fetching is held back at this share of the queue …
    pub(super) high: f64,
    /// … and goes on at this one.
    pub(super) low: f64,
    pub(super) workers: usize,
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
        }
    }
}

/// What a worker holds: a lane, and the assignment that its records came in under. Comes back through [`Lanes::finish`].
#[must_use]
#[derive(Debug)]
pub(super) struct Run {
    lane: LaneId,
    place: PlaceId,
    pub(super) context: Arc<AssignmentContext>,
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
    places: Vec<Place<G>>,
    place_of: HashMap<TopicPartition, PlaceId>,
    place_by_epoch: HashMap<Epoch, PlaceId>,
    lanes: Vec<Lane<G::Position>>,
    free: Vec<LaneId>,
    lane_of: HashMap<(PlaceId, u64), LaneId, FixedState>,
    /// Places with ready lanes, in turn.
    turns: VecDeque<PlaceId>,
    retries: BTreeMap<(Instant, u64), LaneId>,
    retry_number: u64,
    due: VecDeque<LaneId>,
    letters: VecDeque<LaneId>,
    queued: Load,
    parked: Load,
    /// Lanes out with a worker.
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
}

impl<G: Progress> Lanes<G> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            places: Vec::new(),
            place_of: HashMap::new(),
            place_by_epoch: HashMap::new(),
            lanes: Vec::new(),
            free: Vec::new(),
            lane_of: HashMap::default(),
            turns: VecDeque::new(),
            retries: BTreeMap::new(),
            retry_number: 0,
            due: VecDeque::new(),
            letters: VecDeque::new(),
            queued: Load::default(),
            parked: Load::default(),
            busy: 0,
            empty: 0,
            open: 0,
            pressed: false,
            wake_at: None,
            parked_holds: false,
            uncommitted: 0,
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
        let context = Arc::new(AssignmentContext::new(epoch, topic_partition, route));
        let place = &mut self.places[id];
        place.assignment = Some(Assignment { context, progress, out: 0, stuck_letters: 0, end: None });
        self.place_by_epoch.insert(epoch, id);
        self.open += 1;
        self.empty += usize::from(place.queued.records == 0);
        effects.room = true;
        effects
    }

    /// Records came in. Those of an epoch that is over are dropped, and so are those that are known to be finished; those that their
    /// route doesn't want are finished at once.
    pub(super) fn push(&mut self, arrivals: Arrivals, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let Some(&place_id) = self.place_by_epoch.get(&arrivals.epoch) else { return effects };
        let Some(context) = self.places[place_id].open().map(|open| Arc::clone(&open.context)) else { return effects };
        let was_empty = self.places[place_id].queued.records == 0;
        // One look for the whole batch: it is for a metric.
        let stamp = arrivals.records.first().and_then(|first| first.record.timestamp()).map(Timestamp::as_millis);
        for Arrival { record, lane, admittance } in arrivals.records {
            let place = &mut self.places[place_id];
            let Some(assignment) = &mut place.assignment else { break };
            let Some(position) = assignment.progress.receive(&record) else { continue };
            let ticket = Ticket::new(context.epoch, position);
            let failure = match admittance {
                Admittance::Wanted => None,
                Admittance::Failed(failure) => Some(failure),
                Admittance::Unwanted => {
                    assignment.progress.settle(ticket.skip());
                    self.uncommitted += 1;
                    effects.unwanted += 1;
                    continue;
                }
            };
            let lane_id = self.lane(place_id, lane);
            let lane = &mut self.lanes[lane_id];
            let waits = matches!(lane.state, State::Parked(..) | State::Due | State::Letter);
            let bytes = record.size();
            let place = &mut self.places[place_id];
            // Retries may have taken slots since the demand that let this record in. Then there is room among the parked, where
            // they came from.
            let is_full = self.queued.records >= self.limits.queue.records;
            let bound = if is_full || waits && !self.parked.reaches(self.limits.parked) {
                self.parked.add(bytes);
                place.parked.add(bytes);
                Bound::Parked
            } else {
                self.queued.add(bytes);
                place.queued.add(bytes);
                Bound::Queue
            };
            lane.queue.push_back(Entry {
                ticket,
                record,
                failures: 0,
                received: now,
                stamp,
                bytes,
                failure,
                letter_tries: 0,
                stuck: false,
                bound,
            });
            if lane.state == State::Free {
                self.reopen(lane_id, &mut effects);
            }
        }
        if let (Some(next), Some(assignment)) = (arrivals.next, &mut self.places[place_id].assignment) {
            assignment.progress.passed(next);
        }
        if was_empty && self.places[place_id].queued.records > 0 {
            self.empty -= 1;
        }
        if !self.pressed && self.is_above(self.limits.high) {
            self.pressed = true;
            effects.pressure = Some(true);
        }
        effects.commit |= self.uncommitted >= self.limits.commit_after;
        effects
    }

    /// The next run for a worker: a lane, and the first of its entries. Partitions take turns, and none may hold every worker
    /// while others are assigned.
    pub(super) fn take(&mut self, entries: &mut VecDeque<Entry<G::Position>>) -> Option<Run> {
        debug_assert!(entries.is_empty(), "a worker takes one run at a time");
        let most = if self.open > 1 { (self.limits.workers - 1).max(1) } else { self.limits.workers };
        for _ in 0..self.turns.len() {
            let place_id = self.turns.pop_front()?;
            let place = &mut self.places[place_id];
            if place.busy >= most {
                self.turns.push_back(place_id);
                continue;
            }
            let next = place.ready.pop_front();
            place.in_turns = !place.ready.is_empty();
            if place.in_turns {
                self.turns.push_back(place_id);
            }
            let (Some(lane_id), Some(assignment)) = (next, &mut place.assignment) else { continue };
            let lane = &mut self.lanes[lane_id];
            debug_assert_eq!(lane.state, State::Ready);
            let length = lane.queue.iter().take(RUN).take_while(|entry| entry.bound == Bound::Queue).count();
            entries.extend(lane.queue.drain(..length));
            lane.state = State::Out;
            lane.out_since = entries.front().map(Entry::age);
            assignment.out += 1;
            place.busy += 1;
            self.busy += 1;
            return Some(Run { lane: lane_id, place: place_id, context: Arc::clone(&assignment.context) });
        }
        None
    }

    /// These records of the run are finished, each with the bytes that it counted; the run goes on.
    pub(super) fn settle(&mut self, run: &Run, settled: &mut Vec<(Settled<G::Position>, usize)>) -> Effects {
        let mut effects = Effects::default();
        let was_empty = self.is_empty_open(run.place);
        let place = &mut self.places[run.place];
        for (settled, bytes) in settled.drain(..) {
            self.queued.remove(bytes);
            place.queued.remove(bytes);
            if let Some(assignment) = place.live(run.context.epoch) {
                assignment.progress.settle(settled);
                self.uncommitted += 1;
            }
        }
        self.freed(run.place, was_empty, &mut effects);
        effects
    }

    /// The run is over: `unstarted` goes back to the front of its lane, behind what `halt` says of the record that stopped it.
    pub(super) fn finish(
        &mut self,
        run: Run,
        unstarted: &mut VecDeque<Entry<G::Position>>,
        halt: Option<Halt<G::Position>>,
    ) -> Effects {
        let mut effects = Effects::default();
        self.busy -= 1;
        self.places[run.place].busy -= 1;
        let was_empty = self.is_empty_open(run.place);
        let lane = &mut self.lanes[run.lane];
        lane.out_since = None;
        let place = &mut self.places[run.place];
        let Some(assignment) = place.live(run.context.epoch) else {
            let halted = halt.map(|(Halt::Retry(entry, _) | Halt::Letter(entry, _) | Halt::Stop(entry))| entry);
            for entry in unstarted.drain(..).chain(halted) {
                self.drop_entry(run.place, entry);
            }
            self.reopen(run.lane, &mut effects);
            self.freed(run.place, was_empty, &mut effects);
            // A stop waits for these too.
            effects.drained = true;
            return effects;
        };
        assignment.out -= 1;
        let released = assignment.context.is_released();
        while let Some(entry) = unstarted.pop_back() {
            if released {
                self.drop_entry(run.place, entry);
            } else {
                self.lanes[run.lane].queue.push_front(entry);
            }
        }
        match halt {
            Some(Halt::Retry(entry, _) | Halt::Stop(entry)) if released => {
                self.drop_entry(run.place, entry);
                self.reopen(run.lane, &mut effects);
            }
            Some(Halt::Retry(entry, due)) => {
                self.lanes[run.lane].queue.push_front(entry);
                self.park(run.lane, due, &mut effects);
            }
            // A letter is part of what was started: it is published even while the partition is on its way out.
            Some(Halt::Letter(mut entry, failure)) => {
                entry.failure = Some(failure);
                let lane = &mut self.lanes[run.lane];
                lane.queue.push_front(entry);
                lane.state = State::Letter;
                self.letters.push_back(run.lane);
                self.count_as_parked(run.lane);
                effects.letters = true;
            }
            // The lane stays closed: whatever is behind this record must not overtake it.
            Some(Halt::Stop(entry)) => {
                self.lanes[run.lane].queue.push_front(entry);
                self.lanes[run.lane].state = State::Closed;
            }
            None => self.reopen(run.lane, &mut effects),
        }
        self.freed(run.place, was_empty, &mut effects);
        self.note_drained(run.place, &mut effects);
        effects
    }

    /// Where partitions end now.
    pub(super) fn note_ends(&mut self, ends: &[(Epoch, Offset)]) {
        for (epoch, end) in ends {
            if let Some(assignment) = self.assignment(*epoch) {
                assignment.end = Some(*end);
            }
        }
    }

    /// How many lanes a worker could take now.
    pub(super) fn ready(&self) -> usize {
        self.turns.iter().map(|&place| self.places[place].ready.len()).sum()
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
        let place = &mut self.places[place];
        let (total, own) = match bound {
            Bound::Queue => (&mut self.queued, &mut place.queued),
            Bound::Parked => (&mut self.parked, &mut place.parked),
        };
        total.remove(bytes);
        own.remove(bytes);
    }

    /// Gives a record back to its source, unfinished.
    fn drop_entry(&mut self, place: PlaceId, entry: Entry<G::Position>) {
        self.uncount(place, entry.bound, entry.bytes);
        entry.ticket.release();
    }

    fn note_drained(&self, place: PlaceId, effects: &mut Effects) {
        let leaving = self.places[place].assignment.as_ref().filter(|assignment| assignment.context.is_released());
        effects.drained |= leaving.is_some_and(|assignment| assignment.out == 0);
    }
}

#[cfg(test)]
mod tests;
