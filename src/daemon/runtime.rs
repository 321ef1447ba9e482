//! The runtime that a consumer's handlers run on.
//!
//! Owned by one run of the daemon. The invariant: it goes without waiting for its threads, on whatever way the run ends: dropped as
//! it is, a runtime waits for them, and inside of another runtime it panics.

use std::io;
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle, Runtime};

/// See the module.
#[derive(Debug)]
pub(super) struct HandlerRuntime(Option<Runtime>);

impl HandlerRuntime {
    /// One with `threads` threads, or as many as so many workers usually need: cores + 8, and one more than the workers.
    pub(super) fn new(daemon: &str, workers: usize, threads: Option<NonZeroUsize>) -> io::Result<Self> {
        /// Blocking handlers on more workers than this are better off with a setting of their own.
        const MOST: usize = 64;
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let usual = (cores + 8).max((workers + 1).min(MOST));
        let threads = threads.map_or(usual, NonZeroUsize::get);
        let name = format!("{daemon}-handlers");
        Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build().map(Some).map(Self)
    }

    /// Where handlers are spawned.
    pub(super) fn handle(&self) -> &Handle {
        self.0.as_ref().expect("taken only when this is dropped").handle()
    }
}

impl Drop for HandlerRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn runtime_goes_within_another_one_while_a_handler_blocks() -> io::Result<()> {
        let handlers = HandlerRuntime::new("orders", 1, NonZeroUsize::new(1))?;
        let (begun, has_begun) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let work = handlers.handle().spawn(async move {
            begun.send(()).expect("the test waits for it");
            released.recv().expect("the test releases it");
        });
        has_begun.recv().expect("it begins");
        drop(handlers);
        release.send(()).expect("it still runs");
        work.await.expect("it was not cut off");
        Ok(())
    }
}
