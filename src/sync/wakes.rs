//! Who is woken when work becomes ready, and how workers wait for it.
//!
//! The invariant: as long as work is ready that an idle worker could take, one has been told and has not looked since, or the dispatcher has.
//!
//! A handler may block its thread, so nothing may be left to that thread alone: what is woken on it is put where no other thread can take
//! it, and so is what yields by the runtime's budget. Both would wait as long as the handler that comes next there. So workers wake nobody
//! but the dispatcher, which runs elsewhere, and make way by a wake of their own.
//!
//! One worker may have a thread to itself. It is the first that is woken: on a runtime of several threads each wake is two, one to work and one to
//! look for more of it, and that for each record that comes alone.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::task::coop::{consume_budget, has_budget_remaining};

use super::{AtomicBool, Notify, Ordering};

/// What a worker runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seat {
    /// The runtime's threads, as many others do.
    Shared,
    /// A thread of its own: one worker at most.
    Own,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wakes {
    /// Whether the worker with its own thread waits, and was not told yet.
    front_waits: AtomicBool,
    /// For that one.
    front: Notify,
    /// For the other workers.
    ready: Notify,
    /// For the dispatcher.
    dispatch: Notify,
}

impl Wakes {
    pub(crate) fn new() -> Self {
        Self {
            front_waits: AtomicBool::new(false),
            front: Notify::new(),
            ready: Notify::new(),
            dispatch: Notify::new(),
        }
    }

    /// Wakes so many workers. Only where no handlers run.
    pub(crate) fn wake(&self, workers: usize) {
        let mut others = workers;
        // Whoever is about to wait has said so before its last look, which was behind the lock that the caller has had.
        if workers > 0 && self.front_waits.load(Ordering::Relaxed) && self.front_waits.swap(false, Ordering::AcqRel) {
            self.front.notify_one();
            others -= 1;
        }
        for _ in 0..others {
            self.ready.notify_one();
        }
    }

    /// Calls the dispatcher, which looks for who is to be woken.
    pub(crate) fn call(&self) {
        self.dispatch.notify_one();
    }

    /// The next call, for the dispatcher.
    pub(crate) fn called(&self) -> impl Future<Output = ()> {
        self.dispatch.notified()
    }

    /// Looks for work whenever told to, until there is some. `None` once `stop` is ready.
    pub(crate) async fn wait_for<T>(
        &self,
        seat: Seat,
        stop: Pin<&mut impl Future<Output = ()>>,
        look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        match seat {
            Seat::Shared => self.wait_with_others(stop, look).await,
            Seat::Own => self.wait_in_front(stop, look).await,
        }
    }

    async fn wait_in_front<T>(
        &self,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        loop {
            self.front_waits.store(true, Ordering::Release);
            let found = look();
            if found.is_some() {
                if !self.front_waits.swap(false, Ordering::AcqRel) {
                    // It was told as well: of something that somebody else is to take.
                    self.call();
                }
                return found;
            }
            tokio::select! {
                biased;
                () = stop.as_mut() => {
                    self.front_waits.store(false, Ordering::Release);
                    return None;
                }
                () = self.front.notified() => {}
            }
        }
    }

    async fn wait_with_others<T>(
        &self,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        mut look: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        let found = loop {
            let mut told = pin!(self.ready.notified());
            // Registered before the look, so that what becomes ready in between is not missed.
            told.as_mut().enable();
            if let Some(found) = look() {
                break found;
            }
            tokio::select! {
                biased;
                () = stop.as_mut() => return None,
                () = told => {}
            }
            if let Some(found) = look() {
                return Some(found);
            }
        };
        // If this one was told as well, that has gone on to another worker, and woken it here: it would wait for what is begun now.
        give_way().await;
        Some(found)
    }
}

/// Lets others go first once in a while: handlers that never wait would otherwise keep the thread for ever.
pub(crate) async fn take_turns() {
    if has_budget_remaining() {
        consume_budget().await;
    } else {
        give_way().await;
    }
}

/// Goes to the end of the queue, from where any thread may take it.
async fn give_way() {
    let mut given = false;
    poll_fn(|cx| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
