//! The consumer daemon: a Kafka source, a router, and the pipeline between them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tracing::{Instrument, info_span};

use super::letter_topics::{LetterTopics, MissingDeadLetterTopic};
use super::runtime::Waits;
use super::serving::Serving;
use super::{Daemon, DaemonContext, DaemonError, Ended};
use crate::handler::Router;
use crate::kafka::{KafkaConfig, KafkaProducer, KafkaSource};
use crate::pipeline::PipelineSettings;
use crate::pipeline::control::Control;
use crate::producer::Producer;

/// What the source keeps revoked partitions for beyond the handlers' time, so that their last commit can be made.
const LAST_COMMIT: Duration = Duration::from_secs(3);
/// What the probes are told until the group has answered.
const JOINING: &str = "joining the group";
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
    serving: Serving,
    kafka: KafkaConfig,
    missing: MissingDeadLetterTopic,
}

impl Consumer {
    /// A daemon of this name that reads the router's topics as a member of the configured group.
    pub fn new(name: impl Into<String>, kafka: KafkaConfig, router: Router) -> Self {
        // The client library has threads of its own for its sockets.
        let serving = Serving::new(name.into(), router, Waits::Timers);
        Self { serving, kafka, missing: MissingDeadLetterTopic::default() }
    }

    /// How it reads, queues, works and commits.
    #[must_use]
    pub fn settings(mut self, settings: PipelineSettings) -> Self {
        self.serving.settings = settings;
        self
    }

    /// What to do about a missing dead-letter topic (default: refuse to start).
    #[must_use]
    pub fn missing_dead_letter_topic(self, missing: MissingDeadLetterTopic) -> Self {
        Self { missing, ..self }
    }

    /// Threads that the handlers run on (default: cores + 8, and one more than the workers up to 64 of them). Each handler that blocks takes one;
    /// reading, timers and probes run elsewhere. Of four or more, one is the first worker's own, which is no task of the runtime's: there
    /// `tokio::task::try_id` is `None`, and `id` panics.
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
}

#[async_trait]
impl Daemon for Consumer {
    fn name(&self) -> &str {
        &self.serving.name
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        let span = info_span!("consumer", daemon = self.serving.name);
        self.consume(context).instrument(span).await
    }
}

impl Consumer {
    async fn consume(self, context: DaemonContext) -> Result<Ended, DaemonError> {
        self.serving.check::<KafkaSource>()?;
        let settings = &self.serving.settings;
        let mut kafka = self.kafka.clone();
        kafka.byte_budget = settings.queue_bytes;
        kafka.revoke_drain = settings.rebalance_drain + LAST_COMMIT;
        let sink = Arc::new(KafkaProducer::new(&kafka).map_err(DaemonError::config)?);
        let router = &self.serving.router;
        let letters = LetterTopics { daemon: self.serving.name.clone(), kafka: self.kafka, missing: self.missing };
        if !letters.find(router, &context).await? {
            return Ok(Ended::Drained);
        }
        let subscription = router.subscription();
        let source = KafkaSource::with_admission(&kafka, subscription, letters.admission(router));
        let source = source.map_err(DaemonError::config)?;
        let left = source.ended();
        let producer = Some(Producer::new(Arc::clone(&sink) as Arc<_>));
        let ended = self.serving.run(source, sink, producer, JOINING, &context).await;
        if ended.is_err() {
            // A source that a panic took with it leaves its group beside us. The next run must not meet its own former member
            // there; where that can't leave in time, the group will tell the two apart.
            drop(timeout(LEAVE, left.cancelled()).await);
        }
        ended
    }
}
