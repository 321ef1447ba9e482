//! The assignment, between the event thread, which changes it, and the poll of the source, which reads by it.
//!
//! Owner: nobody alone; one lock. The event thread holds it while it changes something, and for that may turn to librdkafka's main thread; so
//! the poll never waits for it: it is turned away, and called back. The invariant: whatever is told of a change is told before the lock
//! is let go, so who reads under it knows all that there is to know of what is read.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::assignment::Assignment;
use super::wake::Arrived;
use crate::sync::turnstile::{CallBack, Turnstile};

impl CallBack for Arc<Arrived> {
    fn call_back(&self) {
        self.notify();
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reading(Turnstile<Assignment, Arc<Arrived>>);

impl Reading {
    /// Of nothing yet, for a poll that waits for `arrived`.
    pub(super) fn new(arrived: Arc<Arrived>) -> Self {
        Self(Turnstile::new(Assignment::default(), arrived))
    }

    /// Changes the assignment. Only for the event thread.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Assignment) -> R) -> R {
        self.0.hold(change)
    }

    /// The assignment, to be read by; `None` while it is being changed. Then `arrived` is notified once that is over.
    pub(super) fn try_read(&self) -> Option<MutexGuard<'_, Assignment>> {
        self.0.try_enter()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_is_called_back() {
        let arrived = Arc::new(Arrived::default());
        let reading = Reading::new(Arc::clone(&arrived));
        reading.change(|_| {
            assert!(reading.try_read().is_none());
            assert!(arrived.notified().now_or_never().is_none(), "it is still being changed");
        });
        timeout(Duration::from_secs(1), arrived.notified()).await.expect("it is called back");
        assert!(reading.try_read().is_some());
        reading.change(|_| {});
        timeout(Duration::from_secs(1), arrived.notified()).await.expect_err("once only");
    }
}
