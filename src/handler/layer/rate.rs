//! A rate limit: so many attempts within a time, and no more.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{Layer, Service};

/// Lets so many attempts begin within a time, on average: after a pause those of one interval may begin at once. One limit for all that the
/// layer goes around, and for its clones: given to a router it bounds all its routes together. Those over it wait, in the order they came,
/// and hold their worker meanwhile.
#[derive(Clone, Debug)]
pub struct RateLimitLayer {
    rate: Arc<Rate>,
}

#[derive(Debug)]
struct Rate {
    /// Time that one attempt takes up.
    step: Duration,
    /// How far behind the present the next free time may lie: what a pause saves up.
    burst: Duration,
    /// When the next attempt may begin, were it to ask now.
    free: Mutex<Option<Instant>>,
}

impl RateLimitLayer {
    /// `attempts` within `interval`.
    ///
    /// # Panics
    /// Where either is zero: nothing could ever begin.
    pub fn new(attempts: u32, interval: Duration) -> Self {
        let attempts = NonZeroU32::new(attempts).expect("a rate of no attempts lets nothing begin");
        assert!(!interval.is_zero(), "a rate needs an interval above zero");
        let step = interval / attempts.get();
        Self { rate: Arc::new(Rate { step, burst: interval - step, free: Mutex::new(None) }) }
    }
}

impl Rate {
    /// Books the next free time.
    fn book(&self, now: Instant) -> Instant {
        let mut free = self.free.lock();
        let earliest = now.checked_sub(self.burst).unwrap_or(now);
        let at = free.map_or(earliest, |free| free.max(earliest));
        *free = Some(at + self.step);
        at.max(now)
    }
}

impl<T> Layer<T> for RateLimitLayer {
    type Service = RateLimit<T>;

    fn layer(&self, inner: T) -> RateLimit<T> {
        RateLimit { inner, rate: Arc::clone(&self.rate), turn: None }
    }
}

/// A service whose calls wait for their turn; made by [`RateLimitLayer`].
#[derive(Debug)]
pub struct RateLimit<T> {
    inner: T,
    rate: Arc<Rate>,
    /// Booked, and not used up by a call yet.
    turn: Option<Pin<Box<Sleep>>>,
}

impl<T: Clone> Clone for RateLimit<T> {
    /// A clone books a time of its own.
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), rate: Arc::clone(&self.rate), turn: None }
    }
}

impl<R, T: Service<R>> Service<R> for RateLimit<T> {
    type Response = T::Response;
    type Error = T::Error;
    type Future = T::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        let rate = &self.rate;
        let turn = self.turn.get_or_insert_with(|| Box::pin(sleep_until(rate.book(Instant::now()))));
        if !turn.is_elapsed() && turn.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> T::Future {
        self.turn = None;
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_spread_after_those_that_a_pause_saved_up() {
        let layer = RateLimitLayer::new(4, Duration::from_secs(1));
        let start = Instant::now();
        let at = |millis: u64| start + Duration::from_millis(millis);
        let booked: Vec<_> = (0..6).map(|_| layer.rate.book(start)).collect();
        assert_eq!(booked, [at(0), at(0), at(0), at(0), at(250), at(500)]);
        // All is saved up again after a long pause, and no more than that.
        let booked: Vec<_> = (0..5).map(|_| layer.rate.book(at(60_000))).collect();
        assert_eq!(booked, [at(60_000), at(60_000), at(60_000), at(60_000), at(60_250)]);
    }
}
