//! A layer's timeout.
//!
//! As tower's, but that it costs nothing where the handler is done at once: a timer of tokio's is one of a runtime's, and counts with all others of it,
//! on whichever core. It is made once there is something to wait for, and the clock is looked at then.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower::{Layer, Service};

use crate::handler::error::BoxError;

/// Gives an attempt up that has not ended within this time, at whatever `.await` it stands: a failed one, which is retried. The time begins where the
/// attempt waits for the first time, as that of a route's [timeout](crate::handler::Route::timeout) does. What layers below it wait for, as for a permit,
/// counts where the timeout is a `layer` of its own; in a stack (`ServiceBuilder`) all of it is ready before.
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer {
    limit: Duration,
}

impl TimeoutLayer {
    /// One of so long.
    pub const fn new(limit: Duration) -> Self {
        Self { limit }
    }
}

impl<T> Layer<T> for TimeoutLayer {
    type Service = Timeout<T>;

    fn layer(&self, inner: T) -> Timeout<T> {
        Timeout { inner, limit: self.limit }
    }
}

/// A service whose calls end in time; made by [`TimeoutLayer`].
#[derive(Clone, Debug)]
pub struct Timeout<T> {
    inner: T,
    limit: Duration,
}

impl<R, T> Service<R> for Timeout<T>
where
    T: Service<R>,
    T::Error: Into<BoxError>,
{
    type Response = T::Response;
    type Error = BoxError;
    type Future = InTime<T::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        InTime { work: self.inner.call(request), limit: self.limit, timer: None }
    }
}

pin_project! {
    /// A call that ends in time; made by [`Timeout`].
    #[derive(Debug)]
    pub struct InTime<F> {
        #[pin]
        work: F,
        limit: Duration,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F, O, E> Future for InTime<F>
where
    F: Future<Output = Result<O, E>>,
    E: Into<BoxError>,
{
    type Output = Result<O, BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(ended) = this.work.poll(context) {
            return Poll::Ready(ended.map_err(Into::into));
        }
        if this.timer.is_none() {
            this.timer.set(Some(sleep(*this.limit)));
        }
        if let Some(timer) = this.timer.as_pin_mut() {
            ready!(timer.poll(context));
        }
        Poll::Ready(Err(Elapsed(()).into()))
    }
}

/// What a [`TimeoutLayer`] fails with.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it took longer than the layer's timeout")]
pub struct Elapsed(());

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::future::{self, pending};
    use tokio::time::Instant;
    use tower::{ServiceExt, service_fn};

    use super::*;

    async fn call<F>(limit: Duration, work: impl Fn() -> F) -> (Result<(), BoxError>, Duration)
    where
        F: Future<Output = Result<(), Infallible>>,
    {
        let begun = Instant::now();
        let service = TimeoutLayer::new(limit).layer(service_fn(|()| work()));
        (service.oneshot(()).await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_time_passes_and_what_does_not_is_given_up_then() {
        let five = Duration::from_secs(5);
        assert!(call(five, || future::ready(Ok(()))).await.0.is_ok());
        let late = || async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Ok(())
        };
        assert!(call(five, late).await.0.is_ok());
        let (ended, took) = call(five, pending).await;
        assert!(ended.is_err_and(|error| error.is::<Elapsed>()));
        assert!((five..five + Duration::from_millis(2)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn time_begins_with_the_first_wait() {
        let busy = || {
            let mut busy = Box::pin(tokio::time::advance(Duration::from_secs(9)));
            let mut was_polled = false;
            future::poll_fn(move |context| {
                // The clock goes on within the first poll, as under what blocks its thread.
                if !std::mem::replace(&mut was_polled, true) {
                    assert!(busy.as_mut().poll(context).is_pending());
                }
                Poll::Pending
            })
        };
        let (ended, took) = call(Duration::from_secs(5), busy).await;
        assert!(ended.is_err_and(|error| error.is::<Elapsed>()));
        assert!((Duration::from_secs(14)..Duration::from_secs(15)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_time_is_no_end_of_time() {
        let waits = call(Duration::MAX, pending);
        assert!(tokio::time::timeout(Duration::from_secs(1 << 20), waits).await.is_err());
    }
}
