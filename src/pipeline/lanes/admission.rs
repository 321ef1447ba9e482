//! Admission: who may contribute how much, when backpressure begins and ends, and when the reader hears of it.
//!
//! While the queue is pressed (above its high mark until it is below its low one), each partition may have its share of the low mark:
//! the largest contributor is held back first, and one that is stuck keeps what it has while the others flow beside it.

use super::super::demand::{Demand, Share};
use super::super::source::Progress;
use super::entry::{Bound, Load};
use super::place::Hold;
use super::{Effects, LaneId, Lanes, PlaceId, State};

/// A partition may have so many ready lanes, however many there are: fewer are not worth a turn of the reader.
const LEAST_AHEAD: usize = 64;

impl<G: Progress> Lanes<G> {
    /// What may be read now.
    pub(in crate::pipeline) fn demand(&mut self) -> Demand {
        let bytes = self.limits.queue.bytes.saturating_sub(self.loads.queued.bytes);
        let share = self.share();
        let parked_full = self.loads.parked.reaches(self.limits.parked);
        let (pressed, ahead) = (self.pressed, self.ahead());
        let mut shares = Vec::with_capacity(self.open);
        for place in &mut self.places {
            let (hold, mut room) = place.hold_and_room(parked_full);
            place.hold = hold;
            let Some(open) = place.open() else { continue };
            if pressed {
                let over = place.loads.queued.bytes >= share.bytes;
                room = room.min(if over { 0 } else { share.records.saturating_sub(place.loads.queued.records) });
            }
            if place.loads.parked.records > 0 {
                room = room.min(self.limits.parked.records.saturating_sub(self.loads.parked.records));
            }
            // All of it rather than a few: the reader takes turns with the workers.
            let few = ahead.saturating_sub(place.waiting());
            let few = if few < ahead / 4 { 0 } else { few };
            let (epoch, brief) = (open.context.epoch, open.context.is_brief());
            place.wake_below = (few == 0 && room > 0).then_some(ahead / 2);
            shares.push((epoch, Share { queued: place.loads.queued.records, room: room.min(few), brief }));
        }
        // A retry that waits for a slot goes before anything new, but not before what partitions without a record keep.
        let unused = self.limits.queue.records.saturating_sub(self.loads.queued.records);
        let starters = shares.iter().filter(|(_, share)| share.queued == 0 && share.room > 0).count();
        let free = unused.saturating_sub(self.due.len()).max(unused.min(starters));
        self.parked_holds = self.places.iter().any(|place| place.hold == Some(Hold::Parked));
        let demand = Demand::new(free, bytes, shares.iter().copied());
        let open = self.places.iter_mut().filter(|place| place.open().is_some());
        for (place, (epoch, Share { queued, room, .. })) in open.zip(shares) {
            // Its own bounds keep it out, or the slots that are kept for others.
            let mark = if room == 0 { share.records / 2 } else { queued / 2 };
            place.wake_at = (demand.records(epoch) == 0 && place.wake_below.is_none()).then_some(mark);
        }
        let low = scaled(self.limits.queue.records, self.limits.low);
        // With no slot free at all, a partition that has none waits for the first; else reading goes on at the low mark, where pressure ends
        // as well.
        let mark = if free == 0 && self.empty > 0 { self.limits.queue.records } else { low };
        self.wake_at = (free == 0 || bytes == 0).then_some(mark);
        demand
    }

    /// How many lanes of a partition may be ready at once, now that so many of them have something to do.
    fn ahead(&self) -> usize {
        let active = self.places.iter().filter(|place| place.loads.queued.records > 0).count();
        (self.limits.ahead / active.max(1)).max(LEAST_AHEAD.min(self.limits.ahead))
    }

    /// Whether the queue is filled to this share of its bounds, in records or in bytes.
    pub(super) fn is_above(&self, mark: f64) -> bool {
        self.loads.queued.reaches(self.mark(mark))
    }

    /// A partition's part of the low mark.
    fn share(&self) -> Load {
        let low = self.mark(self.limits.low);
        let open = self.open.max(1);
        Load { records: (low.records / open).max(1), bytes: (low.bytes / open).max(1) }
    }

    fn mark(&self, share: f64) -> Load {
        Load {
            records: scaled(self.limits.queue.records, share).max(1),
            bytes: scaled(self.limits.queue.bytes, share).max(1),
        }
    }

    /// Counts this place among those that keep a slot, or no longer, as it is now. Says whether it keeps one that kept none before.
    pub(super) fn count_slot(&mut self, id: PlaceId) -> bool {
        let place = &mut self.places[id];
        let keeps = place.loads.queued.records == 0 && place.open().is_some();
        match (std::mem::replace(&mut place.keeps_slot, keeps), keeps) {
            (false, true) => self.empty += 1,
            (true, false) => self.empty -= 1,
            (false, false) | (true, true) => return false,
        }
        keeps
    }

    /// Something of this place was finished or given back: lets waiting retries in, ends backpressure, wakes the reader.
    pub(super) fn freed(&mut self, id: PlaceId, effects: &mut Effects) {
        self.count_slot(id);
        self.promote(effects);
        if self.pressed {
            let low = self.mark(self.limits.low);
            if self.loads.queued.records <= low.records && self.loads.queued.bytes <= low.bytes {
                self.pressed = false;
                effects.pressure = Some(false);
                effects.room = true;
            }
        }
        if self.wake_at.is_some_and(|mark| self.loads.queued.records <= mark) {
            self.wake_at = None;
            effects.room = true;
        }
        let parked_full = self.loads.parked.reaches(self.limits.parked);
        let place = &mut self.places[id];
        effects.room |= place.wants_more();
        if place.wake_at.is_some_and(|mark| place.loads.queued.records <= mark)
            || (place.hold.is_some() && place.why_held(parked_full).is_none())
        {
            place.wake_at = None;
            place.hold = None;
            effects.room = true;
        }
        effects.commit |= self.tells_commit();
    }

    /// Lets lanes whose retry is due into the queue, as far as there is room: in turn, and leaving a slot to each partition that
    /// has none.
    pub(super) fn promote(&mut self, effects: &mut Effects) {
        for _ in 0..self.due.len() {
            let Some(id) = self.due.pop_front() else { return };
            debug_assert_eq!(self.lanes[id].state, State::Due);
            if self.admit(id) {
                self.admit_successors(id);
                self.make_ready(id, effects);
            } else {
                self.due.push_back(id);
            }
        }
        if self.parked_holds && !self.loads.parked.reaches(self.limits.parked) {
            self.parked_holds = false;
            effects.room = true;
        }
    }

    /// Finds a slot in the queue for the head of a lane.
    fn admit(&mut self, id: LaneId) -> bool {
        let lane = &mut self.lanes[id];
        let place = &mut self.places[lane.place()];
        let mut entries = lane.queue.iter_mut();
        let head = entries.next().expect("a lane that is due has a head");
        if head.bound == Bound::Queue {
            return true;
        }
        let free = self.limits.queue.records.saturating_sub(self.loads.queued.records);
        let first = place.loads.queued.records == 0;
        if free == 0 || (!first && free <= self.empty) {
            // Its own successors may hold the slots that it waits for: then it takes the place of one, or it would wait for ever.
            let Some(successor) = entries.find(|entry| entry.bound == Bound::Queue) else { return false };
            successor.count_against(Bound::Parked, [&mut self.loads, &mut place.loads]);
        }
        head.count_against(Bound::Queue, [&mut self.loads, &mut place.loads]);
        let place = lane.place();
        self.count_slot(place);
        true
    }

    /// Lets those in that wait behind the head of a lane, as far as nobody else needs the slots: so that they run with it, and not one
    /// after the other.
    fn admit_successors(&mut self, id: LaneId) {
        let needed = self.empty + self.due.len();
        let lane = &mut self.lanes[id];
        let place = &mut self.places[lane.place()];
        for entry in lane.queue.iter_mut().skip(1).take_while(|entry| entry.bound == Bound::Parked) {
            let free = self.limits.queue.records.saturating_sub(self.loads.queued.records);
            if free <= needed || self.loads.queued.bytes >= self.limits.queue.bytes {
                break;
            }
            entry.count_against(Bound::Queue, [&mut self.loads, &mut place.loads]);
        }
    }
}

/// A share of a bound, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mark needn't be exact"
)]
fn scaled(bound: usize, share: f64) -> usize {
    (bound as f64 * share) as usize
}
