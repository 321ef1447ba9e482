//! Workers: a fixed number of slots that run handlers, and turn whatever happens into one outcome.
//!
//! A worker takes a run (a lane's next records), drives the route's handler over it, and reports: what is finished at once or a
//! millisecond later, the rest when the run ends. It holds the tickets; the handler never sees them. Workers run on the
//! handlers' runtime, and wake nobody there.

use std::collections::VecDeque;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{self, BatchEnd};
use super::lanes::{Effects, Entry, Halt, Run, Taken};
use super::meter::Attempted;
use super::outcome::{Next, Outcome, halt, judge, outcome};
use super::shared::Shared;
use super::source::Progress;
use super::ticket::Settled;
use super::watchdog::Slot;
use crate::handler::{Attempts, Delivery, Verdict, Work};
use crate::record::Record;

/// A run ends after this time, so that other lanes get their turn.
const SLICE: Duration = Duration::from_millis(10);
/// What is finished is reported after this time at the latest …
const REPORT_AFTER: Duration = Duration::from_millis(1);
/// … or when it is this many.
const REPORT_AT: usize = 64;

/// Works until `stop`, then ends as soon as its run has.
pub(super) async fn work<G: Progress>(shared: Arc<Shared<G>>, slot: Arc<Slot>, stop: CancellationToken, seed: u64) {
    let mut entries = VecDeque::new();
    let mut settled = Vec::with_capacity(REPORT_AT);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut attempted = shared.meter.attempted();
    let mut stopped = pin!(stop.cancelled());
    let mut finished = None;
    loop {
        let mut next = exchange(&shared, finished.take(), &mut settled, &mut entries);
        if next.is_none() {
            let mut ready = pin!(shared.ready.notified());
            // Registered before another look, so that a lane that became ready in between is not missed.
            ready.as_mut().enable();
            next = exchange(&shared, None, &mut settled, &mut entries);
            if next.is_none() {
                tokio::select! {
                    biased;
                    () = stopped.as_mut() => return,
                    () = ready => {}
                }
            }
        }
        let Some(taken) = next else { continue };
        let run = match taken {
            Taken::Run(run) => run,
            Taken::Batch(batch) => {
                let ended = batch::run(&shared, &slot, batch, &mut entries, &mut random, &mut attempted).await;
                slot.end();
                finished = Some(Finished::Batch(ended));
                tokio::task::coop::consume_budget().await;
                continue;
            }
        };
        slot.begin(&run.context);
        let route = Arc::clone(&run.context.route);
        let Work::Each(handler) = &route.work else { unreachable!("a route of batches has no runs") };
        let now = Instant::now();
        let mut shift = Shift {
            shared: &shared,
            slot: &slot,
            run: &run,
            entries: &mut entries,
            settled: &mut settled,
            random: &mut random,
            delivery: None,
            current: None,
            halt: None,
            began: now,
            clock: now,
            reported: now,
            attempted: &mut attempted,
        };
        handler.drive(&mut shift, route.settings.timeout).await;
        let halt = shift.close();
        slot.end();
        finished = Some(Finished::Run(run, halt));
        // Handlers that never wait would otherwise keep the thread for ever.
        tokio::task::coop::consume_budget().await;
    }
}

/// What a worker hands back.
enum Finished<P> {
    Run(Run, Option<Halt<P>>),
    Batch(BatchEnd<P>),
}

/// Hands back what is finished, and takes what is next: one lock for both.
fn exchange<G: Progress>(
    shared: &Shared<G>,
    finished: Option<Finished<G::Position>>,
    settled: &mut Vec<(Settled<G::Position>, usize)>,
    entries: &mut VecDeque<Entry<G::Position>>,
) -> Option<Taken> {
    shared.change_as_worker(|lanes| {
        let effects = match finished {
            None => Effects::default(),
            Some(Finished::Run(run, halt)) => lanes.settle(&run, settled).and(lanes.finish(run, entries, halt)),
            Some(Finished::Batch(ended)) => ended.hand_back(lanes),
        };
        let (taken, more) = lanes.take(entries, Instant::now);
        (taken, effects.and(more))
    })
}

/// One run, as the handler's driver sees it.
struct Shift<'a, G: Progress> {
    shared: &'a Shared<G>,
    slot: &'a Slot,
    run: &'a Run,
    entries: &'a mut VecDeque<Entry<G::Position>>,
    settled: &'a mut Vec<(Settled<G::Position>, usize)>,
    random: &'a mut fastrand::Rng,
    /// The record that is being tried, or that was tried last.
    delivery: Option<Delivery>,
    /// What else is known of the record that is being tried.
    current: Option<Entry<G::Position, ()>>,
    halt: Option<Halt<G::Position>>,
    began: Instant,
    /// The last look at the clock: when the current attempt began.
    clock: Instant,
    reported: Instant,
    attempted: &'a mut Attempted,
}

/// The first delivery of a run.
fn delivery<G: Progress>(shared: &Shared<G>, slot: &Slot, run: &Run, record: Record, attempt: u32) -> Delivery {
    let delivery = Delivery::cancelled_by(record, attempt, run.context.gone.clone());
    let delivery = match &run.context.route.work {
        Work::Each(handler) if handler.outlives_its_future() => delivery.counted_by(&slot.remains),
        _ => delivery,
    };
    match &shared.producer {
        Some(producer) => delivery.producing_with(producer.clone()),
        None => delivery,
    }
}

impl<G: Progress> Attempts for Shift<'_, G> {
    fn next(&mut self) -> Option<&Delivery> {
        let over = self.halt.is_some() || self.clock.duration_since(self.began) >= SLICE;
        if over || self.run.context.is_released() {
            return None;
        }
        let mut entry = self.entries.pop_front()?;
        if let Some(failure) = entry.failure.take() {
            // Decided before it came here.
            let next = Next::Letter(failure);
            self.halt = Some(halt(self.shared, &self.run.context, entry, next, self.clock, self.attempted));
            return None;
        }
        self.slot.attempt(&entry.record, self.clock);
        let attempt = entry.failures + 1;
        let (entry, record) = entry.exchange(());
        self.current = Some(entry);
        // The token is cloned once a run: its count is shared by all that work on the partition.
        match &mut self.delivery {
            Some(delivery) => delivery.turn_to(record, attempt),
            empty => *empty = Some(delivery(self.shared, self.slot, self.run, record, attempt)),
        }
        self.delivery.as_ref()
    }

    fn ended(&mut self, verdict: Verdict) {
        let began = mem::replace(&mut self.clock, Instant::now());
        self.attempted.took(self.clock.duration_since(began));
        let route = &self.run.context.route.settings;
        let judged = judge(route, verdict);
        let (Some(entry), Some(delivery)) = (self.current.take(), &self.delivery) else { return };
        match outcome(route, judged, entry.failures, self.random) {
            Outcome::Done => {
                self.attempted.success += 1;
                self.settled.push((entry.ticket.done(), entry.bytes));
            }
            Outcome::Skip => {
                self.attempted.skipped += 1;
                self.settled.push((entry.ticket.skip(), entry.bytes));
            }
            Outcome::Unfinished(next) => {
                let (entry, ()) = entry.exchange(delivery.record().clone());
                self.halt = Some(halt(self.shared, &self.run.context, entry, next, self.clock, self.attempted));
            }
        }
        if self.settled.len() >= REPORT_AT || self.clock.duration_since(self.reported) >= REPORT_AFTER {
            self.report();
        }
    }
}

impl<G: Progress> Shift<'_, G> {
    fn report(&mut self) {
        self.reported = self.clock;
        if !self.settled.is_empty() {
            self.shared.change_in_run(|lanes| lanes.settle(self.run, self.settled));
        }
        self.shared.meter.count(self.attempted);
    }

    /// What is settled and not reported goes with the run.
    fn close(self) -> Option<Halt<G::Position>> {
        self.shared.meter.count(self.attempted);
        self.halt
    }
}
