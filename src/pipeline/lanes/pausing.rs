//! Pausing: partitions of which nothing is started, until they may go on: somebody has paused them, or their route's circuit breaker is
//! open. What is running ends; what is ready waits, and counts against the bound of the parked, so that it takes no room from others.

use super::super::source::Progress;
use super::{Effects, LaneId, Lanes, PlaceId, State};
use crate::record::TopicPartition;

impl<G: Progress> Lanes<G> {
    /// Pauses the partitions that are to be, and lets the others go on.
    pub(in crate::pipeline) fn set_paused(&mut self, is_paused: impl Fn(&TopicPartition) -> bool) -> Effects {
        let mut effects = Effects::default();
        for id in 0..self.places.len() {
            let place = &mut self.places[id];
            let stood_still = place.stands_still();
            place.paused = is_paused(&place.topic_partition);
            match (stood_still, place.stands_still()) {
                (false, true) => self.stand_still(id, &mut effects),
                (true, false) => self.go_on(id, &mut effects),
                // What is tried of a route that is held back isn't, of a partition that is paused.
                (true, true) if self.places[id].paused => self.stand_still(id, &mut effects),
                _ => {}
            }
        }
        self.try_again(&mut effects);
        effects
    }

    pub(super) fn stand_still(&mut self, place: PlaceId, effects: &mut Effects) {
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

    pub(super) fn go_on(&mut self, place: PlaceId, effects: &mut Effects) {
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
        let lanes = self.lanes.iter().enumerate().filter(|(_, lane)| lane.state != State::Free && lane.place == place);
        lanes.map(|(id, _)| id).collect()
    }
}
