//! What a consumer runs on: its pipeline on a thread of its own, its handlers on a runtime.
//!
//! Both are owned by one run of the daemon. The invariants: the handlers' runtime goes without waiting for its threads, on whatever way the
//! run ends (dropped as it is, a runtime waits for them, and inside of another runtime it panics); the pipeline goes with whoever waits
//! for it.

use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::thread::{self, available_parallelism};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::pipeline::SHARED_AT_LEAST;

/// The runtime that handlers run on.
#[derive(Debug)]
pub(super) struct HandlerRuntime(Option<Runtime>);

impl HandlerRuntime {
    /// One for `threads` threads, or as many as so many workers usually need: cores + 8, and one more than the workers. Of several, one is
    /// left to the first worker.
    pub(super) fn new(daemon: &str, workers: usize, threads: Option<NonZeroUsize>) -> io::Result<Self> {
        /// Blocking handlers on more workers than this are better off with a setting of their own.
        const MOST: usize = 64;
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let usual = (cores + 8).max((workers + 1).min(MOST));
        let threads = threads.map_or(usual, NonZeroUsize::get);
        let threads = if threads > SHARED_AT_LEAST { threads - 1 } else { threads };
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

/// What a thread waits for by itself, beside whoever wakes it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waits {
    /// For time to pass. It sleeps as any thread does that is woken: each record that comes alone takes 5 % less CPU than where it looks
    /// after sockets, too.
    #[cfg_attr(
        not(feature = "kafka"),
        allow(dead_code, reason = "it is for Kafka's client, which has threads for its sockets")
    )]
    Timers,
    /// For sockets as well.
    Sockets,
}

/// Runs this on a thread of its own, with a runtime of its own, and waits for it. A runtime of several threads would wake two of them for
/// each record that comes alone, the second one to look for more work; and daemons that share one would wait for each other. A panic
/// comes out here; dropped, it drops `work` at its next `.await`.
///
/// # Errors
/// Where no thread or runtime could be started.
pub(super) async fn on_a_thread<T: Send + 'static>(
    name: &str,
    waits: Waits,
    work: impl Future<Output = T> + Send + 'static,
) -> io::Result<T> {
    let mut runtime = Builder::new_current_thread();
    let runtime = match waits {
        Waits::Timers => runtime.enable_time(),
        Waits::Sockets => runtime.enable_all(),
    };
    let runtime = runtime.build()?;
    let (reply, answer) = oneshot::channel();
    let (span, wanted) = (Span::current(), CancellationToken::new());
    let unwanted = wanted.clone();
    let _wanted = wanted.drop_guard();
    let run = move || {
        let _span = span.entered();
        if let Some(ended) = runtime.block_on(unwanted.run_until_cancelled(work)) {
            // Whoever waited may be gone.
            drop(reply.send(ended));
        }
        // What is left of it on other threads isn't waited for.
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name(format!("{name}-pipeline")).spawn(run)?;
    match answer.await {
        Ok(ended) => Ok(ended),
        Err(_) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => unreachable!("it is dropped only with this"),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::panic::AssertUnwindSafe;
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinSet;

    use super::*;
    use crate::panic::message;

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

    #[tokio::test]
    async fn a_thread_answers_from_its_own_runtime() -> io::Result<()> {
        let here = thread::current().id();
        let work = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut tasks = JoinSet::from_iter([async { thread::current().id() }]);
            let spawned = tasks.join_next().await.expect("one was spawned").expect("it ends");
            (thread::current().id(), spawned, thread::current().name().map(str::to_owned))
        };
        let (there, spawned, name) = on_a_thread("orders", Waits::Timers, work).await?;
        assert!(there != here && spawned == there);
        assert_eq!(name.as_deref(), Some("orders-pipeline"));
        Ok(())
    }

    #[tokio::test]
    async fn a_thread_looks_after_sockets_where_it_is_to() -> io::Result<()> {
        let answered = on_a_thread("orders", Waits::Sockets, async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let (there, here) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
            there.and(here.map(drop))
        });
        answered.await?
    }

    #[tokio::test]
    async fn a_panic_on_the_thread_comes_out() {
        let work = async { panic!("broken") };
        let panic = AssertUnwindSafe(on_a_thread::<()>("orders", Waits::Timers, work))
            .catch_unwind()
            .await
            .expect_err("it panics");
        assert_eq!(message(panic), "broken");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_dropped() {
        let (held, dropped) = oneshot::channel::<()>();
        let work = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let waiting = tokio::time::timeout(Duration::from_millis(20), on_a_thread("orders", Waits::Timers, work));
        waiting.await.expect_err("it never ends");
        dropped.await.expect_err("it was dropped");
    }
}
