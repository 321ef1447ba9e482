//! Keys that may not go on: by the rate of each key, or since somebody has paused them. A lane that has used its rate up is parked until the next
//! attempt is granted, as for a retry; one that is paused is parked until it may go on.
//!
//! The invariant: a lane that is ready, or due, may begin one attempt at least.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::FixedState;
use tokio::time::Instant;

use super::super::control::Rate;
use super::super::source::Progress;
use super::rate::Budget;
use super::{Effects, LaneId, Lanes, PlaceId, State};
use crate::record::Topic;

/// Keys are looked through for such as need no budget any more when there are so many, or twice as many as the last time.
const MANY: usize = 1024;

/// Keys, by their topics and hashes.
pub(in crate::pipeline) type Keys = BTreeSet<(Topic, u64)>;

/// What a lane waits for whose key may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// The next attempt is granted then.
    Until(Instant),
    /// Somebody lets it go on.
    Resumed,
}

/// A limit, and what is left of it for each key that has used some of it lately.
#[derive(Debug)]
pub(super) struct KeyBudgets {
    rate: Rate,
    keys: HashMap<(PlaceId, u64), Budget, FixedState>,
    look_at: usize,
}

impl KeyBudgets {
    /// The budget of a key, with what has come due.
    fn at(&mut self, key: (PlaceId, u64), now: Instant) -> &mut Budget {
        if self.keys.len() >= self.look_at {
            self.keys.retain(|_, budget| !budget.is_full(now));
            self.look_at = MANY.max(2 * self.keys.len());
        }
        let budget = self.keys.entry(key).or_insert_with(|| Budget::new(self.rate, now));
        budget.grant(now);
        budget
    }
}

impl<G: Progress> Lanes<G> {
    /// Limits the rate of each key from now on; without a rate there is no limit.
    pub(in crate::pipeline) fn set_key_rate(&mut self, rate: Option<Rate>) -> Effects {
        let mut effects = Effects::default();
        if self.key_budgets.as_ref().map(|budgets| budgets.rate) == rate {
            return effects;
        }
        self.key_budgets = rate.map(|rate| KeyBudgets { rate, keys: HashMap::default(), look_at: MANY });
        self.tell_keys_apart(&mut effects);
        self.look_anew(&mut effects);
        effects
    }

    /// Pauses these keys, and lets all others go on. What is running ends.
    pub(in crate::pipeline) fn set_paused_keys(&mut self, keys: Keys) -> Effects {
        let mut effects = Effects::default();
        if self.paused_keys == keys {
            return effects;
        }
        self.paused_keys = keys;
        self.tell_keys_apart(&mut effects);
        let mut places = BTreeSet::new();
        for id in 0..self.lanes.len() {
            if self.is_paused(id) && matches!(self.lanes[id].state, State::Ready | State::Due) {
                self.limit(id, Wait::Resumed, &mut effects);
                self.end_trial(id);
                places.insert(self.lanes[id].place());
            }
        }
        let lanes = &self.lanes;
        self.due.retain(|&id| lanes[id].state == State::Due);
        let places: Vec<PlaceId> = places.into_iter().collect();
        self.forget_ready(&places, &mut effects);
        for place in places {
            self.freed(place, &mut effects);
        }
        self.look_anew(&mut effects);
        effects
    }

    /// What is to be known of each key is not of a bundle.
    fn tell_keys_apart(&mut self, effects: &mut Effects) {
        for place in 0..self.places.len() {
            if self.places[place].bundles.has_some() && !self.may_stay_bundled(place) {
                self.sort_out_all(place, effects);
            }
        }
    }

    /// Lanes that waited for their keys wait only as they have to now.
    fn look_anew(&mut self, effects: &mut Effects) {
        for id in 0..self.lanes.len() {
            if self.lanes[id].limited {
                let (place, queued) = (self.lanes[id].place(), self.loads.queued.records);
                self.unpark(id);
                self.reopen(id, effects);
                self.parked_late(place, queued, effects);
            }
        }
        self.promote(effects);
        self.try_again(effects);
    }

    /// Whether somebody has paused the lane's key.
    pub(super) fn is_paused(&self, id: LaneId) -> bool {
        let lane = &self.lanes[id];
        !self.paused_keys.is_empty()
            && lane.key().is_some_and(|key| {
                let topic = &self.places[lane.place()].topic_partition.topic;
                self.paused_keys.contains(&(topic.clone(), key))
            })
    }

    /// How many attempts of a lane's records may begin now.
    pub(super) fn startable_of(&mut self, id: LaneId, now: impl FnOnce() -> Instant) -> usize {
        let (Some(budgets), Some(key)) = (&mut self.key_budgets, self.lanes[id].key()) else { return usize::MAX };
        budgets.at((self.lanes[id].place(), key), now()).left
    }

    /// So many attempts of a lane's records begin.
    pub(super) fn start_of(&mut self, id: LaneId, attempts: usize) {
        if let Some(budget) = self.key_budget(id) {
            budget.left = budget.left.saturating_sub(attempts);
        }
    }

    /// So many attempts of a lane's records were begun in the books only.
    pub(super) fn unstart_of(&mut self, id: LaneId, attempts: usize) {
        if let Some(budget) = self.key_budget(id) {
            budget.give_back(attempts);
        }
    }

    /// What a lane has to wait for before an attempt at its records may begin, as far as the last look tells.
    pub(super) fn waits_for(&mut self, id: LaneId) -> Option<Wait> {
        if self.is_paused(id) {
            return Some(Wait::Resumed);
        }
        self.key_budget(id).filter(|budget| budget.left == 0).map(|budget| Wait::Until(budget.next()))
    }

    /// The same, with what has come due by now.
    pub(super) fn waits_now(&mut self, id: LaneId, now: Instant) -> Option<Wait> {
        if let Some(budget) = self.key_budget(id) {
            budget.grant(now);
        }
        self.waits_for(id)
    }

    /// Has a lane wait until its key may go on.
    pub(super) fn limit(&mut self, id: LaneId, wait: Wait, effects: &mut Effects) {
        self.lanes[id].limited = true;
        match wait {
            Wait::Until(until) => self.park(id, until, effects),
            Wait::Resumed => {
                self.lanes[id].state = State::Parked;
                self.count_as_parked(id);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn keys_with_a_budget(&self) -> usize {
        self.key_budgets.as_ref().map_or(0, |budgets| budgets.keys.len())
    }

    #[cfg(test)]
    pub(super) fn is_spent(&self, id: LaneId) -> bool {
        let lane = &self.lanes[id];
        let budget = |key| self.key_budgets.as_ref()?.keys.get(&(lane.place(), key));
        lane.key().and_then(budget).is_some_and(|budget| budget.left == 0) || self.is_paused(id)
    }

    fn key_budget(&mut self, id: LaneId) -> Option<&mut Budget> {
        let (budgets, lane) = (self.key_budgets.as_mut()?, &self.lanes[id]);
        budgets.keys.get_mut(&(lane.place(), lane.key()?))
    }
}
