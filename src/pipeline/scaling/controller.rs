//! The controller: from what was seen to how many workers there should be, and why. A pure part: it knows no clock and does nothing.
//!
//! Invariants:
//! - there are never fewer workers than the least, nor more than the most;
//! - between two changes lies the cool-down;
//! - it grows by no more workers than could have taken something at once, and shrinks to no fewer than were at something at once.

use std::time::Duration;

use super::gradient::{Gradient, Slope};
use super::{Scaling, ScalingMode};
use crate::metrics::{ScalingDirection, ScalingReason};

/// So many lanes without a worker, on average, are some.
const SOME: f64 = 0.5;

/// What was seen over a period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::pipeline) struct Sample {
    /// Share of the queue that was used, on average; all of it while fetching was held back.
    pub(super) used: f64,
    /// Workers that were at something at once: on average, and at most.
    pub(super) busy: f64,
    pub(super) peak: usize,
    /// Workers that could have taken something besides, on average.
    pub(super) waiting: f64,
    /// The rate let nothing begin at times.
    pub(super) limited: bool,
    /// Attempts that ended, and how long they took together.
    pub(super) attempts: u64,
    pub(super) time: Duration,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::pipeline) struct Verdict {
    pub(in crate::pipeline) direction: ScalingDirection,
    pub(in crate::pipeline) reason: ScalingReason,
    /// How many workers there are from now on.
    pub(in crate::pipeline) workers: usize,
    /// What was found of the handlers' latency, where that counts.
    pub(super) slope: Option<Slope>,
}

/// See the module.
#[derive(Debug)]
pub(in crate::pipeline) struct Controller {
    scaling: Scaling,
    max: usize,
    workers: usize,
    /// Since the last change.
    settled: Duration,
    /// How long the queue has been nearly empty, and how many workers were at something at once in that time.
    low: Duration,
    peak: usize,
    gradient: Option<Gradient>,
    /// The last mean that was found with this number of workers.
    slope: Option<Slope>,
}

impl Controller {
    /// One for at most `max` workers, which begins with the fewest.
    pub(in crate::pipeline) fn new(scaling: Scaling, max: usize) -> Self {
        let gradient = (scaling.mode == ScalingMode::Latency).then(|| Gradient::new(scaling.tolerance));
        Self {
            workers: scaling.min.min(max),
            max,
            settled: Duration::ZERO,
            low: Duration::ZERO,
            peak: 0,
            gradient,
            slope: None,
            scaling,
        }
    }

    /// How many workers there should be.
    pub(in crate::pipeline) fn workers(&self) -> usize {
        self.workers
    }

    /// What follows from what was seen since the last time, which is `period` ago.
    pub(in crate::pipeline) fn decide(&mut self, sample: &Sample, period: Duration) -> Verdict {
        self.settled += period;
        let fewest = self.workers == self.scaling.min;
        if let Some(gradient) = &mut self.gradient
            && let Some(slope) = gradient.observe(sample.attempts, sample.time, self.workers, fewest)
        {
            self.slope = Some(slope);
        }
        let slope = self.slope;
        let is_low = sample.used < self.scaling.shrink_below && sample.waiting < SOME;
        (self.low, self.peak) =
            if is_low { (self.low + period, self.peak.max(sample.peak)) } else { (Duration::ZERO, 0) };
        let (reason, wanted) = self.wanted(sample, is_low);
        let workers = if self.settled >= self.scaling.cool_down { wanted } else { self.workers };
        let direction = match workers {
            more if more > self.workers => ScalingDirection::Grow,
            fewer if fewer < self.workers => ScalingDirection::Shrink,
            _ => ScalingDirection::Hold,
        };
        if direction != ScalingDirection::Hold {
            let before = std::mem::replace(&mut self.workers, workers);
            (self.settled, self.low, self.peak, self.slope) = (Duration::ZERO, Duration::ZERO, 0, None);
            if let Some(gradient) = &mut self.gradient {
                gradient.forget(before);
            }
        }
        Verdict { direction, reason, workers, slope }
    }

    /// What everything waits for, and how many workers there should be for that.
    fn wanted(&self, sample: &Sample, is_low: bool) -> (ScalingReason, usize) {
        if let Some(fewer) = self.crowded(sample) {
            return (ScalingReason::LatencyBound, fewer);
        }
        let is_waiting = sample.waiting >= SOME;
        let is_full = sample.used >= self.scaling.grow_above;
        if is_low {
            return (ScalingReason::SourceBound, self.fewer());
        }
        if sample.limited && !is_waiting {
            return (ScalingReason::RateBound, self.workers);
        }
        match &self.gradient {
            // Whether there is anything to gain by more is seen from the latency, and not from how full the queue is.
            Some(gradient) if is_waiting => match self.slope {
                Some(slope) if gradient.is_flat(slope) => {
                    (ScalingReason::HandlerBound, self.more(sample, self.step_of_root()))
                }
                Some(_) if self.workers > self.scaling.min => (ScalingReason::LatencyBound, self.workers),
                _ => (ScalingReason::HandlerBound, self.workers),
            },
            None if is_full && is_waiting => {
                (ScalingReason::HandlerBound, self.more(sample, self.step_of(self.scaling.grow_by)))
            }
            _ if is_full => (ScalingReason::OrderingBound, self.workers),
            _ => (ScalingReason::Balanced, self.workers),
        }
    }

    /// How many workers what the handlers ask can bear, where they are too many for it.
    fn crowded(&self, sample: &Sample) -> Option<usize> {
        let (gradient, slope) = (self.gradient.as_ref()?, self.slope?);
        let fitting = gradient.tolerated(slope, self.workers)?;
        // It isn't for the workers' number where most of them have nothing to do.
        (sample.busy >= self.workers as f64 / 2.0).then(|| fitting.max(self.scaling.min))
    }

    fn more(&self, sample: &Sample, step: usize) -> usize {
        let useful = (sample.waiting.ceil() as usize).max(1);
        (self.workers + step.min(useful)).min(self.max)
    }

    fn fewer(&self) -> usize {
        if self.low < self.scaling.shrink_after {
            return self.workers;
        }
        let needed = self.peak + self.peak.div_ceil(4);
        let step = self.step_of(self.scaling.shrink_by);
        (self.workers - step.min(self.workers)).max(needed).max(self.scaling.min).min(self.workers)
    }

    /// This share of the workers, one at least.
    fn step_of(&self, share: f64) -> usize {
        ((self.workers as f64 * share) as usize).max(1)
    }

    fn step_of_root(&self) -> usize {
        ((self.workers as f64).sqrt().ceil() as usize).max(1)
    }
}

#[cfg(test)]
mod tests;
