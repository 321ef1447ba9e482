//! Workers: a fixed number of slots that run handlers, and turn whatever happens into one outcome.
//!
//! A worker takes a haul (a lane's next records, or those of many lanes where they take no time), drives the route's handler over it, and
//! reports: what is finished at once or a millisecond later, the rest when the haul ends. It holds the tickets; the handler never sees
//! them. Workers run on the handlers' runtime, and wake nobody there.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{self, BatchEnd};
use super::lanes::{AssignmentContext, Bench, Cargo, Complaint, Effects, Entry, Halt, Haul, Taken};
use super::meter::Attempted;
use super::outcome::{Next, Outcome, halt, judge, outcome};
use super::shared::Shared;
use super::source::Progress;
use super::ticket::{Settled, Ticket};
use super::watchdog::Slot;
use crate::handler::{Attempts, Circumstances, Delivery, Verdict, Work};
use crate::sync::wakes::{Seat, take_turns};

/// A run ends after this time, so that other lanes get their turn.
const SLICE: Duration = Duration::from_millis(10);
/// What is finished is reported after this time at the latest …
const REPORT_AFTER: Duration = Duration::from_millis(1);
/// … or when it is this many.
const REPORT_AT: usize = 64;
/// Of attempts that took less than this lately the clock is looked at once for several of them: a look takes as long as some of them do.
const FLEETING: Duration = Duration::from_micros(2);
/// For how many.
const LOOK_EACH: usize = 8;

/// Works until `stop`, then ends as soon as its run has.
pub(super) async fn work<G: Progress>(
    shared: Arc<Shared<G>>,
    slot: Arc<Slot<G::Position>>,
    seat: Seat,
    stop: CancellationToken,
    seed: u64,
) {
    let mut bench = Bench::new();
    let (mut random, mut latest) = (fastrand::Rng::with_seed(seed), Latest::default());
    let mut attempted = shared.meter.attempted();
    let mut stopped = pin!(stop.cancelled());
    let mut finished = None;
    loop {
        let mut next = exchange(&shared, &slot, finished.take(), &mut bench);
        if next.is_none() {
            let look = || exchange(&shared, &slot, None, &mut bench);
            next = shared.wakes.wait_for(seat, stopped.as_mut(), look).await;
        }
        let Some(taken) = next else { return };
        let haul = match taken {
            Taken::Haul(haul) => haul,
            Taken::Batch(batch) => {
                slot.cargo.lock().take_batch(&mut bench.entries);
                let ended = batch::run(&shared, &slot, batch, &mut bench.entries, &mut random, &mut attempted).await;
                slot.end();
                finished = Some(Finished::Batch(ended));
                take_turns().await;
                continue;
            }
        };
        let Work::Each(handler) = &haul.context.route.work else { unreachable!("a route of batches has no hauls") };
        let now = Instant::now();
        let mut shift = Shift {
            shared: &shared,
            slot: &slot,
            haul: &haul,
            bench: &mut bench,
            random: &mut random,
            latest: &mut latest,
            delivery: None,
            current: None,
            halt: None,
            complaint: None,
            began: now,
            clock: now,
            reported: now,
            ended: 0,
            unreported: 0,
            untimed: 0,
            look_each: if haul.context.is_fleeting(FLEETING) { LOOK_EACH } else { 1 },
            attempted: &mut attempted,
        };
        handler.drive(&mut shift, haul.context.route.settings.timeout).await;
        let Closed { halt, complaint, spent } = shift.close();
        slot.end();
        finished = Some(Finished::Haul { haul, halt, complaint, spent });
        take_turns().await;
    }
}

/// What a worker hands back.
enum Finished<P> {
    /// The attempts that ended, and how long they took, go with it.
    Haul {
        haul: Haul,
        halt: Option<Halt<P>>,
        /// What the circuit breaker is to hear of the attempt that failed, and when that was.
        complaint: Option<(Complaint, Instant)>,
        spent: (usize, Duration),
    },
    Batch(BatchEnd<P>),
}

/// How a haul ended.
struct Closed<P> {
    halt: Option<Halt<P>>,
    complaint: Option<(Complaint, Instant)>,
    spent: (usize, Duration),
}

/// Hands back what is finished, and takes what is next: one lock for both.
fn exchange<G: Progress>(
    shared: &Shared<G>,
    slot: &Slot<G::Position>,
    finished: Option<Finished<G::Position>>,
    bench: &mut Bench<G::Position>,
) -> Option<Taken> {
    let mut cargo = slot.cargo.lock();
    let taken = shared.change_as_worker(|lanes| {
        let effects = match finished {
            None => Effects::default(),
            Some(Finished::Haul { haul, halt, complaint, spent }) => {
                let (Bench { settled, lane, entries }, Cargo { settled: all, done, .. }) = (bench, &mut *cargo);
                all.append(settled);
                let mut effects = lanes.report(&haul, all, done);
                if let (Some((mut complaint, at)), Some(lane)) = (complaint, *lane) {
                    complaint.beside = cargo.bundled();
                    effects = effects.and(lanes.complain(lane, &haul.context, complaint, at));
                }
                let begun = lane.take().map(|lane| (lane, &mut *entries));
                effects.and(lanes.unload(haul, begun, &mut cargo, halt, spent))
            }
            Some(Finished::Batch(ended)) => ended.hand_back(lanes),
        };
        let (taken, more) = lanes.take(&mut cargo, Instant::now);
        (taken, effects.and(more))
    });
    if cargo.has_several() {
        shared.note_laden();
    }
    taken
}

/// One haul, as the handler's driver sees it.
struct Shift<'a, G: Progress> {
    shared: &'a Shared<G>,
    slot: &'a Slot<G::Position>,
    haul: &'a Haul,
    bench: &'a mut Bench<G::Position>,
    random: &'a mut fastrand::Rng,
    latest: &'a mut Latest,
    /// The record that is being tried, or that was tried last.
    delivery: Option<Delivery>,
    /// What else is known of the record that is being tried.
    current: Option<Entry<G::Position, ()>>,
    halt: Option<Halt<G::Position>>,
    complaint: Option<Complaint>,
    began: Instant,
    /// The last look at the clock: when the current attempt began, or a few before it that took no time.
    clock: Instant,
    reported: Instant,
    /// Attempts that have ended.
    ended: usize,
    /// Records that were finished since the last report.
    unreported: usize,
    /// Those of them that ended since the last look at the clock, and how many do before the next one.
    untimed: usize,
    look_each: usize,
    attempted: &'a mut Attempted,
}

/// What a worker's attempts have in common, of the assignment that its last haul was of. Its own: layers clone it for each attempt, and what all workers
/// counted up and down would be in the way of all cores.
#[derive(Default)]
struct Latest(Option<(Arc<AssignmentContext>, Circumstances)>);

impl Latest {
    fn of<G: Progress>(
        &mut self,
        context: &Arc<AssignmentContext>,
        shared: &Shared<G>,
        slot: &Slot<G::Position>,
    ) -> Circumstances {
        if let Some((known, circumstances)) = &self.0
            && Arc::ptr_eq(known, context)
        {
            return circumstances.clone();
        }
        let remains = match &context.route.work {
            Work::Each(handler) if handler.outlives_its_future() => Some(&slot.remains),
            _ => None,
        };
        let cancellation = context.circumstances.cancellation().clone();
        let new = Circumstances::new(cancellation, remains, shared.producer.as_ref());
        self.0 = Some((Arc::clone(context), new.clone()));
        new
    }
}

impl<G: Progress> Attempts for Shift<'_, G> {
    fn next(&mut self) -> Option<&Delivery> {
        let over = self.halt.is_some() || self.clock.duration_since(self.began) >= SLICE;
        if over || !self.haul.may_start() {
            return None;
        }
        let mut entry = loop {
            let entry = self.bench.begin(&self.slot.cargo)?;
            if !self.shared.skips.has(&self.shared.daemon, &entry.record) {
                break entry;
            }
            self.attempted.skipped += 1;
            self.settled(entry.settle(Ticket::pass_over));
        };
        if let Some(failure) = entry.failure.take() {
            // Decided before it came here.
            let next = Next::Letter(failure);
            self.stop_at(entry, next);
            return None;
        }
        self.slot.attempt(&entry.record, self.clock);
        let attempt = entry.failures + 1;
        let (entry, record) = entry.exchange(());
        self.current = Some(entry);
        match &mut self.delivery {
            Some(delivery) => delivery.turn_to(record, attempt),
            empty => {
                let circumstances = self.latest.of(&self.haul.context, self.shared, self.slot);
                *empty = Some(Delivery::under(record, attempt, circumstances));
            }
        }
        self.delivery.as_ref()
    }

    fn waits(&mut self) {
        self.slot.note_wait();
        if mem::take(&mut self.unreported) > 0 {
            self.shared.meter.count(self.attempted);
        }
        let Self { shared, slot, bench, .. } = self;
        slot.leave(&mut bench.settled, |cargo| shared.change_in_run(|lanes| lanes.give_back(cargo, true)));
    }

    fn ended(&mut self, verdict: Verdict) {
        self.ended += 1;
        self.untimed += 1;
        let is_plain = matches!(verdict, Verdict::Succeeded) && !self.slot.take_wait();
        if !is_plain || self.untimed >= self.look_each {
            self.look_at_clock();
        }
        let route = &self.haul.context.route.settings;
        let judged = judge(route, verdict);
        let (Some(entry), Some(delivery)) = (self.current.take(), &self.delivery) else { return };
        match outcome(route, judged, entry.failures, self.random) {
            Outcome::Done => {
                self.attempted.success += 1;
                self.settled(entry.settle(Ticket::done));
            }
            Outcome::Skip => {
                self.attempted.skipped += 1;
                self.settled(entry.settle(Ticket::skip));
            }
            Outcome::Unfinished(next) => {
                let (entry, ()) = entry.exchange(delivery.record().clone());
                self.stop_at(entry, next);
            }
        }
        if self.unreported >= REPORT_AT || self.clock.duration_since(self.reported) >= REPORT_AFTER {
            self.report();
        }
    }
}

impl<G: Progress> Shift<'_, G> {
    fn settled(&mut self, settled: (Settled<G::Position>, usize)) {
        self.unreported += 1;
        self.bench.settled.push(settled);
    }

    /// Takes the time of what has ended since the last look.
    fn look_at_clock(&mut self) {
        if self.untimed > 0 {
            let began = mem::replace(&mut self.clock, Instant::now());
            self.attempted.took_together(self.clock.duration_since(began), mem::take(&mut self.untimed));
        }
    }

    /// This record is not finished, and nothing behind it is begun.
    fn stop_at(&mut self, entry: Entry<G::Position>, next: Next) {
        let (halt, complaint) = halt(self.shared, &self.haul.context, entry, next, self.clock, self.attempted);
        (self.halt, self.complaint) = (Some(halt), complaint);
    }

    fn report(&mut self) {
        self.reported = self.clock;
        if mem::take(&mut self.unreported) > 0 {
            let mut cargo = self.slot.cargo.lock();
            let Cargo { settled, done, .. } = &mut *cargo;
            settled.append(&mut self.bench.settled);
            // With the lock: what is done comes back once.
            self.shared.change_in_run(|lanes| lanes.report(self.haul, settled, done));
        }
        self.shared.meter.count(self.attempted);
    }

    /// What is settled and not reported goes with the haul.
    fn close(mut self) -> Closed<G::Position> {
        self.look_at_clock();
        self.shared.meter.count(self.attempted);
        let complaint = self.complaint.map(|complaint| (complaint, self.clock));
        Closed { halt: self.halt, complaint, spent: (self.ended, self.clock.duration_since(self.began)) }
    }
}
