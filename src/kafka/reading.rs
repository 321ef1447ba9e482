//! The assignment, between the event thread, which changes it, and the poll of the source, which reads by it.
//!
//! Owner: nobody alone; one lock. The event thread holds it while it changes something, and for that may turn to librdkafka's main thread; so
//! the poll never waits for it: it is turned away, and called back. The invariant: whatever is told of a change is told before the lock
//! is let go, so who reads under it knows all that there is to know of what is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use parking_lot::{Mutex, MutexGuard};

use super::assignment::Assignment;
use super::wake::Arrived;

/// See the module.
#[derive(Debug)]
pub(super) struct Reading {
    assignment: Mutex<Assignment>,
    /// Whether a poll found it taken, and waits.
    turned_away: AtomicBool,
    arrived: Arc<Arrived>,
}

impl Reading {
    /// Of nothing yet, for a poll that waits for `arrived`.
    pub(super) fn new(arrived: Arc<Arrived>) -> Self {
        Self { assignment: Mutex::default(), turned_away: AtomicBool::new(false), arrived }
    }

    /// Changes the assignment. Only for the event thread.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Assignment) -> R) -> R {
        let answer = change(&mut self.assignment.lock());
        fence(Ordering::SeqCst);
        if self.turned_away.swap(false, Ordering::Relaxed) {
            self.arrived.notify();
        }
        answer
    }

    /// The assignment, to be read by; `None` while it is being changed. Then `arrived` is notified once that is over.
    pub(super) fn try_read(&self) -> Option<MutexGuard<'_, Assignment>> {
        self.assignment.try_lock().or_else(|| {
            self.turned_away.store(true, Ordering::Relaxed);
            // It may have been let go before anybody could see that. With the other fence: either it is seen there, or the lock is free here.
            fence(Ordering::SeqCst);
            self.assignment.try_lock()
        })
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
