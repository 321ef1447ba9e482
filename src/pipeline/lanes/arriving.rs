//! Arriving: records come in, each into its lane.

use std::num::NonZero;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::arrival::{Admittance, Arrival, Arrivals};
use super::super::source::Progress;
use super::super::ticket::Ticket;
use super::entry::{Age, Bound, Entry, KeyHash, Moment};
use super::probation::crash;
use super::{Effects, Lanes, State};

impl<G: Progress> Lanes<G> {
    /// Records came in. Those of an epoch that is over are dropped, and so are those that are known to be finished; those that their
    /// route doesn't want are finished at once.
    pub(in crate::pipeline) fn push(&mut self, arrivals: Arrivals, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let Some(&place_id) = self.place_by_epoch.get(&arrivals.epoch) else { return effects };
        let Some(context) = self.places[place_id].open().map(|open| Arc::clone(&open.context)) else { return effects };
        // One look for the whole batch: it is for a metric.
        let stamp = arrivals
            .records
            .first()
            .and_then(|first| first.record.timestamp())
            .and_then(|time| NonZero::new(time.as_millis()));
        let age = Age { received: Moment::new(self.origin, now), stamp };
        if let (Some(from), Some(assignment)) = (arrivals.rewritten, &mut self.places[place_id].assignment) {
            assignment.progress.rewritten(from);
        }
        let is_suspect = self.places[place_id].is_on_probation();
        let may_bundle = self.bundles(place_id, arrivals.records.len());
        let hauls = self.places[place_id].hauls();
        for Arrival { mut record, lane, admittance } in arrivals.records {
            let place = &mut self.places[place_id];
            let Some(assignment) = &mut place.assignment else { break };
            let Some(position) = assignment.progress.receive(&record) else { continue };
            let ticket = Ticket::new(context.epoch, position);
            let failure = match admittance {
                Admittance::Wanted if is_suspect => {
                    let ends = assignment.progress.condemns(position);
                    ends.map(|ends| crash(ends, context.route.settings.name))
                }
                Admittance::Wanted => None,
                Admittance::Failed(failure) => Some(failure),
                Admittance::Unwanted => {
                    assignment.progress.settle(ticket.skip());
                    assignment.finished += 1;
                    self.uncommitted += 1;
                    effects.unwanted += 1;
                    continue;
                }
            };
            let key = lane.map(KeyHash::new);
            let lane_id = self.lane_for(place_id, key, may_bundle);
            let lane = &mut self.lanes[lane_id];
            let waits = matches!(lane.state, State::Parked | State::Due | State::Paused | State::Letter);
            let place = &mut self.places[place_id];
            // Retries may have taken slots since the demand that let this record in. Then there is room among the parked, where
            // they came from.
            let is_full = self.loads.queued.records >= self.limits.queue.records;
            let is_parked = is_full || waits && !self.loads.parked.reaches(self.limits.parked);
            let bound = if is_parked { Bound::Parked } else { Bound::Queue };
            if is_parked || lane.is_held_up(age.received) {
                record.detach();
            }
            let entry = Entry { failure, ..Entry::new(ticket, record, key, age, bound) };
            for loads in [&mut self.loads, &mut place.loads] {
                loads.of(bound).add(entry.bytes());
            }
            lane.queue.push_back(entry);
            place.bundles.came(usize::from(lane.is_bundle()));
            match (lane.state, self.places[place_id].gather) {
                (State::Free, _) => self.reopen(lane_id, &mut effects),
                (State::Ready, Some(gather)) if bound == Bound::Queue => self.gathered(gather, 1, &mut effects),
                _ => {}
            }
        }
        if let (Some(next), Some(assignment)) = (arrivals.next, &mut self.places[place_id].assignment) {
            assignment.progress.passed(next);
        }
        // Records that came to lanes that were ready may be more than one worker's.
        if may_bundle {
            effects.ready = effects.ready.max(self.places[place_id].hauls().saturating_sub(hauls));
        }
        if is_suspect {
            self.end_wait_for(place_id, &mut effects);
        }
        // Now it is known where it begins.
        self.placed |= self.places[place_id].is_unmarked();
        self.count_slot(place_id);
        if !self.pressed && self.is_above(self.limits.high) {
            self.pressed = true;
            effects.pressure = Some(true);
        }
        effects.commit |= self.tells_commit();
        self.try_again(&mut effects);
        effects
    }
}
