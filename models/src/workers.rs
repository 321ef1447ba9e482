//! The lanes' ready queue as the workers see it: whatever the order of what happens, all of it is taken, and a stop ends every worker.
//!
//! How they wait and who wakes them is the product's own; what is ready is counted here, as the lanes count it under their lock.

use std::cell::Cell;
use std::pin::pin;

use futures_util::FutureExt;
use loom::future::block_on;
use loom::sync::{Arc, Mutex, MutexGuard};
use loom::thread::{self, JoinHandle};

use crate::sync::Notify;
use crate::sync::wakes::{Seat, Wakes, take_turns};

const WORKERS: usize = 2;
/// Where the first of them runs.
const FIRST: [Seat; 2] = [Seat::Shared, Seat::Own];

/// What a lane is to the worker that takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    Quick,
    /// When it is done, a quick one and one that blocks become ready.
    MakesReady,
    /// It blocks its worker until all others are done.
    Blocks,
}

#[derive(Debug, Default)]
struct Lanes {
    ready: Vec<Lane>,
    busy: usize,
    done: usize,
}

impl Lanes {
    fn idle(&self) -> usize {
        WORKERS - self.busy
    }

    fn take(&mut self) -> Option<Lane> {
        let taken = self.ready.pop();
        self.busy += usize::from(taken.is_some());
        taken
    }
}

#[derive(Debug)]
struct Pool {
    lanes: Mutex<Lanes>,
    wakes: Wakes,
    /// All but those that block are done.
    others_done: Notify,
    all_done: Notify,
    stops: [Notify; WORKERS],
    first: Seat,
    expected: usize,
    blocking: usize,
}

impl Pool {
    /// With so many lanes to come, of which so many block.
    fn new(first: Seat, expected: usize, blocking: usize) -> Arc<Self> {
        Arc::new(Self {
            lanes: Mutex::new(Lanes::default()),
            wakes: Wakes::new(),
            others_done: Notify::new(),
            all_done: Notify::new(),
            stops: [(); WORKERS].map(|()| Notify::new()),
            first,
            expected,
            blocking,
        })
    }

    fn spawn(pool: &Arc<Self>) -> Vec<JoinHandle<()>> {
        let spawn = |worker| {
            let pool = Arc::clone(pool);
            thread::spawn(move || block_on(pool.work(worker)))
        };
        (0..WORKERS).map(spawn).collect()
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("no thread panicked")
    }

    /// As a change by one of the pipeline's own tasks.
    fn push(&self, lane: Lane) {
        let workers = {
            let mut lanes = self.lanes();
            lanes.ready.push(lane);
            lanes.idle().min(1)
        };
        self.wakes.wake(workers);
    }

    /// As the dispatcher, until `until`.
    async fn dispatch(&self, until: &Notify) {
        let mut until = pin!(until.notified());
        loop {
            tokio::select! {
                biased;
                () = until.as_mut() => return,
                () = self.wakes.called() => {}
            }
            let workers = {
                let lanes = self.lanes();
                lanes.idle().min(lanes.ready.len())
            };
            self.wakes.wake(workers);
        }
    }

    async fn work(&self, worker: usize) {
        let mut stop = pin!(self.stops[worker].notified());
        let seat = if worker == 0 { self.first } else { Seat::Shared };
        let mut finished = None;
        loop {
            let mut next = self.exchange(finished.take());
            if next.is_none() {
                next = self.wakes.wait_for(seat, stop.as_mut(), || self.lanes().take()).await;
            }
            let Some(lane) = next else { return };
            if lane == Lane::Blocks {
                block_on(self.others_done.notified());
            }
            finished = Some(lane);
            take_turns().await;
        }
    }

    /// Hands back what is done, and takes what is next, as a worker's change.
    fn exchange(&self, finished: Option<Lane>) -> Option<Lane> {
        let mut lanes = self.lanes();
        let mut made_ready = 0;
        if let Some(lane) = finished {
            lanes.busy -= 1;
            lanes.done += 1;
            if lane == Lane::MakesReady {
                let more = [Lane::Quick, Lane::Blocks];
                made_ready = more.len();
                lanes.ready.extend(more);
            }
        }
        let (taken, done) = (lanes.take(), lanes.done);
        drop(lanes);
        // It takes one of them itself.
        if made_ready > 1 {
            self.wakes.call();
        }
        if finished.is_some() && self.blocking > 0 && done == self.expected - self.blocking {
            self.others_done.notify_one();
        }
        if finished.is_some() && done == self.expected {
            self.all_done.notify_one();
        }
        taken
    }

    fn stop(&self, workers: Vec<JoinHandle<()>>) {
        self.stops.iter().for_each(Notify::notify_one);
        workers.into_iter().for_each(|worker| worker.join().expect("it ends"));
    }
}

/// In which threads are held up so many times at most where they need not wait; with all workers on one kind of thread, and with one beside them.
fn in_every_order(held_up: usize, check: impl Fn(Seat) + Sync + Send + Copy + 'static) {
    for first in FIRST {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = model.preemption_bound.or(Some(held_up));
        model.check(move || check(first));
    }
}

/// Pushes one lane after the other, and stops once all that comes of them is done.
fn all_are_done(pool: &Arc<Pool>, pushed: &[Lane]) {
    let workers = Pool::spawn(pool);
    pushed.iter().for_each(|lane| pool.push(*lane));
    block_on(pool.dispatch(&pool.all_done));
    pool.stop(workers);
}

#[test]
fn whatever_becomes_ready_is_taken_and_a_stop_ends_all_workers() {
    in_every_order(2, |first| all_are_done(&Pool::new(first, 2, 0), &[Lane::Quick, Lane::Quick]));
}

#[test]
fn what_a_worker_makes_ready_is_taken_while_it_blocks() {
    in_every_order(1, |first| all_are_done(&Pool::new(first, 3, 1), &[Lane::MakesReady]));
}

#[test]
fn whoever_is_about_to_wait_hears_of_what_becomes_ready() {
    in_every_order(3, |first| {
        let (wakes, ready) = (Arc::new(Wakes::new()), Arc::new(Mutex::new(0)));
        let wait = |seat| {
            let (wakes, ready) = (Arc::clone(&wakes), Arc::clone(&ready));
            thread::spawn(move || {
                let look = || {
                    let mut ready = ready.lock().expect("no thread panicked");
                    *ready = usize::checked_sub(*ready, 1)?;
                    Some(())
                };
                block_on(wakes.wait_for(seat, pin!(std::future::pending()), look))
            })
        };
        let workers: Vec<_> = [first, Seat::Shared].map(wait).into();
        *ready.lock().expect("no thread panicked") += WORKERS;
        wakes.wake(WORKERS);
        // Each takes one and no more: if it blocks then, nobody else takes the other.
        workers.into_iter().for_each(|worker| assert_eq!(worker.join().expect("it ends"), Some(())));
    });
}

#[test]
fn what_a_worker_with_a_thread_of_its_own_is_told_of_and_does_not_take_is_passed_on() {
    in_every_order(3, |_| {
        let (wakes, ready) = (Arc::new(Wakes::new()), Arc::new(Mutex::new(0)));
        let worker = {
            let (wakes, ready) = (Arc::clone(&wakes), Arc::clone(&ready));
            let look = move || {
                let mut ready = ready.lock().expect("no thread panicked");
                *ready = usize::checked_sub(*ready, 1)?;
                Some(())
            };
            thread::spawn(move || block_on(wakes.wait_for(Seat::Own, pin!(std::future::pending()), look)))
        };
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            None::<()>
        };
        let mut stop = pin!(std::future::pending());
        let mut other = pin!(wakes.wait_for(Seat::Shared, stop.as_mut(), look));
        assert!(other.as_mut().now_or_never().is_none() && looks.get() == 1, "it waits");
        for _ in 0..2 {
            *ready.lock().expect("no thread panicked") += 1;
            wakes.wake(1);
        }
        // It takes one, and blocks.
        worker.join().expect("it ends");
        let is_called = wakes.called().now_or_never().is_some();
        assert!(other.now_or_never().is_none());
        assert!(is_called || looks.get() > 1, "nobody hears of the other one");
    });
}

#[test]
fn a_stop_in_the_middle_ends_all_workers() {
    in_every_order(2, |first| {
        let pool = Pool::new(first, 1, 0);
        let workers = Pool::spawn(&pool);
        pool.push(Lane::Quick);
        pool.stop(workers);
        assert!(pool.lanes().busy == 0, "what was begun is not done");
    });
}
