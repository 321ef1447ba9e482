//! A lane: the entries of one unit of order, and what its head is at.

use std::time::Duration;

use tokio::time::Instant;

use super::super::source::Progress;
use super::bundles::BundleId;
use super::entry::{Age, Bound, Entry, KeyHash, Moment};
use super::gather::Turn;
use super::{Effects, LaneId, Lanes, PlaceId, Queue};
use crate::record::Offset;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not in use.
    Free,
    /// Stands in its place's queue of ready lanes.
    Ready,
    /// A worker, or the dead-letter stage, has its head.
    Out,
    /// Its head waits for its timer.
    Parked,
    /// Its head may be tried again once the queue has room for it.
    Due,
    /// It waits until its place no longer stands still.
    Paused,
    /// Its head waits for the dead-letter stage.
    Letter,
    /// Its head made the daemon stop.
    Closed,
}

/// When a lane is due, and its number among those of that time.
pub(super) type Timer = (Instant, u64);

/// Whose records a lane has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// One record, which no other joins.
    Record,
    /// Those of a key.
    Key(KeyHash),
    /// Those of the keys that share this bundle of their place.
    Bundle(BundleId),
}

/// It is looked at by the reader and by a worker for each record, mostly on two cores: so it is three lines of their caches, and what few
/// lanes need stands elsewhere.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Lane<P> {
    place: u32,
    owner: Owner,
    pub(super) queue: Queue<Entry<P>>,
    pub(super) state: State,
    /// What it waits for among the retries, while it is parked. Few are: the others are smaller.
    pub(super) timer: Option<Box<Timer>>,
    /// It is parked until its key may go on.
    pub(super) limited: bool,
    /// Of the first of the entries that are out.
    pub(super) out_since: Option<Age>,
}

const _: () = assert!(size_of::<Lane<Offset>>() == 192, "a lane of Kafka's has grown");

impl<P> Lane<P> {
    fn new() -> Self {
        Self {
            place: 0,
            owner: Owner::Record,
            queue: Queue::new(),
            state: State::Free,
            timer: None,
            limited: false,
            out_since: None,
        }
    }

    pub(super) fn place(&self) -> PlaceId {
        self.place as PlaceId
    }

    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether keys share it.
    pub(super) fn is_bundle(&self) -> bool {
        matches!(self.owner, Owner::Bundle(_))
    }

    /// The hash of its key, where it is a key's.
    pub(super) fn key(&self) -> Option<u64> {
        match self.owner {
            Owner::Key(key) => Some(key.get()),
            Owner::Record | Owner::Bundle(_) => None,
        }
    }

    /// Whether what is out of it came in so long ago that what comes in now may have to wait for long, too.
    pub(super) fn is_held_up(&self, now: Moment) -> bool {
        const LONG: Duration = Duration::from_millis(100);
        self.out_since.is_some_and(|age| now.since(age.received) >= LONG)
    }

    /// How many of its entries count against the queue.
    pub(super) fn queued(&self) -> usize {
        self.queue.iter().filter(|entry| entry.bound == Bound::Queue).count()
    }
}

impl<G: Progress> Lanes<G> {
    /// The lane of this key, made if there is none. Two keys of one hash share a lane: they wait for one another, no more.
    pub(super) fn lane(&mut self, place: PlaceId, key: Option<KeyHash>) -> LaneId {
        let known = key.and_then(|key| self.lane_of.find(&self.lanes, place, key.get()));
        known.unwrap_or_else(|| self.new_lane(place, key.map_or(Owner::Record, Owner::Key)))
    }

    /// Another lane, with nothing in it.
    pub(super) fn new_lane(&mut self, place: PlaceId, owner: Owner) -> LaneId {
        let id = self.spare.take().unwrap_or_else(|| {
            self.lanes.push(Lane::new());
            self.lanes.len() - 1
        });
        self.lanes[id].place = u32::try_from(place).expect("fewer partitions than a cluster can have");
        self.own(id, owner);
        id
    }

    /// It is this one's from now on, and is found as such.
    pub(super) fn own(&mut self, id: LaneId, owner: Owner) {
        self.lane_of.forget(&self.lanes, id);
        let place = self.lanes[id].place();
        if let Owner::Bundle(bundle) = std::mem::replace(&mut self.lanes[id].owner, owner) {
            self.places[place].bundles.set(bundle, None);
        }
        self.lane_of.remember(&self.lanes, id);
        if let Owner::Bundle(bundle) = owner {
            self.places[place].bundles.set(bundle, Some(id));
        }
    }

    /// Puts a lane among the ready ones of its place, or where its route's next batch is gathered.
    pub(super) fn make_ready(&mut self, id: LaneId, effects: &mut Effects) {
        let lane = &mut self.lanes[id];
        lane.state = State::Ready;
        let place = &mut self.places[lane.place()];
        if let Some(gather) = place.gather {
            let records = lane.queued();
            self.gathers[gather].lanes.push_back((id, None));
            return self.gathered(gather, records, effects);
        }
        place.ready.push_back(id);
        effects.ready += 1;
        if !place.in_turns {
            place.in_turns = true;
            self.turns.push_back(Turn::Place(lane.place()));
        }
    }

    /// A lane whose head came back: ready again, due where its head has no room in the queue yet, or no longer needed.
    pub(super) fn reopen(&mut self, id: LaneId, effects: &mut Effects) {
        if self.is_bundle(id) && !self.may_stay_bundled(self.lanes[id].place()) {
            self.sort_out(id, effects);
        }
        let waits_for = self.waits_for(id);
        match self.lanes[id].queue.front() {
            Some(_) if self.places[self.lanes[id].place()].stands_still() => self.suspend(id),
            Some(_) if let Some(wait) = waits_for => self.limit(id, wait, effects),
            Some(_) => self.make_startable(id, effects),
            None => self.discard(id),
        }
    }

    /// A lane may start: it is ready, or due where its head has no room in the queue yet.
    pub(super) fn make_startable(&mut self, id: LaneId, effects: &mut Effects) {
        match self.lanes[id].queue.front().map(|entry| entry.bound) {
            Some(Bound::Queue) => self.make_ready(id, effects),
            Some(Bound::Parked) => {
                self.lanes[id].state = State::Due;
                self.due.push_back(id);
            }
            None => {}
        }
    }

    /// Gives an empty lane back. Its key has another one the next time: few lanes do for any number of keys, and stay in the processor's caches.
    pub(super) fn discard(&mut self, id: LaneId) {
        /// A lane that was long once doesn't keep its memory for ever.
        const KEPT: usize = 256;
        self.own(id, Owner::Record);
        let lane = &mut self.lanes[id];
        debug_assert!(lane.queue.is_empty());
        (lane.state, lane.limited) = (State::Free, false);
        lane.queue.shrink_to(KEPT);
        self.spare.put(id);
    }
}
