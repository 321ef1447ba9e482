//! Running: what workers take, and what comes back from them.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::source::Progress;
use super::super::ticket::Settled;
use super::entry::{Bound, Entry};
use super::gather::{BatchRun, Turn};
use super::{Effects, Halt, Holder, LaneId, Lanes, PlaceId, Run, State};

/// How many records of a lane a worker takes at once, at most.
const RUN: usize = 256;

/// What a worker takes at once.
#[must_use]
#[derive(Debug)]
pub(in crate::pipeline) enum Taken {
    /// A lane.
    Run(Run),
    /// Several lanes whose records are handled together.
    Batch(BatchRun),
}

impl<G: Progress> Lanes<G> {
    /// What a worker does next: a lane with the first of its entries, or a batch. Partitions and batches take turns, and none may hold
    /// every worker while several partitions are assigned.
    /// The clock is only looked at where keys have a rate.
    pub(in crate::pipeline) fn take(
        &mut self,
        entries: &mut VecDeque<Entry<G::Position>>,
        clock: impl Fn() -> Instant,
    ) -> (Option<Taken>, Effects) {
        debug_assert!(entries.is_empty(), "a worker takes one run at a time");
        let mut effects = Effects::default();
        if self.startable() == 0 {
            // Whoever has a clock is to look when something may begin.
            effects.timer = !self.turns.is_empty();
            return (None, effects);
        }
        let most = if self.open > 1 { (self.limits.workers - 1).max(1) } else { self.limits.workers };
        for _ in 0..self.turns.len() {
            let Some(turn) = self.turns.pop_front() else { break };
            let busy = match turn {
                Turn::Place(place) => self.places[place].busy,
                Turn::Gather(gather) => self.gathers[gather].busy,
            };
            if busy >= most {
                self.turns.push_back(turn);
                continue;
            }
            let taken = match turn {
                Turn::Place(place) => self.take_lane(place, entries, &clock).map(Taken::Run),
                Turn::Gather(gather) => Some(Taken::Batch(self.take_batch(gather, entries, &clock, &mut effects))),
            };
            if taken.is_some() {
                self.start(entries.len());
                return (taken, effects);
            }
        }
        (None, effects)
    }

    fn take_lane(
        &mut self,
        place_id: PlaceId,
        entries: &mut VecDeque<Entry<G::Position>>,
        clock: impl Fn() -> Instant,
    ) -> Option<Run> {
        let startable = self.startable();
        let place = &mut self.places[place_id];
        let next = place.ready.pop_front();
        place.in_turns = !place.ready.is_empty();
        if place.in_turns {
            self.turns.push_back(Turn::Place(place_id));
        }
        let lane_id = next?;
        place.busy += 1;
        self.busy += 1;
        debug_assert_eq!(self.lanes[lane_id].state, State::Ready);
        let run = self.hand_out(lane_id, Holder::Worker);
        let most = RUN.min(startable).min(self.startable_of(lane_id, clock));
        let queue = &mut self.lanes[lane_id].queue;
        let length = queue.iter().take(most).take_while(|entry| entry.bound == Bound::Queue).count();
        entries.extend(queue.drain(..length));
        self.start_of(lane_id, length);
        Some(run)
    }

    /// A lane goes out, with as many of its first entries as its holder then takes from it.
    pub(super) fn hand_out(&mut self, id: LaneId, holder: Holder) -> Run {
        let lane = &mut self.lanes[id];
        lane.state = State::Out;
        lane.out_since = lane.queue.front().map(Entry::age);
        let place = lane.place;
        let assignment =
            self.places[place].assignment.as_mut().expect("what could go out is cleared with its assignment");
        assignment.out += 1;
        Run { lane: id, place, context: Arc::clone(&assignment.context), holder }
    }

    /// These records of the run are finished, each with the bytes that it counted; the run goes on.
    pub(in crate::pipeline) fn settle(
        &mut self,
        run: &Run,
        settled: &mut Vec<(Settled<G::Position>, usize)>,
    ) -> Effects {
        let mut effects = Effects::default();
        let was_empty = self.is_empty_open(run.place);
        let place = &mut self.places[run.place];
        for (settled, bytes) in settled.drain(..) {
            self.loads.queued.remove(bytes);
            place.loads.queued.remove(bytes);
            if let Some(assignment) = place.live(run.context.epoch) {
                assignment.progress.settle(settled);
                assignment.finished += 1;
                self.uncommitted += 1;
            }
        }
        self.freed(run.place, was_empty, &mut effects);
        effects
    }

    /// The run is over: `unstarted` goes back to the front of its lane, behind what `halt` says of the record that stopped it.
    pub(in crate::pipeline) fn finish(
        &mut self,
        run: Run,
        unstarted: &mut VecDeque<Entry<G::Position>>,
        halt: Option<Halt<G::Position>>,
    ) -> Effects {
        let mut effects = Effects::default();
        if run.holder == Holder::Worker {
            self.busy -= 1;
            self.places[run.place].busy -= 1;
        }
        self.unstart(unstarted.len());
        self.unstart_of(run.lane, unstarted.len());
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
}
