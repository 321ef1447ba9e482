//! The rate of each key. A lane that has used its own up is parked until the next attempt is granted, as for a retry.
//!
//! The invariant: a lane that is ready, or due, may begin one attempt at least.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use tokio::time::Instant;

use super::super::control::Rate;
use super::super::source::Progress;
use super::rate::Budget;
use super::{Effects, LaneId, Lanes, PlaceId};

/// Keys are looked through for such as need no budget any more when there are so many, or twice as many as the last time.
const MANY: usize = 1024;

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
        for id in 0..self.lanes.len() {
            if self.lanes[id].limited {
                let place = self.lanes[id].place;
                self.unpark(id);
                self.reopen(id, &mut effects);
                effects.room |= self.count_slot(place);
            }
        }
        self.promote(&mut effects);
        self.try_again(&mut effects);
        effects
    }

    /// How many attempts of a lane's records may begin now.
    pub(super) fn startable_of(&mut self, id: LaneId, now: impl FnOnce() -> Instant) -> usize {
        let (Some(budgets), Some(key)) = (&mut self.key_budgets, self.lanes[id].key) else { return usize::MAX };
        budgets.at((self.lanes[id].place, key), now()).left
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

    /// Until when no attempt of a lane's records may begin, as far as the last look tells.
    pub(super) fn spent_until(&mut self, id: LaneId) -> Option<Instant> {
        self.key_budget(id).filter(|budget| budget.left == 0).map(|budget| budget.next())
    }

    /// The same, with what has come due by now.
    pub(super) fn spent_now(&mut self, id: LaneId, now: Instant) -> Option<Instant> {
        self.key_budget(id)?.grant(now);
        self.spent_until(id)
    }

    /// Has a lane wait until its key may go on.
    pub(super) fn limit(&mut self, id: LaneId, until: Instant, effects: &mut Effects) {
        self.lanes[id].limited = true;
        self.park(id, until, effects);
    }

    #[cfg(test)]
    pub(super) fn keys_with_a_budget(&self) -> usize {
        self.key_budgets.as_ref().map_or(0, |budgets| budgets.keys.len())
    }

    #[cfg(test)]
    pub(super) fn is_spent(&self, lane: &super::Lane<G::Position>) -> bool {
        let budget = |key| self.key_budgets.as_ref()?.keys.get(&(lane.place, key));
        lane.key.and_then(budget).is_some_and(|budget| budget.left == 0)
    }

    fn key_budget(&mut self, id: LaneId) -> Option<&mut Budget> {
        let (budgets, lane) = (self.key_budgets.as_mut()?, &self.lanes[id]);
        budgets.keys.get_mut(&(lane.place, lane.key?))
    }
}
