//! As tokio's: who waits first is told first; a call that nobody waits for is kept, once; who is told and goes away passes it on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use loom::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Notify(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// A call that nobody waited for.
    kept: bool,
    next: usize,
    waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    id: usize,
    told: bool,
    waker: Option<Waker>,
}

impl Notify {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(State::default()))
    }

    pub(crate) fn notify_one(&self) {
        let waker = self.change(State::tell_one);
        // As there: outside of the lock.
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn notified(&self) -> Notified<'_> {
        Notified { of: self, stage: Stage::New }
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        change(&mut self.0.lock().expect("no thread panicked"))
    }
}

impl State {
    fn tell_one(&mut self) -> Option<Waker> {
        let Some(waiter) = self.waiters.iter_mut().find(|waiter| !waiter.told) else {
            self.kept = true;
            return None;
        };
        waiter.told = true;
        waiter.waker.take()
    }
}

#[derive(Debug)]
pub(crate) struct Notified<'a> {
    of: &'a Notify,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    New,
    Waits(usize),
    Done,
}

impl Notified<'_> {
    pub(crate) fn enable(mut self: Pin<&mut Self>) -> bool {
        self.advance(None)
    }

    fn advance(&mut self, waker: Option<&Waker>) -> bool {
        let (stage, is_done) = self.of.change(|state| match self.stage {
            Stage::Done => (Stage::Done, true),
            Stage::New if std::mem::take(&mut state.kept) => (Stage::Done, true),
            Stage::New => {
                let id = state.next;
                state.next += 1;
                state.waiters.push_back(Waiter { id, told: false, waker: waker.cloned() });
                (Stage::Waits(id), false)
            }
            Stage::Waits(id) => {
                let at = state.waiters.iter().position(|waiter| waiter.id == id).expect("it waits");
                let waiter = &mut state.waiters[at];
                if waiter.told {
                    state.waiters.remove(at);
                    return (Stage::Done, true);
                }
                waiter.waker = waker.cloned();
                (Stage::Waits(id), false)
            }
        });
        self.stage = stage;
        is_done
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.advance(Some(cx.waker())) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        let Stage::Waits(id) = self.stage else { return };
        let passed_on = self.of.change(|state| {
            let at = state.waiters.iter().position(|waiter| waiter.id == id).expect("it waits");
            let waiter = state.waiters.remove(at).expect("it is there");
            if waiter.told { state.tell_one() } else { None }
        });
        if let Some(waker) = passed_on {
            waker.wake();
        }
    }
}
