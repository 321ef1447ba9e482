//! Where a handler's type is erased: once for a whole run of records.
//!
//! One boxed future drives the statically typed handler over the run, so a record costs no allocation of ours and two
//! virtual calls. Here, and only here, a panic is caught, a timeout is kept, and an answer becomes a [`Verdict`].

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::coop::has_budget_remaining;
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
    /// The attempt that `next` handed out waits for something: others need not wait with it.
    fn waits(&mut self);
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
            // Once in this future's memory, wherever it goes on from: there is one such future for each worker.
            let mut work = pin!(None);
            while let Some(delivery) = attempts.next() {
                let remains = delivery.remains().cloned();
                let started =
                    catch_unwind(AssertUnwindSafe(|| self.start(delivery).map(|started| work.set(Some(started)))));
                let verdict = match started {
                    Ok(Ok(())) => attempt(work.as_mut(), timeout, alarm.as_mut(), || attempts.waits()).await,
                    Ok(Err(error)) => Verdict::Failed(error),
                    Err(payload) => Verdict::Panicked(panic::message(payload)),
                };
                if let Some(remains) = remains {
                    if !remains.is_empty() {
                        attempts.waits();
                    }
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

/// Runs one attempt to its end; then there is no work any more. The clock is looked at only for work that `waits`, which is told once.
async fn attempt<F>(
    mut work: Pin<&mut Option<F>>,
    timeout: Duration,
    mut alarm: Pin<&mut Option<Sleep>>,
    mut waits: impl FnMut(),
) -> Verdict
where
    F: Future<Output = Result<(), HandlerError>>,
{
    let (mut is_waiting, mut has_yielded) = (false, false);
    poll_fn(|cx| {
        match catch_unwind(AssertUnwindSafe(|| advance(work.as_mut(), cx))) {
            Ok(Poll::Ready(result)) => return Poll::Ready(Verdict::from(result)),
            Ok(Poll::Pending) => {}
            Err(payload) => {
                // What its drop says, too, is of no more interest, and what it threw may panic itself.
                drop(end(work.as_mut()).map_err(panic::message));
                return Poll::Ready(Verdict::Panicked(panic::message(payload)));
            }
        }
        if !is_waiting {
            // Perhaps it has only used up what the runtime lets a task do at a time: asked once more, it says. By a wake of ours any thread may
            // go on with it; by the runtime's it would wait for what comes next on this one.
            if !has_yielded && !has_budget_remaining() {
                has_yielded = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            is_waiting = true;
            waits();
            match Instant::now().checked_add(timeout) {
                // One timer serves the whole run.
                Some(deadline) => match alarm.as_mut().as_pin_mut() {
                    Some(sleep) => sleep.reset(deadline),
                    None => alarm.set(Some(sleep_until(deadline))),
                },
                None => alarm.set(None),
            }
        }
        let Some(sleep) = alarm.as_mut().as_pin_mut() else { return Poll::Pending };
        sleep.poll(cx).map(|()| match end(work.as_mut()) {
            Ok(()) => Verdict::TimedOut(timeout),
            Err(payload) => Verdict::Panicked(panic::message(payload)),
        })
    })
    .await
}

/// Polls the work, and drops it when it is done.
fn advance<F: Future>(mut work: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    let polled = work.as_mut().as_pin_mut().expect("an attempt has work until it ends").poll(cx);
    if polled.is_ready() {
        work.set(None);
    }
    polled
}

/// Drops the work: that is the handler's code, too.
fn end<F>(mut work: Pin<&mut Option<F>>) -> std::thread::Result<()> {
    catch_unwind(AssertUnwindSafe(|| work.set(None)))
}

impl From<Result<(), HandlerError>> for Verdict {
    fn from(result: Result<(), HandlerError>) -> Self {
        match result {
            Ok(()) => Self::Succeeded,
            Err(error) => Self::Failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::runtime::Builder;
    use tokio::sync::Semaphore;
    use tokio::task::yield_now;

    use super::*;
    use crate::record::{OwnedRecord, TopicPartition};

    /// Work that takes a permit, which there is, and then waits where it is told to.
    struct Permitted(Arc<Semaphore>, bool);

    impl Start for Permitted {
        type Work = BoxFuture<'static, Result<(), HandlerError>>;

        fn start(&self, _: &Delivery) -> Result<Self::Work, HandlerError> {
            let (permits, waits) = (Arc::clone(&self.0), self.1);
            Ok(Box::pin(async move {
                let _permit = permits.acquire().await.map_err(HandlerError::retry)?;
                if waits {
                    yield_now().await;
                }
                Ok(())
            }))
        }
    }

    /// So many attempts at a record.
    struct Counted {
        left: usize,
        delivery: Delivery,
        waits: usize,
        succeeded: usize,
    }

    impl Attempts for Counted {
        fn next(&mut self) -> Option<&Delivery> {
            self.left = self.left.checked_sub(1)?;
            Some(&self.delivery)
        }

        fn waits(&mut self) {
            self.waits += 1;
        }

        fn ended(&mut self, verdict: Verdict) {
            self.succeeded += usize::from(matches!(verdict, Verdict::Succeeded));
        }
    }

    #[test]
    fn who_has_used_up_what_the_runtime_lets_it_do_at_a_time_waits_for_nothing() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        for (waits, expected) in [(false, 0), (true, 1_000)] {
            let record = OwnedRecord::new("{}").into_record(TopicPartition::new("orders", 0), 7);
            let mut counted = Counted { left: 1_000, delivery: Delivery::new(record, 1), waits: 0, succeeded: 0 };
            let handler = Permitted(Arc::new(Semaphore::new(1)), waits);
            let driven = runtime.spawn(async move {
                handler.drive(&mut counted, Duration::from_secs(30)).await;
                (counted.waits, counted.succeeded)
            });
            assert_eq!(runtime.block_on(driven).unwrap(), (expected, 1_000));
        }
    }
}
