//! What daemons were at lately: a sample every two seconds, for five minutes. It is kept while somebody serves it: an API, or a fleet.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use super::roster::{Inspected, Roster};
use crate::metrics::MessageStatus;

/// Time between two samples.
const PERIOD: Duration = Duration::from_secs(2);
/// Samples that are kept.
const KEPT: usize = 151;
/// Samples that a rate is told from.
const LATELY: usize = 3;
/// Samples that one value of what is told covers: ten seconds of them.
const STEP: usize = 5;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// When samples were taken last, whoever asked for it.
    taken: Option<Instant>,
    of: HashMap<String, VecDeque<Sample>>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// Since the process began.
    handled: u64,
    retries: u64,
    letters: u64,
    /// At that time.
    lag: u64,
    running: u64,
    partitions: u64,
}

/// What a daemon was at in the last five minutes, a value for every ten seconds, the latest last. Those of several processes add up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Recent {
    /// Records that it was done with a second.
    pub(crate) rate: Vec<u64>,
    /// Records up to the ends of its partitions.
    pub(crate) lag: Vec<u64>,
    /// Handlers that ran.
    pub(crate) running: Vec<u64>,
    /// Failed attempts that were to be followed by another one, in those ten seconds.
    pub(crate) retries: Vec<u64>,
    /// Records that became dead letters in them.
    pub(crate) letters: Vec<u64>,
    /// Partitions that it had.
    pub(crate) partitions: Vec<u64>,
}

impl Recent {
    /// Adds what another process was at.
    pub(crate) fn add(&mut self, other: &Self) {
        let all = [
            (&mut self.rate, &other.rate),
            (&mut self.lag, &other.lag),
            (&mut self.running, &other.running),
            (&mut self.retries, &other.retries),
            (&mut self.letters, &other.letters),
            (&mut self.partitions, &other.partitions),
        ];
        for (to, values) in all {
            // Whoever began later has nothing to say of what was before.
            let missing = values.len().saturating_sub(to.len());
            to.splice(0..0, std::iter::repeat_n(0, missing));
            for (sum, value) in to.iter_mut().rev().zip(values.iter().rev()) {
                *sum = sum.saturating_add(*value);
            }
        }
    }
}

impl History {
    /// Takes samples, for ever.
    pub(crate) async fn record(&self, roster: &Roster) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.is_due(Instant::now()) {
                roster.inspect().iter().for_each(|daemon| self.add(&daemon.status.name, Sample::of(daemon)));
            }
        }
    }

    /// Whether it is time for samples: not where somebody else has just taken some.
    fn is_due(&self, now: Instant) -> bool {
        let taken = &mut self.0.lock().taken;
        let is_due = taken.is_none_or(|taken| now.saturating_duration_since(taken) >= PERIOD * 3 / 4);
        if is_due {
            *taken = Some(now);
        }
        is_due
    }

    fn add(&self, daemon: &str, sample: Sample) {
        let mut kept = self.0.lock();
        let samples = kept.of.entry(daemon.to_owned()).or_default();
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Records a second, lately.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn rate(&self, daemon: &str) -> f64 {
        let kept = self.0.lock();
        let Some(samples) = kept.of.get(daemon) else { return 0.0 };
        let first = samples.len().saturating_sub(LATELY + 1);
        let (Some(first), Some(last)) = (samples.get(first), samples.back()) else { return 0.0 };
        let time = last.at.saturating_duration_since(first.at).as_secs_f64();
        if time > 0.0 { last.handled.saturating_sub(first.handled) as f64 / time } else { 0.0 }
    }

    /// What it was at.
    pub(crate) fn recent(&self, daemon: &str) -> Recent {
        let kept = self.0.lock();
        let Some(samples) = kept.of.get(daemon) else { return Recent::default() };
        // From the latest backwards, so that the last value is the newest.
        let points: Vec<&Sample> = samples.iter().rev().step_by(STEP).collect();
        let steps: Vec<_> = points.iter().rev().zip(points.iter().rev().skip(1)).collect();
        let each = |value: fn(&Sample, &Sample) -> u64| steps.iter().map(|(one, next)| value(one, next)).collect();
        Recent {
            rate: each(|one, next| {
                let millis = next.at.saturating_duration_since(one.at).as_millis();
                let handled = u128::from(next.handled.saturating_sub(one.handled)) * 1_000;
                handled.checked_div(millis).and_then(|rate| u64::try_from(rate).ok()).unwrap_or(0)
            }),
            lag: each(|_, next| next.lag),
            running: each(|_, next| next.running),
            retries: each(|one, next| next.retries.saturating_sub(one.retries)),
            letters: each(|one, next| next.letters.saturating_sub(one.letters)),
            partitions: each(|_, next| next.partitions),
        }
    }
}

impl Sample {
    fn of(daemon: &Inspected) -> Self {
        let view = daemon.control.as_ref().and_then(|control| control.view());
        let partitions = view.iter().flat_map(|view| &view.partitions);
        Self {
            at: Instant::now(),
            handled: daemon.handled(),
            retries: daemon.metrics.messages.of(MessageStatus::Retried).get(),
            letters: daemon.metrics.messages.of(MessageStatus::DeadLettered).get(),
            lag: partitions.clone().filter_map(|partition| partition.lag).sum(),
            running: view.as_ref().map_or(0, |view| view.busy as u64),
            partitions: partitions.count() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Instant, handled: u64) -> Sample {
        Sample { at, handled, retries: handled / 10, letters: 0, lag: 1_000 - handled, running: 3, partitions: 4 }
    }

    #[test]
    fn rates_are_those_between_the_samples_and_only_the_latest_are_kept() {
        let (history, start) = (History::default(), Instant::now());
        assert_eq!((history.rate("orders"), history.recent("orders")), (0.0, Recent::default()));
        for (index, handled) in [(0, 0), (1, 200), (2, 200), (3, 800)] {
            history.add("orders", sample(start + PERIOD * index, handled));
        }
        assert!((history.rate("orders") - 800.0 / 6.0).abs() < 1e-9);
        assert_eq!(history.recent("orders").rate, [0; 0], "ten seconds aren't over");
        for (index, handled) in [(4, 850), (5, 900)] {
            history.add("orders", sample(start + PERIOD * index, handled));
        }
        let recent = history.recent("orders");
        assert_eq!((&recent.rate[..], &recent.lag[..], &recent.retries[..]), (&[90][..], &[100][..], &[90][..]));
        (0..KEPT * 2).for_each(|_| history.add("orders", sample(start + PERIOD * 9, 900)));
        assert_eq!(history.recent("orders").rate.len(), 30);
    }

    #[test]
    fn what_several_processes_were_at_adds_up_from_the_latest_value_backwards() {
        let of = |rate: &[u64]| Recent { rate: rate.to_vec(), ..Recent::default() };
        let mut all = of(&[5]);
        all.add(&of(&[1, 2, 3]));
        all.add(&of(&[]));
        all.add(&of(&[10, 10]));
        assert_eq!(all.rate, [1, 12, 18]);
    }

    #[test]
    fn whoever_serves_it_takes_samples_and_two_that_do_take_no_more() {
        let (history, start) = (History::default(), Instant::now());
        let due = [0, 1_000, 1_999, 3_000, 3_998].map(|at| history.is_due(start + Duration::from_millis(at)));
        assert_eq!(due, [true, false, true, false, true]);
    }
}
