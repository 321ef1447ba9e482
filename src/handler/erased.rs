//! Where a handler's type is erased: once for a whole run of records.
//!
//! One boxed future drives the statically typed handler over the run, so a record costs no allocation of ours and two
//! virtual calls. Here, and only here, a panic is caught, a timeout is kept, and an answer becomes a [`Verdict`].

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Delivery, Handler, HandlerError};
use crate::panic;

/// How one attempt ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Succeeded,
    Failed(HandlerError),
    Panicked(String),
    TimedOut(Duration),
}

/// The attempts of one run, as the driver sees them: what comes next, and where its verdict goes.
pub(crate) trait Attempts: Send {
    /// The next record to try; `None` where the run ends.
    fn next(&mut self) -> Option<&Delivery>;
    /// How the attempt that `next` handed out ended.
    fn ended(&mut self, verdict: Verdict);
}

/// A handler without its type.
pub(crate) trait ErasedHandler: Send + Sync {
    /// Drives the handler over the run, one record after the other.
    fn drive<'a>(&'a self, attempts: &'a mut dyn Attempts, timeout: Duration) -> BoxFuture<'a, ()>;

    /// One call, for a layer around it.
    fn call(&self, delivery: &Delivery) -> BoxFuture<'static, Result<(), HandlerError>>;

    /// See [`Start`].
    fn outlives_its_future(&self) -> bool;
}

/// What can be driven: it starts the work on a record and answers its future.
pub(super) trait Start: Send + Sync {
    type Work: Future<Output = Result<(), HandlerError>> + Send + 'static;

    fn start(&self, delivery: &Delivery) -> Result<Self::Work, HandlerError>;

    /// Whether work may go on after its future is dropped, on another thread. It is waited for then: its lane must stay closed.
    fn outlives_its_future(&self) -> bool {
        false
    }
}

impl<T: Start> ErasedHandler for T {
    fn drive<'a>(&'a self, attempts: &'a mut dyn Attempts, timeout: Duration) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let mut alarm = pin!(None::<Sleep>);
            while let Some(delivery) = attempts.next() {
                let started = catch_unwind(AssertUnwindSafe(|| self.start(delivery)));
                let verdict = match started {
                    // The future's drop, too, is the handler's code: it runs inside of this catch.
                    Ok(Ok(work)) => AssertUnwindSafe(attempt(work, timeout, alarm.as_mut()))
                        .catch_unwind()
                        .await
                        .unwrap_or_else(|payload| Verdict::Panicked(panic::message(payload))),
                    Ok(Err(error)) => Verdict::Failed(error),
                    Err(payload) => Verdict::Panicked(panic::message(payload)),
                };
                if let Some(remains) = delivery.remains() {
                    remains.close();
                    remains.wait().await;
                    remains.reopen();
                }
                attempts.ended(verdict);
            }
        })
    }

    fn call(&self, delivery: &Delivery) -> BoxFuture<'static, Result<(), HandlerError>> {
        match self.start(delivery) {
            Ok(work) => Box::pin(work),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    fn outlives_its_future(&self) -> bool {
        Start::outlives_its_future(self)
    }
}

/// A handler with its type, and the state that it draws from.
pub(super) struct Stated<H, Args, S> {
    handler: H,
    state: S,
    args: PhantomData<fn(Args)>,
}

impl<H, Args, S> Stated<H, Args, S> {
    pub(super) fn new(handler: H, state: S) -> Self {
        Self { handler, state, args: PhantomData }
    }
}

impl<H, Args, S> Start for Stated<H, Args, S>
where
    H: Handler<Args, S>,
    Args: 'static,
    S: Send + Sync + 'static,
{
    type Work = H::Future;

    fn start(&self, delivery: &Delivery) -> Result<H::Future, HandlerError> {
        Ok(self.handler.call(delivery, &self.state)?)
    }
}

/// Runs one attempt to its end. The clock is looked at only for work that isn't ready at its first poll.
async fn attempt<F>(work: F, timeout: Duration, mut alarm: Pin<&mut Option<Sleep>>) -> Verdict
where
    F: Future<Output = Result<(), HandlerError>>,
{
    let mut work = pin!(work);
    let first = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
    if let Poll::Ready(result) = first {
        return Verdict::from(result);
    }
    match Instant::now().checked_add(timeout) {
        // One timer serves the whole run.
        Some(deadline) => match alarm.as_mut().as_pin_mut() {
            Some(sleep) => sleep.reset(deadline),
            None => alarm.set(Some(sleep_until(deadline))),
        },
        None => alarm.set(None),
    }
    poll_fn(|cx| {
        if let Poll::Ready(result) = work.as_mut().poll(cx) {
            return Poll::Ready(Verdict::from(result));
        }
        match alarm.as_mut().as_pin_mut() {
            Some(sleep) => sleep.poll(cx).map(|()| Verdict::TimedOut(timeout)),
            None => Poll::Pending,
        }
    })
    .await
}

impl From<Result<(), HandlerError>> for Verdict {
    fn from(result: Result<(), HandlerError>) -> Self {
        match result {
            Ok(()) => Self::Succeeded,
            Err(error) => Self::Failed(error),
        }
    }
}
