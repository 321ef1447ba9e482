//! The daemon over a source of your own: a source, a router, and the pipeline between them.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::{Instrument, info_span};

use super::runtime::Waits;
use super::serving::Serving;
use super::{Daemon, DaemonContext, DaemonError, Ended};
use crate::handler::Router;
use crate::pipeline::PipelineSettings;
use crate::pipeline::control::Control;
use crate::pipeline::dead_letter::{DeadLetterSink, Letter, PublishError};
use crate::pipeline::source::{Source, SourceError};
use crate::producer::{Producer, Sent};

/// How often the probes hear that it is still about to connect.
const PULSE: Duration = Duration::from_secs(1);

/// A daemon that handles the records of a [`Source`] of your own: RabbitMQ, a WebSocket, a table. All else is as with Kafka's
/// [`Consumer`](super::Consumer): lanes, retries, dead letters, drains, metrics and probes. `examples/own_source.rs` is a whole one.
///
/// ```
/// use daemonry::daemon::SourceDaemon;
/// use daemonry::handler::{Router, on, extract::Text};
/// use daemonry::supervisor::Supervisor;
/// use daemonry::testing::MemoryBroker;
///
/// async fn created(Text(order): Text) { println!("{order}"); }
///
/// let broker = MemoryBroker::new(); // stands for yours
/// let supervisor = Supervisor::new().daemon(move || {
///     let router = Router::new().topic("orders", on(created).stop_on_failure());
///     let (broker, topics) = (broker.clone(), router.subscription());
///     SourceDaemon::new("orders", async move { Ok(broker.join(topics)) }, router)
/// });
/// # drop(supervisor);
/// ```
pub struct SourceDaemon<S> {
    serving: Serving,
    connect: BoxFuture<'static, Result<S, SourceError>>,
    dead_letters: Option<Arc<dyn DeadLetterSink>>,
    producer: Option<Producer>,
}

impl<S: Source> SourceDaemon<S> {
    /// A daemon of this name that reads the source that `connect` makes, once the daemon runs. A stop drops `connect` where it stands.
    pub fn new(
        name: impl Into<String>,
        connect: impl Future<Output = Result<S, SourceError>> + Send + 'static,
        router: Router,
    ) -> Self {
        let serving = Serving::new(name.into(), router, Waits::Sockets);
        Self { serving, connect: connect.boxed(), dead_letters: None, producer: None }
    }

    /// Where dead letters go: Kafka, with a [`KafkaProducer`](crate::kafka::KafkaProducer), or whatever else can acknowledge them. Without
    /// it every route has to say [`stop_on_failure`](crate::handler::Route::stop_on_failure), or the daemon doesn't start.
    #[must_use]
    pub fn dead_letters(self, sink: Arc<dyn DeadLetterSink>) -> Self {
        Self { dead_letters: Some(sink), ..self }
    }

    /// What handlers write with, where they take an [`extract::Producer`](crate::handler::extract::Producer).
    #[must_use]
    pub fn producer(self, producer: Producer) -> Self {
        Self { producer: Some(producer), ..self }
    }

    /// How it reads, queues, works and commits.
    #[must_use]
    pub fn settings(mut self, settings: PipelineSettings) -> Self {
        self.serving.settings = settings;
        self
    }

    /// Threads of the runtime that the handlers run on (default: cores + 8, and one more than the workers up to 64 of them).
    #[must_use]
    pub fn handler_threads(mut self, threads: NonZeroUsize) -> Self {
        self.serving.threads = Some(threads);
        self
    }

    /// What steers it while it runs; one made outside of the supervisor's factory outlives its restarts.
    #[must_use]
    pub fn control(mut self, control: Control) -> Self {
        self.serving.control = control;
        self
    }

    async fn serve(self, context: DaemonContext) -> Result<Ended, DaemonError> {
        let Self { serving, connect, dead_letters, producer } = self;
        serving.check::<S>()?;
        let dead_letters = match (dead_letters, serving.router.letter_writer()) {
            (Some(sink), _) => sink,
            (None, None) => Arc::new(Nowhere) as Arc<_>,
            (None, Some(selector)) => {
                return Err(DaemonError::config(format!(
                    "dead letters of `{}` have nowhere to go: give the daemon `dead_letters`, or let the route `stop_on_failure`",
                    selector.as_str()
                )));
            }
        };
        context.health().not_ready("connecting to the source");
        let Some(source) = connected(connect, &context).await? else { return Ok(Ended::Drained) };
        serving.run(source, dead_letters, producer, "waiting for the source", &context).await
    }
}

/// The source; `None` where a stop came first.
async fn connected<S>(
    mut connect: BoxFuture<'static, Result<S, SourceError>>,
    context: &DaemonContext,
) -> Result<Option<S>, SourceError> {
    let mut pulse = tokio::time::interval(PULSE);
    loop {
        tokio::select! {
            biased;
            () = context.stopped() => return Ok(None),
            source = &mut connect => return source.map(Some),
            _ = pulse.tick() => context.health().heartbeat(),
        }
    }
}

#[async_trait]
impl<S: Source> Daemon for SourceDaemon<S> {
    fn name(&self) -> &str {
        &self.serving.name
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        let span = info_span!("source_daemon", daemon = self.serving.name);
        self.serve(context).instrument(span).await
    }
}

/// Where the letters of routes go that write none.
struct Nowhere;

#[async_trait]
impl DeadLetterSink for Nowhere {
    async fn publish(&self, letter: &Letter<'_>) -> Result<Sent, PublishError> {
        // Nothing may be lost, should it ever come to that.
        Err(PublishError::Unavailable(format!(
            "nothing takes letters for `{}`: give the daemon `dead_letters`",
            letter.topic
        )))
    }
}

impl<S> fmt::Debug for SourceDaemon<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceDaemon").field("serving", &self.serving).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
