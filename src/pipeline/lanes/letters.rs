//! Letters that are to be written, and those that are on their way, partition by partition.
//!
//! Each partition has a number of its own on its way, and they take turns: one whose letters aren't taken, because its dead-letter topic's partition
//! has no leader for instance, uses up nobody else's. What is on its way altogether is no more than what may be parked. Where the last letter that
//! came back was not written, one at a time is tried: the others would fare no better, and would only be longer on their way.

use std::collections::VecDeque;

use super::super::source::{Epoch, Progress};
use super::{Effects, LaneId, Lanes, LetterJob, PlaceId, State};

/// How many letters of a partition are on their way at once, at most.
const IN_FLIGHT: usize = 128;

/// The letters of a place.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Lanes whose head waits to be written, in turn.
    pub(super) waiting: VecDeque<LaneId>,
    /// How many are on their way, for whatever assignment.
    out: usize,
    /// The last one that came back was not written.
    failing: bool,
    /// Whether the place stands in the queue of those that have something to write.
    in_turns: bool,
}

impl Outbox {
    /// Whether there are letters that are not written yet, those that wait to be tried again left out.
    pub(super) fn is_pending(&self) -> bool {
        self.out > 0 || !self.waiting.is_empty()
    }

    fn may_send(&self) -> bool {
        !self.waiting.is_empty() && self.out < if self.failing { 1 } else { IN_FLIGHT }
    }
}

impl<G: Progress> Lanes<G> {
    /// The head of a lane is to be written.
    pub(super) fn await_letter(&mut self, id: LaneId, effects: &mut Effects) {
        let lane = &mut self.lanes[id];
        lane.state = State::Letter;
        let place = lane.place();
        self.places[place].outbox.waiting.push_back(id);
        self.offer_letters(place, effects);
    }

    /// The next dead letter to publish.
    pub(in crate::pipeline) fn take_letter(&mut self) -> Option<LetterJob<G::Position>> {
        loop {
            let place = self.letters.pop_front()?;
            let outbox = &mut self.places[place].outbox;
            outbox.in_turns = false;
            if !outbox.may_send() {
                continue;
            }
            let lane = outbox.waiting.pop_front()?;
            outbox.out += 1;
            self.offer_letters(place, &mut Effects::default());
            let run = self.hand_out(lane);
            let entry = self.lanes[lane].queue.pop_front().expect("a lane with a letter has a head");
            return Some(LetterJob { run, entry });
        }
    }

    /// One that was on its way is written, or is not.
    pub(super) fn letter_came_back(&mut self, place: PlaceId, written: bool, effects: &mut Effects) {
        let outbox = &mut self.places[place].outbox;
        outbox.out -= 1;
        outbox.failing = !written;
        self.offer_letters(place, effects);
    }

    /// How many letters of these assignments wait to be written for the first time, or again.
    pub(super) fn letters_waiting(&self, epochs: &[Epoch]) -> usize {
        let places = epochs.iter().filter_map(|epoch| self.place_by_epoch.get(epoch));
        places.map(|&place| self.places[place].outbox.waiting.len()).sum()
    }

    /// Lanes of these places that no longer have a letter are not waited for.
    pub(super) fn forget_letters(&mut self, places: &[PlaceId]) {
        let lanes = &self.lanes;
        for &place in places {
            self.places[place].outbox.waiting.retain(|&id| lanes[id].state == State::Letter);
        }
    }

    /// Has the place take its turn, if it may send something.
    fn offer_letters(&mut self, place: PlaceId, effects: &mut Effects) {
        let outbox = &mut self.places[place].outbox;
        if outbox.may_send() && !outbox.in_turns {
            outbox.in_turns = true;
            self.letters.push_back(place);
        }
        effects.letters |= outbox.in_turns;
    }
}
