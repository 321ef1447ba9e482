//! Pausing: partitions of which nothing is started, until they may go on: somebody has paused them, their route's circuit breaker is
//! open, or it isn't committed yet that they are read. What is running ends; what is ready waits, and counts against the bound of the parked, so
//! that it takes no room from others.

use super::super::source::Progress;
use super::place::{Gate, Place};
use super::{Effects, LaneId, Lanes, PlaceId, State};
use crate::record::TopicPartition;

impl<G: Progress> Lanes<G> {
    /// Pauses the partitions that are to be, and lets the others go on.
    pub(in crate::pipeline) fn set_paused(&mut self, is_paused: impl Fn(&TopicPartition) -> bool) -> Effects {
        let mut effects = Effects::default();
        for id in 0..self.places.len() {
            self.regate(id, |place| place.pause(is_paused(&place.topic_partition)), &mut effects);
        }
        self.try_again(&mut effects);
        effects
    }

    /// Something about a place changes: what may no longer be started waits, and what waited only for this goes on.
    pub(super) fn regate(&mut self, id: PlaceId, change: impl FnOnce(&mut Place<G>), effects: &mut Effects) {
        let place = &mut self.places[id];
        let before = place.gate();
        change(place);
        match (before, place.gate()) {
            // What is being tried of a route isn't, once it may not be.
            (Gate::Open, Gate::Trials | Gate::Shut) | (Gate::Trials, Gate::Shut) => self.stand_still(id, effects),
            (Gate::Trials | Gate::Shut, Gate::Open) => self.go_on(id, effects),
            (Gate::Shut, Gate::Trials) => effects.room = true,
            _ => {}
        }
    }

    fn stand_still(&mut self, place: PlaceId, effects: &mut Effects) {
        for id in self.lanes_of(place) {
            if matches!(self.lanes[id].state, State::Ready | State::Due) {
                self.suspend(id);
            }
        }
        let lanes = &self.lanes;
        self.due.retain(|&id| lanes[id].state == State::Due);
        self.forget_ready(&[place], effects);
        self.freed(place, effects);
    }

    fn go_on(&mut self, place: PlaceId, effects: &mut Effects) {
        for id in self.lanes_of(place) {
            if self.lanes[id].state == State::Paused {
                self.reopen(id, effects);
            }
        }
        self.count_slot(place);
        self.promote(effects);
        effects.room = true;
    }

    /// Has a lane wait until its place goes on.
    pub(super) fn suspend(&mut self, id: LaneId) {
        self.lanes[id].state = State::Paused;
        self.end_trial(id);
        self.count_as_parked(id);
    }

    fn lanes_of(&self, place: PlaceId) -> Vec<LaneId> {
        let lanes =
            self.lanes.iter().enumerate().filter(|(_, lane)| lane.state != State::Free && lane.place() == place);
        lanes.map(|(id, _)| id).collect()
    }
}
