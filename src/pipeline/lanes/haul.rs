//! A haul: what a worker takes at once, of one place.
//!
//! Of work that takes its time that is one lane. Of work that is done in no time it is many, so that what a turn costs is paid once for
//! all of them. A lane is held up by those before it in a haul only as long as they are as quick as they were: as soon as a handler waits,
//! or blocks, those that were not begun are given back.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{AssignmentContext, Entry, LaneId, PlaceId};

/// What a worker holds. Comes back through [`Lanes::unload`](super::Lanes::unload).
#[must_use]
#[derive(Debug)]
pub(in crate::pipeline) struct Haul {
    pub(super) place: PlaceId,
    pub(in crate::pipeline) context: Arc<AssignmentContext>,
}

impl Haul {
    pub(super) fn new(place: PlaceId, context: Arc<AssignmentContext>) -> Self {
        Self { place, context }
    }
}

/// What a worker has taken and not begun.
#[derive(Debug)]
pub(in crate::pipeline) struct Cargo<P> {
    /// The assignment that it came in under, or came in under last.
    pub(in crate::pipeline) context: Option<Arc<AssignmentContext>>,
    /// In the order of the entries, with how many of them are each lane's own. What is begun is of the first.
    pub(super) lanes: VecDeque<(LaneId, usize)>,
    pub(in crate::pipeline) entries: VecDeque<Entry<P>>,
}

impl<P> Default for Cargo<P> {
    fn default() -> Self {
        Self { context: None, lanes: VecDeque::new(), entries: VecDeque::new() }
    }
}

impl<P> Cargo<P> {
    /// What is in it is of this assignment.
    pub(in crate::pipeline) fn belongs_to(&mut self, context: &Arc<AssignmentContext>) {
        if !self.context.as_ref().is_some_and(|known| Arc::ptr_eq(known, context)) {
            self.context = Some(Arc::clone(context));
        }
    }

    pub(in crate::pipeline) fn is_empty(&self) -> bool {
        self.lanes.is_empty() && self.entries.is_empty()
    }

    pub(super) fn load(&mut self, lane: LaneId, entries: impl Iterator<Item = Entry<P>>) {
        let before = self.entries.len();
        self.entries.extend(entries);
        self.lanes.push_back((lane, self.entries.len() - before));
    }

    /// The next entry to begin. Lanes that have no other are `done`.
    pub(in crate::pipeline) fn next(&mut self, done: &mut Vec<LaneId>) -> Option<Entry<P>> {
        while let Some((lane, left)) = self.lanes.front_mut() {
            if let Some(fewer) = left.checked_sub(1) {
                *left = fewer;
                return self.entries.pop_front();
            }
            done.push(*lane);
            self.lanes.pop_front();
        }
        None
    }

    /// Whether it holds lanes of which nothing is begun, behind the one of which something is.
    pub(in crate::pipeline) fn has_others(&self) -> bool {
        self.lanes.len() > 1
    }

    /// Takes these lanes out.
    pub(in crate::pipeline) fn take_others(&mut self) -> Self {
        let begun = self.lanes.front().map_or(0, |(_, left)| *left);
        let lanes = self.lanes.split_off(self.lanes.len().min(1));
        Self { context: self.context.clone(), lanes, entries: self.entries.split_off(begun) }
    }
}
