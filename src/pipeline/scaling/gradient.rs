//! The gradient: what an attempt takes now, against what it takes without company. A pure part.
//!
//! The invariant: what an attempt takes without company is only ever believed to be more where there was as little company as there can be.
//! Else a downstream that is kept too busy for long would count as one that is that slow, and be kept busier still.

use std::time::Duration;

/// How many attempts a mean is made of, at least.
const ENOUGH: u64 = 10;
/// By which part of the difference a new mean moves what is known.
const BELIEF: f64 = 0.25;

/// See the module. Times are in seconds.
#[derive(Debug)]
pub(super) struct Gradient {
    tolerance: f64,
    /// What an attempt takes without company.
    alone: Option<f64>,
    /// Since the last mean.
    attempts: u64,
    time: Duration,
    /// Attempts that are yet to end which began with another number of workers.
    stale: u64,
}

/// What a mean says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slope {
    /// What an attempt takes.
    pub(super) latency: f64,
    /// What it takes without company.
    pub(super) alone: f64,
}

impl Gradient {
    pub(super) fn new(tolerance: f64) -> Self {
        Self { tolerance, alone: None, attempts: 0, time: Duration::ZERO, stale: 0 }
    }

    /// So many attempts ended that took so long together, with so many workers; `fewest`: as few as there may be. A mean, once there were
    /// enough.
    pub(super) fn observe(&mut self, attempts: u64, time: Duration, workers: usize, fewest: bool) -> Option<Slope> {
        if self.stale > 0 {
            self.stale = self.stale.saturating_sub(attempts);
            return None;
        }
        self.attempts += attempts;
        self.time += time;
        if self.attempts < ENOUGH.max(workers as u64) {
            return None;
        }
        let latency = self.mean();
        (self.attempts, self.time) = (0, Duration::ZERO);
        let alone = match self.alone {
            None => latency,
            Some(alone) if fewest || latency < alone => alone + (latency - alone) * BELIEF,
            Some(alone) => alone,
        };
        self.alone = Some(alone);
        Some(Slope { latency, alone })
    }

    /// The number of workers has changed, while at most so many attempts were under way: they say nothing of the new one.
    pub(super) fn forget(&mut self, running: usize) {
        (self.attempts, self.time, self.stale) = (0, Duration::ZERO, running as u64);
    }

    /// How many workers of `workers` would bring it back to what is tolerated; `None` where it is.
    pub(super) fn tolerated(&self, slope: Slope, workers: usize) -> Option<usize> {
        let most = slope.alone * self.tolerance;
        (slope.latency > most).then(|| {
            let fitting = workers as f64 * most / slope.latency;
            (fitting as usize).max(workers / 2).min(workers - 1).max(1)
        })
    }

    /// Whether there is room for more.
    pub(super) fn is_flat(&self, slope: Slope) -> bool {
        slope.latency <= slope.alone * f64::midpoint(1.0, self.tolerance)
    }

    fn mean(&self) -> f64 {
        self.time.as_secs_f64() / self.attempts as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn mean_is_of_ten_attempts_or_as_many_as_workers() {
        let mut gradient = Gradient::new(1.5);
        assert_eq!(gradient.observe(9, millis(90), 2, true), None);
        assert_eq!(gradient.observe(1, millis(110), 2, true), Some(Slope { latency: 0.02, alone: 0.02 }));
        assert_eq!(gradient.observe(31, millis(310), 32, true), None);
        assert!(gradient.observe(1, millis(10), 32, true).is_some());
    }

    #[test]
    fn attempts_that_ran_when_the_workers_changed_count_for_nothing() {
        let mut gradient = Gradient::new(1.5);
        gradient.observe(20, millis(200), 8, true);
        assert_eq!(gradient.observe(5, millis(50), 8, true), None);
        gradient.forget(8);
        assert_eq!(gradient.observe(7, millis(7_000), 16, false), None);
        assert_eq!(gradient.observe(1, millis(1_000), 16, false), None);
        assert_eq!(gradient.observe(15, millis(150), 16, false), None);
        assert_eq!(gradient.observe(1, millis(10), 16, false), Some(Slope { latency: 0.01, alone: 0.01 }));
    }

    #[test]
    fn more_is_believed_only_with_the_fewest_workers_and_less_always() {
        let mut gradient = Gradient::new(1.5);
        let mut alone = |time, fewest| gradient.observe(10, millis(time), 2, fewest).map(|slope| slope.alone);
        assert_eq!(alone(200, true), Some(0.02));
        assert_eq!(alone(400, false), Some(0.02));
        assert_eq!(alone(400, true), Some(0.025));
        assert_eq!(alone(50, false), Some(0.02));
    }

    #[test]
    fn what_is_beyond_the_tolerance_is_brought_back_at_most_by_half() {
        let gradient = Gradient::new(1.5);
        let at = |latency| gradient.tolerated(Slope { latency, alone: 1.0 }, 40);
        assert_eq!([at(1.0), at(1.5), at(2.0), at(10.0)], [None, None, Some(30), Some(20)]);
        let of_two = gradient.tolerated(Slope { latency: 1.6, alone: 1.0 }, 2);
        assert_eq!(of_two, Some(1));
        let flat = |latency| gradient.is_flat(Slope { latency, alone: 1.0 });
        assert_eq!([flat(0.9), flat(1.25), flat(1.3)], [true, true, false]);
    }
}
