//! What was handled lately: a sample every two seconds, for five minutes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::supervisor::Roster;

/// Time between two samples.
const PERIOD: Duration = Duration::from_secs(2);
/// Samples that are kept.
const KEPT: usize = 150;
/// Samples that a rate is told from.
const LATELY: usize = 3;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<HashMap<String, VecDeque<Sample>>>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// Records that were done with, since the process began.
    handled: u64,
}

impl History {
    /// Takes samples, for ever.
    pub(super) async fn record(&self, roster: &Roster) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            for daemon in roster.inspect() {
                self.add(&daemon.status.name, Sample { at: Instant::now(), handled: daemon.handled() });
            }
        }
    }

    fn add(&self, daemon: &str, sample: Sample) {
        let mut all = self.0.lock();
        let samples = all.entry(daemon.to_owned()).or_default();
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Records a second, lately.
    pub(super) fn rate(&self, daemon: &str) -> f64 {
        let all = self.0.lock();
        let Some(samples) = all.get(daemon) else { return 0.0 };
        let first = samples.len().saturating_sub(LATELY + 1);
        match (samples.get(first), samples.back()) {
            (Some(first), Some(last)) => rate(*first, *last),
            _ => 0.0,
        }
    }

    /// Records a second, from sample to sample, the latest last.
    pub(super) fn rates(&self, daemon: &str) -> Vec<f64> {
        let all = self.0.lock();
        let samples = all.get(daemon).into_iter().flatten();
        samples.clone().zip(samples.skip(1)).map(|(one, next)| rate(*one, *next)).collect()
    }
}

#[allow(clippy::cast_precision_loss)]
fn rate(one: Sample, next: Sample) -> f64 {
    let time = next.at.saturating_duration_since(one.at).as_secs_f64();
    if time > 0.0 { next.handled.saturating_sub(one.handled) as f64 / time } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_between_the_samples_and_only_the_latest_are_kept() {
        let (history, start) = (History::default(), Instant::now());
        assert_eq!((history.rate("orders"), history.rates("orders")), (0.0, Vec::new()));
        for (index, handled) in [(0, 0), (1, 200), (2, 200), (3, 800)] {
            history.add("orders", Sample { at: start + PERIOD * index, handled });
        }
        assert_eq!(history.rates("orders"), [100.0, 0.0, 300.0]);
        assert!((history.rate("orders") - 800.0 / 6.0).abs() < 1e-9);
        (0..KEPT * 2).for_each(|_| history.add("orders", Sample { at: start + PERIOD * 9, handled: 900 }));
        assert_eq!(history.rates("orders").len(), KEPT - 1);
    }
}
