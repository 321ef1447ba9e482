//! What the workers run on, where handlers have threads.

use std::collections::HashSet;
use std::future::pending;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, ThreadId};
use std::time::Duration;

use daemonry::handler::{Route, on};
use daemonry::pipeline::Stopped;
use daemonry::record::Record;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::gate::within;
use crate::scene::{Journal, Scene};

const SOON: Duration = Duration::from_secs(10);

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_time().build().unwrap()
}

fn pipelines() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

/// The threads that a handler ran on, and what it spawned.
type Seen = Arc<Mutex<(HashSet<ThreadId>, HashSet<ThreadId>)>>;

fn looks(seen: &Seen) -> Route {
    let seen = Arc::clone(seen);
    on(move || {
        let seen = Arc::clone(&seen);
        async move {
            seen.lock().0.insert(thread::current().id());
            let mut spawned = JoinSet::from_iter([async { thread::current().id() }]);
            let there = spawned.join_next().await.expect("one was spawned").unwrap();
            seen.lock().1.insert(there);
            sleep(Duration::from_millis(1)).await;
            seen.lock().0.insert(thread::current().id());
        }
    })
}

/// The same of fifty records, with so many threads for the handlers.
fn seen_in(scene: &Scene, threads: usize) -> (HashSet<ThreadId>, HashSet<ThreadId>) {
    let handlers = runtime(threads);
    let seen = Seen::default();
    pipelines().block_on(async {
        scene.fill(0, 50);
        let process = scene.start_on(looks(&seen), handlers.handle());
        within(SOON, "all of them", || scene.committed(0) == 50).await;
        process.stop_cleanly().await;
    });
    std::mem::take(&mut *seen.lock())
}

#[test]
fn the_first_worker_has_a_thread_of_its_own_within_the_handlers_runtime() {
    let (own, spawned) = seen_in(&Scene::with(1, |settings| settings.workers = 1), 3);
    assert_eq!(own.len(), 1, "whatever it waits for");
    assert!(own.is_disjoint(&spawned), "what a handler spawns runs where all can");
}

#[test]
fn with_a_single_thread_handlers_have_no_other() {
    let (own, spawned) = seen_in(&Scene::new(1), 1);
    assert_eq!((own.len(), own), (1, spawned));
}

/// A handler that never ends is left behind by a stop whose time is over, or by a process that is killed.
fn is_dropped(killed: bool) {
    let handlers = runtime(3);
    pipelines().block_on(async {
        let scene = Scene { stop_drain: Duration::from_millis(50), ..Scene::with(1, |settings| settings.workers = 1) };
        scene.fill(0, 1);
        let journal = Journal::new();
        let seen = journal.clone();
        let handle = move |record: Record| {
            let attempt = seen.begin(&record);
            async move {
                pending::<()>().await;
                drop(attempt);
            }
        };
        let process = scene.start_on(on(handle), handlers.handle());
        within(SOON, "its begin", || journal.began().len() == 1).await;
        if killed {
            process.crash().await;
        } else {
            assert_eq!(process.stop().await, Ok(Stopped { unfinished: 1, uncommitted: false }));
        }
        within(SOON, "its end", || journal.ended().len() == 1).await;
    });
}

#[test]
fn a_handler_of_the_first_worker_that_will_not_end_is_dropped_at_a_stop() {
    is_dropped(false);
}

#[test]
fn a_handler_of_the_first_worker_is_dropped_with_the_pipeline() {
    is_dropped(true);
}

/// What became of an attempt whose runtime went.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Dropped,
    Panicked,
}

/// Tells it.
struct Tells(Sender<End>);

impl Drop for Tells {
    fn drop(&mut self) {
        // Nobody listens any more once the first has told.
        self.0.send(if thread::panicking() { End::Panicked } else { End::Dropped }).ok();
    }
}

/// The end of an attempt of the first worker's that does this, whose runtime goes once it has begun.
fn end_with_its_runtime<F>(work: fn() -> F) -> End
where
    F: Future<Output = ()> + Send + 'static,
{
    let handlers = runtime(3);
    let (end, ends) = channel();
    let (begin, begun) = channel();
    pipelines().block_on(async {
        let scene = Scene::with(1, |settings| settings.workers = 1);
        scene.fill(0, 1);
        let handle = move || {
            let (tells, begin) = (Tells(end.clone()), begin.clone());
            async move {
                let _tells = tells;
                begin.send(()).expect("the test waits for it");
                work().await;
            }
        };
        let process = scene.start_on(on(handle), handlers.handle());
        within(SOON, "its begin", || begun.try_recv().is_ok()).await;
        handlers.shutdown_background();
        let end = ends.recv_timeout(SOON).expect("it ends");
        process.crash().await;
        end
    })
}

async fn waits() {
    sleep(Duration::from_secs(60)).await;
}

async fn blocks_and_waits() {
    let waits = waits();
    let (_keep, never) = channel::<()>();
    never.recv_timeout(Duration::from_millis(200)).ok();
    waits.await;
}

async fn waits_in_place() {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(waits()));
}

#[test]
fn a_handler_of_the_first_worker_is_dropped_with_its_runtime() {
    assert_eq!(end_with_its_runtime(waits), End::Dropped, "a timer of a runtime that is gone is not to be asked");
}

#[test]
fn a_runtime_that_goes_waits_for_what_the_first_worker_has_in_hand() {
    assert_eq!(end_with_its_runtime(blocks_and_waits), End::Dropped);
}

#[test]
fn a_runtime_that_goes_does_not_wait_for_what_waits_for_it() {
    assert_eq!(end_with_its_runtime(waits_in_place), End::Panicked, "as everywhere on a runtime that is gone");
}
