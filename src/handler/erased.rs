//! Where a handler's type is erased: once for a whole run of records.
//!
//! One boxed future drives the statically typed handler over the run, so a record costs no allocation of ours and two
//! virtual calls. Here, and only here, a panic is caught, a timeout is kept, and an answer becomes a [`Verdict`].

use std::any::Any;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Delivery, Handler, HandlerError, Rejection};

/// How one attempt ended.
#[derive(Debug)]
pub(crate) enum Verdict {
    Succeeded,
    Failed(HandlerError),
    Rejected(Rejection),
    Panicked(String),
    TimedOut(Duration),
}

/// The attempts of one run, as the driver sees them: what comes next, and where its verdict goes.
pub(crate) trait Attempts: Send {
    /// The next record to try; `None` where the run ends.
    fn next(&mut self) -> Option<Delivery<'_>>;
    /// How the attempt that `next` handed out ended.
    fn ended(&mut self, verdict: Verdict);
}

/// A handler without its type.
pub(crate) trait ErasedHandler: Send + Sync {
    /// Drives the handler over the run, one record after the other.
    fn drive<'a>(
        &'a self,
        attempts: &'a mut dyn Attempts,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
}

/// A handler with its type.
pub(crate) struct Erased<H, Args> {
    handler: H,
    args: PhantomData<fn(Args)>,
}

impl<H, Args> Erased<H, Args> {
    pub(crate) fn new(handler: H) -> Self {
        Self { handler, args: PhantomData }
    }
}

impl<H: Handler<Args>, Args: 'static> ErasedHandler for Erased<H, Args> {
    fn drive<'a>(
        &'a self,
        attempts: &'a mut dyn Attempts,
        timeout: Duration,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let mut alarm = pin!(None::<Sleep>);
            while let Some(delivery) = attempts.next() {
                let started = catch_unwind(AssertUnwindSafe(|| self.handler.call(&delivery)));
                let verdict = match started {
                    // The future's drop, too, is the handler's code: it runs inside of this catch.
                    Ok(Ok(work)) => AssertUnwindSafe(attempt(work, timeout, alarm.as_mut()))
                        .catch_unwind()
                        .await
                        .unwrap_or_else(|payload| Verdict::Panicked(panic_message(&*payload))),
                    Ok(Err(rejection)) => Verdict::Rejected(rejection),
                    Err(payload) => Verdict::Panicked(panic_message(&*payload)),
                };
                attempts.ended(verdict);
            }
        })
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

fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "panicked with a value that is not text".to_owned()
    }
}
