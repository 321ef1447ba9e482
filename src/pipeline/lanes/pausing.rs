//! Pausing: partitions of which nothing is started, until they may go on. What is running ends; what is ready waits, and counts against
//! the bound of the parked, so that it takes no room from others.

use super::super::source::Progress;
use super::{Effects, LaneId, Lanes, PlaceId, State, Trial};
use crate::record::TopicPartition;

impl<G: Progress> Lanes<G> {
    /// Pauses the partitions that are to be, and lets the others go on.
    pub(in crate::pipeline) fn set_paused(&mut self, is_paused: impl Fn(&TopicPartition) -> bool) -> Effects {
        let mut effects = Effects::default();
        for id in 0..self.places.len() {
            match (self.places[id].paused, is_paused(&self.places[id].topic_partition)) {
                (false, true) => self.pause(id, &mut effects),
                (true, false) => self.resume(id, &mut effects),
                _ => {}
            }
        }
        effects
    }

    fn pause(&mut self, place: PlaceId, effects: &mut Effects) {
        self.places[place].paused = true;
        self.places[place].halted = true;
        for id in self.lanes_of(place) {
            if matches!(self.lanes[id].state, State::Ready | State::Due) {
                self.suspend(id);
            }
        }
        let lanes = &self.lanes;
        self.due.retain(|&id| lanes[id].state == State::Due);
        self.forget_ready(place, effects);
        self.freed(place, effects);
    }

    fn resume(&mut self, place: PlaceId, effects: &mut Effects) {
        self.places[place].paused = false;
        let trial = self.places[place].assignment.as_ref().map_or(Trial::None, |assignment| assignment.trial);
        self.places[place].halted = trial == Trial::Unmarked;
        self.reopen_halted(place, effects);
        effects.room = true;
    }

    /// Lets go on what waits only because its place was halted.
    pub(super) fn reopen_halted(&mut self, place: PlaceId, effects: &mut Effects) {
        for id in self.lanes_of(place) {
            if self.lanes[id].state == State::Paused {
                self.reopen(id, effects);
            }
        }
        self.count_slot(place);
        self.promote(effects);
    }

    /// Has a lane wait until its place goes on.
    pub(super) fn suspend(&mut self, id: LaneId) {
        self.lanes[id].state = State::Paused;
        self.count_as_parked(id);
    }

    fn lanes_of(&self, place: PlaceId) -> Vec<LaneId> {
        let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| lane.state != State::Free && lane.place == place);
        lanes.map(|(id, _)| id).collect()
    }
}
