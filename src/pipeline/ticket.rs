//! Tickets: the right, and the duty, to say how a record ended.
//!
//! Owner: whoever holds it; first the lanes, then a worker, then perhaps the dead-letter stage. The invariant: only the
//! pipeline makes a ticket, one for each record that came in; it can be spent once; and the tracker takes nothing but a
//! spent one. So an offset can't be counted as finished before its record is.
//!
//! Nobody else can make one, or say that it was spent:
//!
//! ```compile_fail,E0624
//! use daemonry::pipeline::{source::Epoch, ticket::Ticket};
//! use daemonry::record::Offset;
//!
//! let forged = Ticket::new(Epoch(1), Offset(7)); // private: the pipeline makes tickets
//! ```
//!
//! ```compile_fail,E0624
//! use daemonry::pipeline::ticket::{Settled, Ticket};
//! use daemonry::record::Offset;
//!
//! fn early(ticket: Ticket<Offset>) -> Settled<Offset> {
//!     ticket.done() // private: whoever runs the handler spends it
//! }
//! ```

use super::source::Epoch;

/// The right to settle one record. Not `Clone`, and worth nothing until it is spent.
#[must_use = "a ticket must be spent: done, skipped, or published as a dead letter"]
#[derive(Debug)]
pub struct Ticket<P> {
    epoch: Epoch,
    position: P,
}

impl<P: Copy> Ticket<P> {
    pub(in crate::pipeline) fn new(epoch: Epoch, position: P) -> Self {
        Self { epoch, position }
    }

    /// The assignment that the record came in under.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where the record stands in its source.
    pub fn position(&self) -> P {
        self.position
    }

    /// The handler succeeded.
    pub(in crate::pipeline) fn done(self) -> Settled<P> {
        self.settle(Ending::Done)
    }

    /// The handler, or a filter, chose to pass the record over.
    pub(in crate::pipeline) fn skip(self) -> Settled<P> {
        self.settle(Ending::Skipped)
    }

    /// Somebody wants the record passed over: no handler was asked.
    pub(in crate::pipeline) fn pass_over(self) -> Settled<P> {
        Settled { was_tried: false, ..self.settle(Ending::Skipped) }
    }

    /// The record's dead letter was acknowledged; takes the proof of it.
    pub(in crate::pipeline) fn dead_lettered(self, _receipt: Receipt) -> Settled<P> {
        self.settle(Ending::DeadLettered)
    }

    /// Gives the record back to its source, unfinished: it will be read again by whoever owns its partition next.
    pub(in crate::pipeline) fn release(self) {}

    fn settle(self, ending: Ending) -> Settled<P> {
        Settled { epoch: self.epoch, position: self.position, ending, was_tried: true }
    }
}

/// Proof that a dead letter was acknowledged by what keeps the letters. Made by the dead-letter stage alone, when the
/// acknowledgement is there.
#[derive(Debug)]
pub(in crate::pipeline) struct Receipt(());

impl Receipt {
    pub(in crate::pipeline) fn acknowledged() -> Self {
        Self(())
    }
}

/// How a record ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its handler succeeded.
    Done,
    /// It was passed over on purpose.
    Skipped,
    /// Its dead letter was acknowledged.
    DeadLettered,
}

/// A spent ticket: what a source's [`Progress`](super::source::Progress) takes.
#[derive(Debug)]
pub struct Settled<P> {
    epoch: Epoch,
    position: P,
    ending: Ending,
    was_tried: bool,
}

impl<P: Copy> Settled<P> {
    /// Whether it says anything of what its handler calls.
    pub(in crate::pipeline) fn was_tried(&self) -> bool {
        self.was_tried
    }

    /// The assignment that the record came in under.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Where the record stands in its source.
    pub fn position(&self) -> P {
        self.position
    }

    /// How it ended.
    pub fn ending(&self) -> Ending {
        self.ending
    }
}
