//! A span for each attempt, within its record's trace.

use std::task::{Context, Poll};

use tower::{Layer, Service};
use tracing::instrument::Instrumented;
use tracing::{Instrument, info_span};

use super::super::Delivery;
use crate::trace::TraceContext;

/// Runs each attempt in a [`tracing`] span named `record`, with the fields `topic`, `partition`, `offset`, `attempt`, `trace_id`, `span_id` and
/// `parent_id`, within a span with the field `daemon`. The trace is that of the record's `traceparent` header, or a new one; the span is
/// the parent of what comes of the records that the handler [produces](crate::producer::Producer), by their own `traceparent`. Log lines
/// within the span can be joined with those of other services by it.
///
/// Costs about a microsecond an attempt, which is why it isn't there by default.
///
/// ```
/// use daemonry::handler::{Route, on, extract::Text, layer::TraceLayer};
///
/// async fn audit(Text(line): Text) { tracing::info!(line, "audited"); }
///
/// let route: Route = on(audit).layer(TraceLayer::new());
/// # drop(route);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer(());

impl TraceLayer {
    /// The layer.
    pub fn new() -> Self {
        Self(())
    }
}

impl<T> Layer<T> for TraceLayer {
    type Service = Trace<T>;

    fn layer(&self, inner: T) -> Trace<T> {
        Trace { inner }
    }
}

/// A service whose calls run in spans; made by [`TraceLayer`].
#[derive(Clone, Debug)]
pub struct Trace<T> {
    inner: T,
}

impl<T: Service<Delivery>> Service<Delivery> for Trace<T> {
    type Response = T::Response;
    type Error = T::Error;
    type Future = Instrumented<T::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        let sender = delivery.trace();
        let ours = sender.map_or_else(TraceContext::root, TraceContext::child);
        let record = delivery.record();
        let span = info_span!(
            "record",
            topic = record.topic().as_str(),
            partition = record.partition().0,
            offset = record.offset().0,
            attempt = delivery.attempt(),
            trace_id = %ours.trace_id(),
            span_id = %ours.span_id(),
            parent_id = sender.map(|sender| tracing::field::display(sender.span_id())),
        );
        // The handler's arguments are drawn within it too.
        let work = span.in_scope(|| self.inner.call(delivery.traced_as(ours)));
        work.instrument(span)
    }
}
