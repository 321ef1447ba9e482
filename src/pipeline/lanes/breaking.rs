//! Breaking: routes of which nothing is started while their circuit breaker is open, but for a record now and then that shows whether it is over.
//!
//! Its partitions stand still as paused ones do, and aren't read. While no record is left that wasn't tried, they are read after all: what
//! failed may be poison that nobody called so, and the next one good.
//!
//! The invariant: of a route that is held back one lane at most may start, with one record, and that one is its trial.

use std::sync::Arc;

use tokio::time::Instant;

use super::super::breaker::{Breaker, Grounds, Reach, State as BreakerState};
use super::super::source::Progress;
use super::entry::{Bound, KeyHash, Trial};
use super::lane::Owner;
use super::place::Gate;
use super::{AssignmentContext, Effects, LaneId, Lanes, PlaceId, State};
use crate::handler::RouteSpec;
use crate::record::Offset;

/// The index of a circuit.
pub(super) type CircuitId = usize;

/// What a route's breaker lets through of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// Everything.
    Free,
    /// Nothing is started, but it is read.
    Read,
    /// Nothing.
    Shut,
}

/// A route with a circuit breaker.
#[derive(Debug)]
pub(super) struct Circuit {
    route: Arc<RouteSpec>,
    pub(super) breaker: Breaker,
    pub(super) passage: Passage,
    /// The lane whose head is tried now.
    pub(super) trial: Option<LaneId>,
    /// The one that was tried last.
    last: LaneId,
}

/// An attempt that failed, though another one may not.
#[derive(Debug)]
pub(in crate::pipeline) struct Complaint {
    /// Its record's.
    pub(in crate::pipeline) offset: Offset,
    pub(in crate::pipeline) key: Option<KeyHash>,
    pub(in crate::pipeline) error: String,
    /// How many records of other keys its worker has beside it that share a lane with it, or did.
    pub(in crate::pipeline) beside: usize,
}

/// What became of a route's breaker.
#[derive(Debug)]
pub(in crate::pipeline) struct BreakerNews {
    pub(in crate::pipeline) route: Arc<RouteSpec>,
    pub(in crate::pipeline) change: BreakerChange,
}

#[derive(Debug)]
pub(in crate::pipeline) enum BreakerChange {
    /// It is open until then.
    Opened(Grounds, Instant),
    /// The record that was tried failed with this; it is open until then.
    StaysOpen(String, Instant),
    /// A record is to be tried.
    HalfOpen,
    /// It is closed, and was not since then.
    Closed(Instant),
}

impl<G: Progress> Lanes<G> {
    /// The circuit of a route, if it has a breaker.
    pub(super) fn circuit(&mut self, route: &Arc<RouteSpec>) -> Option<CircuitId> {
        let settings = &route.settings;
        if !settings.circuit_breaker.is_on() {
            return None;
        }
        let known = self.circuits.iter().position(|circuit| Arc::ptr_eq(&circuit.route, route));
        Some(known.unwrap_or_else(|| {
            let breaker = Breaker::new(settings.circuit_breaker, settings.timeout);
            let route = Arc::clone(route);
            self.circuits.push(Circuit { route, breaker, passage: Passage::Free, trial: None, last: 0 });
            self.circuits.len() - 1
        }))
    }

    /// So many attempts at records of a place succeeded.
    pub(super) fn succeeded(&mut self, place: PlaceId, attempts: usize, effects: &mut Effects) {
        let Some(id) = self.places[place].circuit.filter(|_| attempts > 0) else { return };
        let Some(since) = self.circuits[id].breaker.succeeded(attempts) else { return };
        self.circuits[id].trial = None;
        self.held_back -= 1;
        self.tell(id, BreakerChange::Closed(since), effects);
        self.let_pass(id, Passage::Free, effects);
    }

    /// An attempt at a record of a lane that is out has failed. It counts for nothing where its assignment ends: it may have been asked to.
    pub(in crate::pipeline) fn complain(
        &mut self,
        lane: LaneId,
        context: &AssignmentContext,
        complaint: Complaint,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        let Complaint { offset, key, error, beside } = complaint;
        let place = self.lanes[lane].place();
        let is_ours = self.places[place].open().is_some_and(|open| open.context.epoch == context.epoch);
        let Some(id) = self.places[place].circuit.filter(|_| is_ours) else { return effects };
        let number = key.map_or(offset.0.unsigned_abs(), KeyHash::get);
        let key = number ^ (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let circuit = &mut self.circuits[id];
        if circuit.trial == Some(lane) {
            circuit.trial = None;
            circuit.breaker.trial_failed(now);
            let until = circuit.breaker.due().unwrap_or(now);
            self.tell(id, BreakerChange::StaysOpen(error, until), &mut effects);
        } else {
            if !circuit.breaker.failed(key, now) {
                return effects;
            }
            let reach = || {
                // Not those that wait for a retry, a letter or an operator: none of them can fail before the window is over, or they have.
                let could_fail = |(_, other): &(LaneId, &super::Lane<G::Position>)| {
                    matches!(other.state, State::Ready | State::Due | State::Out)
                        && self.places[other.place()].circuit == Some(id)
                };
                // A bundle has as many keys as records, mostly.
                let keys = |(one, other): (LaneId, &super::Lane<G::Position>)| match other.owner() {
                    Owner::Bundle(_) if one == lane => other.queue.len(),
                    Owner::Bundle(_) => other.queue.len().max(1),
                    Owner::Record | Owner::Key(_) => usize::from(one != lane),
                };
                Reach {
                    workers: self.workers,
                    others: self.lanes.iter().enumerate().filter(could_fail).map(keys).sum::<usize>() + beside,
                }
            };
            let Some(grounds) = circuit.breaker.judge(&error, now, reach) else { return effects };
            let until = circuit.breaker.due().unwrap_or(now);
            self.held_back += 1;
            self.tell(id, BreakerChange::Opened(grounds, until), &mut effects);
        }
        effects.timer = true;
        self.let_pass(id, Passage::Shut, &mut effects);
        effects
    }

    /// When a breaker is to be looked at again.
    pub(super) fn next_trial(&self) -> Option<Instant> {
        if self.held_back == 0 {
            return None;
        }
        self.circuits.iter().filter_map(|circuit| circuit.breaker.due()).min()
    }

    /// Has breakers let a record try whose time is over.
    pub(super) fn wake_breakers(&mut self, now: Instant, effects: &mut Effects) {
        if self.held_back == 0 {
            return;
        }
        for id in 0..self.circuits.len() {
            if self.circuits[id].breaker.wake(now) {
                self.tell(id, BreakerChange::HalfOpen, effects);
            }
        }
    }

    /// Has a record of each route tried that waits for that, where there is one.
    pub(super) fn try_again(&mut self, effects: &mut Effects) {
        if self.held_back == 0 {
            return;
        }
        for id in 0..self.circuits.len() {
            let circuit = &self.circuits[id];
            if circuit.breaker.state() != BreakerState::HalfOpen || circuit.trial.is_some() {
                continue;
            }
            let next = self.next_to_try(id, effects);
            let is_fresh = next.is_some_and(|(lane, is_fresh)| {
                self.begin_trial(id, lane, effects);
                is_fresh
            });
            self.let_pass(id, if is_fresh { Passage::Shut } else { Passage::Read }, effects);
        }
    }

    /// The lane whose head is to be tried, and whether that was not tried before: those go first, and else each in turn. One whose key may not
    /// go on yet waits for that.
    fn next_to_try(&mut self, id: CircuitId, effects: &mut Effects) -> Option<(LaneId, bool)> {
        let last = self.circuits[id].last;
        let mut best = None;
        for lane_id in 0..self.lanes.len() {
            let lane = &self.lanes[lane_id];
            let place = &self.places[lane.place()];
            if lane.state != State::Paused || place.circuit != Some(id) || place.gate() != Gate::Trials {
                continue;
            }
            let Some(head) = lane.queue.front() else { continue };
            let rank = (head.failures > 0 || head.trial != Trial::Never, lane_id <= last, lane_id);
            match self.waits_for(lane_id) {
                Some(wait) => self.limit(lane_id, wait, effects),
                None if best.is_none_or(|best| rank < best) => best = Some(rank),
                None => {}
            }
        }
        best.map(|(was_tried, _, lane)| (lane, !was_tried))
    }

    fn begin_trial(&mut self, id: CircuitId, lane: LaneId, effects: &mut Effects) {
        let circuit = &mut self.circuits[id];
        (circuit.trial, circuit.last) = (Some(lane), lane);
        let trial = if circuit.breaker.lost_patience() { Trial::Counted } else { Trial::Free };
        let head = self.lanes[lane].queue.front_mut().expect("it was chosen for its head");
        head.trial = trial;
        if self.let_in(id, lane) {
            self.make_ready(lane, effects);
        } else {
            // Other routes have all slots, and will leave some.
            self.make_startable(lane, effects);
            self.promote(effects);
        }
    }

    /// Finds a slot in the queue for the head of a lane that is to be tried. Slots that are kept for others don't count: while nothing of its
    /// route is started, they may be for partitions that stand still as well. Nor do those of records that wait: one of them gives way, or all
    /// would wait for it, and it for them.
    fn let_in(&mut self, id: CircuitId, lane: LaneId) -> bool {
        let place_id = self.lanes[lane].place();
        let is_in =
            |lanes: &Self, lane: LaneId| lanes.lanes[lane].queue.front().map(|head| head.bound) == Some(Bound::Queue);
        if is_in(self, lane) {
            return true;
        }
        if self.loads.queued.records >= self.limits.queue.records {
            let waits = |one: LaneId| {
                one == lane
                    || matches!(self.lanes[one].state, State::Paused | State::Parked)
                        && self.places[self.lanes[one].place()].circuit == Some(id)
            };
            let has_one = |one: LaneId| self.lanes[one].queue.iter().any(|entry| entry.bound == Bound::Queue);
            let Some(one) = (0..self.lanes.len()).find(|&one| waits(one) && has_one(one)) else { return false };
            let place = self.lanes[one].place();
            let last = self.lanes[one].queue.iter_mut().rfind(|entry| entry.bound == Bound::Queue).expect("it has one");
            last.count_against(Bound::Parked, [&mut self.loads, &mut self.places[place].loads]);
            self.count_slot(place);
        }
        let head = self.lanes[lane].queue.front_mut().expect("it was chosen for its head");
        head.count_against(Bound::Queue, [&mut self.loads, &mut self.places[place_id].loads]);
        self.count_slot(place_id);
        true
    }

    /// A lane that was out has come back, or can't start after all: where its head was tried and nothing came of it, another one is.
    pub(super) fn end_trial(&mut self, lane: LaneId) {
        if self.held_back > 0
            && let Some(id) = self.places[self.lanes[lane].place()].circuit
            && self.circuits[id].trial == Some(lane)
        {
            self.circuits[id].trial = None;
        }
    }

    fn tell(&mut self, id: CircuitId, change: BreakerChange, effects: &mut Effects) {
        self.news.push(BreakerNews { route: Arc::clone(&self.circuits[id].route), change });
        effects.breakers = true;
    }

    /// What became of breakers since the last look.
    pub(in crate::pipeline) fn take_news(&mut self) -> Vec<BreakerNews> {
        std::mem::take(&mut self.news)
    }

    /// What passes of the route from now on.
    fn let_pass(&mut self, id: CircuitId, passage: Passage, effects: &mut Effects) {
        let before = std::mem::replace(&mut self.circuits[id].passage, passage);
        if before == passage {
            return;
        }
        for place_id in 0..self.places.len() {
            if self.places[place_id].circuit == Some(id) {
                self.regate(place_id, |place| place.let_pass(passage), effects);
            }
        }
        effects.room |= passage == Passage::Read;
    }
}
