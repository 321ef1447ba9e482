//! Release: partitions on their way out, at a revocation, a loss or a stop; and what the lanes hold, for the metrics.

use std::num::NonZero;

use tokio::time::Instant;

use super::super::source::{Epoch, Progress, Window};
use super::super::view::Reach;
use super::entry::{Age, Load, Moment};
use super::gather::Turn;
use super::place::Hold;
use super::probation::Standing;
use super::{Effects, Lanes, PlaceId, State};
use crate::record::TopicPartition;

/// What the lanes hold at one moment.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Census {
    pub(in crate::pipeline) queued: Load,
    pub(in crate::pipeline) parked: Load,
    /// Workers that are at something, and that may be.
    pub(in crate::pipeline) busy: usize,
    pub(in crate::pipeline) workers: usize,
    pub(in crate::pipeline) oldest: Option<Instant>,
    /// Whether anything may begin beside what runs: the rate lets it, and no records run one at a time.
    pub(in crate::pipeline) may_start: bool,
    pub(in crate::pipeline) partitions: Vec<PartitionCensus>,
}

/// What the lanes hold of one assigned partition.
#[derive(Debug)]
pub(in crate::pipeline) struct PartitionCensus {
    pub(in crate::pipeline) topic_partition: TopicPartition,
    pub(in crate::pipeline) epoch: Epoch,
    pub(in crate::pipeline) hold: Option<Hold>,
    /// Nothing of it is started: somebody has paused it, its route's circuit breaker is open, or it isn't committed yet that it is read.
    pub(in crate::pipeline) stands_still: bool,
    /// Its records run one at a time.
    pub(in crate::pipeline) probation: bool,
    /// When the last of its retries is due, or the batch that is gathered of it.
    pub(in crate::pipeline) waits_until: Option<Instant>,
    /// Somebody has paused keys of it, and no other of its lanes could start.
    pub(in crate::pipeline) keys_paused: bool,
    /// A dead letter of it is on its way, or could not be written.
    pub(in crate::pipeline) waits_for_letter: bool,
    /// Nobody answers for it.
    pub(in crate::pipeline) is_silent: bool,
    pub(in crate::pipeline) lag: Option<u64>,
    /// Records that came in and are not finished, those that are queued, and those that are parked.
    pub(in crate::pipeline) unfinished: usize,
    pub(in crate::pipeline) queued: Load,
    pub(in crate::pipeline) parked: Load,
    /// Workers that hold one of its lanes.
    pub(in crate::pipeline) busy: usize,
    /// Lanes that have a record, and how many the fullest of them has; what is out of a lane counts as one.
    pub(in crate::pipeline) lanes: usize,
    pub(in crate::pipeline) deepest_lane: usize,
    pub(in crate::pipeline) reach: Reach,
    /// Finished in this assignment.
    pub(in crate::pipeline) finished: u64,
    /// Finished, and not covered by an acknowledged commit.
    pub(in crate::pipeline) uncommitted: u64,
    pub(in crate::pipeline) window: Window,
    /// Unix time in milliseconds of the oldest record that is here and not finished.
    pub(in crate::pipeline) oldest_timestamp: Option<u64>,
}

/// What the lanes of a place hold.
#[derive(Clone, Copy, Debug, Default)]
struct Depth {
    lanes: usize,
    deepest: usize,
    /// The time that the oldest record carries.
    oldest: Option<NonZero<u64>>,
    /// One of its lanes could start; of one the key is paused.
    startable: bool,
    paused: bool,
}

impl Depth {
    fn count(&mut self, records: usize, stamp: Option<NonZero<u64>>) {
        self.lanes += 1;
        self.deepest = self.deepest.max(records);
        self.oldest = [self.oldest, stamp].into_iter().flatten().min();
    }
}

impl<G: Progress> Lanes<G> {
    /// Every assignment there is.
    pub(in crate::pipeline) fn epochs(&self) -> Vec<Epoch> {
        self.places.iter().filter_map(|place| Some(place.assignment.as_ref()?.context.epoch)).collect()
    }

    /// These assignments are to end: nothing more is started for them, and what is queued or parked is given back. What was started
    /// goes on, its letters too.
    pub(in crate::pipeline) fn release(&mut self, epochs: &[Epoch]) -> Effects {
        let mut effects = Effects::default();
        let mut places = Vec::with_capacity(epochs.len());
        for epoch in epochs {
            let Some(&place) = self.place_by_epoch.get(epoch) else { continue };
            let Some(open) = self.places[place].open() else { continue };
            open.context.release();
            self.open -= 1;
            places.push(place);
        }
        if places.is_empty() {
            return effects;
        }
        // The last one that is open may hold every worker.
        effects.ready += self.turns.len();
        self.clear(&places, false, &mut effects);
        for place in places {
            self.freed(place, &mut effects);
            self.note_drained(place, &mut effects);
        }
        self.try_again(&mut effects);
        effects
    }

    /// How many lanes of these assignments are out with a worker, or with a letter on its way.
    pub(in crate::pipeline) fn out(&self, epochs: &[Epoch]) -> usize {
        let places = epochs.iter().filter_map(|epoch| self.place_by_epoch.get(epoch));
        let out = places.filter_map(|&place| Some(self.places[place].assignment.as_ref()?.out)).sum::<usize>();
        out + self.letters_waiting(epochs)
    }

    /// These assignments are over. What is still out for them is void when it comes back.
    pub(in crate::pipeline) fn lose(&mut self, epochs: &[Epoch]) -> Effects {
        let mut effects = self.release(epochs);
        let places: Vec<PlaceId> = epochs.iter().filter_map(|epoch| self.place_by_epoch.remove(epoch)).collect();
        self.clear(&places, true, &mut effects);
        for place in places {
            self.set_standing(place, Standing::Good);
            if let Some(assignment) = self.places[place].assignment.take() {
                assignment.context.circumstances.cancellation().give_up();
            }
            self.places[place].hold = None;
            self.places[place].wake_at = None;
            self.places[place].wake_below = None;
            self.freed(place, &mut effects);
        }
        // Fewer partitions may each hold more workers, and a drain that waits for what is void need not wait any longer.
        effects.ready += self.turns.len();
        effects.drained = true;
        self.try_again(&mut effects);
        effects
    }

    /// Empties the lanes of these places, in one pass through all there are. Lanes that are out stay, closed, until they come back; letters
    /// that wait for their first publication stay unless `letters_too`.
    pub(super) fn clear(&mut self, places: &[PlaceId], letters_too: bool, effects: &mut Effects) {
        if places.is_empty() {
            return;
        }
        let mut is_cleared = vec![false; self.places.len()];
        places.iter().for_each(|&place| is_cleared[place] = true);
        for id in 0..self.lanes.len() {
            let lane = &self.lanes[id];
            if lane.state == State::Free || !is_cleared[lane.place()] {
                continue;
            }
            let (place, state) = (lane.place(), lane.state);
            let keep = usize::from(state == State::Letter && !letters_too);
            if lane.is_bundle() {
                self.places[place].bundles.went(lane.queue.len());
            }
            while self.lanes[id].queue.len() > keep {
                let entry = self.lanes[id].queue.pop_back().expect("the length was just looked at");
                self.drop_entry(place, entry);
            }
            self.unpark(id);
            if state != State::Out && keep == 0 {
                self.end_trial(id);
                self.discard(id);
            }
        }
        let lanes = &self.lanes;
        self.due.retain(|&id| lanes[id].state == State::Due);
        self.forget_letters(places);
        self.forget_ready(places, effects);
        for &place in places {
            if let Some(assignment) = &mut self.places[place].assignment {
                // What waited to be written again was given back; a letter that is out now is no longer counted either.
                assignment.stuck_letters = 0;
            }
        }
    }

    /// Lanes of these places that are ready no longer leave the turns.
    pub(super) fn forget_ready(&mut self, places: &[PlaceId], effects: &mut Effects) {
        let mut gathers = Vec::new();
        for &place in places {
            let (place, lanes) = (&mut self.places[place], &self.lanes);
            place.ready.retain(|&id| lanes[id].state == State::Ready);
            place.in_turns &= !place.ready.is_empty();
            gathers.extend(place.gather);
        }
        let places = &self.places;
        self.turns.retain(|turn| {
            matches!(turn, Turn::Gather(_)) || matches!(*turn, Turn::Place(place) if places[place].in_turns)
        });
        gathers.sort_unstable();
        gathers.dedup();
        for gather in gathers {
            self.forget_cleared(gather, effects);
        }
    }

    /// Counts what is here. Looks at every entry: for the metrics, every few seconds.
    pub(in crate::pipeline) fn census(&self) -> Census {
        let mut oldest: Option<Moment> = None;
        let mut depths: Vec<Depth> = vec![Depth::default(); self.places.len()];
        for lane in self.lanes.iter().filter(|lane| lane.state != State::Free) {
            // A lane's entries are in order, so its oldest is the one that is out, or else its head.
            let Some(Age { received, stamp }) = lane.out_since.or_else(|| lane.queue.front().map(|entry| entry.age))
            else {
                continue;
            };
            oldest = [oldest, Some(received)].into_iter().flatten().min();
            let depth = &mut depths[lane.place()];
            depth.count(lane.queue.len() + usize::from(lane.out_since.is_some()), stamp);
            depth.startable |= matches!(lane.state, State::Ready | State::Due);
            depth.paused |= lane.limited && lane.timer.is_none();
        }
        let waits = self.waits();
        let partitions = self.places.iter().zip(depths).zip(waits).filter_map(|((place, depth), waits_until)| {
            let assignment = place.assignment.as_ref()?;
            Some(PartitionCensus {
                topic_partition: place.topic_partition.clone(),
                epoch: assignment.context.epoch,
                hold: place.hold,
                stands_still: place.stands_still(),
                probation: place.is_on_probation(),
                waits_until,
                keys_paused: depth.paused && !depth.startable,
                waits_for_letter: assignment.stuck_letters > 0 || place.outbox.is_pending(),
                is_silent: assignment.is_silent,
                finished: assignment.finished,
                uncommitted: assignment.finished - assignment.covered,
                window: assignment.progress.window(),
                lag: assignment.end.and_then(|end| assignment.progress.lag(end)),
                unfinished: assignment.progress.unfinished(),
                queued: place.loads.queued,
                parked: place.loads.parked,
                busy: place.busy,
                lanes: depth.lanes,
                deepest_lane: depth.deepest,
                reach: assignment.progress.reach(),
                oldest_timestamp: depth.oldest.map(NonZero::get),
            })
        });
        Census {
            queued: self.loads.queued,
            parked: self.loads.parked,
            busy: self.busy,
            workers: self.workers,
            oldest: oldest.map(|oldest| oldest.after(self.origin)),
            may_start: self.startable() > 0 && self.on_probation == 0,
            partitions: partitions.collect(),
        }
    }

    /// Until when something of each place is to wait. What waits to become a letter is not: it is late.
    fn waits(&self) -> Vec<Option<Instant>> {
        let mut waits: Vec<Option<Instant>> =
            self.places.iter().map(|place| self.gathers.get(place.gather?)?.due()).collect();
        for (&(due, _), &lane) in &self.retries {
            let lane = &self.lanes[lane];
            if lane.queue.front().is_some_and(|head| head.failure.is_none()) {
                waits[lane.place()] = waits[lane.place()].max(Some(due));
            }
        }
        waits
    }

    /// The partition that contributes most to the queue.
    pub(in crate::pipeline) fn largest(&self) -> Option<(&TopicPartition, Load)> {
        let place = self.places.iter().max_by_key(|place| place.loads.queued.records)?;
        Some((&place.topic_partition, place.loads.queued))
    }
}
