//! The assignment, between the event thread, which changes it, and the poll of the source, which reads by it.
//!
//! Owner: nobody alone; one lock. The event thread holds it while it changes something, and for that may turn to librdkafka's main thread; so
//! the poll never waits for it: it is turned away, and called back. The invariant: whatever is told of a change is told before the lock
//! is let go, so who reads under it knows all that there is to know of what is read.

use std::ops::{Deref, DerefMut};
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

    /// The assignment, to be changed. Only for the event thread.
    pub(super) fn change(&self) -> Change<'_> {
        Change { assignment: Some(self.assignment.lock()), reading: self }
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

/// The assignment while it is being changed.
#[derive(Debug)]
pub(super) struct Change<'a> {
    assignment: Option<MutexGuard<'a, Assignment>>,
    reading: &'a Reading,
}

impl Deref for Change<'_> {
    type Target = Assignment;

    fn deref(&self) -> &Assignment {
        self.assignment.as_ref().expect("let go only when this is dropped")
    }
}

impl DerefMut for Change<'_> {
    fn deref_mut(&mut self) -> &mut Assignment {
        self.assignment.as_mut().expect("let go only when this is dropped")
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        drop(self.assignment.take());
        fence(Ordering::SeqCst);
        if self.reading.turned_away.swap(false, Ordering::Relaxed) {
            self.reading.arrived.notify();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_is_called_back() {
        let arrived = Arc::new(Arrived::default());
        let reading = Reading::new(Arc::clone(&arrived));
        let change = reading.change();
        assert!(reading.try_read().is_none());
        timeout(Duration::from_secs(1), arrived.notified()).await.expect_err("it is still being changed");
        drop(change);
        timeout(Duration::from_secs(1), arrived.notified()).await.expect("it is called back");
        assert!(reading.try_read().is_some());
        drop(reading.change());
        timeout(Duration::from_secs(1), arrived.notified()).await.expect_err("once only");
    }
}
