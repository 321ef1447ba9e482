//! Dead letters of a Kafka: what [`DeadLetters`](crate::dead_letters::DeadLetters) reads and writes with.
//!
//! Owner: a thread of one listing, re-drive or discard, which may block. Each makes clients of its own, which go with it.

mod reader;
mod transaction;
mod writer;

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use self::reader::KafkaReader;
use self::writer::KafkaWriter;
use super::admin::{AdminError, KafkaAdmin};
use super::config::{ConfigError, GroupProtocol, KafkaConfig};
use super::faults::unreachable;
use super::obstacles::{Obstacle, Obstacles};
use crate::dead_letters::LettersError;
use crate::dead_letters::shelf::{Batching, Reader, Shelf, Stop, Writer};
use crate::record::Topic;

/// How long the cluster may take to answer a question.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long to wait before it is looked what keeps it from answering.
const ASK: Duration = Duration::from_secs(3);
/// What the names of groups and transactional ids begin with; the letters' topic follows.
const PREFIX: &str = "daemonry-redrive.";

/// See the module.
#[derive(Debug)]
pub(crate) struct KafkaShelf {
    config: KafkaConfig,
}

impl KafkaShelf {
    /// With the connection of `config`.
    pub(crate) fn new(config: &KafkaConfig) -> Result<Self, ConfigError> {
        config.check_connection()?;
        Ok(Self { config: config.clone() })
    }
}

impl Shelf for KafkaShelf {
    fn reader(&self, stop: &Stop) -> Result<Box<dyn Reader>, LettersError> {
        // A client only reads with a group's name. Nobody joins it, and nothing is committed for it.
        let config = lonely(&self.config, "daemonry-letters".to_owned());
        Ok(Box::new(KafkaReader::new(config, stop.clone())?))
    }

    fn writer(&self, letters: &Topic, batching: Batching) -> Result<Box<dyn Writer>, LettersError> {
        Ok(Box::new(KafkaWriter::new(&self.config, letters, batching)?))
    }

    fn create_compacted(&self, topic: &Topic) -> Result<(), LettersError> {
        // The administrator is asked from within a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| LettersError::Unavailable(error.to_string()))?;
        let admin = KafkaAdmin::new(&self.config).map_err(unusable)?;
        let asked = runtime.block_on(async {
            if admin.writable(topic).await?.is_some() {
                return Ok(());
            }
            admin.create_with(topic, 1, &[("cleanup.policy", "compact")]).await?;
            // The controller answers before the brokers know.
            let deadline = Instant::now() + PATIENCE;
            while admin.partitions(topic).await?.is_none_or(|count| count == 0) && Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        });
        asked.map_err(|error| match error {
            AdminError::NotAuthorized { operation: "CREATE", .. } => {
                let reason = "this user lacks the right CREATE on it".to_owned();
                LettersError::NoMarks { topic: topic.clone(), reason }
            }
            AdminError::NotAuthorized { topic, operation } => {
                LettersError::NotAuthorized { operation, resource: format!("topic `{topic}`") }
            }
            AdminError::NotAuthorizedForGroup { group, operation } => {
                LettersError::NotAuthorized { operation, resource: format!("group `{group}`") }
            }
            AdminError::Refused { topic, reason } => LettersError::NoMarks { topic, reason },
            AdminError::NotLetIn(say) => LettersError::NotLetIn(say),
            AdminError::Unavailable(reason) => LettersError::Unavailable(reason),
        })
    }
}

/// The configuration of a client that joins no group.
fn lonely(config: &KafkaConfig, group: String) -> KafkaConfig {
    let mut lonely = config.clone();
    lonely.group = group;
    lonely.protocol = GroupProtocol::Cooperative;
    (lonely.instance_id, lonely.session_timeout, lonely.max_poll_interval) = (None, None, None);
    lonely
}

fn unusable(error: ConfigError) -> LettersError {
    LettersError::Unusable(error.to_string())
}

fn code_of(error: &KafkaError) -> Code {
    match error {
        KafkaError::Transaction(error) => error.code(),
        error => error.rdkafka_error_code().unwrap_or(Code::Unknown),
    }
}

/// What an error means that has to do with no single topic.
fn failed(code: Code, what: &str, obstacles: &Obstacles, config: &KafkaConfig) -> LettersError {
    let right = |operation, resource: String| LettersError::NotAuthorized { operation, resource };
    match (code, obstacles.last()) {
        (Code::GroupAuthorizationFailed, _) => right("READ", format!("groups with the prefix `{PREFIX}`")),
        (Code::TransactionalIdAuthorizationFailed, _) => {
            right("WRITE", format!("transactional ids with the prefix `{PREFIX}`"))
        }
        (Code::ClusterAuthorizationFailed, _) => right("IDEMPOTENT_WRITE", "the cluster".to_owned()),
        (Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch, _) => LettersError::Replaced,
        (_, Some(Obstacle::Refused(say))) => LettersError::NotLetIn(say),
        (_, Some(Obstacle::Suspected(say))) => LettersError::Unavailable(say),
        (Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::Resolve, None) => {
            LettersError::Unavailable(format!("{what}: {} ({code})", unreachable(None, config)))
        }
        (code, None) => LettersError::Unavailable(format!("{what}: {code}")),
    }
}
