//! A haul: what a worker takes at once, of one place.
//!
//! Of work that takes its time that is one lane. Of work that is done in no time it is many, so that what a turn costs is paid once for
//! all of them. A lane is held up by those before it in a haul only as long as they are as quick as they were: as soon as a handler waits,
//! or blocks, those that were not begun are given back.

use std::sync::Arc;

use parking_lot::Mutex;

use super::super::ticket::Settled;
use super::entry::KeyHash;
use super::queue::Drain;
use super::{AssignmentContext, Entry, LaneId, PlaceId, Queue};

/// What a worker holds. Comes back through [`Lanes::unload`](super::Lanes::unload).
#[must_use]
#[derive(Debug)]
pub(in crate::pipeline) struct Haul {
    pub(super) place: PlaceId,
    pub(in crate::pipeline) context: Arc<AssignmentContext>,
    /// One record, of a route whose circuit breaker is open.
    is_trial: bool,
}

impl Haul {
    pub(super) fn new(place: PlaceId, context: Arc<AssignmentContext>, is_trial: bool) -> Self {
        Self { place, context, is_trial }
    }

    /// Whether the next of its records may be started.
    pub(in crate::pipeline) fn may_start(&self) -> bool {
        self.context.may_start() || self.is_trial && !self.context.is_released()
    }
}

/// Lanes that a worker has taken and not begun; and the bundle that it is at, since the next record of that need not wait for the one that is
/// begun. And what it is done with and has not reported: that need not wait for it either.
#[derive(Debug)]
pub(in crate::pipeline) struct Cargo<P> {
    /// The assignment that they came in under, or came in under last.
    pub(in crate::pipeline) context: Option<Arc<AssignmentContext>>,
    pub(super) place: PlaceId,
    /// Where the first of the lanes is a bundle that is begun: the key that it is at.
    pub(super) begun: Option<Option<KeyHash>>,
    /// In the order of the entries.
    pub(super) lanes: Queue<Load>,
    pub(super) entries: Queue<Entry<P>>,
    /// Finished, each with the bytes that it counted.
    pub(in crate::pipeline) settled: Vec<(Settled<P>, usize)>,
    /// Lanes of which nothing more is to be begun.
    pub(in crate::pipeline) done: Vec<LaneId>,
}

/// What a worker is at.
#[derive(Debug)]
pub(in crate::pipeline) struct Bench<P> {
    /// Finished since it began the lane, each with the bytes that it counted.
    pub(in crate::pipeline) settled: Vec<(Settled<P>, usize)>,
    /// The lane that is begun, and its entries that are not.
    pub(in crate::pipeline) lane: Option<LaneId>,
    pub(in crate::pipeline) entries: Queue<Entry<P>>,
}

/// A lane of a cargo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) lane: LaneId,
    pub(super) is_bundle: bool,
    /// How many of the entries are its own.
    pub(super) count: usize,
}

impl<P> Bench<P> {
    pub(in crate::pipeline) fn new() -> Self {
        Self { settled: Vec::new(), lane: None, entries: Queue::new() }
    }

    /// Begins the next entry, of the lane that is begun or else of the next one. What is finished of the former is left where others can take
    /// it from.
    pub(in crate::pipeline) fn begin(&mut self, cargo: &Mutex<Cargo<P>>) -> Option<Entry<P>> {
        loop {
            if let Some(entry) = self.entries.pop_front() {
                return Some(entry);
            }
            let mut cargo = cargo.lock();
            cargo.settled.append(&mut self.settled);
            let next = cargo.next_lane(&mut self.entries);
            let lane = next.as_ref().map(|(lane, _)| *lane);
            // Of a bundle it is the same again.
            if lane != self.lane {
                cargo.done.extend(std::mem::replace(&mut self.lane, lane));
            }
            let (_, first) = next?;
            if first.is_some() {
                return first;
            }
        }
    }
}

/// Moves the first `count` of them. They are mostly one or a few: then a drain costs many times what the move does.
fn move_front<T>(from: &mut Queue<T>, to: &mut Queue<T>, count: usize) {
    for _ in 0..count {
        let Some(one) = from.pop_front() else { return };
        to.push_back(one);
    }
}

impl<P> Default for Cargo<P> {
    fn default() -> Self {
        let (lanes, entries, settled, done) = (Queue::new(), Queue::new(), Vec::new(), Vec::new());
        Self { context: None, place: 0, begun: None, lanes, entries, settled, done }
    }
}

impl<P> Cargo<P> {
    /// Whether nothing is left that others could wait for.
    pub(in crate::pipeline) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.settled.is_empty() && self.done.is_empty()
    }

    /// Whether some of it was not begun, or may get more that is not.
    pub(in crate::pipeline) fn has_lanes(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Records in it that stood in bundles: mostly each another key's.
    pub(in crate::pipeline) fn bundled(&self) -> usize {
        self.lanes.iter().filter(|load| load.is_bundle).map(|load| load.count).sum()
    }

    /// Whether some of it will have to wait.
    pub(in crate::pipeline) fn has_several(&self) -> bool {
        self.lanes.len() > 1 || self.lanes.front().is_some_and(|first| first.is_bundle)
    }

    /// What is in it is of this assignment.
    pub(in crate::pipeline) fn belongs_to(&mut self, context: &Arc<AssignmentContext>) {
        if !self.context.as_ref().is_some_and(|known| Arc::ptr_eq(known, context)) {
            self.context = Some(Arc::clone(context));
        }
    }

    /// Takes the first `count` entries of a lane along.
    pub(super) fn load(&mut self, lane: LaneId, is_bundle: bool, queue: &mut Queue<Entry<P>>, count: usize) {
        debug_assert!(count > 0 || !is_bundle, "what is ready has a record that may start");
        move_front(queue, &mut self.entries, count);
        self.lanes.push_back(Load { lane, is_bundle, count });
    }

    /// Unloads the next lane, which is begun, with its first entry if it has any; the others come behind `entries`. Of a bundle it is the next
    /// entry alone, again and again.
    pub(in crate::pipeline) fn next_lane(
        &mut self,
        entries: &mut Queue<Entry<P>>,
    ) -> Option<(LaneId, Option<Entry<P>>)> {
        if self.begun.take().is_some() && self.lanes.front().is_some_and(|first| first.count == 0) {
            self.lanes.pop_front();
        }
        if let Some(Load { lane, count, .. }) = self.lanes.front_mut().filter(|first| first.is_bundle) {
            let entry = self.entries.pop_front();
            *count = count.saturating_sub(1);
            self.begun = entry.as_ref().map(|entry| entry.key);
            return Some((*lane, entry));
        }
        let Load { lane, count, .. } = self.lanes.pop_front()?;
        let first = if count > 0 { self.entries.pop_front() } else { None };
        if self.lanes.is_empty() && entries.is_empty() {
            std::mem::swap(&mut self.entries, entries);
        } else {
            move_front(&mut self.entries, entries, count.saturating_sub(1));
        }
        Some((lane, first))
    }

    /// What is left of the bundle that is begun, if this is its lane.
    pub(super) fn rest_of(&mut self, lane: LaneId) -> Drain<'_, Entry<P>> {
        let is_it = self.begun.take().is_some() && self.lanes.front().is_some_and(|first| first.lane == lane);
        let rest = if is_it { self.lanes.pop_front() } else { None };
        self.entries.drain(rest.map_or(0, |rest| rest.count))
    }

    /// Unloads the entries of a batch, which has its lanes itself.
    pub(in crate::pipeline) fn take_batch(&mut self, entries: &mut Queue<Entry<P>>) {
        debug_assert!(self.lanes.is_empty() && entries.is_empty());
        std::mem::swap(&mut self.entries, entries);
    }

    /// All of it.
    pub(in crate::pipeline) fn take(&mut self) -> Self {
        let (lanes, entries) = (std::mem::take(&mut self.lanes), std::mem::take(&mut self.entries));
        let (settled, done) = (std::mem::take(&mut self.settled), std::mem::take(&mut self.done));
        let (context, begun) = (self.context.clone(), self.begun.take());
        Self { context, place: self.place, begun, lanes, entries, settled, done }
    }
}

/// A cargo of one lane.
#[cfg(test)]
pub(in crate::pipeline) fn laden<P>() -> Cargo<P> {
    let lanes = Queue::from_iter([Load { lane: 0, is_bundle: true, count: 0 }]);
    Cargo { lanes, ..Cargo::default() }
}
