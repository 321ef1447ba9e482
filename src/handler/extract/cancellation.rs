//! What a handler that takes long can ask, and wait for: whether its work is still wanted.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::FromRecord;
use crate::handler::batch::{BatchContext, FromBatch};
use crate::handler::{Delivery, Rejection};

/// Tells a handler that its work is to end, and then that it is no longer wanted. Cheap to clone; clones hear the same.
///
/// | when | what the handler hears | what it can do |
/// |---|---|---|
/// | its partition is revoked, or the daemon is to stop | [`requested`](Self::requested) | end within `rebalance_drain` (10 s), or `stop.drain` (30 s) at a stop: what succeeds by then is committed |
/// | that time is over, or the partition was lost | [`gone`](Self::gone) | give up: nothing that it does is committed, and another member may be at the same record |
///
/// A handler that ends with an error once it was asked to has its record given back, whether retries are left or not: the next owner of the
/// partition begins it again. Errors that no retry is for, such as poison, make a dead letter all the same. One that goes on keeps its worker,
/// and its lane in this process, until it ends.
///
/// ```
/// use daemonry::handler::extract::{Cancellation, Text};
/// use daemonry::handler::{HandlerError, Route, on};
///
/// async fn transcode(Text(film): Text, cancellation: Cancellation) -> Result<(), HandlerError> {
///     for part in film.split(' ') {
///         if cancellation.is_requested() {
///             return Err(HandlerError::retry(anyhow::anyhow!("asked to end at `{part}`"))); // the parts so far are kept
///         }
///         // … some minutes for each part …
///     }
///     Ok(())
/// }
/// let route: Route = on(transcode).no_timeout();
///
/// // In a test it hears what the test says.
/// let (requested, gone) = Default::default();
/// let cancellation = Cancellation::new(requested, gone);
/// assert!(!cancellation.is_requested());
/// # drop((route, cancellation));
/// ```
#[derive(Clone)]
pub struct Cancellation(Arc<Tokens>);

struct Tokens {
    requested: CancellationToken,
    gone: CancellationToken,
}

impl Cancellation {
    /// One that hears of these.
    pub fn new(requested: CancellationToken, gone: CancellationToken) -> Self {
        Self(Arc::new(Tokens { requested, gone }))
    }

    /// Whether the handler is to end.
    pub fn is_requested(&self) -> bool {
        self.0.requested.is_cancelled() || self.is_gone()
    }

    /// Waits until it is.
    pub async fn requested(&self) {
        tokio::select! {
            () = self.0.requested.cancelled() => {}
            () = self.gone() => {}
        }
    }

    /// Whether its work is void, whatever comes of it.
    pub fn is_gone(&self) -> bool {
        self.0.gone.is_cancelled()
    }

    /// Waits until it is.
    pub async fn gone(&self) {
        self.0.gone.cancelled().await;
    }

    /// Asks the handlers to end.
    pub(crate) fn request(&self) {
        self.0.requested.cancel();
    }

    /// Tells them that their work is void.
    pub(crate) fn give_up(&self) {
        self.0.gone.cancel();
    }

    /// What is cancelled when the handler's work is void.
    pub(crate) fn gone_token(&self) -> &CancellationToken {
        &self.0.gone
    }

    /// Whether both hear of the same assignment.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for Cancellation {
    /// One that never hears of anything.
    fn default() -> Self {
        Self::new(CancellationToken::new(), CancellationToken::new())
    }
}

impl From<CancellationToken> for Cancellation {
    /// Both at once.
    fn from(token: CancellationToken) -> Self {
        Self::new(token.clone(), token)
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requested, gone) = (self.is_requested(), self.is_gone());
        f.debug_struct("Cancellation").field("requested", &requested).field("gone", &gone).finish()
    }
}

impl<S> FromRecord<S> for Cancellation {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.cancellation().clone())
    }
}

/// Cancelled when the assignment is gone: see [`Cancellation::gone`].
impl<S> FromRecord<S> for CancellationToken {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        Ok(delivery.cancellation().gone_token().clone())
    }
}

impl<S> FromBatch<S> for Cancellation {
    fn from_batch(context: &BatchContext, _state: &S) -> Self {
        context.cancellation().clone()
    }
}

impl<S> FromBatch<S> for CancellationToken {
    fn from_batch(context: &BatchContext, _state: &S) -> Self {
        context.cancellation().gone_token().clone()
    }
}
