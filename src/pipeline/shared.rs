//! The lanes under their lock, and who is told when they change.
//!
//! The lock is held for one call of the lanes at a time, never across an `.await`. Tasks that wait do so on a [`Notify`] each, and workers as
//! [`Wakes`] says.

use std::fmt;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::PipelineError;
use super::control::Past;
use super::lanes::{BreakerChange, BreakerNews, Effects, Lanes, Limits};
use super::meter::Meter;
use super::pressure::{Pressure, PressureLog};
use super::skips::Skips;
use super::source::Progress;
use crate::metrics::RebalanceKind;
use crate::producer::Producer;
use crate::sync::flag::Flag;
use crate::sync::wakes::Wakes;

pub(super) struct Shared<G: Progress> {
    lanes: Mutex<Lanes<G>>,
    pub(super) daemon: String,
    pub(super) meter: Meter,
    pub(super) past: Past,
    pressure: Mutex<PressureLog>,
    /// Records that are passed over.
    pub(super) skips: Skips,
    /// What handlers write with.
    pub(super) producer: Option<Producer>,
    /// A lane is ready: for the workers. A retry is due earlier, or workers are to be woken: for the dispatcher.
    pub(super) wakes: Wakes,
    /// There may be room: for the reader.
    pub(super) room: Notify,
    /// For the dead-letter stage.
    pub(super) letters: Notify,
    /// A worker may have taken more than it has begun: the dispatcher looks after it.
    laden: Flag,
    /// Something on its way out is drained: for the drains.
    pub(super) drained: Notify,
    /// Enough is finished: for the committer.
    pub(super) commit: Notify,
    /// Why the daemon must stop, if it must: for the reader.
    failure: Mutex<Option<PipelineError>>,
    pub(super) failed: Notify,
}

impl<G: Progress> Shared<G> {
    pub(super) fn new(daemon: String, limits: Limits, meter: Meter, producer: Option<Producer>, past: Past) -> Self {
        Self {
            lanes: Mutex::new(Lanes::new(limits, Instant::now())),
            daemon,
            meter,
            past,
            pressure: Mutex::default(),
            skips: Skips::default(),
            producer,
            wakes: Wakes::new(),
            room: Notify::new(),
            letters: Notify::new(),
            laden: Flag::new(),
            drained: Notify::new(),
            commit: Notify::new(),
            failure: Mutex::new(None),
            failed: Notify::new(),
        }
    }

    /// The lanes, to look at, or for a call without effects.
    pub(super) fn lanes(&self) -> MutexGuard<'_, Lanes<G>> {
        self.lanes.lock()
    }

    /// Makes the daemon stop for this reason, unless it does for another already.
    pub(super) fn fail(&self, error: PipelineError) {
        self.failure.lock().get_or_insert(error);
        self.failed.notify_one();
    }

    /// So many partitions came, or went.
    pub(super) fn rebalanced(&self, kind: RebalanceKind, partitions: usize) {
        self.meter.rebalanced(kind);
        self.past.rebalances.note(kind, partitions);
    }

    /// Why it must stop, if somebody said so.
    pub(super) fn failure(&self) -> Option<PipelineError> {
        self.failure.lock().clone()
    }

    /// A change made by one of the pipeline's own tasks.
    pub(super) fn change(&self, change: impl FnOnce(&mut Lanes<G>) -> Effects) {
        let (idle, effects) = self.apply(|lanes| {
            let effects = change(lanes);
            (lanes.idle(), effects)
        });
        self.wakes.wake(effects.ready.min(idle));
        if effects.timer {
            self.wakes.call();
        }
    }

    /// A change made by a worker, which goes on to take the next run itself.
    pub(super) fn change_as_worker<R>(&self, change: impl FnOnce(&mut Lanes<G>) -> (R, Effects)) -> R {
        let (answer, effects) = self.apply(change);
        if effects.timer || effects.ready > 1 {
            self.wakes.call();
        }
        answer
    }

    /// A change made by a worker in the middle of its run, which may yet be long: what it makes ready is for the others.
    pub(super) fn change_in_run(&self, change: impl FnOnce(&mut Lanes<G>) -> Effects) {
        let ((), effects) = self.apply(|lanes| ((), change(lanes)));
        if effects.timer || effects.ready > 0 {
            self.wakes.call();
        }
    }

    /// A worker has taken more than it can begin at once.
    pub(super) fn note_laden(&self) {
        if self.laden.raise() {
            self.wakes.call();
        }
    }

    /// Whether one has since the last look.
    pub(super) fn was_laden(&self) -> bool {
        self.laden.take()
    }

    /// Wakes as many workers as could take something.
    pub(super) fn wake_idle(&self) {
        let wanted = self.lanes().wanted();
        self.wakes.wake(wanted);
    }

    fn apply<R>(&self, change: impl FnOnce(&mut Lanes<G>) -> (R, Effects)) -> (R, Effects) {
        let mut lanes = self.lanes.lock();
        let (answer, effects) = change(&mut lanes);
        let effects = lanes.told(effects);
        let passed = if effects.passed { lanes.take_passed() } else { Vec::new() };
        let pressure = effects.pressure.and_then(|pressed| {
            self.meter.backpressure(pressed);
            let say = self.pressure.lock().changed(pressed, Instant::now())?;
            lanes.largest().map(|(place, load)| (say, place.clone(), load))
        });
        let news = if effects.breakers { lanes.take_news() } else { Vec::new() };
        drop(lanes);
        for news in &news {
            self.meter.breaker(&news.route.of, &news.change);
            tell(&self.daemon, news);
        }
        if let Some((say, place, load)) = pressure {
            let (topic, partition, daemon) = (place.topic.as_str(), place.partition.0, self.daemon.as_str());
            let (queued, bytes) = (load.records, load.bytes);
            match say {
                Pressure::Began { times } => warn!(
                    daemon,
                    topic,
                    partition,
                    queued,
                    bytes,
                    times,
                    "queue nearly full, fetching is held back; this partition contributes most"
                ),
                Pressure::Ended { after } => {
                    info!(daemon, topic, partition, queued, bytes, ?after, "queue has room again, fetching goes on")
                }
            }
        }
        for place in passed {
            let (topic, partition, daemon) = (place.topic.as_str(), place.partition.0, self.daemon.as_str());
            warn!(daemon, topic, partition, "partition has passed its probation");
        }
        if effects.unwanted > 0 {
            self.meter.unwanted(effects.unwanted);
        }
        if effects.room {
            self.room.notify_one();
        }
        if effects.letters {
            self.letters.notify_one();
        }
        if effects.commit {
            self.commit.notify_one();
        }
        if effects.drained {
            self.drained.notify_waiters();
        }
        (answer, effects)
    }
}

/// Says what became of a route's circuit breaker, and why.
fn tell(daemon: &str, BreakerNews { route, change }: &BreakerNews) {
    let (topic, now) = (route.of.as_str(), Instant::now());
    match change {
        BreakerChange::Opened(grounds, until) => warn!(
            daemon,
            topic,
            attempts = grounds.attempts,
            keys = grounds.keys,
            failed = grounds.failed,
            window = ?grounds.window,
            error = grounds.error,
            open = ?until.saturating_duration_since(now),
            "circuit breaker opened: whatever the record, its handler fails; nothing of the route is started"
        ),
        BreakerChange::StaysOpen(error, until) => info!(
            daemon,
            topic,
            error,
            open = ?until.saturating_duration_since(now),
            "circuit breaker stays open, the record that was tried failed"
        ),
        BreakerChange::HalfOpen => debug!(daemon, topic, "circuit breaker half-open, one record is tried"),
        BreakerChange::Closed(since) => info!(
            daemon,
            topic,
            open = ?now.saturating_duration_since(*since),
            "circuit breaker closed, a record was handled"
        ),
    }
}

impl<G: Progress> fmt::Debug for Shared<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("daemon", &self.daemon).finish_non_exhaustive()
    }
}
