//! The scaler: sees ten times a second what there is to do, has the controller decide once a second, and does it.
//!
//! It is the owner of the number of workers. It only looks, under the lanes' lock for a moment: what workers do costs them nothing more for
//! it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::info;

use super::super::lanes::Demands;
use super::super::shared::Shared;
use super::super::source::Progress;
use super::controller::{Controller, Sample, Verdict};
use crate::metrics::{Label, ScalingDirection, ScalingReason};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// After how many looks it decides.
const LOOKS: u32 = 10;
/// A reason that stands for so many decisions is told.
const LASTING: u32 = 10;

/// Scales, for ever.
pub(in crate::pipeline) async fn scale<G: Progress>(shared: Arc<Shared<G>>, mut controller: Controller) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = Looks::default();
    let mut before = shared.meter.attempts();
    let mut told = Told::default();
    loop {
        ticks.tick().await;
        looks.add(&shared.lanes().demands());
        if looks.count < LOOKS {
            continue;
        }
        if looks.is_fixed {
            // It goes on from where it was, once nobody says how many there are to be.
            looks = Looks::default();
            before = shared.meter.attempts();
            continue;
        }
        let now = shared.meter.attempts();
        let attempts = (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1));
        before = now;
        let sample = std::mem::take(&mut looks).sample(attempts);
        let (workers, verdict) = (controller.workers(), controller.decide(&sample, LOOK * LOOKS));
        if verdict.workers != workers {
            shared.change(|lanes| lanes.set_workers(verdict.workers));
        }
        shared.meter.scaled(&verdict);
        told.tell(&shared.daemon, workers, &sample, &verdict);
    }
}

/// What was seen since the last decision, summed up.
#[derive(Debug, Default)]
struct Looks {
    count: u32,
    used: f64,
    busy: usize,
    peak: usize,
    waiting: usize,
    limited: bool,
    is_fixed: bool,
}

impl Looks {
    fn add(&mut self, demands: &Demands) {
        self.count += 1;
        self.used += if demands.held_back {
            1.0
        } else {
            let share = |part: usize, whole: usize| part as f64 / whole as f64;
            let (queued, capacity) = (demands.queued, demands.capacity);
            share(queued.records, capacity.records).max(share(queued.bytes, capacity.bytes)).min(1.0)
        };
        self.busy += demands.busy;
        self.peak = self.peak.max(demands.busy);
        self.waiting += demands.waiting;
        self.limited |= !demands.may_start;
        self.is_fixed |= demands.fixed;
    }

    fn sample(self, (attempts, time): (u64, Duration)) -> Sample {
        let mean = |sum: f64| sum / f64::from(self.count.max(1));
        Sample {
            used: mean(self.used),
            busy: mean(self.busy as f64),
            peak: self.peak,
            waiting: mean(self.waiting as f64),
            limited: self.limited,
            attempts,
            time,
        }
    }
}

/// What was said of it in the log.
#[derive(Debug, Default)]
struct Told {
    reason: Option<ScalingReason>,
    /// For how many decisions the reason has stood.
    stands: u32,
    /// The reason that was given last for a number that stays.
    given: Option<ScalingReason>,
}

impl Told {
    /// A change is told at once; why there is none, once that has stood for a while.
    fn tell(&mut self, daemon: &str, before: usize, sample: &Sample, verdict: &Verdict) {
        let &Verdict { direction, reason, workers, slope } = verdict;
        self.stands = if self.reason.replace(reason) == Some(reason) { self.stands + 1 } else { 1 };
        let is_change = direction != ScalingDirection::Hold;
        if !is_change && (self.stands < LASTING || self.given == Some(reason)) {
            return;
        }
        self.given = (!is_change).then_some(reason);
        let (latency, alone) = (slope.map(|slope| slope.latency), slope.map(|slope| slope.alone));
        info!(
            daemon,
            direction = direction.value(),
            reason = reason.value(),
            workers,
            before,
            used = tenths(sample.used * 100.0),
            busy = tenths(sample.busy),
            waiting = tenths(sample.waiting),
            latency_ms = latency.map(|seconds| tenths(seconds * 1_000.0)),
            alone_ms = alone.map(|seconds| tenths(seconds * 1_000.0)),
            "number of workers decided"
        );
    }
}

/// To one digit behind the point.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
