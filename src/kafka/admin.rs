//! Questions to the cluster, and the making of topics: for the check of dead-letter topics at the start.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tracing::debug;

use super::config::{ConfigError, KafkaConfig};
use super::context::log;
use crate::record::Topic;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the cluster did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// It may work the next time.
    #[error("the cluster does not answer, it can be tried again: {0}")]
    Unavailable(String),
    /// The brokers don't let us.
    #[error("not authorised for topic `{0}`: grant this user DESCRIBE, or CREATE to make it")]
    NotAuthorized(Topic),
    /// The topic can't be made as asked.
    #[error("topic `{topic}` can't be created: {reason}")]
    Refused {
        /// Which topic.
        topic: Topic,
        /// What the cluster says.
        reason: String,
    },
}

/// Asks a cluster about topics, and makes them.
#[derive(Clone)]
pub struct KafkaAdmin {
    client: Arc<AdminClient<Logged>>,
}

struct Logged;

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, _error: KafkaError, reason: &str) {
        // Whoever asks hears of it by the outcome.
        debug!(error = reason, "the administrator has an error");
    }
}

impl KafkaAdmin {
    /// One with the connection of `config`, without its group.
    ///
    /// # Errors
    /// What librdkafka refuses.
    pub fn new(config: &KafkaConfig) -> Result<Self, ConfigError> {
        let client = config.other().create_with_context(Logged).map_err(|error| config.refused(&error))?;
        Ok(Self { client: Arc::new(client) })
    }

    /// How many partitions the topic has; `None` where it does not exist. Takes 10 s at most.
    ///
    /// # Errors
    /// Where the cluster does not say.
    pub async fn partitions(&self, topic: &Topic) -> Result<Option<usize>, AdminError> {
        let (client, name) = (Arc::clone(&self.client), topic.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = client.inner().fetch_metadata(Some(name.as_str()), PATIENCE)?;
            let found = metadata.topics().iter().find(|found| found.name() == name.as_str());
            Ok::<_, KafkaError>(found.map(|found| (found.error().map(Code::from), found.partitions().len())))
        });
        match asked.await {
            Ok(Ok(None | Some((Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic), _)))) => {
                Ok(None)
            }
            Ok(Ok(Some((Some(Code::TopicAuthorizationFailed), _)))) => Err(AdminError::NotAuthorized(topic.clone())),
            Ok(Ok(Some((None | Some(Code::LeaderNotAvailable), partitions)))) => Ok(Some(partitions)),
            Ok(Ok(Some((Some(code), _)))) => Err(AdminError::Unavailable(code.to_string())),
            Ok(Err(error)) => Err(unavailable(&error)),
            Err(error) => Err(AdminError::Unavailable(error.to_string())),
        }
    }

    /// Makes the topic, with the cluster's default for the number of replicas. One that exists already is left as it is.
    ///
    /// # Errors
    /// Where the cluster refuses, or does not say.
    pub async fn create(&self, topic: &Topic, partitions: usize) -> Result<(), AdminError> {
        let refused = |reason: String| AdminError::Refused { topic: topic.clone(), reason };
        let count = i32::try_from(partitions).map_err(|_| refused(format!("{partitions} partitions are too many")))?;
        // -1: as the cluster is set up.
        let new = NewTopic::new(topic.as_str(), count, TopicReplication::Fixed(-1));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let results = self.client.create_topics([&new], &options).await.map_err(|error| unavailable(&error))?;
        match results.into_iter().next() {
            Some(Ok(_)) | Some(Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))) => {
                Err(AdminError::NotAuthorized(topic.clone()))
            }
            Some(Err((_, code @ (Code::OperationTimedOut | Code::RequestTimedOut | Code::NotController)))) => {
                Err(AdminError::Unavailable(code.to_string()))
            }
            Some(Err((_, code))) => Err(refused(code.to_string())),
            None => Err(AdminError::Unavailable("no answer about the topic".to_owned())),
        }
    }
}

fn unavailable(error: &KafkaError) -> AdminError {
    AdminError::Unavailable(error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string()))
}

impl std::fmt::Debug for KafkaAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaAdmin").finish_non_exhaustive()
    }
}
