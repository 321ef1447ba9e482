//! What follows an attempt: the one place where a verdict becomes an outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;
use tracing::debug;

use super::PipelineError;
use super::dead_letter::{Failure, Reason};
use super::lanes::{AssignmentContext, Entry, Halt};
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

/// What follows this verdict after so many failures before it.
pub(super) fn outcome(route: &RouteSettings, verdict: &Verdict, failures: u32, random: &mut fastrand::Rng) -> Outcome {
    let attempts = failures.saturating_add(1);
    let failure = |reason, error| Box::new(Failure { reason, error, attempts, handler: route.name });
    let letter = |reason, error| Outcome::Unfinished(Next::Letter(failure(reason, error)));
    let (failure, delay) = match verdict {
        Verdict::Succeeded => return Outcome::Done,
        Verdict::Panicked(message) => (failure(Reason::Panic, message.clone()), None),
        Verdict::TimedOut(timeout) => (failure(Reason::Timeout, format!("no result within {timeout:?}")), None),
        Verdict::Failed(error) => {
            let (text, is_retryable) = match told(route, error) {
                Ok(told) => told,
                Err(panic) => return letter(Reason::Panic, panic),
            };
            match error.class() {
                ErrorClass::Skip => return Outcome::Skip,
                ErrorClass::Poison => return letter(Reason::Poison, text),
                ErrorClass::Undecodable => return letter(Reason::Undecodable, text),
                _ if !is_retryable => return letter(Reason::NotRetryable, text),
                ErrorClass::RetryAfter(delay) => (failure(Reason::Error, text), Some(delay)),
                ErrorClass::Retry if error.is_timeout() => (failure(Reason::Timeout, text), None),
                ErrorClass::Retry => (failure(Reason::Error, text), None),
            }
        }
    };
    Outcome::Unfinished(match route.retry.delay(attempts, random.f64()) {
        Some(backoff) => Next::Retry(delay.unwrap_or(backoff), failure),
        None => Next::Letter(failure),
    })
}

/// What an error says, and whether it is worth a retry. Both are users' code: where it panics, no attempt would be judged otherwise.
fn told(route: &RouteSettings, error: &HandlerError) -> Result<(String, bool), String> {
    if error.class() == ErrorClass::Skip {
        return Ok((String::new(), false));
    }
    let text = catch_unwind(AssertUnwindSafe(|| format!("{:#}", error.error())));
    let text =
        text.map_err(|panic| format!("the handler's error panicked when it was told: {}", panic::message(&*panic)))?;
    let is_always = matches!(error.class(), ErrorClass::Poison | ErrorClass::Undecodable);
    let Some(retryable) = route.retryable.as_ref().filter(|_| !is_always) else { return Ok((text, true)) };
    match catch_unwind(AssertUnwindSafe(|| retryable(error))) {
        Ok(is_retryable) => Ok((text, is_retryable)),
        Err(panic) => Err(format!("the route's error classes panicked: {}; over: {text}", panic::message(&*panic))),
    }
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

/// Counts and logs a failed attempt, and says how its lane goes on.
pub(super) fn halt<G: Progress>(
    shared: &Shared<G>,
    context: &AssignmentContext,
    entry: Entry<G::Position>,
    next: Next,
    now: Instant,
    attempted: &mut Attempted,
) -> Halt<G::Position> {
    attempted.failed += 1;
    let (failure, delay) = match &next {
        Next::Retry(delay, failure) => (failure, Some(*delay)),
        Next::Letter(failure) => (failure, None),
    };
    log(&shared.daemon, &entry, failure, delay);
    match next {
        Next::Retry(delay, failure) => {
            attempted.retried += 1;
            Halt::Retry(Entry { failures: failure.attempts, ..entry }, now + delay)
        }
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
    }
}

fn log<P>(daemon: &str, entry: &Entry<P>, failure: &Failure, retry: Option<Duration>) {
    let (topic, partition, offset) =
        (entry.record.topic().as_str(), entry.record.partition().0, entry.record.offset().0);
    let (attempt, handler) = (failure.attempts, failure.handler);
    let (reason, error) = (failure.reason.name(), failure.error.as_str());
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
        None => debug!(daemon, topic, partition, offset, attempt, handler, reason, error, "attempt failed for good"),
    }
}
