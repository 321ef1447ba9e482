//! How a handler says that it failed, and what is to follow.

use std::fmt;
use std::time::Duration;

/// A failed attempt. Any `?` makes one that is retried; the constructors say otherwise.
///
/// ```
/// use daemonry::handler::HandlerError;
/// use std::time::Duration;
///
/// fn parse(text: &str) -> Result<u64, HandlerError> {
///     Ok(text.parse()?) // retried
/// }
/// let busy = HandlerError::retry_after(Duration::from_secs(5), anyhow::anyhow!("rate limited"));
/// let bad = HandlerError::poison(anyhow::anyhow!("order id is zero"));
/// let old = HandlerError::skip("older than the last snapshot");
/// # drop((parse("x"), busy, bad, old));
/// ```
pub struct HandlerError {
    class: ErrorClass,
    source: anyhow::Error,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Try again after the route's backoff, while retries are left.
    Retry,
    /// Try again after this long, while retries are left.
    RetryAfter(Duration),
    /// No attempt will succeed: to the dead letters at once.
    Poison,
    /// Not an error at all: the record is to be passed over.
    Skip,
}

impl HandlerError {
    /// Try again after the route's backoff. What `?` makes.
    pub fn retry(error: impl Into<anyhow::Error>) -> Self {
        Self { class: ErrorClass::Retry, source: error.into() }
    }

    /// Try again after `delay`, whatever the route's backoff says. Counts as an attempt.
    pub fn retry_after(delay: Duration, error: impl Into<anyhow::Error>) -> Self {
        Self { class: ErrorClass::RetryAfter(delay), source: error.into() }
    }

    /// The record can't be handled by any number of attempts: it goes to the dead letters at once.
    pub fn poison(error: impl Into<anyhow::Error>) -> Self {
        Self { class: ErrorClass::Poison, source: error.into() }
    }

    /// The record is to be passed over: counted as skipped, committed, and not a dead letter.
    pub fn skip(reason: impl fmt::Display) -> Self {
        Self { class: ErrorClass::Skip, source: anyhow::anyhow!("{reason}") }
    }

    /// What follows.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// The error itself.
    pub fn error(&self) -> &anyhow::Error {
        &self.source
    }
}

impl<E: Into<anyhow::Error>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {:#}", self.class, self.source)
    }
}

/// An argument that could not be drawn from a record. The record is poison.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    reason: String,
}

impl Rejection {
    /// Says why.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
