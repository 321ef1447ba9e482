//! What is wrong with a configuration, as it is found before a client is made, and as librdkafka finds it.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::security::is_secret;

/// What is wrong with a configuration; all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .faults.join("; "))]
pub struct ConfigError {
    /// One line a fault, each with what to do.
    pub faults: Vec<String>,
}

impl ConfigError {
    pub(in crate::kafka) fn one(fault: impl Into<String>) -> Self {
        Self { faults: vec![fault.into()] }
    }

    /// What librdkafka refused. Its message names the property, and its value only where that is no secret.
    pub(in crate::kafka) fn refused(error: &KafkaError) -> Self {
        match error {
            // A misspelt name may stand for anything.
            KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, key, _) => {
                Self::one(format!("the Kafka client knows no property `{key}`: correct its name"))
            }
            KafkaError::ClientConfig(_, _, key, _) if is_secret(key) => Self::one(format!(
                "the Kafka client refuses `{key}`, whose value is not shown: check the name and the value"
            )),
            KafkaError::ClientConfig(_, reason, key, value) => {
                Self::one(format!("the Kafka client refuses `{key}` = `{value}`: {reason}"))
            }
            KafkaError::ClientCreation(reason) => Self::one(format!(
                "the Kafka client refuses its configuration: {reason}: check the files and the `ssl.` and `sasl.` properties"
            )),
            other => Self::one(format!("the Kafka client could not be made: {other}")),
        }
    }
}
