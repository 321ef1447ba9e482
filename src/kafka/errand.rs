//! Errands: one blocking question to the cluster, asked on a thread of its own, so that the event thread goes on polling.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use super::wake::Wake;

/// A question on its way. Dropping it forgets the answer; the thread ends by itself, its question being bounded in time.
#[derive(Debug)]
pub(super) struct Errand<T> {
    answer: Receiver<T>,
}

impl<T: Send + 'static> Errand<T> {
    /// Runs `ask` on a new thread; `wake` is called when the answer is there.
    ///
    /// # Errors
    /// Where the system has no thread left.
    pub(super) fn run(name: &str, wake: &Arc<Wake>, ask: impl FnOnce() -> T + Send + 'static) -> std::io::Result<Self> {
        let (send, answer) = sync_channel(1);
        let wake = Arc::clone(wake);
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nobody may want to know any more.
            drop(send.send(ask()));
            wake.wake();
        })?;
        Ok(Self { answer })
    }

    /// The answer, once: `None` while it isn't there, `Some(None)` where the thread died without one.
    pub(super) fn answer(&self) -> Option<Option<T>> {
        match self.answer.try_recv() {
            Ok(answer) => Some(Some(answer)),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(None),
        }
    }
}
