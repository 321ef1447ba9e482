//! The watchdog: names the handlers that overstay their timeout.
//!
//! An async handler is dropped when its time is over. One that blocks its thread can't be: its future isn't polled, so nothing can end
//! it. The watchdog runs on the pipeline's own runtime and sees it from there, in each worker's [`Slot`].

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::lanes::AssignmentContext;
use super::shared::Shared;
use super::source::Progress;
use crate::record::{Record, Timestamp};

/// How often the slots and the lanes are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// What a handler may take beyond its timeout before it is named: its worker must be scheduled to see the timeout.
const GRACE: Duration = Duration::from_secs(1);

/// What one worker is at. Written by it, read by the watchdog.
#[derive(Debug)]
pub(super) struct Slot {
    origin: Instant,
    run: Mutex<Option<Arc<AssignmentContext>>>,
    /// Milliseconds since `origin`, plus 1; 0 while no attempt runs.
    since: AtomicU64,
    offset: AtomicI64,
}

impl Slot {
    pub(super) fn new(origin: Instant) -> Self {
        Self { origin, run: Mutex::new(None), since: AtomicU64::new(0), offset: AtomicI64::new(-1) }
    }

    pub(super) fn begin(&self, context: &Arc<AssignmentContext>) {
        let mut run = self.run.lock();
        if !run.as_ref().is_some_and(|known| Arc::ptr_eq(known, context)) {
            *run = Some(Arc::clone(context));
        }
    }

    pub(super) fn attempt(&self, record: &Record, now: Instant) {
        let since = u64::try_from(now.duration_since(self.origin).as_millis()).unwrap_or(u64::MAX - 1);
        self.offset.store(record.offset().0, Ordering::Relaxed);
        self.since.store(since + 1, Ordering::Release);
    }

    pub(super) fn end(&self) {
        self.since.store(0, Ordering::Release);
    }

    /// The attempt that overstays, if one does.
    fn overdue(&self, now: Instant) -> Option<Overdue> {
        let since = self.since.load(Ordering::Acquire).checked_sub(1)?;
        let offset = self.offset.load(Ordering::Relaxed);
        let context = self.run.lock().clone()?;
        let elapsed = now.duration_since(self.origin).saturating_sub(Duration::from_millis(since));
        (elapsed > context.route.settings.timeout.saturating_add(GRACE)).then_some(Overdue {
            since,
            offset,
            elapsed,
            context,
        })
    }
}

struct Overdue {
    since: u64,
    offset: i64,
    elapsed: Duration,
    context: Arc<AssignmentContext>,
}

/// Looks at every worker and at the lanes once a second, for ever.
pub(super) async fn watch<G: Progress>(shared: Arc<Shared<G>>, slots: Vec<Arc<Slot>>) {
    let mut named = vec![None; slots.len()];
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let mut overdue = 0;
        for (slot, named) in slots.iter().zip(&mut named) {
            let seen = slot.overdue(now);
            overdue += usize::from(seen.is_some());
            report(&shared.daemon, seen, named);
        }
        shared.meter.handlers_overdue(overdue);
        let census = shared.lanes().census();
        shared.meter.census(&census, now, Timestamp::now());
    }
}

/// Says once that an attempt overstays, and once that it has ended.
fn report(daemon: &str, seen: Option<Overdue>, named: &mut Option<(u64, i64)>) {
    match seen {
        Some(Overdue { since, offset, elapsed, context }) if *named != Some((since, offset)) => {
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
        }
        Some(_) => {}
        None => {
            if let Some((_, offset)) = named.take() {
                info!(daemon, offset, "handler that overstayed its timeout has ended");
            }
        }
    }
}
