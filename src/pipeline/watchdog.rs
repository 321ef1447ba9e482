//! The watchdog: names the handlers that overstay their timeout.
//!
//! An async handler is dropped when its time is over. One that blocks its thread can't be: its future isn't polled, so nothing can end
//! it. The watchdog runs on the pipeline's own runtime and sees it from there, in each worker's [`Slot`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::PipelineError;
use super::control::Shown;
use super::lanes::{AssignmentContext, Cargo};
use super::reader::Beat;
use super::shared::Shared;
use super::source::Progress;
use super::stall::{Stall, Stalls, sights};
use super::ticket::Settled;
use super::view::{AttemptView, Seen, View};
use crate::record::{Offset, Record, Timestamp, TopicPartition};

/// How often the slots and the lanes are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// What a handler may take beyond its timeout before it is named: its worker must be scheduled to see the timeout.
const GRACE: Duration = Duration::from_secs(1);

/// What one worker is at. Written by it; read by the watchdog, and by whoever takes back what it can't begin.
#[derive(Debug)]
pub(super) struct Slot<P> {
    origin: Instant,
    /// Milliseconds since `origin`, plus 1; 0 while no attempt runs.
    since: AtomicU64,
    offset: AtomicI64,
    /// The attempt that it is at had to wait.
    waited: AtomicBool,
    /// What it has taken and not begun. Whoever has this lock may take that of the lanes, and not the other way round.
    pub(super) cargo: Mutex<Cargo<P>>,
    /// Counts what goes on of an attempt whose future has ended or was dropped. The worker waits for it before the next attempt; whoever has
    /// dropped the worker finds it here.
    pub(super) remains: TaskTracker,
}

impl<P> Slot<P> {
    pub(super) fn new(origin: Instant) -> Self {
        let (cargo, remains) = (Mutex::new(Cargo::default()), TaskTracker::new());
        let (since, offset, waited) = (AtomicU64::new(0), AtomicI64::new(-1), AtomicBool::new(false));
        Self { origin, since, offset, waited, cargo, remains }
    }

    pub(super) fn attempt(&self, record: &Record, now: Instant) {
        let since = u64::try_from(now.duration_since(self.origin).as_millis()).unwrap_or(u64::MAX - 1);
        self.offset.store(record.offset().0, Ordering::Relaxed);
        self.since.store(since + 1, Ordering::Release);
    }

    /// The attempt waits, or takes long.
    pub(super) fn note_wait(&self) {
        self.waited.store(true, Ordering::Relaxed);
    }

    /// Whether it has waited. Asked once, when it has ended.
    pub(super) fn take_wait(&self) -> bool {
        let waited = self.waited.load(Ordering::Relaxed);
        if waited {
            self.waited.store(false, Ordering::Relaxed);
        }
        waited
    }

    pub(super) fn end(&self) {
        self.since.store(0, Ordering::Release);
    }

    /// The attempt that runs, if one does.
    fn attempting(&self, now: Instant) -> Option<Attempting> {
        let since = self.since.load(Ordering::Acquire).checked_sub(1)?;
        let offset = self.offset.load(Ordering::Relaxed);
        let context = self.cargo.lock().context.clone()?;
        Some(Attempting { since, offset, elapsed: self.elapsed(since, now), context })
    }

    fn elapsed(&self, since: u64, now: Instant) -> Duration {
        now.duration_since(self.origin).saturating_sub(Duration::from_millis(since))
    }

    /// Takes back what its worker has not begun, and what it is done with, since the handler that is begun takes its time, and gives it to `back`.
    /// Until that is done the worker goes on with nothing: a lane that it has begun must not come back before what is left of it.
    pub(super) fn take_back(&self, back: impl FnOnce(Cargo<P>)) {
        take_back(&mut self.cargo.lock(), back);
    }

    /// The same by its worker, which has finished these since it began the lane.
    pub(super) fn leave(&self, settled: &mut Vec<(Settled<P>, usize)>, back: impl FnOnce(Cargo<P>)) {
        let mut cargo = self.cargo.lock();
        cargo.settled.append(settled);
        take_back(&mut cargo, back);
    }

    /// Whether it is at an attempt for so long already.
    pub(super) fn is_at_it(&self, time: Duration, now: Instant) -> bool {
        let since = self.since.load(Ordering::Acquire).checked_sub(1);
        since.is_some_and(|since| self.elapsed(since, now) >= time)
    }
}

fn take_back<P>(cargo: &mut Cargo<P>, back: impl FnOnce(Cargo<P>)) {
    if cargo.is_empty() {
        return;
    }
    if let Some(context) = cargo.context.as_ref().filter(|_| cargo.has_lanes()) {
        context.takes_its_time();
    }
    back(cargo.take());
}

/// Where the watchdog shows what it sees.
pub(super) struct Show {
    pub(super) control: Shown,
    pub(super) queue_capacity: usize,
}

struct Attempting {
    since: u64,
    offset: i64,
    elapsed: Duration,
    context: Arc<AssignmentContext>,
}

impl Attempting {
    fn view(&self, worker: usize) -> AttemptView {
        let settings = &self.context.route.settings;
        AttemptView {
            worker,
            topic_partition: self.context.topic_partition.clone(),
            offset: Offset(self.offset),
            handler: settings.name,
            runs: self.elapsed,
            timeout: settings.timeout,
            overdue: self.is_overdue(),
        }
    }

    fn is_overdue(&self) -> bool {
        self.elapsed > self.context.route.settings.timeout.saturating_add(GRACE)
    }
}

/// Looks at every worker and at the lanes once a second, for ever. A partition that stalls for `stall_after` is told to the probes, and ends the
/// pipeline after as long again, unless a letter of it is missing.
pub(super) async fn watch<G: Progress>(
    shared: Arc<Shared<G>>,
    slots: Vec<Arc<Slot<G::Position>>>,
    stall_after: Duration,
    beat: Arc<dyn Fn(Beat) + Send + Sync>,
    show: Show,
) {
    let (mut stalls, mut told) = (Stalls::new(stall_after), Vec::new());
    let mut named = vec![None; slots.len()];
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let (mut overdue, mut new, mut at_work, mut attempts) = (0, 0, Vec::new(), Vec::new());
        for (worker, (slot, named)) in slots.iter().zip(&mut named).enumerate() {
            let (late, in_time) = match slot.attempting(now) {
                Some(attempt) if attempt.is_overdue() => (Some(attempt), None),
                attempt => (None, attempt),
            };
            overdue += usize::from(late.is_some());
            if late.iter().chain(&in_time).any(|attempt| attempt.elapsed >= PERIOD) {
                // Its worker looks at the clock for several at once, unless it knows better.
                slot.note_wait();
            }
            attempts.extend(late.iter().chain(&in_time).map(|attempt| attempt.view(worker)));
            at_work.extend(in_time.map(|attempt| attempt.context));
            new += u64::from(report(&shared.daemon, late, named));
        }
        shared.meter.handlers_overdue(overdue, new);
        let census = shared.lanes().census();
        let clock = Timestamp::now();
        let behind = shared.meter.census(&census, now, clock);
        let at_work: Vec<&AssignmentContext> = at_work.iter().map(Arc::as_ref).collect();
        let found = stalls.look(sights(&census, &at_work, now), now);
        tell(&shared.daemon, &found, &mut told, &*beat);
        shared.meter.stalled(&told);
        let seen = Seen { now, clock, queue_capacity: show.queue_capacity, behind: &behind };
        show.control.show(View::of(&census, attempts, &found, seen));
        let lasting = found.iter().find(|stall| !stall.for_letter && stall.time >= stall_after.saturating_mul(2));
        if let Some(stall) = lasting {
            shared.fail(PipelineError::Stalled { reason: stall.to_string(), moved: stall.moved });
        }
    }
}

/// Says of which partitions nothing is done any more though records wait, where these are others than were told, and of which something is again.
fn tell(daemon: &str, stalls: &[Stall], told: &mut Vec<TopicPartition>, beat: &(dyn Fn(Beat) + Send + Sync)) {
    let mut now: Vec<TopicPartition> = stalls.iter().map(|stall| stall.topic_partition.clone()).collect();
    now.sort();
    if now == *told {
        return;
    }
    for stall in stalls.iter().filter(|stall| !told.contains(&stall.topic_partition)) {
        let Stall { topic_partition, time, records, for_letter, .. } = stall;
        let (topic, partition) = (topic_partition.topic.as_str(), topic_partition.partition.0);
        error!(
            daemon,
            topic,
            partition,
            ?time,
            records,
            for_letter,
            "nothing of the partition is processed though records wait"
        );
    }
    for place in told.iter().filter(|place| !now.contains(place)) {
        let (topic, partition) = (place.topic.as_str(), place.partition.0);
        info!(daemon, topic, partition, "records of the partition are processed again, or none wait");
    }
    beat(match stalls {
        [] => Beat::Flowing,
        [first] => Beat::Stalled(first.to_string()),
        [first, others @ ..] => Beat::Stalled(format!("{first}; other partitions that stall: {}", others.len())),
    });
    *told = now;
}

/// Says once that an attempt overstays, and once that it has ended. Whether it is the first to say so.
fn report(daemon: &str, seen: Option<Attempting>, named: &mut Option<(u64, i64)>) -> bool {
    match seen {
        Some(Attempting { since, offset, elapsed, context }) if *named != Some((since, offset)) => {
            let (topic, partition) = (context.topic_partition.topic.as_str(), context.topic_partition.partition.0);
            warn!(
                daemon,
                topic,
                partition,
                offset,
                handler = context.route.settings.name,
                ?elapsed,
                "handler overstays its timeout, it may block its thread; other lanes go on"
            );
            *named = Some((since, offset));
            return true;
        }
        Some(_) => {}
        None => {
            if let Some((_, offset)) = named.take() {
                info!(daemon, offset, "handler that overstayed its timeout has ended");
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::lanes::laden;

    #[test]
    fn its_worker_goes_on_with_nothing_until_what_it_has_not_begun_is_back() {
        let slot: Slot<Offset> = Slot::new(Instant::now());
        slot.take_back(|_| panic!("there is nothing to take"));
        *slot.cargo.lock() = laden();
        let mut taken = 0;
        slot.take_back(|cargo| {
            assert!(slot.cargo.try_lock().is_none(), "its worker could hand back the lane that this is of");
            taken += usize::from(!cargo.is_empty());
        });
        assert_eq!((taken, slot.cargo.lock().is_empty()), (1, true));
    }
}
