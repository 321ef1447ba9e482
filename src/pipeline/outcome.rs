//! What follows an attempt: the one place where a verdict becomes an outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::PipelineError;
use super::dead_letter::{Failure, Reason};
use super::lanes::{AssignmentContext, Complaint, Entry, Halt, Trial};
use super::meter::Attempted;
use super::shared::Shared;
use super::source::Progress;
use crate::handler::{ErrorClass, HandlerError, RouteSettings, Verdict};
use crate::panic;

/// How an attempt leaves its record.
#[derive(Debug)]
pub(super) enum Outcome {
    Done,
    Skip,
    Unfinished(Next),
}

/// What is to become of a record that is not finished.
#[derive(Debug)]
pub(super) enum Next {
    Retry(Duration, Box<Failure>),
    Letter(Box<Failure>),
}

/// An attempt that was judged: what it comes to, with nothing of the handler's own left in it.
#[derive(Debug, Clone)]
pub(super) enum Judged {
    Done,
    Skip,
    Failed { reason: Reason, error: String, follows: Follows },
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy)]
pub(super) enum Follows {
    /// Another one while retries are left; after this time, where one was asked for.
    Retry(Option<Duration>),
    Letter,
}

/// Judges an attempt, and lets go of what the handler has answered. Its error is users' code to the end: one that panics when it is dropped
/// has said before what follows.
pub(super) fn judge(route: &RouteSettings, verdict: Verdict) -> Judged {
    let failed = |reason, error, follows| Judged::Failed { reason, error, follows };
    match verdict {
        Verdict::Succeeded => Judged::Done,
        Verdict::Panicked(message) => failed(Reason::Panic, message, Follows::Retry(None)),
        Verdict::TimedOut(timeout) => {
            failed(Reason::Timeout, format!("no result within {timeout:?}"), Follows::Retry(None))
        }
        Verdict::Failed(error) if error.class() == ErrorClass::Skip => Judged::Skip,
        Verdict::Failed(error) => {
            let (reason, mut text, follows) = match told(route, &error) {
                Ok((text, is_retryable)) => {
                    let (reason, follows) = follows(&error, is_retryable);
                    (reason, text, follows)
                }
                Err(panic) => (Reason::Panic, panic, Follows::Letter),
            };
            if let Err(panic) = panic::let_go(error) {
                text.push_str(&format!("; the handler's error panicked when it was dropped: {panic}"));
            }
            failed(reason, text, follows)
        }
    }
}

fn follows(error: &HandlerError, is_retryable: bool) -> (Reason, Follows) {
    match error.class() {
        ErrorClass::Poison => (Reason::Poison, Follows::Letter),
        ErrorClass::Undecodable => (Reason::Undecodable, Follows::Letter),
        _ if !is_retryable => (Reason::NotRetryable, Follows::Letter),
        ErrorClass::RetryAfter(delay) => (Reason::Error, Follows::Retry(Some(delay))),
        _ if error.is_timeout() => (Reason::Timeout, Follows::Retry(None)),
        _ => (Reason::Error, Follows::Retry(None)),
    }
}

/// What an error says, and whether it is worth a retry. Both are users' code: where it panics, no attempt would be judged otherwise.
fn told(route: &RouteSettings, error: &HandlerError) -> Result<(String, bool), String> {
    let text = catch_unwind(AssertUnwindSafe(|| format!("{:#}", error.error())));
    let text =
        text.map_err(|panic| format!("the handler's error panicked when it was told: {}", panic::message(panic)))?;
    let is_always = matches!(error.class(), ErrorClass::Poison | ErrorClass::Undecodable);
    let Some(retryable) = route.retryable.as_ref().filter(|_| !is_always) else { return Ok((text, true)) };
    match catch_unwind(AssertUnwindSafe(|| retryable(error))) {
        Ok(is_retryable) => Ok((text, is_retryable)),
        Err(panic) => Err(format!("the route's error classes panicked: {}; over: {text}", panic::message(panic))),
    }
}

/// What follows an attempt that was judged so, after so many failures before it.
pub(super) fn outcome(route: &RouteSettings, judged: Judged, failures: u32, random: &mut fastrand::Rng) -> Outcome {
    let (reason, error, follows) = match judged {
        Judged::Done => return Outcome::Done,
        Judged::Skip => return Outcome::Skip,
        Judged::Failed { reason, error, follows } => (reason, error, follows),
    };
    let attempts = failures.saturating_add(1);
    let failure = Box::new(Failure { reason, error, attempts, handler: route.name });
    let delay = match follows {
        Follows::Retry(delay) => route.retry.delay(attempts, random.f64()).map(|backoff| delay.unwrap_or(backoff)),
        Follows::Letter => None,
    };
    Outcome::Unfinished(match delay {
        Some(delay) => Next::Retry(delay, failure),
        None => Next::Letter(failure),
    })
}

/// What follows for a record of a batch that failed as a whole: it is tried by itself, after the time of a retry. Nobody knows whose
/// fault it was, so it counts as nobody's attempt.
pub(super) fn alone(route: &RouteSettings, outcome: Outcome, failures: u32, random: &mut fastrand::Rng) -> Outcome {
    let Outcome::Unfinished(next) = outcome else { return outcome };
    let (delay, failure) = match next {
        Next::Retry(delay, failure) => (delay, failure),
        Next::Letter(failure) => (route.retry.delay(1, random.f64()).unwrap_or_default(), failure),
    };
    Outcome::Unfinished(Next::Retry(delay, Box::new(Failure { attempts: failures, ..*failure })))
}

/// Counts and logs a failed attempt, and says how its lane goes on, and what is to be said of the attempt to its route's circuit breaker. While
/// that is open, what it would count uses up no retry.
pub(super) fn halt<G: Progress>(
    shared: &Shared<G>,
    context: &AssignmentContext,
    entry: Entry<G::Position>,
    next: Next,
    now: Instant,
    attempted: &mut Attempted,
) -> (Halt<G::Position>, Option<Complaint>) {
    attempted.failed += 1;
    let (failure, delay) = match &next {
        Next::Retry(delay, failure) => (failure, Some(*delay)),
        Next::Letter(failure) => (failure, None),
    };
    let counts = context.route.settings.circuit_breaker.is_on() && is_an_outages(failure.reason);
    let is_spared = counts && context.is_held_back() && entry.trial != Trial::Counted;
    log(&shared.daemon, &entry, failure, delay, is_spared);
    shared.past.failures.note(&context.topic_partition, entry.record.offset(), failure);
    let complaint = counts.then(|| Complaint {
        offset: entry.record.offset(),
        key: entry.key,
        error: failure.error.clone(),
        beside: 0,
    });
    let halt = match next {
        _ if is_spared => {
            attempted.retried += 1;
            Halt::Retry(entry, now + delay.unwrap_or_default())
        }
        Next::Retry(delay, failure) => {
            attempted.retried += 1;
            // The next trial is counted by itself.
            let trial = entry.trial.min(Trial::Free);
            Halt::Retry(Entry { failures: failure.attempts, trial, ..entry }, now + delay)
        }
        // It may have ended because it was asked to: its record is given back, and the next owner has all of the retries.
        Next::Letter(failure) if context.is_released() && is_worth_a_retry(failure.reason) => Halt::Retry(entry, now),
        Next::Letter(failure) if context.dead_letter_topic.is_some() => Halt::Letter(entry, failure),
        Next::Letter(failure) => {
            shared.fail(PipelineError::Fatal(format!(
                "the record at {} offset {} can't be handled and its route has no dead letters: {}: {}",
                context.topic_partition,
                entry.record.offset(),
                failure.reason.name(),
                failure.error
            )));
            Halt::Stop(entry)
        }
    };
    (halt, complaint)
}

/// Whether only the number of attempts has made a letter of it.
fn is_worth_a_retry(reason: Reason) -> bool {
    match reason {
        Reason::Error | Reason::Timeout | Reason::Panic => true,
        Reason::Undecodable | Reason::Poison | Reason::NotRetryable | Reason::Crash => false,
    }
}

/// Whether an outage would end an attempt so. A panic would rather be a mistake in the handler, and doesn't pass by waiting.
fn is_an_outages(reason: Reason) -> bool {
    match reason {
        Reason::Error | Reason::Timeout => true,
        Reason::Panic | Reason::Undecodable | Reason::Poison | Reason::NotRetryable | Reason::Crash => false,
    }
}

fn log<P>(daemon: &str, entry: &Entry<P>, failure: &Failure, retry: Option<Duration>, is_spared: bool) {
    let (topic, partition, offset) =
        (entry.record.topic().as_str(), entry.record.partition().0, entry.record.offset().0);
    let (attempt, handler) = (failure.attempts, failure.handler);
    let (reason, error) = (failure.reason.name(), failure.error.as_str());
    match retry {
        _ if is_spared => debug!(
            daemon,
            topic,
            partition,
            offset,
            attempt,
            handler,
            reason,
            error,
            "attempt failed while the circuit breaker is open, it uses up no retry"
        ),
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
        None => debug!(daemon, topic, partition, offset, attempt, handler, reason, error, "attempt failed for good"),
    }
}
