//! Gathers: what is ready for the next batch of a route, over all the partitions that it serves.
//!
//! A lane of such a route isn't taken by itself when it is ready. It stands here until there is enough for a batch, or until the one that
//! came first has waited long enough: then the batch is *ripe*. When that is, is the caller's to say, as the lanes know no clock.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::source::Progress;
use super::entry::{Bound, Entry};
use super::{Effects, LaneId, Lanes, PlaceId, Queue, Run, State};
use crate::handler::{BatchSize, RouteSpec};

/// The index of a gather.
pub(super) type GatherId = usize;

/// Who may give a worker something next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Place(PlaceId),
    Gather(GatherId),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Gather {
    route: Arc<RouteSpec>,
    size: BatchSize,
    /// Ready lanes, in the order in which they became so, each with the time since which it is known to be.
    pub(super) lanes: VecDeque<(LaneId, Option<Instant>)>,
    /// Their records that count against the queue.
    pub(super) records: usize,
    ripe: bool,
    pub(super) in_turns: bool,
    /// Workers that have a batch of it.
    pub(super) busy: usize,
}

impl Gather {
    /// How many batches could be taken now.
    pub(super) fn batches(&self) -> usize {
        let max = self.size.max.get();
        self.records / max + usize::from(self.ripe && !self.records.is_multiple_of(max))
    }

    /// When the batch that is gathered is ripe, as far as that is known.
    pub(super) fn due(&self) -> Option<Instant> {
        let (_, since) = self.lanes.front()?;
        since.filter(|_| !self.in_turns).and_then(|since| since.checked_add(self.size.within))
    }
}

/// Lanes whose records a worker handles together. Comes back through [`Lanes::finish_batch`], each of its runs through
/// [`Lanes::finish`] before.
#[must_use]
#[derive(Debug)]
pub(in crate::pipeline) struct BatchRun {
    gather: GatherId,
    /// Each lane's run, and how many of the entries are its own.
    pub(in crate::pipeline) parts: Vec<(Run, usize)>,
}

impl<G: Progress> Lanes<G> {
    /// The gather of a route that takes batches of this size.
    pub(super) fn gather(&mut self, route: &Arc<RouteSpec>, size: BatchSize) -> GatherId {
        let known = self.gathers.iter().position(|gather| Arc::ptr_eq(&gather.route, route));
        known.unwrap_or_else(|| {
            let (route, lanes) = (Arc::clone(route), VecDeque::new());
            self.gathers.push(Gather { route, size, lanes, records: 0, ripe: false, in_turns: false, busy: 0 });
            self.gathers.len() - 1
        })
    }

    /// So many more records stand in the ready lanes of a gather.
    pub(super) fn gathered(&mut self, id: GatherId, records: usize, effects: &mut Effects) {
        let gather = &mut self.gathers[id];
        let before = gather.batches();
        gather.records += records;
        effects.ready += gather.batches() - before;
        self.take_turns(id, effects);
    }

    /// Has a gather stand among the turns as long as there is a batch to take, and else be looked at in time.
    fn take_turns(&mut self, id: GatherId, effects: &mut Effects) {
        let gather = &mut self.gathers[id];
        let takes = gather.batches() > 0;
        if takes && !gather.in_turns {
            self.turns.push_back(Turn::Gather(id));
        }
        if !takes && gather.in_turns {
            self.turns.retain(|turn| *turn != Turn::Gather(id));
        }
        gather.in_turns = takes;
        effects.timer |= !takes && !gather.lanes.is_empty();
    }

    /// When the next batch is ripe. What became ready since the last look counts from `now` on.
    pub(super) fn next_ripe(&mut self, now: Instant) -> Option<Instant> {
        for gather in &mut self.gathers {
            for (_, since) in gather.lanes.iter_mut().rev().take_while(|(_, since)| since.is_none()) {
                *since = Some(now);
            }
        }
        self.gathers.iter().filter_map(Gather::due).min()
    }

    /// Lets batches go that have waited long enough.
    pub(super) fn ripen(&mut self, now: Instant, effects: &mut Effects) {
        for id in 0..self.gathers.len() {
            if self.gathers[id].due().is_some_and(|due| due <= now) {
                self.gathers[id].ripe = true;
                effects.ready += self.gathers[id].batches();
                self.take_turns(id, effects);
            }
        }
    }

    /// Takes a batch of so many records at most.
    pub(super) fn take_batch(
        &mut self,
        id: GatherId,
        entries: &mut Queue<Entry<G::Position>>,
        most: usize,
        clock: impl Fn() -> Instant,
        effects: &mut Effects,
    ) -> BatchRun {
        let mut parts = Vec::new();
        // While the route's breaker is open, one record is tried.
        let is_trial = self.gathers[id]
            .lanes
            .front()
            .is_some_and(|(lane, _)| self.places[self.lanes[*lane].place()].is_held_back());
        let max = if is_trial { 1 } else { most.min(self.gathers[id].size.max.get()).min(self.startable()) };
        while entries.len() < max
            && let Some(&(lane_id, _)) = self.gathers[id].lanes.front()
        {
            let lane = &self.lanes[lane_id];
            debug_assert_eq!(lane.state, State::Ready);
            let alone = lane.queue.front().is_some_and(|entry| entry.alone);
            if alone && !entries.is_empty() {
                break;
            }
            self.gathers[id].lanes.pop_front();
            self.gathers[id].records -= lane.queued();
            let most = if alone { 1 } else { max - entries.len() };
            let most = most.min(self.startable_of(lane_id, &clock));
            let lane = &self.lanes[lane_id];
            let together = |entry: &&Entry<G::Position>| entry.bound == Bound::Queue && entry.alone == alone;
            let length = lane.queue.iter().take(most).take_while(together).count();
            parts.push((self.hand_out(lane_id), length));
            entries.extend(self.lanes[lane_id].queue.drain(length));
            self.start_of(lane_id, length);
            if alone {
                break;
            }
        }
        self.busy += 1;
        self.gathers[id].busy += 1;
        self.gathers[id].ripe = false;
        // Taken out of the turns by whoever asked for it.
        self.gathers[id].in_turns = false;
        self.take_turns(id, effects);
        BatchRun { gather: id, parts }
    }

    /// All runs of a batch have come back.
    pub(in crate::pipeline) fn finish_batch(&mut self, batch: BatchRun) -> Effects {
        debug_assert!(batch.parts.is_empty(), "its runs come back first");
        self.busy -= 1;
        let gather = &mut self.gathers[batch.gather];
        gather.busy -= 1;
        // It may have stood aside while too many had a batch of it; and a stop waits for it.
        Effects { ready: gather.batches(), drained: true, ..Effects::default() }
    }

    /// Lanes of a place were cleared: those that are no longer ready leave the gather.
    pub(super) fn forget_cleared(&mut self, id: GatherId, effects: &mut Effects) {
        let (gather, lanes) = (&mut self.gathers[id], &self.lanes);
        gather.lanes.retain(|(lane, _)| lanes[*lane].state == State::Ready);
        gather.records = gather.lanes.iter().map(|(lane, _)| lanes[*lane].queued()).sum();
        gather.ripe &= !gather.lanes.is_empty();
        self.take_turns(id, effects);
    }
}
