//! A delivery: one attempt at one record, as extractors and layers see it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::extract::{self, Cancellation, Outgoing};
use crate::producer::{Producer, Sends};
use crate::record::Record;
use crate::trace::{TRACESTATE, TraceContext};

/// One attempt at one record. Cheap to clone; the record's memory lives as long as any clone does.
///
/// ```
/// use daemonry::handler::Delivery;
/// use daemonry::record::{OwnedRecord, TopicPartition};
///
/// // Made by hand, to test an extractor or a layer with.
/// let record = OwnedRecord::new("{}").with_key("a").into_record(TopicPartition::new("orders", 0), 7);
/// let delivery = Delivery::new(record, 1);
/// assert_eq!(delivery.record().key(), Some(&b"a"[..]));
/// ```
#[derive(Clone)]
pub struct Delivery {
    record: Record,
    attempt: u32,
    circumstances: Circumstances,
    /// The span that this attempt is, where a layer has begun one.
    trace: Option<TraceContext>,
    /// What this attempt has sent, once it has asked for the producer.
    sends: OnceLock<Arc<Sends>>,
}

/// What attempts at the records of an assignment have in common. Layers clone it with each of them.
#[derive(Clone)]
pub(crate) struct Circumstances(Arc<Provision>);

#[derive(Clone)]
struct Provision {
    cancellation: Cancellation,
    /// Counts what goes on after the attempt's future is dropped, where that may be.
    remains: Option<TaskTracker>,
    /// What handlers write with.
    producer: Option<Producer>,
}

impl Circumstances {
    /// Those of attempts that this cancels.
    pub(crate) fn new(cancellation: Cancellation, remains: Option<&TaskTracker>, producer: Option<&Producer>) -> Self {
        let (remains, producer) = (remains.cloned(), producer.cloned());
        Self(Arc::new(Provision { cancellation, remains, producer }))
    }

    /// Whether the work is still wanted.
    pub(crate) fn cancellation(&self) -> &Cancellation {
        &self.0.cancellation
    }
}

impl Delivery {
    /// The `attempt`-th attempt (from 1) at a record, which nothing cancels.
    pub fn new(record: Record, attempt: u32) -> Self {
        Self::cancelled_by(record, attempt, CancellationToken::new())
    }

    /// The same, cancelled by this: a [`Cancellation`], or a token that stands for all of it.
    pub fn cancelled_by(record: Record, attempt: u32, cancellation: impl Into<Cancellation>) -> Self {
        Self::under(record, attempt, Circumstances::new(cancellation.into(), None, None))
    }

    /// The `attempt`-th attempt (from 1) at a record.
    pub(crate) fn under(record: Record, attempt: u32, circumstances: Circumstances) -> Self {
        Self { record, attempt, circumstances, trace: None, sends: OnceLock::new() }
    }

    /// The record.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the work is still wanted.
    pub fn cancellation(&self) -> &Cancellation {
        self.circumstances.cancellation()
    }

    /// The same, whose handler writes with this.
    #[must_use]
    pub fn producing_with(mut self, producer: Producer) -> Self {
        Arc::make_mut(&mut self.circumstances.0).producer = Some(producer);
        self
    }

    /// The trace that the attempt belongs to: the span that a [`TraceLayer`](super::layer::TraceLayer) has begun, else its sender's.
    pub fn trace(&self) -> Option<TraceContext> {
        self.trace.or_else(|| TraceContext::of(&self.record))
    }

    /// The same as this span.
    pub(super) fn traced_as(self, trace: TraceContext) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// What the handler writes with; `None` where nobody gave it anything.
    pub(super) fn outgoing(&self) -> Option<extract::Producer> {
        let producer = self.circumstances.0.producer.as_ref()?;
        let sends = self.sends.get_or_init(|| Arc::new(Sends::new(producer.clone())));
        Some(extract::Producer::new(Arc::clone(sends), self.outgoing_trace()))
    }

    /// The attempt's span is the parent of whatever comes of what it sends; where there is none its sender's trace goes on all the same.
    fn outgoing_trace(&self) -> Option<Outgoing> {
        let sender = TraceContext::of(&self.record);
        let context = self.trace.or_else(|| sender.map(TraceContext::child))?;
        // Of a trace that wasn't understood there is no state either.
        let state = sender.and_then(|_| self.record.header(TRACESTATE)).map(Box::from);
        Some(Outgoing { context, state })
    }

    /// What the handler has to wait for at its end.
    pub(super) fn sends(&self) -> Option<Arc<Sends>> {
        self.sends.get().cloned()
    }

    /// What counts what goes on after the attempt, if anything.
    pub(super) fn remains(&self) -> Option<&TaskTracker> {
        self.circumstances.0.remains.as_ref()
    }

    /// Work goes on as long as this is held, whatever becomes of the attempt's future.
    pub(super) fn running(&self) -> Option<TaskTrackerToken> {
        self.remains().map(TaskTracker::token)
    }

    /// Goes on to another record of the same assignment.
    pub(crate) fn turn_to(&mut self, record: Record, attempt: u32) {
        self.record = record;
        self.attempt = attempt;
        self.sends.take();
    }
}

impl fmt::Debug for Circumstances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Circumstances").finish_non_exhaustive()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("record", &self.record).field("attempt", &self.attempt).finish_non_exhaustive()
    }
}
