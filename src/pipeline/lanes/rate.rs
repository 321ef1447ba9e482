//! Rate: how many attempts may begin. The lanes know no clock: who has one grants what has come due.

use std::time::Duration;

use tokio::time::Instant;

use super::super::control::Rate;
use super::super::source::Progress;
use super::{Effects, Lanes};

/// A limit, and what is left of it.
#[derive(Debug)]
pub(super) struct Budget {
    rate: Rate,
    /// Attempts that may begin now.
    pub(super) left: usize,
    /// Up to when they were granted.
    granted: Instant,
}

impl Budget {
    fn step(&self) -> Duration {
        self.rate.interval() / self.rate.attempts()
    }

    /// Grants what has come due; no more than an interval's attempts are ever saved up.
    fn grant(&mut self, now: Instant) {
        let most = self.rate.attempts() as usize;
        let passed = now.saturating_duration_since(self.granted);
        let due = passed.as_nanos() / self.step().as_nanos().max(1);
        let due = usize::try_from(due).unwrap_or(usize::MAX);
        if self.left.saturating_add(due) >= most {
            (self.left, self.granted) = (most, now);
        } else {
            self.left += due;
            self.granted += self.step() * u32::try_from(due).unwrap_or(u32::MAX);
        }
    }
}

impl<G: Progress> Lanes<G> {
    /// Limits the rate from now on; without a rate there is no limit.
    pub(in crate::pipeline) fn set_rate(&mut self, rate: Option<Rate>, now: Instant) -> Effects {
        if self.budget.as_ref().map(|budget| budget.rate) == rate {
            return Effects::default();
        }
        self.budget = rate.map(|rate| Budget { rate, left: rate.attempts() as usize, granted: now });
        Effects { ready: self.turns.len(), timer: true, ..Effects::default() }
    }

    /// How many attempts may begin now.
    pub(super) fn startable(&self) -> usize {
        self.budget.as_ref().map_or(usize::MAX, |budget| budget.left)
    }

    /// So many attempts begin.
    pub(super) fn start(&mut self, attempts: usize) {
        if let Some(budget) = &mut self.budget {
            budget.left = budget.left.saturating_sub(attempts);
        }
    }

    /// So many attempts were begun in the books only.
    pub(super) fn unstart(&mut self, attempts: usize) {
        if let Some(budget) = &mut self.budget {
            budget.left = (budget.left + attempts).min(budget.rate.attempts() as usize);
        }
    }

    /// When the next attempt may begin, where something waits for that.
    pub(super) fn next_grant(&self) -> Option<Instant> {
        let budget = self.budget.as_ref().filter(|budget| budget.left == 0 && !self.turns.is_empty())?;
        Some(budget.granted + budget.step())
    }

    /// Grants what has come due.
    pub(super) fn grant(&mut self, now: Instant, effects: &mut Effects) {
        let Some(budget) = &mut self.budget else { return };
        let before = budget.left;
        budget.grant(now);
        effects.ready += (budget.left - before).min(self.turns.len());
    }
}
