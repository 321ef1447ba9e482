//! Running: what workers take, and what comes back from them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::source::Progress;
use super::super::ticket::Settled;
use super::entry::{Bound, Entry};
use super::gather::{BatchRun, Turn};
use super::haul::{Cargo, Haul, Load};
use super::probation::Turnout;
use super::{AssignmentContext, Effects, Halt, LaneId, Lanes, PlaceId, Queue, Run, State};

/// How many records a worker takes at once, at most.
const MOST: usize = 256;

/// What a worker takes at once.
#[must_use]
#[derive(Debug)]
pub(in crate::pipeline) enum Taken {
    /// Lanes of one place, one after the other.
    Haul(Haul),
    /// Several lanes whose records are handled together.
    Batch(BatchRun),
}

impl<G: Progress> Lanes<G> {
    /// What a worker does next: lanes with the first of their entries, or a batch. Partitions and batches take turns, and none may hold
    /// every worker while several partitions are assigned.
    /// The clock is only looked at where there is a rate.
    pub(in crate::pipeline) fn take(
        &mut self,
        cargo: &mut Cargo<G::Position>,
        clock: impl Fn() -> Instant,
    ) -> (Option<Taken>, Effects) {
        debug_assert!(cargo.is_empty(), "a worker holds one haul at a time");
        let mut effects = Effects::default();
        if self.idle() == 0 {
            return (None, effects);
        }
        // What has come due since the last look must not come on top of an interval's, once that is used.
        if self.budget.is_some() {
            self.grant(clock(), &mut effects);
        }
        if self.startable() == 0 {
            // Whoever has a clock is to look when something may begin.
            effects.timer = !self.turns.is_empty();
            return (None, effects);
        }
        if self.on_probation > 0 || self.suspect_out {
            match self.turnout(&clock, &mut effects) {
                Turnout::Anybody => {}
                Turnout::Nobody => return (None, effects),
                Turnout::Suspect(place, lane) => {
                    let taken = self.take_suspect((place, lane), cargo, clock, &mut effects);
                    self.start(cargo.entries.len());
                    return (taken, effects);
                }
            }
        }
        let most = self.most();
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
                Turn::Place(place) => self.take_lanes(place, cargo, MOST, &clock, &mut effects).map(Taken::Haul),
                Turn::Gather(gather) => {
                    Some(Taken::Batch(self.take_batch(gather, &mut cargo.entries, usize::MAX, &clock, &mut effects)))
                }
            };
            if taken.is_some() {
                self.start(cargo.entries.len());
                return (taken, effects);
            }
        }
        (None, effects)
    }

    /// Takes a lane, and more of them as long as the records of all of them will be done in no time; so many records at most.
    pub(super) fn take_lanes(
        &mut self,
        place_id: PlaceId,
        cargo: &mut Cargo<G::Position>,
        bound: usize,
        clock: impl Fn() -> Instant,
        effects: &mut Effects,
    ) -> Option<Haul> {
        let startable = self.startable();
        // While its breaker is open, what is ready is one lane, of which one record is tried.
        let is_trial = self.places[place_id].is_held_back();
        let bound = if is_trial { 1 } else { bound.min(startable) };
        let mut most = bound;
        let mut context = None;
        while let Some(lane_id) = self.places[place_id].ready.pop_front() {
            debug_assert_eq!(self.lanes[lane_id].state, State::Ready);
            let of_key = self.startable_of(lane_id, &clock);
            self.send_out(lane_id);
            let queue = &self.lanes[lane_id].queue;
            let length = queue.iter().take(most.min(of_key)).take_while(|entry| entry.bound == Bound::Queue).count();
            let is_bundle = self.is_bundle(lane_id);
            cargo.load(lane_id, is_bundle, &mut self.lanes[lane_id].queue, length);
            if is_bundle {
                self.places[place_id].bundles.went(length);
            }
            self.start_of(lane_id, length);
            let context = context.get_or_insert_with(|| self.context_of(place_id));
            most = bound.min(context.appetite()).saturating_sub(cargo.entries.len());
            if most == 0 {
                break;
            }
        }
        let place = &mut self.places[place_id];
        place.in_turns = !place.ready.is_empty();
        if place.in_turns {
            self.turns.push_back(Turn::Place(place_id));
        }
        effects.room |= place.wants_more();
        let context = context?;
        cargo.place = place_id;
        cargo.belongs_to(&context);
        place.busy += 1;
        self.busy += 1;
        Some(Haul::new(place_id, context, is_trial))
    }

    fn context_of(&self, place: PlaceId) -> Arc<AssignmentContext> {
        let assignment = self.places[place].assignment.as_ref();
        Arc::clone(&assignment.expect("what could go out is cleared with its assignment").context)
    }

    /// A lane goes out, with as many of its first entries as its holder then takes from it.
    pub(super) fn hand_out(&mut self, id: LaneId) -> Run {
        self.send_out(id);
        let place = self.lanes[id].place();
        Run { lane: id, place, context: self.context_of(place) }
    }

    fn send_out(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id];
        lane.state = State::Out;
        lane.out_since = lane.queue.front().map(|entry| entry.age);
        let assignment = self.places[lane.place()].assignment.as_mut();
        assignment.expect("what could go out is cleared with its assignment").out += 1;
    }

    /// These records of the run are finished, each with the bytes that it counted; the run goes on.
    pub(in crate::pipeline) fn settle(
        &mut self,
        run: &Run,
        settled: &mut Vec<(Settled<G::Position>, usize)>,
    ) -> Effects {
        let mut effects = Effects::default();
        self.settle_all(run.place, &run.context, settled, &mut effects);
        self.freed(run.place, &mut effects);
        effects
    }

    fn settle_all(
        &mut self,
        place: PlaceId,
        context: &AssignmentContext,
        settled: &mut Vec<(Settled<G::Position>, usize)>,
        effects: &mut Effects,
    ) {
        let (place_id, finished) = (place, settled.len());
        let place = &mut self.places[place];
        // What nobody was asked to handle says nothing of a circuit.
        let succeeded = match place.circuit {
            Some(_) => settled.iter().filter(|(settled, _)| settled.was_tried()).count(),
            None => 0,
        };
        for (_, bytes) in &*settled {
            self.loads.queued.remove(*bytes);
            place.loads.queued.remove(*bytes);
        }
        let Some(assignment) = place.live(context.epoch) else { return settled.clear() };
        assignment.finished += settled.len() as u64;
        self.uncommitted += settled.len();
        for (settled, _) in settled.drain(..) {
            assignment.progress.settle(settled);
        }
        self.succeeded(place_id, succeeded, effects);
        if self.on_probation > 0 {
            self.proven(place_id, finished);
        }
    }

    /// The run is over: `unstarted` goes back to the front of its lane, behind what `halt` says of the record that stopped it.
    pub(in crate::pipeline) fn finish(
        &mut self,
        run: Run,
        unstarted: &mut Queue<Entry<G::Position>>,
        halt: Option<Halt<G::Position>>,
    ) -> Effects {
        let mut effects = Effects::default();
        self.come_back(run.lane, &run.context, unstarted.drain_all(), halt, &mut effects);
        self.freed(run.place, &mut effects);
        self.note_drained(run.place, &mut effects);
        effects
    }

    /// Of what a worker holds, these records are finished and these lanes are done with; it goes on.
    pub(in crate::pipeline) fn report(
        &mut self,
        haul: &Haul,
        settled: &mut Vec<(Settled<G::Position>, usize)>,
        done: &mut Vec<LaneId>,
    ) -> Effects {
        let mut effects = Effects::default();
        self.end(haul.place, &haul.context, settled, done, &mut effects);
        effects
    }

    fn end(
        &mut self,
        place: PlaceId,
        context: &AssignmentContext,
        settled: &mut Vec<(Settled<G::Position>, usize)>,
        done: &mut Vec<LaneId>,
        effects: &mut Effects,
    ) {
        self.settle_all(place, context, settled, effects);
        for lane in done.drain(..) {
            self.come_back(lane, context, [].into_iter(), None, effects);
        }
        self.freed(place, effects);
        self.note_drained(place, effects);
    }

    /// What a worker is done with is reported, and what it has not begun comes back, to be the next: somebody else may begin it. `waits` where the
    /// handler that is begun does; else it keeps its thread, or the thread has no processor.
    pub(in crate::pipeline) fn give_back(&mut self, cargo: Cargo<G::Position>, waits: bool) -> Effects {
        let mut effects = Effects::default();
        let Cargo { context: Some(context), place, begun, mut lanes, mut entries, mut settled, mut done } = cargo
        else {
            return effects;
        };
        self.end(place, &context, &mut settled, &mut done, &mut effects);
        if lanes.is_empty() {
            return effects;
        }
        let ready = self.places[place].ready.len();
        if let Some(key) = begun
            && let Some(Load { lane, count, .. }) = lanes.pop_front()
        {
            self.leave_to(lane, key, &context, entries.drain(count), &mut effects);
        }
        for Load { lane, count, .. } in lanes.drain_all() {
            self.come_back(lane, &context, entries.drain(count), None, &mut effects);
        }
        // The next of them would take their time as well.
        self.sort_out_all(place, &mut effects);
        if waits {
            self.places[place].bundles.pause(self.limits.unbundled);
        }
        let ready = self.places[place].ready.len() - ready;
        self.places[place].ready.rotate_right(ready);
        self.freed(place, &mut effects);
        self.note_drained(place, &mut effects);
        effects
    }

    /// A worker is done, after so many attempts in so long. What is left of the lane that it has begun comes back, behind what `halt` says of
    /// the record that stopped it; and so does what is left of its cargo.
    pub(in crate::pipeline) fn unload(
        &mut self,
        haul: Haul,
        begun: Option<(LaneId, &mut Queue<Entry<G::Position>>)>,
        cargo: &mut Cargo<G::Position>,
        halt: Option<Halt<G::Position>>,
        (attempts, time): (usize, Duration),
    ) -> Effects {
        let mut effects = Effects::default();
        let before = self.places[haul.place].hauls();
        haul.context.took(attempts, time);
        // What was one worker's is for several now.
        effects.ready += self.places[haul.place].hauls().saturating_sub(before);
        self.busy -= 1;
        self.places[haul.place].busy -= 1;
        if let Some((lane, unstarted)) = begun {
            unstarted.extend(cargo.rest_of(lane));
            self.come_back(lane, &haul.context, unstarted.drain_all(), halt, &mut effects);
        }
        for Load { lane, count, .. } in cargo.lanes.drain_all() {
            self.come_back(lane, &haul.context, cargo.entries.drain(count), None, &mut effects);
        }
        self.freed(haul.place, &mut effects);
        self.note_drained(haul.place, &mut effects);
        effects
    }

    /// A lane that was out for an assignment comes back.
    fn come_back(
        &mut self,
        lane_id: LaneId,
        context: &AssignmentContext,
        unstarted: impl DoubleEndedIterator<Item = Entry<G::Position>> + ExactSizeIterator,
        halt: Option<Halt<G::Position>>,
        effects: &mut Effects,
    ) {
        self.take_back(lane_id, context, unstarted, halt, effects);
        if self.held_back > 0 {
            self.end_trial(lane_id);
            self.try_again(effects);
        }
    }

    fn take_back(
        &mut self,
        lane_id: LaneId,
        context: &AssignmentContext,
        unstarted: impl DoubleEndedIterator<Item = Entry<G::Position>> + ExactSizeIterator,
        halt: Option<Halt<G::Position>>,
        effects: &mut Effects,
    ) {
        self.begin_not(lane_id, unstarted.len(), effects);
        let lane = &mut self.lanes[lane_id];
        lane.out_since = None;
        let place = lane.place();
        let Some(assignment) = self.places[place].live(context.epoch) else {
            let halted = halt.map(|(Halt::Retry(entry, _) | Halt::Letter(entry, _) | Halt::Stop(entry))| entry);
            for entry in unstarted.chain(halted) {
                self.drop_entry(place, entry);
            }
            self.reopen(lane_id, effects);
            // A stop waits for these too.
            effects.drained = true;
            return;
        };
        assignment.out -= 1;
        let released = context.is_released();
        if self.is_bundle(lane_id) && !released {
            self.places[place].bundles.came(unstarted.len());
        }
        for entry in unstarted.rev() {
            if released {
                self.drop_entry(place, entry);
            } else {
                self.lanes[lane_id].queue.push_front(entry);
            }
        }
        if let Some(Halt::Retry(entry, _) | Halt::Letter(entry, _) | Halt::Stop(entry)) = &halt
            && self.is_bundle(lane_id)
        {
            self.unbundle(lane_id, entry.key, effects);
            self.places[place].bundles.pause(self.limits.unbundled);
        }
        match halt {
            Some(Halt::Retry(entry, _) | Halt::Stop(entry)) if released => {
                self.drop_entry(place, entry);
                self.reopen(lane_id, effects);
            }
            Some(Halt::Retry(entry, due)) => {
                self.lanes[lane_id].queue.push_front(entry);
                self.park(lane_id, due, effects);
            }
            // A letter is part of what was started: it is published even while the partition is on its way out.
            Some(Halt::Letter(mut entry, failure)) => {
                entry.failure = Some(failure);
                self.lanes[lane_id].queue.push_front(entry);
                self.await_letter(lane_id, effects);
                self.count_as_parked(lane_id);
            }
            // The lane stays closed: whatever is behind this record must not overtake it.
            Some(Halt::Stop(entry)) => {
                self.lanes[lane_id].queue.push_front(entry);
                self.lanes[lane_id].state = State::Closed;
            }
            None => self.reopen(lane_id, effects),
        }
    }

    /// So many records of a lane are not begun after all.
    pub(super) fn begin_not(&mut self, lane: LaneId, records: usize, effects: &mut Effects) {
        if records == 0 {
            return;
        }
        let could_start = self.startable() > 0;
        self.unstart(records);
        self.unstart_of(lane, records);
        if !could_start {
            // What is ready beside it, too, waited for nothing else.
            effects.ready += self.turns.len().min(records);
        }
    }
}
