//! The producer: what a handler writes with.

use std::sync::Arc;

use super::super::batch::{BatchContext, FromBatch};
use super::super::{Delivery, Rejection};
use super::FromRecord;
use crate::producer::{self, SendError, Sends, Sent};
use crate::record::{OwnedRecord, Topic};
use crate::trace::{TRACEPARENT, TRACESTATE, TraceContext};

/// Writes records that belong to the one that is handled: it isn't finished before all of them are acknowledged, and an attempt whose
/// sends fail has failed. They carry the record's [trace](crate::trace) on.
///
/// A retry sends again what an earlier attempt has sent already: who reads it must know duplicates, or be told apart by a key.
///
/// ```
/// use daemonry::handler::{HandlerError, Route, on, extract::{Json, Key, Producer}};
/// use daemonry::record::OwnedRecord;
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Order { id: u64 }
///
/// async fn bill(Key(customer): Key, Json(order): Json<Order>, producer: Producer) -> Result<(), HandlerError> {
///     let invoice = OwnedRecord::json(&order)?.with_key(customer.unwrap_or_default());
///     producer.send("invoices", invoice).await?; // acknowledged
///     producer.enqueue("audit", OwnedRecord::new(format!("billed {}", order.id))); // before the record is finished
///     Ok(())
/// }
/// let route: Route = on(bill);
/// # drop(route);
/// ```
#[derive(Clone, Debug)]
pub struct Producer {
    sends: Arc<Sends>,
    trace: Option<Outgoing>,
}

/// What is written into each record's headers, unless it has a trace of its own.
#[derive(Clone, Debug)]
pub(in crate::handler) struct Outgoing {
    /// The span that sends it.
    pub(in crate::handler) context: TraceContext,
    /// What came with the trace.
    pub(in crate::handler) state: Option<Box<[u8]>>,
}

impl Producer {
    pub(in crate::handler) fn new(sends: Arc<Sends>, trace: Option<Outgoing>) -> Self {
        Self { sends, trace }
    }

    /// Writes a record and waits until all in-sync replicas have it.
    ///
    /// # Errors
    /// See [`SendError`]. Passed on with `?` it has the attempt retried.
    pub async fn send(&self, topic: impl Into<Topic>, record: OwnedRecord) -> Result<Sent, SendError> {
        self.sends.producer().send(topic, self.traced(record)).await
    }

    /// Hands a record over and doesn't wait: that is done at the handler's end, and if it can't be written the attempt has failed.
    /// Records of one key that are enqueued by one handler keep their order.
    pub fn enqueue(&self, topic: impl Into<Topic>, record: OwnedRecord) {
        self.sends.push(topic.into(), self.traced(record));
    }

    fn traced(&self, record: OwnedRecord) -> OwnedRecord {
        let has_one = record.headers.iter().any(|(name, _)| name == TRACEPARENT.as_bytes());
        let Some(trace) = self.trace.as_ref().filter(|_| !has_one) else { return record };
        let record = record.with_header(TRACEPARENT, trace.context.to_string());
        match &trace.state {
            Some(state) => record.with_header(TRACESTATE, &state[..]),
            None => record,
        }
    }
}

/// For a handler that is called as the plain function that it is, in a test. Nobody waits there for what it only
/// [enqueues](Producer::enqueue).
///
/// ```
/// use daemonry::handler::extract::Producer;
/// use daemonry::record::OwnedRecord;
/// use daemonry::testing::MemoryBroker;
/// use std::sync::Arc;
///
/// async fn bill(producer: Producer) -> anyhow::Result<()> {
///     producer.send("invoices", OwnedRecord::new("1 EUR")).await?;
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let broker = MemoryBroker::new();
/// broker.create_topic("invoices", 1);
/// bill(daemonry::producer::Producer::new(Arc::new(broker.clone())).into()).await?;
/// assert_eq!(broker.records("invoices", 0).len(), 1);
/// # Ok(())
/// # }
/// ```
impl From<producer::Producer> for Producer {
    fn from(producer: producer::Producer) -> Self {
        Self::new(Arc::new(Sends::new(producer)), None)
    }
}

impl<S> FromRecord<S> for Producer {
    fn from_record(delivery: &Delivery, _state: &S) -> Result<Self, Rejection> {
        let none = || Rejection::new("there is no producer here: give one to the pipeline, or to the delivery");
        delivery.outgoing().ok_or_else(none)
    }
}

/// What is sent with it is waited for: no record of the batch is finished before all of it is acknowledged.
///
/// # Panics
/// Where the batch has no producer, as one that was made by hand for a test without it.
impl<S> FromBatch<S> for Producer {
    fn from_batch(context: &BatchContext, _state: &S) -> Self {
        context.outgoing().expect("there is no producer here: give one to the pipeline, or to the batch")
    }
}
