//! Bundles: lanes that the keys of a partition share, as long as their records take no time.
//!
//! A lane of its own costs a record more than a handler that does nothing does: it is found, made, taken and given back, mostly for that one. The
//! records of a bundle run one after the other, and of many of them the lane is taken once; their keys wait for one another, which is nothing
//! while each is done at once. As soon as one isn't (its handler waits, blocks or fails) the lane is left to its key, and the others are sorted
//! out of it, each into a lane of its own. So a bundle never makes a key wait for what takes time.
//!
//! Invariants:
//! - a key's records are in one lane, its own or its bundle: what comes in looks for the first, then for the other, and only then makes one;
//! - who has the head of a bundle that is out knows which key it is: that is the one that the lane is left to;
//! - where keys are told apart (a key is paused or has a rate, records run one at a time, the route takes batches), no bundle is begun, and
//!   those that there are end as soon as they aren't out.

use super::super::source::Progress;
use super::entry::{Entry, KeyHash};
use super::lane::Owner;
use super::place::Gate;
use super::queue::Drain;
use super::{AssignmentContext, Effects, LaneId, Lanes, PlaceId, State};
use crate::handler::ProcessingOrder;

/// The number of a bundle within its place.
pub(super) type BundleId = u16;

/// Of so quick work a worker would take this many lanes at once: then what a lane costs is a good part of it.
const SWIFT: usize = 16;
/// So many records without an order go to one bundle before the next one's turn.
const RUN: usize = 32;

/// The bundles of a place.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    /// The lane of each that there is, by their numbers.
    lanes: Box<[Option<u32>]>,
    /// How many there are.
    count: usize,
    /// Records that stand in them; what was taken out of them isn't one.
    records: usize,
    /// So many more records come in before there may be another one.
    pause: usize,
    /// Records without an order that have come in.
    turn: usize,
}

impl Bundles {
    /// Whether there is any.
    pub(super) fn has_some(&self) -> bool {
        self.count > 0
    }

    /// The lane of one, if it is there.
    pub(super) fn get(&self, bundle: BundleId) -> Option<LaneId> {
        self.lanes.get(usize::from(bundle)).copied().flatten().map(|lane| lane as LaneId)
    }

    /// Those that there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = LaneId> {
        self.lanes.iter().flatten().map(|lane| *lane as LaneId)
    }

    /// This is its lane from now on.
    pub(super) fn set(&mut self, bundle: BundleId, lane: Option<LaneId>) {
        let lane = lane.map(|lane| u32::try_from(lane).expect("fewer lanes than records that fit in memory"));
        let before = std::mem::replace(&mut self.lanes[usize::from(bundle)], lane);
        self.count = self.count + usize::from(lane.is_some()) - usize::from(before.is_some());
    }

    /// So many records stand in one of them now.
    pub(super) fn came(&mut self, records: usize) {
        self.records += records;
    }

    /// So many no longer do.
    pub(super) fn went(&mut self, records: usize) {
        debug_assert!(self.records >= records, "more has gone than stood there");
        self.records -= records;
    }

    /// Records that stand in them, but for one of each: that is what its lane is counted for.
    pub(super) fn behind(&self) -> usize {
        self.records.saturating_sub(self.count)
    }

    #[cfg(test)]
    pub(super) fn records(&self) -> usize {
        self.records
    }

    /// There is none for so many more records: its handlers wait.
    pub(super) fn pause(&mut self, records: usize) {
        self.pause = records;
    }

    /// The one that this key shares, or that the next record without one does.
    fn of(&mut self, key: Option<KeyHash>) -> BundleId {
        let all = self.lanes.len();
        let number = match key {
            // The table of keys goes by the lower bits.
            Some(key) => (key.get() >> 32) as usize % all,
            None => {
                self.turn = self.turn.wrapping_add(1);
                self.turn / RUN % all
            }
        };
        BundleId::try_from(number).expect("fewer bundles")
    }
}

impl<G: Progress> Lanes<G> {
    /// Whether bundles of a place may be begun.
    pub(super) fn may_bundle(&self, place: PlaceId) -> bool {
        self.bundles_from(place, SWIFT)
    }

    /// Whether those that there are may stay: a little longer, so that they don't come and go.
    pub(super) fn may_stay_bundled(&self, place: PlaceId) -> bool {
        self.bundles_from(place, SWIFT / 2)
    }

    /// The same where an appetite is so large.
    fn bundles_from(&self, place: PlaceId, appetite: usize) -> bool {
        let place = &self.places[place];
        let is_swift = |context: &AssignmentContext| {
            context.route.settings.order != ProcessingOrder::Partition && context.appetite() >= appetite
        };
        self.limits.bundles > 0
            && place.bundles.pause == 0
            && place.gather.is_none()
            && place.gate() == Gate::Open
            && self.key_budgets.is_none()
            && self.paused_keys.is_empty()
            && !place.is_on_probation()
            && place.open().is_some_and(|open| is_swift(&open.context))
    }

    /// So many records come in at a place. Whether they may be bundled.
    pub(super) fn bundles(&mut self, place: PlaceId, records: usize) -> bool {
        let bundles = &mut self.places[place].bundles;
        bundles.pause = bundles.pause.saturating_sub(records);
        let may = self.may_bundle(place);
        if may && self.places[place].bundles.lanes.is_empty() {
            self.places[place].bundles.lanes = vec![None; self.limits.bundles].into();
        }
        may
    }

    /// The lane that a record of this key comes into. Only where it `may` is a bundle begun for it.
    pub(super) fn lane_for(&mut self, place: PlaceId, key: Option<KeyHash>, may: bool) -> LaneId {
        if !(may || key.is_some() && self.places[place].bundles.has_some()) {
            return self.lane(place, key);
        }
        if let Some(known) = key.and_then(|key| self.lane_of.find(&self.lanes, place, key.get())) {
            return known;
        }
        let bundle = self.places[place].bundles.of(key);
        match self.places[place].bundles.get(bundle) {
            Some(known) => known,
            None if may => self.new_lane(place, Owner::Bundle(bundle)),
            None => self.lane(place, key),
        }
    }

    pub(super) fn is_bundle(&self, lane: LaneId) -> bool {
        self.lanes[lane].is_bundle()
    }

    /// Leaves a bundle's lane to this key, or to one record without: what the others have in it goes into lanes of their own, in its order. What
    /// of the key's is out, or was taken out of the lane, is its head.
    pub(super) fn unbundle(&mut self, id: LaneId, key: Option<KeyHash>, effects: &mut Effects) {
        let place = self.lanes[id].place();
        let mut all = std::mem::take(&mut self.lanes[id].queue);
        self.places[place].bundles.went(all.len());
        self.own(id, key.map_or(Owner::Record, Owner::Key));
        let mut others = Vec::new();
        for entry in all.drain_all() {
            let lane = if key.is_some() && entry.key == key { id } else { self.lane(place, entry.key) };
            if lane != id && self.lanes[lane].queue.is_empty() {
                others.push(lane);
            }
            self.lanes[lane].queue.push_back(entry);
        }
        // With all that they have: what has to wait counts as parked from here on.
        for lane in others {
            self.reopen(lane, effects);
        }
        // Fewer lanes than records may be ready.
        effects.room |= self.places[place].wants_more();
    }

    /// Sorts out a bundle that isn't out: its lane is its head's.
    pub(super) fn sort_out(&mut self, id: LaneId, effects: &mut Effects) {
        let Some(head) = self.lanes[id].queue.pop_front() else { return };
        self.places[self.lanes[id].place()].bundles.went(1);
        self.unbundle(id, head.key, effects);
        self.lanes[id].queue.push_front(head);
    }

    /// Sorts out all bundles of a place that aren't out.
    pub(super) fn sort_out_all(&mut self, place: PlaceId, effects: &mut Effects) {
        let bundles: Vec<LaneId> = self.places[place].bundles.iter().collect();
        let queued = self.loads.queued.records;
        for id in bundles {
            if self.lanes[id].state != State::Out {
                self.sort_out(id, effects);
            }
        }
        self.parked_late(place, queued, effects);
    }

    /// A worker is at this key of a bundle, and that one takes its time: it has not begun these entries.
    pub(super) fn leave_to(
        &mut self,
        id: LaneId,
        key: Option<KeyHash>,
        context: &AssignmentContext,
        unbegun: Drain<'_, Entry<G::Position>>,
        effects: &mut Effects,
    ) {
        debug_assert!(self.lanes[id].state == State::Out && self.is_bundle(id), "its worker has it");
        self.begin_not(id, unbegun.len(), effects);
        let place = self.lanes[id].place();
        let is_over = self.places[place].live(context.epoch).is_none() || context.is_released();
        for entry in unbegun.rev() {
            if is_over {
                self.drop_entry(place, entry);
            } else {
                self.lanes[id].queue.push_front(entry);
                self.places[place].bundles.came(1);
            }
        }
        self.unbundle(id, key, effects);
    }
}
