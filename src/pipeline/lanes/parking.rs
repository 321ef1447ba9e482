//! Parking: lanes whose head waits for a retry or a dead letter. They hold no worker, and count against a bound of their own.

use tokio::time::Instant;

use super::super::source::Progress;
use super::super::ticket::Settled;
use super::entry::{Bound, Weight};
use super::{Effects, LaneId, Lanes, LetterJob, PlaceId, Run, State};
use crate::record::{Offset, TopicPartition};

impl<G: Progress> Lanes<G> {
    /// When the next retry is due.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first_key_value().map(|((due, _), _)| *due)
    }

    /// When there is something to [wake](Self::wake) at the earliest.
    pub(in crate::pipeline) fn next_due(&mut self, now: Instant) -> Option<Instant> {
        let next = [self.next_retry(), self.next_ripe(now), self.next_grant(), self.next_trial(), self.next_awaited()];
        next.into_iter().flatten().min()
    }

    /// Lets the retries, the batches and the breakers go on whose time has come.
    pub(in crate::pipeline) fn wake(&mut self, now: Instant) -> Effects {
        let mut effects = Effects::default();
        self.wake_breakers(now, &mut effects);
        while let Some(first) = self.retries.first_entry() {
            if first.key().0 > now {
                break;
            }
            let lane_id = first.remove();
            let waits_for = self.waits_now(lane_id, now);
            let (place, queued) = (self.lanes[lane_id].place(), self.loads.queued.records);
            let lane = &mut self.lanes[lane_id];
            lane.timer = None;
            lane.limited = false;
            let is_letter = lane.queue.front().is_some_and(|entry| entry.failure.is_some());
            if is_letter {
                self.await_letter(lane_id, &mut effects);
            } else if self.places[place].stands_still() {
                self.suspend(lane_id);
            } else if let Some(wait) = waits_for {
                self.limit(lane_id, wait, &mut effects);
            } else {
                lane.state = State::Due;
                self.due.push_back(lane_id);
            }
            self.parked_late(place, queued, &mut effects);
        }
        self.promote(&mut effects);
        self.ripen(now, &mut effects);
        self.grant(now, &mut effects);
        self.end_waits(now, &mut effects);
        self.try_again(&mut effects);
        effects
    }

    /// The letter is written: its record is finished.
    pub(in crate::pipeline) fn letter_acknowledged(
        &mut self,
        run: Run,
        settled: Settled<G::Position>,
        weight: Weight,
    ) -> Effects {
        let mut effects = Effects::default();
        self.letter_came_back(run.place, true, &mut effects);
        self.uncount(run.place, weight.bound, weight.bytes);
        self.lanes[run.lane].out_since = None;
        if let Some(assignment) = self.places[run.place].live(run.context.epoch) {
            assignment.out -= 1;
            if weight.stuck {
                assignment.stuck_letters = assignment.stuck_letters.saturating_sub(1);
            }
            assignment.progress.settle(settled);
            assignment.finished += 1;
            self.uncommitted += 1;
            self.proven(run.place, 1);
        }
        self.reopen(run.lane, &mut effects);
        self.freed(run.place, &mut effects);
        self.note_drained(run.place, &mut effects);
        self.try_again(&mut effects);
        effects
    }

    /// The letter could not be written: the partition waits, and the letter is tried again at `due`.
    pub(in crate::pipeline) fn letter_failed(&mut self, job: LetterJob<G::Position>, due: Instant) -> Effects {
        let mut effects = Effects::default();
        let LetterJob { run, mut entry } = job;
        self.letter_came_back(run.place, false, &mut effects);
        self.lanes[run.lane].out_since = None;
        match self.places[run.place].live(run.context.epoch) {
            Some(assignment) if !assignment.context.is_released() => {
                assignment.out -= 1;
                assignment.stuck_letters += usize::from(!entry.stuck);
                entry.stuck = true;
                // What the partition was allowed to deliver is taken back with the next demand.
                effects.room = true;
                self.lanes[run.lane].queue.push_front(entry);
                self.park(run.lane, due, &mut effects);
            }
            live => {
                let is_leaving = live.is_some();
                if let Some(assignment) = live {
                    assignment.out -= 1;
                }
                self.drop_entry(run.place, entry);
                self.reopen(run.lane, &mut effects);
                if is_leaving {
                    // Its other letters would fare no better, one after the other, while their partition waits to be let go.
                    self.clear(&[run.place], true, &mut effects);
                }
            }
        }
        self.freed(run.place, &mut effects);
        self.note_drained(run.place, &mut effects);
        self.try_again(&mut effects);
        effects
    }

    pub(super) fn park(&mut self, id: LaneId, due: Instant, effects: &mut Effects) {
        self.retry_number += 1;
        effects.timer |= self.next_retry().is_none_or(|next| due < next);
        self.retries.insert((due, self.retry_number), id);
        self.lanes[id].state = State::Parked;
        self.lanes[id].timer = Some(Box::new((due, self.retry_number)));
        self.count_as_parked(id);
    }

    /// Has lanes try their heads at once that are these, whatever else they wait for.
    pub(in crate::pipeline) fn hurry(&mut self, places: &[(TopicPartition, Offset)], now: Instant) -> Effects {
        let mut effects = Effects::default();
        for id in 0..self.lanes.len() {
            let lane = &self.lanes[id];
            let Some(head) = lane.queue.front().filter(|_| lane.timer.is_some()) else { continue };
            let (of, offset) = (&self.places[lane.place()].topic_partition, head.record.offset());
            if places.iter().any(|(place, skipped)| place == of && *skipped == offset) {
                self.unpark(id);
                self.park(id, now, &mut effects);
            }
        }
        effects
    }

    /// Takes a lane from the timer that it waits for.
    pub(super) fn unpark(&mut self, id: LaneId) {
        self.lanes[id].limited = false;
        if let Some(timer) = self.lanes[id].timer.take() {
            self.retries.remove(&*timer);
        }
    }

    /// A lane of this place waits on, perhaps. What had no room among the parked until now may count as one of them: then there is room in the
    /// queue, of which so many were before.
    pub(super) fn parked_late(&mut self, place: PlaceId, queued: usize, effects: &mut Effects) {
        effects.room |= self.count_slot(place);
        if self.loads.queued.records < queued {
            self.freed(place, effects);
        }
    }

    /// Moves the entries of a waiting lane from the queue's bound to that of the parked, as far as there is room.
    pub(super) fn count_as_parked(&mut self, id: LaneId) {
        let lane = &mut self.lanes[id];
        let place = &mut self.places[lane.place()];
        for entry in lane.queue.iter_mut().filter(|entry| entry.bound == Bound::Queue) {
            if self.loads.parked.reaches(self.limits.parked) {
                break;
            }
            entry.count_against(Bound::Parked, [&mut self.loads, &mut place.loads]);
        }
    }
}
