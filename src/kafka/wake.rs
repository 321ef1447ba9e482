//! Waking the event thread, and whoever polls the source, from anywhere.

use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use tokio::sync::Notify;

/// A handle that ends the event thread's pause. Cheap, and never blocks: librdkafka calls it under its locks.
#[derive(Debug, Default)]
pub(super) struct Wake {
    thread: OnceLock<Thread>,
}

impl Wake {
    /// Makes the calling thread the one that is woken.
    pub(super) fn adopt_current_thread(&self) {
        // Set once, by the event thread itself when it starts.
        self.thread.get_or_init(std::thread::current);
    }

    /// Ends the thread's pause, or its next one where it is busy now.
    pub(super) fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Waits until woken, at most for `longest`. Only for the event thread.
    pub(super) fn pause(longest: Duration) {
        std::thread::park_timeout(longest);
    }
}

/// Something is there for whoever polls the source. As cheap, and it never blocks either.
#[derive(Debug, Default)]
pub(super) struct Arrived(Notify);

impl Arrived {
    /// Lets the one that waits go on, or the next that will.
    pub(super) fn notify(&self) {
        self.0.notify_one();
    }

    /// Waits for it. What came before anybody waited counts.
    pub(super) async fn notified(&self) {
        self.0.notified().await;
    }
}

impl std::task::Wake for Arrived {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

impl std::task::Wake for Wake {
    fn wake(self: Arc<Self>) {
        Wake::wake(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        Wake::wake(self);
    }
}
