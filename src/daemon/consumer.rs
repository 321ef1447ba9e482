//! The consumer daemon: a Kafka source, a router, and the pipeline between them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tracing::{Instrument, info_span};

use super::letter_topics::{LetterTopics, MissingDeadLetterTopic};
use super::readiness::{JOINING, readiness};
use super::runtime::HandlerRuntime;
use super::{Daemon, DaemonContext, DaemonError, Ended};
use crate::handler::Router;
use crate::kafka::{KafkaConfig, KafkaProducer, KafkaSource};
use crate::pipeline::control::Control;
use crate::pipeline::{Pipeline, PipelineError, PipelineSettings, Stopped};
use crate::producer::Producer;

/// What the source keeps revoked partitions for beyond the handlers' time, so that their last commit can be made.
const LAST_COMMIT: Duration = Duration::from_secs(3);
/// How long a run that failed waits for its client to have left the group; longer than a client tries.
const LEAVE: Duration = Duration::from_secs(6);

/// A daemon that handles the records of Kafka topics.
///
/// ```no_run
/// use daemonry::daemon::Consumer;
/// use daemonry::handler::{Router, on, extract::Text};
/// use daemonry::kafka::KafkaConfig;
/// use daemonry::pipeline::PipelineSettings;
/// use daemonry::supervisor::Supervisor;
///
/// async fn created(Text(order): Text) { println!("{order}"); }
///
/// fn main() -> std::process::ExitCode {
///     Supervisor::new()
///         .daemon(|| {
///             Consumer::new("orders", KafkaConfig::new("localhost:9092", "shop"), Router::new().topic("orders", on(created)))
///                 .settings(PipelineSettings { workers: 32, ..PipelineSettings::default() })
///         })
///         .run()
///         .into()
/// }
/// ```
#[derive(Debug)]
pub struct Consumer {
    name: String,
    kafka: KafkaConfig,
    router: Router,
    settings: PipelineSettings,
    missing: MissingDeadLetterTopic,
    threads: Option<NonZeroUsize>,
    control: Control,
}

impl Consumer {
    /// A daemon of this name that reads the router's topics as a member of the configured group.
    pub fn new(name: impl Into<String>, kafka: KafkaConfig, router: Router) -> Self {
        let (settings, missing) = (PipelineSettings::default(), MissingDeadLetterTopic::default());
        Self { name: name.into(), kafka, router, settings, missing, threads: None, control: Control::new() }
    }

    /// How it reads, queues, works and commits.
    #[must_use]
    pub fn settings(self, settings: PipelineSettings) -> Self {
        Self { settings, ..self }
    }

    /// What to do about a missing dead-letter topic (default: refuse to start).
    #[must_use]
    pub fn missing_dead_letter_topic(self, missing: MissingDeadLetterTopic) -> Self {
        Self { missing, ..self }
    }

    /// Threads of the runtime that the handlers run on (default: cores + 8, and one more than the workers up to 64 of them). Each handler that
    /// blocks takes one; reading, timers and probes run elsewhere.
    #[must_use]
    pub fn handler_threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// What steers it while it runs; one made outside of the supervisor's factory outlives its restarts.
    #[must_use]
    pub fn control(self, control: Control) -> Self {
        Self { control, ..self }
    }
}

#[async_trait]
impl Daemon for Consumer {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        let span = info_span!("consumer", daemon = self.name);
        self.consume(context).instrument(span).await
    }
}

impl Consumer {
    async fn consume(self, context: DaemonContext) -> Result<Ended, DaemonError> {
        Pipeline::<KafkaSource>::check(&self.router, &self.settings)?;
        let mut kafka = self.kafka.clone();
        kafka.byte_budget = self.settings.queue_bytes;
        kafka.revoke_drain = self.settings.rebalance_drain + LAST_COMMIT;
        let producer = Arc::new(KafkaProducer::new(&kafka).map_err(DaemonError::config)?);
        let letters = LetterTopics { daemon: self.name.clone(), kafka: self.kafka, missing: self.missing };
        if !letters.find(&self.router, &context).await? {
            return Ok(Ended::Drained);
        }
        context.health().not_ready(JOINING);
        let admission = letters.admission(&self.router);
        let source = KafkaSource::with_admission(&kafka, self.router.subscription(), admission);
        let source = source.map_err(DaemonError::config)?;
        let ended = source.ended();
        let handlers = HandlerRuntime::new(&self.name, self.settings.workers, self.threads);
        let handlers = handlers.map_err(DaemonError::failed)?;
        let pipeline = Pipeline {
            daemon: self.name.clone(),
            source,
            router: self.router,
            dead_letters: Arc::clone(&producer) as Arc<_>,
            producer: Some(Producer::new(producer)),
            settings: self.settings,
            metrics: Arc::clone(context.metrics()),
            beat: readiness(context.health().clone()),
            stop_drain: context.drain(),
            control: self.control,
        };
        match pipeline.run(context.stop().clone(), handlers.handle()).await {
            Ok(Stopped { unfinished: 0, uncommitted: false }) => Ok(Ended::Drained),
            Ok(Stopped { unfinished: 0, uncommitted: true }) => Ok(Ended::Unrecorded),
            Ok(Stopped { unfinished, .. }) => Ok(Ended::Unfinished { work: unfinished }),
            Err(error) => {
                // A source that a panic took with it leaves its group beside us. The next run must not meet its own former member
                // there; where that can't leave in time, the group will tell the two apart.
                drop(timeout(LEAVE, ended.cancelled()).await);
                Err(error.into())
            }
        }
    }
}

impl From<PipelineError> for DaemonError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Misconfigured(_) => Self::config(error),
            PipelineError::Failed(_) => Self::failed(error),
            PipelineError::Fatal(_) => Self::fatal(error),
        }
    }
}
