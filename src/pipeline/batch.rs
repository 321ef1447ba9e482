//! Batches: several lanes whose records a worker has handled together.
//!
//! A batch ends lane by lane as a run does: the records before the first that failed are finished, that one is retried or becomes a dead
//! letter, and those behind it go back to their lane. One that failed as a whole says nothing of its records: each is tried by itself.

use std::iter::repeat_n;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use anyhow::anyhow;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select_all};
use tokio::time::{Instant, timeout};

use super::lanes::{BatchRun, Complaint, Effects, Entry, Halt, Lanes, Queue, Run};
use super::meter::Attempted;
use super::outcome::{Judged, Next, Outcome, alone, halt, judge, outcome};
use super::shared::Shared;
use super::source::Progress;
use super::ticket::{Settled, Ticket};
use super::watchdog::Slot;
use crate::handler::extract::Cancellation;
use crate::handler::{BatchContext, BatchResult, Delivery, HandlerError, RouteSettings, Verdict, Work};
use crate::panic;

/// A batch that was handled.
pub(super) struct BatchEnd<P> {
    batch: BatchRun,
    parts: Vec<Part<P>>,
    ended: Instant,
}

/// One lane's part of it.
struct Part<P> {
    run: Run,
    /// In the batch, and not looked at again yet.
    tried: Queue<Entry<P>>,
    /// Behind them, one that could not be added to the batch.
    refused: Option<(Entry<P>, Next)>,
    settled: Vec<(Settled<P>, usize)>,
    /// What goes back to the lane, in its order.
    unstarted: Queue<Entry<P>>,
    halt: Option<Halt<P>>,
    /// What the circuit breaker is to hear of it.
    complaint: Option<Complaint>,
}

impl<P: Copy> BatchEnd<P> {
    /// Hands its runs back, one after the other.
    pub(super) fn hand_back<G: Progress<Position = P>>(self, lanes: &mut Lanes<G>) -> Effects {
        let mut effects = Effects::default();
        for Part { run, mut settled, mut unstarted, halt, complaint, .. } in self.parts {
            effects = effects.and(lanes.settle(&run, &mut settled));
            if let Some(complaint) = complaint {
                effects = effects.and(lanes.complain(run.lane(), &run.context, complaint, self.ended));
            }
            effects = effects.and(lanes.finish(run, &mut unstarted, halt));
        }
        effects.and(lanes.finish_batch(self.batch))
    }
}

/// Runs the route's handler over a batch, to its end.
pub(super) async fn run<G: Progress>(
    shared: &Shared<G>,
    slot: &Slot<G::Position>,
    mut batch: BatchRun,
    entries: &mut Queue<Entry<G::Position>>,
    random: &mut fastrand::Rng,
    attempted: &mut Attempted,
) -> BatchEnd<G::Position> {
    let runs = std::mem::take(&mut batch.parts);
    let Some(context) = runs.first().map(|(run, _)| Arc::clone(&run.context)) else {
        return BatchEnd { batch, parts: Vec::new(), ended: Instant::now() };
    };
    let route = &context.route;
    let Work::Batch(handler) = &route.work else { unreachable!("only routes of batches have any") };
    let began = Instant::now();
    slot.cargo.lock().belongs_to(&context);
    if let Some(first) = entries.front() {
        slot.attempt(&first.record, began);
    }
    let (mut parts, tried, verdicts) = {
        let mut gathering = handler.begin();
        let mut add = |delivery: &Delivery| match catch_unwind(AssertUnwindSafe(|| gathering.add(delivery))) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(rejection)) => Err(judge(&route.settings, Verdict::Failed(HandlerError::from(rejection)))),
            Err(panic) => Err(judge(&route.settings, Verdict::Panicked(panic::message(panic)))),
        };
        let mut parts = Vec::with_capacity(runs.len());
        for (run, count) in runs {
            let mut part = Part::new(run);
            for entry in entries.drain(count) {
                if shared.skips.has(&shared.daemon, &entry.record) {
                    attempted.skipped += 1;
                    part.settled.push(entry.settle(Ticket::pass_over));
                    continue;
                }
                part.add(entry, &mut add, |judged, failures| outcome(&route.settings, judged, failures, random));
            }
            parts.push(part);
        }
        let tried = parts.iter().map(|part| part.tried.len()).sum();
        let ending = Ending::of(&parts);
        let work = (tried > 0).then(|| {
            let cancellation = ending.cancellation.clone();
            // The handler runs no code of its own before the first poll but its arguments'.
            catch_unwind(AssertUnwindSafe(|| {
                gathering.start(&BatchContext::new(cancellation, shared.producer.clone()))
            }))
        });
        let verdicts = match work {
            None => Verdicts::All(Judged::Done),
            Some(Err(panic)) => Verdicts::of_all(&route.settings, Verdict::Panicked(panic::message(panic))),
            Some(Ok(work)) => attempt(work, &route.settings, ending, tried).await,
        };
        (parts, tried, verdicts)
    };
    let now = Instant::now();
    if tried > 0 {
        attempted.took(now.duration_since(began));
    }
    let anyones = matches!(verdicts, Verdicts::All(_)) && tried > 1;
    let mut verdicts = verdicts.each(tried);
    for part in &mut parts {
        let outcome = |judged, failures| {
            let outcome = outcome(&route.settings, judged, failures, random);
            if anyones { alone(&route.settings, outcome, failures, random) } else { outcome }
        };
        part.conclude(&mut verdicts, outcome, attempted);
        if anyones && part.refused.is_some() {
            part.separate();
        }
        if let Some((entry, next)) = part.refused.take() {
            let (halt, complaint) = halt(shared, &part.run.context, entry, next, now, attempted);
            // Nobody knows whose fault it was that a batch failed as a whole: each of its records is heard when it is tried by itself.
            (part.halt, part.complaint) = (Some(halt), complaint.filter(|_| !anyones));
        }
    }
    shared.meter.count(attempted);
    BatchEnd { batch, parts, ended: now }
}

impl<P: Copy> Part<P> {
    fn new(run: Run) -> Self {
        let (tried, unstarted) = (Queue::new(), Queue::new());
        Self { run, tried, refused: None, settled: Vec::new(), unstarted, halt: None, complaint: None }
    }

    /// Adds a record to the batch, unless it must wait for one that can't be.
    fn add(
        &mut self,
        mut entry: Entry<P>,
        add: &mut impl FnMut(&Delivery) -> Result<(), Judged>,
        outcome: impl FnOnce(Judged, u32) -> Outcome,
    ) {
        if self.refused.is_some() || self.run.context.is_released() {
            return self.unstarted.push_back(entry);
        }
        if let Some(failure) = entry.failure.take() {
            self.refused = Some((entry, Next::Letter(failure)));
            return;
        }
        let circumstances = self.run.context.circumstances.clone();
        let delivery = Delivery::under(entry.record.clone(), entry.failures + 1, circumstances);
        match add(&delivery) {
            Ok(()) => self.tried.push_back(entry),
            Err(judged) => match outcome(judged, entry.failures) {
                Outcome::Unfinished(next) => self.refused = Some((entry, next)),
                Outcome::Done | Outcome::Skip => self.tried.push_back(entry),
            },
        }
    }

    /// What is not finished was in a batch that failed as a whole.
    fn separate(&mut self) {
        let unfinished = self.refused.iter_mut().map(|(entry, _)| entry).chain(self.unstarted.iter_mut());
        unfinished.for_each(|entry| entry.alone = true);
    }

    /// Takes what the handler said of its records, up to the first that is not finished. What was refused before stays so only where
    /// all before it are finished.
    fn conclude(
        &mut self,
        verdicts: &mut impl Iterator<Item = Judged>,
        mut outcome: impl FnMut(Judged, u32) -> Outcome,
        attempted: &mut Attempted,
    ) {
        let mut stopped = None;
        let mut behind = Queue::new();
        while let Some(entry) = self.tried.pop_front() {
            let judged = verdicts.next().expect("each record of the batch has a verdict");
            if stopped.is_some() {
                behind.push_back(entry);
                continue;
            }
            match outcome(judged, entry.failures) {
                Outcome::Done => {
                    attempted.success += 1;
                    self.settled.push(entry.settle(Ticket::done));
                }
                Outcome::Skip => {
                    attempted.skipped += 1;
                    self.settled.push(entry.settle(Ticket::skip));
                }
                Outcome::Unfinished(next) => stopped = Some((entry, next)),
            }
        }
        if stopped.is_some() {
            behind.extend(self.refused.take().map(|(entry, _)| entry));
            behind.extend(self.unstarted.drain_all());
            self.unstarted = behind;
            self.refused = stopped;
        }
    }
}

/// How the attempts at the records of a batch ended.
enum Verdicts {
    All(Judged),
    Each(Vec<Judged>),
}

impl Verdicts {
    fn of_all(route: &RouteSettings, verdict: Verdict) -> Self {
        Self::All(judge(route, verdict))
    }

    /// The verdicts of so many records, one after the other.
    fn each(self, records: usize) -> impl Iterator<Item = Judged> {
        let (same, each) = match self {
            Self::All(judged) => (repeat_n(judged, records), Vec::new()),
            Self::Each(judged) => (repeat_n(Judged::Done, 0), judged),
        };
        same.chain(each)
    }
}

/// What a batch's handler hears of the end of its assignments: of each end as soon as it is that of one of them.
struct Ending {
    cancellation: Cancellation,
    /// Where there are several: brings it from them to the handler.
    relay: Option<BoxFuture<'static, ()>>,
}

impl Ending {
    fn of<P>(parts: &[Part<P>]) -> Self {
        let mut all: Vec<Cancellation> = Vec::new();
        for part in parts {
            let cancellation = part.run.context.circumstances.cancellation();
            if !all.iter().any(|known| known.is_of(cancellation)) {
                all.push(cancellation.clone());
            }
        }
        if let [only] = &all[..] {
            return Self { cancellation: only.clone(), relay: None };
        }
        let cancellation = Cancellation::default();
        let told = cancellation.clone();
        let relay = async move {
            select_all(all.iter().map(|one| one.requested().boxed())).await;
            told.request();
            select_all(all.iter().map(|one| one.gone().boxed())).await;
            told.give_up();
        };
        Self { cancellation, relay: Some(relay.boxed()) }
    }
}

async fn attempt(
    work: BoxFuture<'static, BatchResult>,
    route: &RouteSettings,
    ending: Ending,
    records: usize,
) -> Verdicts {
    let limit = route.timeout;
    // The work is dropped in there where its time is over: that is the handler's code, too.
    let limited = async move { timeout(limit, work).await };
    let guarded = AssertUnwindSafe(limited).catch_unwind();
    let mut guarded = std::pin::pin!(guarded);
    let ended = match ending.relay {
        None => guarded.await,
        Some(relay) => tokio::select! {
            biased;
            ended = guarded.as_mut() => ended,
            () = relay => guarded.await,
        },
    };
    match ended {
        Err(panic) => Verdicts::of_all(route, Verdict::Panicked(panic::message(panic))),
        Ok(Err(_)) => Verdicts::of_all(route, Verdict::TimedOut(limit)),
        Ok(Ok(BatchResult::All(result))) => Verdicts::of_all(route, Verdict::from(result)),
        Ok(Ok(BatchResult::Each(results))) => {
            let judged: Vec<Judged> = results.into_iter().map(|result| judge(route, Verdict::from(result))).collect();
            if judged.len() == records {
                return Verdicts::Each(judged);
            }
            let error = anyhow!("the handler answered {} results for the {records} records of its batch", judged.len());
            Verdicts::of_all(route, Verdict::Failed(error.into()))
        }
    }
}
