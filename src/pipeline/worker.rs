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
use tracing::debug;

use super::PipelineError;
use super::dead_letter::{Failure, Reason};
use super::lanes::{Effects, Entry, Halt, Run};
use super::meter::Attempted;
use super::shared::Shared;
use super::source::Progress;
use super::ticket::Settled;
use super::watchdog::Slot;
use crate::handler::{Attempts, Delivery, ErrorClass, RouteSpec, Verdict};

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
            next = shared.lanes().take(&mut entries);
            if next.is_none() {
                tokio::select! {
                    biased;
                    () = stopped.as_mut() => return,
                    () = ready => {}
                }
            }
        }
        let Some(run) = next else { continue };
        slot.begin(&run.context);
        let route = Arc::clone(&run.context.route);
        let now = Instant::now();
        let mut shift = Shift {
            shared: &shared,
            slot: &slot,
            run: &run,
            entries: &mut entries,
            settled: &mut settled,
            random: &mut random,
            current: None,
            halt: None,
            began: now,
            clock: now,
            reported: now,
            attempted: &mut attempted,
        };
        route.handler.drive(&mut shift, route.timeout).await;
        let halt = shift.close();
        slot.end();
        finished = Some((run, halt));
        // Handlers that never wait would otherwise keep the thread for ever.
        tokio::task::coop::consume_budget().await;
    }
}

/// Hands a finished run back, and takes the next: one lock for both.
fn exchange<G: Progress>(
    shared: &Shared<G>,
    finished: Option<(Run, Option<Halt<G::Position>>)>,
    settled: &mut Vec<(Settled<G::Position>, usize)>,
    entries: &mut VecDeque<Entry<G::Position>>,
) -> Option<Run> {
    shared.change_as_worker(|lanes| {
        let mut effects = Effects::default();
        if let Some((run, halt)) = finished {
            effects = lanes.settle(&run, settled).and(lanes.finish(run, entries, halt));
        }
        (lanes.take(entries), effects)
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
    /// The record that is being tried.
    current: Option<Entry<G::Position>>,
    halt: Option<Halt<G::Position>>,
    began: Instant,
    /// The last look at the clock: when the current attempt began.
    clock: Instant,
    reported: Instant,
    attempted: &'a mut Attempted,
}

impl<G: Progress> Attempts for Shift<'_, G> {
    fn next(&mut self) -> Option<Delivery<'_>> {
        let over = self.halt.is_some() || self.clock.duration_since(self.began) >= SLICE;
        if over || self.run.context.is_released() {
            return None;
        }
        let entry = self.current.insert(self.entries.pop_front()?);
        self.slot.attempt(&entry.record, self.clock);
        Some(Delivery { record: &entry.record, attempt: entry.failures + 1, cancellation: &self.run.context.gone })
    }

    fn ended(&mut self, verdict: Verdict) {
        let began = mem::replace(&mut self.clock, Instant::now());
        self.attempted.took(self.clock.duration_since(began));
        let Some(entry) = self.current.take() else { return };
        match outcome(&self.run.context.route, verdict, entry.failures, self.random) {
            Outcome::Done => {
                self.attempted.success += 1;
                self.settled.push((entry.ticket.done(), entry.bytes));
            }
            Outcome::Skip => {
                self.attempted.skipped += 1;
                self.settled.push((entry.ticket.skip(), entry.bytes));
            }
            Outcome::Retry(delay, failure) => {
                self.attempted.failed += 1;
                self.attempted.retried += 1;
                self.log(&entry, &failure, Some(delay));
                let entry = Entry { failures: failure.attempts, ..entry };
                self.halt = Some(Halt::Retry(entry, self.clock + delay));
            }
            Outcome::Letter(failure) => {
                self.attempted.failed += 1;
                self.log(&entry, &failure, None);
                if self.run.context.dead_letter_topic.is_some() {
                    self.halt = Some(Halt::Letter(entry, Box::new(failure)));
                } else {
                    self.shared.fail(PipelineError::Fatal(format!(
                        "the record at {} offset {} can't be handled and its route has no dead letters: {}: {}",
                        self.run.context.topic_partition,
                        entry.record.offset(),
                        failure.reason.name(),
                        failure.error
                    )));
                    self.halt = Some(Halt::Stop(entry));
                }
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

    fn log(&self, entry: &Entry<G::Position>, failure: &Failure, retry: Option<Duration>) {
        let (topic, partition) = (entry.record.topic().as_str(), entry.record.partition().0);
        let (daemon, offset, attempt) = (self.shared.daemon.as_str(), entry.record.offset().0, failure.attempts);
        let (reason, error, handler) = (failure.reason.name(), failure.error.as_str(), self.run.context.route.name);
        match retry {
            Some(delay) => debug!(
                daemon,
                topic,
                partition,
                offset,
                attempt,
                handler,
                reason,
                error,
                ?delay,
                "attempt failed, it will be retried"
            ),
            None => {
                debug!(daemon, topic, partition, offset, attempt, handler, reason, error, "attempt failed for good")
            }
        }
    }
}

/// What follows an attempt.
#[derive(Debug)]
enum Outcome {
    Done,
    Skip,
    Retry(Duration, Failure),
    Letter(Failure),
}

/// The one place where an attempt's verdict becomes an outcome.
fn outcome(route: &RouteSpec, verdict: Verdict, failures: u32, random: &mut fastrand::Rng) -> Outcome {
    let attempts = failures.saturating_add(1);
    let failure = |reason, error| Failure { reason, error, attempts, handler: route.name };
    let (failure, delay) = match verdict {
        Verdict::Succeeded => return Outcome::Done,
        Verdict::Rejected(rejection) => return Outcome::Letter(failure(Reason::Undecodable, rejection.to_string())),
        Verdict::Panicked(message) => (failure(Reason::Panic, message), None),
        Verdict::TimedOut(timeout) => (failure(Reason::Timeout, format!("no result within {timeout:?}")), None),
        Verdict::Failed(error) => {
            let text = format!("{:#}", error.error());
            match error.class() {
                ErrorClass::Skip => return Outcome::Skip,
                ErrorClass::Poison => return Outcome::Letter(failure(Reason::Poison, text)),
                _ if route.retryable.as_ref().is_some_and(|retryable| !retryable(&error)) => {
                    return Outcome::Letter(failure(Reason::NotRetryable, text));
                }
                ErrorClass::RetryAfter(delay) => (failure(Reason::Error, text), Some(delay)),
                ErrorClass::Retry => (failure(Reason::Error, text), None),
            }
        }
    };
    match route.retry.delay(attempts, random.f64()) {
        Some(backoff) => Outcome::Retry(delay.unwrap_or(backoff), failure),
        None => Outcome::Letter(failure),
    }
}
