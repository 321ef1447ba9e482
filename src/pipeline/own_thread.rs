//! The thread of the worker that has one to itself, within the handlers' runtime.
//!
//! The runtime's own threads end before its timers do. To this one the runtime would say nothing: a handler there would ask a timer that is
//! gone, which panics. So it leaves a task among the others, which is dropped when they are. The invariant: once that task is gone the
//! worker isn't polled any more. What it is in the middle of is waited for there, as it would be on a thread of the runtime's; but not for
//! long, as it may itself wait for a timer, which nobody looks after any more then.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// For so long a runtime that goes waits for what the worker is in the middle of.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    /// Whether the runtime goes.
    is_over: AtomicBool,
    /// Held as long as the worker is polled.
    poll: Mutex<()>,
}

/// Goes with the runtime's tasks, and takes the worker along.
struct Sentinel {
    state: Arc<State>,
    unwanted: CancellationToken,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        self.unwanted.cancel();
        drop(self.state.poll.try_lock_for(PATIENCE));
    }
}

/// Runs a worker on a thread of its own until it ends, its runtime goes, or it is `unwanted`: it is dropped at its next `.await` then.
pub(super) fn spawn(
    workers: &mut JoinSet<()>,
    runtime: &Handle,
    unwanted: CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let state = Arc::new(State::default());
    let sentinel = Sentinel { state: Arc::clone(&state), unwanted: unwanted.clone() };
    let (ended, end) = oneshot::channel::<()>();
    runtime.spawn(async move {
        let _sentinel = sentinel;
        // Nothing is sent: it goes with the thread.
        drop(end.await);
    });
    let here = runtime.clone();
    let run = move || {
        let _ended = ended;
        here.block_on(async {
            let mut work = pin!(work);
            let work = poll_fn(|context| {
                let _polled = state.poll.lock();
                if state.is_over.load(Ordering::SeqCst) { Poll::Ready(()) } else { work.as_mut().poll(context) }
            });
            unwanted.run_until_cancelled(work).await;
        });
    };
    workers.spawn_blocking_on(run, runtime);
}
