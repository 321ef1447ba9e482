//! Release: partitions on their way out, at a revocation, a loss or a stop; and what the lanes hold, for the metrics.

use std::num::NonZero;

use tokio::time::Instant;

use super::super::source::{Epoch, Progress, Window};
use super::entry::{Entry, Load};
use super::gather::Turn;
use super::place::Hold;
use super::{Effects, Lanes, PlaceId, State, Trial};
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
    /// Whether the rate lets anything begin.
    pub(in crate::pipeline) may_start: bool,
    pub(in crate::pipeline) partitions: Vec<PartitionCensus>,
}

/// What the lanes hold of one assigned partition.
#[derive(Debug)]
pub(in crate::pipeline) struct PartitionCensus {
    pub(in crate::pipeline) topic_partition: TopicPartition,
    pub(in crate::pipeline) hold: Option<Hold>,
    pub(in crate::pipeline) paused: bool,
    /// Its records run one at a time.
    pub(in crate::pipeline) probation: bool,
    /// When the last of its retries is due, or the batch that is gathered of it.
    pub(in crate::pipeline) waits_until: Option<Instant>,
    pub(in crate::pipeline) lag: Option<u64>,
    /// Finished, and not covered by an acknowledged commit.
    pub(in crate::pipeline) uncommitted: u64,
    pub(in crate::pipeline) window: Window,
    /// Unix time in milliseconds of the oldest record that is here and not finished.
    pub(in crate::pipeline) oldest_timestamp: Option<u64>,
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
        for epoch in epochs {
            let Some(&place) = self.place_by_epoch.get(epoch) else { continue };
            if self.places[place].open().is_none() {
                continue;
            }
            self.open -= 1;
            // The last one that is open may hold every worker.
            effects.ready += self.turns.len();
            if let Some(assignment) = &self.places[place].assignment {
                assignment.context.release();
            }
            self.clear(place, false, &mut effects);
            self.freed(place, &mut effects);
            self.note_drained(place, &mut effects);
        }
        effects
    }

    /// How many lanes of these assignments are out with a worker, or with a letter on its way.
    pub(in crate::pipeline) fn out(&self, epochs: &[Epoch]) -> usize {
        let assignments = self.places.iter().filter_map(|place| place.assignment.as_ref());
        let out = assignments.filter(|open| epochs.contains(&open.context.epoch)).map(|open| open.out).sum::<usize>();
        out + self.letters.iter().filter(|&&lane| epochs.iter().any(|&epoch| self.is_lane_of(lane, epoch))).count()
    }

    /// These assignments are over. What is still out for them is void when it comes back.
    pub(in crate::pipeline) fn lose(&mut self, epochs: &[Epoch]) -> Effects {
        let mut effects = self.release(epochs);
        for epoch in epochs {
            let Some(place) = self.place_by_epoch.remove(epoch) else { continue };
            self.clear(place, true, &mut effects);
            self.set_trial(place, Trial::None);
            if let Some(assignment) = self.places[place].assignment.take() {
                assignment.context.cancellation.give_up();
            }
            self.places[place].hold = None;
            self.places[place].wake_at = None;
            self.places[place].wake_below = None;
            self.freed(place, &mut effects);
        }
        // Fewer partitions may each hold more workers, and a drain that waits for what is void need not wait any longer.
        effects.ready += self.turns.len();
        effects.drained = true;
        effects
    }

    /// Empties the lanes of a place. Lanes that are out stay, closed, until they come back; letters that wait for their first
    /// publication stay unless `letters_too`.
    fn clear(&mut self, place: PlaceId, letters_too: bool, effects: &mut Effects) {
        for id in 0..self.lanes.len() {
            let lane = &self.lanes[id];
            if lane.place != place || lane.state == State::Free {
                continue;
            }
            let state = lane.state;
            let keep = usize::from(state == State::Letter && !letters_too);
            while self.lanes[id].queue.len() > keep {
                let entry = self.lanes[id].queue.pop_back().expect("the length was just looked at");
                self.drop_entry(place, entry);
            }
            self.unpark(id);
            if state != State::Out && keep == 0 {
                self.discard(id);
            }
        }
        let lanes = &self.lanes;
        self.due.retain(|&id| lanes[id].state == State::Due);
        self.letters.retain(|&id| lanes[id].state == State::Letter);
        self.forget_ready(place, effects);
        if let Some(assignment) = &mut self.places[place].assignment {
            // What waited to be written again was given back; a letter that is out now is no longer counted either.
            assignment.stuck_letters = 0;
        }
    }

    /// No lane of this place is ready any more.
    pub(super) fn forget_ready(&mut self, place: PlaceId, effects: &mut Effects) {
        self.places[place].ready.clear();
        if std::mem::take(&mut self.places[place].in_turns) {
            self.turns.retain(|&turn| turn != Turn::Place(place));
        }
        if let Some(gather) = self.places[place].gather {
            self.forget_cleared(gather, effects);
        }
    }

    fn is_lane_of(&self, lane: usize, epoch: Epoch) -> bool {
        self.places[self.lanes[lane].place].assignment.as_ref().is_some_and(|a| a.context.epoch == epoch)
    }

    /// Counts what is here. Looks at every entry: for the metrics, every few seconds.
    pub(in crate::pipeline) fn census(&self) -> Census {
        let mut oldest: Option<Instant> = None;
        let mut stamps: Vec<Option<NonZero<u64>>> = vec![None; self.places.len()];
        for lane in self.lanes.iter().filter(|lane| lane.state != State::Free) {
            // A lane's entries are in order, so its oldest is the one that is out, or else its head.
            let Some((received, stamp)) = lane.out_since.or_else(|| lane.queue.front().map(Entry::age)) else {
                continue;
            };
            oldest = [oldest, Some(received)].into_iter().flatten().min();
            let known = &mut stamps[lane.place];
            *known = [*known, stamp].into_iter().flatten().min();
        }
        let waits = self.waits();
        let partitions =
            self.places.iter().zip(stamps).zip(waits).filter_map(|((place, oldest_timestamp), waits_until)| {
                let assignment = place.assignment.as_ref()?;
                Some(PartitionCensus {
                    topic_partition: place.topic_partition.clone(),
                    hold: place.hold,
                    paused: place.paused,
                    probation: place.is_on_probation(),
                    waits_until,
                    uncommitted: assignment.finished - assignment.covered,
                    window: assignment.progress.window(),
                    lag: assignment.end.map(|end| assignment.progress.lag(end)),
                    oldest_timestamp: oldest_timestamp.map(NonZero::get),
                })
            });
        Census {
            queued: self.loads.queued,
            parked: self.loads.parked,
            busy: self.busy,
            workers: self.workers,
            oldest,
            may_start: self.startable() > 0,
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
                waits[lane.place] = waits[lane.place].max(Some(due));
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
