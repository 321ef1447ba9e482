//! The consumer daemon: a Kafka source, a router, and the pipeline between them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use tracing::{Instrument, info, info_span, warn};

use super::serving::Serving;
use super::{Daemon, DaemonContext, DaemonError, Ended};
use crate::handler::Router;
use crate::kafka::{AdminError, KafkaAdmin, KafkaConfig, KafkaProducer, KafkaSource, REFUSALS, Subscription};
use crate::pipeline::PipelineSettings;
use crate::pipeline::control::Control;
use crate::producer::Producer;
use crate::record::Topic;

/// What the source keeps revoked partitions for beyond the handlers' time, so that their last commit can be made.
const LAST_COMMIT: Duration = Duration::from_secs(3);
/// How long a run that failed waits for its client to have left the group; longer than a client tries.
const LEAVE: Duration = Duration::from_secs(6);
/// Pause between two looks for the dead-letter topics while no broker answers.
const RETRY: Duration = Duration::from_secs(1);
/// What the probes are told until the group has answered.
const JOINING: &str = "joining the group";

/// What to do at the start about a dead-letter topic that does not exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
pub enum MissingDeadLetterTopic {
    /// The daemon doesn't start, and says which topic to create.
    #[default]
    Refuse,
    /// It is created, with as many partitions as the topic that its letters come from.
    Create,
}

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
        Self { serving: Serving::new(name.into(), router), kafka, missing: MissingDeadLetterTopic::default() }
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

    /// Threads of the runtime that the handlers run on (default: cores + 8, and one more than the workers up to 64 of them). Each handler that
    /// blocks takes one; reading, timers and probes run elsewhere.
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

    /// Finds, or creates, the topics for dead letters. Waits while no broker answers; `false` if a stop came first.
    async fn dead_letter_topics(&self, context: &DaemonContext) -> Result<bool, DaemonError> {
        let mut wanted: Vec<(Topic, Topic)> = self.serving.router.dead_letter_topics();
        if wanted.is_empty() {
            return Ok(true);
        }
        let mut admin = KafkaAdmin::new(&self.kafka).map_err(DaemonError::config)?;
        let mut refusals = 0;
        while let Some((source, letters)) = wanted.last().cloned() {
            context.health().heartbeat();
            let looked = tokio::select! {
                biased;
                () = context.stopped() => return Ok(false),
                looked = self.dead_letter_topic(&admin, &source, &letters) => looked?,
            };
            match looked {
                Looked::There => drop(wanted.pop()),
                Looked::Unknown(error) => {
                    if let AdminError::NotLetIn(_) = error {
                        refusals += 1;
                        if refusals == REFUSALS {
                            return Err(DaemonError::config(error));
                        }
                        // One that was refused says so only now and then.
                        admin = KafkaAdmin::new(&self.kafka).map_err(DaemonError::config)?;
                    }
                    warn!(daemon = self.serving.name, topic = letters.as_str(), %error, "no broker answers about the topic, trying again");
                    context.health().not_ready(error.to_string());
                    tokio::select! {
                        biased;
                        () = context.stopped() => return Ok(false),
                        () = sleep(RETRY) => {}
                    }
                }
            }
        }
        Ok(true)
    }

    async fn dead_letter_topic(
        &self,
        admin: &KafkaAdmin,
        source: &Topic,
        letters: &Topic,
    ) -> Result<Looked, DaemonError> {
        match admin.writable(letters).await {
            Ok(Some(_)) => return Ok(Looked::There),
            Ok(None) if self.missing == MissingDeadLetterTopic::Refuse => {
                return Err(DaemonError::config(format!(
                    "topic `{letters}` for the dead letters of `{source}` does not exist: create it, name another one with `dead_letter`, \
                     or let the daemon create it with `missing_dead_letter_topic`"
                )));
            }
            Ok(None) => {}
            Err(error) => return Self::unanswered(error),
        }
        let partitions = match admin.partitions(source).await {
            Ok(partitions) => partitions.unwrap_or(1),
            Err(error) => return Self::unanswered(error),
        };
        match admin.create(letters, partitions).await {
            Ok(()) => {
                info!(daemon = self.serving.name, topic = letters.as_str(), partitions, "dead-letter topic created");
                Ok(Looked::There)
            }
            Err(error) => Self::unanswered(error),
        }
    }

    /// What is worth another look, and what is not.
    fn unanswered(error: AdminError) -> Result<Looked, DaemonError> {
        match error {
            error @ (AdminError::Unavailable(_) | AdminError::NotLetIn(_)) => Ok(Looked::Unknown(error)),
            error => Err(DaemonError::config(error)),
        }
    }
}

/// What came of looking for a topic.
enum Looked {
    There,
    /// No answer: look again.
    Unknown(AdminError),
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
        let subscriptions = self.serving.router.subscription().into_iter();
        let subscriptions = subscriptions.map(|(topic, tag)| Subscription { topic, tag }).collect();
        let sink = Arc::new(KafkaProducer::new(&kafka).map_err(DaemonError::config)?);
        if !self.dead_letter_topics(&context).await? {
            return Ok(Ended::Drained);
        }
        let source = KafkaSource::new(&kafka, subscriptions).map_err(DaemonError::config)?;
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
