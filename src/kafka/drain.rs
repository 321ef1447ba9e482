//! A drain: assignments that the pipeline is asked to give up, until it has, or until their time is over.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use tokio::sync::oneshot;

use super::session::Surroundings;
use super::wake::Wake;
use crate::pipeline::source::{Epoch, Event, Revocation};

/// See the module.
#[derive(Debug)]
pub(super) struct Drain {
    wait: oneshot::Receiver<()>,
    deadline: Instant,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    /// The pipeline has completed the revocation, or dropped it.
    Completed,
    /// Its time was over first.
    Overdue,
}

impl Drain {
    /// Asks the pipeline for these assignments, of which nothing is read any more.
    pub(super) fn begin(epochs: Vec<Epoch>, around: &Surroundings) -> Self {
        let time = around.config.revoke_drain;
        let (revocation, wait) = Revocation::new(epochs, tokio::time::Instant::now() + time);
        around.mailbox.tell(Event::Revoked(revocation));
        Self { wait, deadline: Instant::now() + time }
    }

    /// When it is over at the latest.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How it ended, once it has; until then its end wakes the event thread.
    pub(super) fn ended(&mut self, wake: &Arc<Wake>) -> Option<Drained> {
        let waker = Waker::from(Arc::clone(wake));
        if Pin::new(&mut self.wait).poll(&mut TaskContext::from_waker(&waker)) != Poll::Pending {
            return Some(Drained::Completed);
        }
        (Instant::now() >= self.deadline).then_some(Drained::Overdue)
    }
}
