//! Questions to the cluster, and the making of topics: for the check of dead-letter topics at the start.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{Producer, ThreadedProducer};

use super::bootstrap::Bootstrap;
use super::callbacks::Callbacks;
use super::config::{ConfigError, KafkaConfig};
use super::describe::{TopicState, describe, states};
use super::faults::unreachable;
use super::obstacles::{Obstacle, Obstacles};
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
    /// The brokers refuse the connection: our credentials, or our certificate, or we theirs. Says what to check.
    #[error("{0}")]
    NotLetIn(String),
    /// The brokers don't let us.
    #[error("not authorised for topic `{topic}`: grant this user {operation} on it")]
    NotAuthorized {
        /// Which topic.
        topic: Topic,
        /// What is missing, as an ACL names it: `DESCRIBE`, `WRITE`, `CREATE`.
        operation: &'static str,
    },
    /// The brokers don't let us at the group.
    #[error("not authorised for group `{group}`: grant this user {operation} on the group")]
    NotAuthorizedForGroup {
        /// Which group.
        group: String,
        /// What is missing, as an ACL names it: `DESCRIBE`, `READ`.
        operation: &'static str,
    },
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
    pub(super) config: KafkaConfig,
    client: Arc<Connection>,
}

/// A client that asks. A producer, since its errors are polled: those of the binding's own admin client are not.
struct Connection {
    /// Handed to a thread of its own when this is dropped: its end waits for its threads.
    producer: Option<ThreadedProducer<Callbacks<()>>>,
    bootstrap: Mutex<Bootstrap>,
}

impl Connection {
    fn producer(&self) -> &ThreadedProducer<Callbacks<()>> {
        self.producer.as_ref().expect("taken only when this is dropped")
    }

    /// Asks a question that blocks.
    fn ask<T>(&self, question: impl FnOnce(&Client<Callbacks<()>>) -> T) -> T {
        let client = self.producer().client();
        self.bootstrap.lock().look(client);
        let answer = question(client);
        self.bootstrap.lock().look(client);
        answer
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let producer = self.producer.take();
        drop(std::thread::Builder::new().name("kafka-close".to_owned()).spawn(move || drop(producer)));
    }
}

impl KafkaAdmin {
    /// One with the connection of `config`, without its group.
    ///
    /// # Errors
    /// What librdkafka refuses.
    pub fn new(config: &KafkaConfig) -> Result<Self, ConfigError> {
        config.check_connection()?;
        let callbacks = Callbacks::new(config, ());
        let producer = config.other().create_with_context(callbacks).map_err(|error| config.refused(&error))?;
        let client = Connection { producer: Some(producer), bootstrap: Mutex::new(Bootstrap::new(config)) };
        Ok(Self { config: config.clone(), client: Arc::new(client) })
    }

    /// How many partitions the topic has; `None` where it does not exist. Takes 10 s at most.
    ///
    /// # Errors
    /// Where the cluster does not say.
    pub async fn partitions(&self, topic: &Topic) -> Result<Option<usize>, AdminError> {
        self.look(topic, false).await
    }

    /// As [`partitions`](Self::partitions), for a topic that is to be written to: one where that isn't allowed is an error, as far as the
    /// brokers tell (Apache Kafka's do).
    ///
    /// # Errors
    /// Where the cluster does not say, or does not let us.
    pub async fn writable(&self, topic: &Topic) -> Result<Option<usize>, AdminError> {
        self.look(topic, true).await
    }

    /// Every topic that we may see, and how its partitions stand.
    ///
    /// # Errors
    /// Where the cluster does not say.
    pub async fn topics(&self) -> Result<Vec<TopicState>, AdminError> {
        self.ask(|client| states(client, PATIENCE)).await
    }

    /// Asks a question that blocks.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Client<Callbacks<()>>) -> Result<T, Code> + Send + 'static,
    ) -> Result<T, AdminError> {
        let client = Arc::clone(&self.client);
        let asked = tokio::task::spawn_blocking(move || client.ask(question));
        let answer = tokio::select! {
            biased;
            answer = asked => answer,
            // Nobody has to wait until the question is given up.
            say = self.obstacles().refused() => return Err(AdminError::NotLetIn(say)),
        };
        let answer = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(code)) => return Err(self.unavailable(code)),
            Err(error) => return Err(AdminError::Unavailable(error.to_string())),
        };
        self.obstacles().clear();
        Ok(answer)
    }

    async fn look(&self, topic: &Topic, to_write: bool) -> Result<Option<usize>, AdminError> {
        let name = topic.clone();
        let described = self.ask(move |client| describe(client, std::slice::from_ref(&name), PATIENCE)).await?.pop();
        let not_authorized = |operation| AdminError::NotAuthorized { topic: topic.clone(), operation };
        let Some(described) = described else { return Ok(None) };
        match described.partitions {
            Ok(_) if to_write && described.rights.is_some_and(|rights| !rights.write) => Err(not_authorized("WRITE")),
            Ok(partitions) => Ok(Some(partitions)),
            Err(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) => Ok(None),
            // Whether it exists is not for us to know. To read or to write implies it.
            Err(Code::TopicAuthorizationFailed) => Err(not_authorized(if to_write { "WRITE" } else { "DESCRIBE" })),
            Err(code) => Err(AdminError::Unavailable(code.to_string())),
        }
    }

    /// Makes the topic, with the cluster's default for the number of replicas. One that exists already is left as it is.
    ///
    /// # Errors
    /// Where the cluster refuses, or does not say.
    pub async fn create(&self, topic: &Topic, partitions: usize) -> Result<(), AdminError> {
        self.create_with(topic, partitions, &[]).await
    }

    /// As [`create`](Self::create), with these settings of the topic.
    pub(super) async fn create_with(
        &self,
        topic: &Topic,
        partitions: usize,
        settings: &[(&str, &str)],
    ) -> Result<(), AdminError> {
        let refused = |reason: String| AdminError::Refused { topic: topic.clone(), reason };
        let count = i32::try_from(partitions).map_err(|_| refused(format!("{partitions} partitions are too many")))?;
        // For this question only: its client's errors are heard of by nobody.
        let client = self.config.other().create();
        let client: AdminClient<DefaultClientContext> =
            client.map_err(|error| refused(self.config.refused(&error).to_string()))?;
        // -1: as the cluster is set up.
        let new = NewTopic::new(topic.as_str(), count, TopicReplication::Fixed(-1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let results = client.create_topics([&new], &options).await;
        let results = results.map_err(|error| self.unavailable(error.rdkafka_error_code().unwrap_or(Code::Unknown)))?;
        match results.into_iter().next() {
            Some(Ok(_)) | Some(Err((_, Code::TopicAlreadyExists))) => Ok(()),
            Some(Err((_, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))) => {
                Err(AdminError::NotAuthorized { topic: topic.clone(), operation: "CREATE" })
            }
            Some(Err((_, code @ (Code::OperationTimedOut | Code::RequestTimedOut | Code::NotController)))) => {
                Err(AdminError::Unavailable(code.to_string()))
            }
            Some(Err((_, code))) => Err(refused(code.to_string())),
            None => Err(AdminError::Unavailable("no answer about the topic".to_owned())),
        }
    }

    fn obstacles(&self) -> &Obstacles {
        &self.client.producer().context().obstacles
    }

    fn unavailable(&self, code: Code) -> AdminError {
        match self.obstacles().last() {
            Some(Obstacle::Refused(say)) => AdminError::NotLetIn(say),
            obstacle @ Some(Obstacle::Suspected(_)) => AdminError::Unavailable(unreachable(obstacle, &self.config)),
            None => AdminError::Unavailable(format!("{} ({code})", unreachable(None, &self.config))),
        }
    }
}

impl std::fmt::Debug for KafkaAdmin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaAdmin").finish_non_exhaustive()
    }
}
