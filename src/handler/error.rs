//! How a handler says that it failed, and what is to follow.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::layer::Elapsed;

/// An error of any kind, as tower's layers pass it on.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

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
    /// An argument could not be drawn from the record: to the dead letters at once.
    Undecodable,
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

impl HandlerError {
    /// What a layer answered: the handler's own error where it passed that on, else its own, which is retried.
    pub(crate) fn from_layer(error: BoxError) -> Self {
        match error.downcast::<Passed>() {
            Ok(passed) => passed.0,
            Err(error) => Self::retry(LayerError(error)),
        }
    }

    /// Whether a layer's time was over.
    pub(crate) fn is_timeout(&self) -> bool {
        let error = self.source.downcast_ref::<LayerError>().map(|error| &error.0);
        // Tower's own may be around a handler as well.
        error.is_some_and(|error| error.is::<Elapsed>() || error.is::<tower::timeout::error::Elapsed>())
    }
}

impl<E: Into<anyhow::Error>> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let source = error.into();
        let class = if source.is::<Rejection>() { ErrorClass::Undecodable } else { ErrorClass::Retry };
        Self { class, source }
    }
}

/// What a layer says itself, with its type among the causes.
#[derive(Debug, thiserror::Error)]
#[error("a layer around the handler gave up")]
struct LayerError(#[source] BoxError);

/// A handler's error on its way through layers that know only errors in general.
struct Passed(HandlerError);

impl From<HandlerError> for BoxError {
    fn from(error: HandlerError) -> Self {
        Box::new(Passed(error))
    }
}

impl Error for Passed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.source()
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source.fmt(f)
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
