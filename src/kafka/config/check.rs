//! What is wrong with a configuration.

use std::fmt;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::security::Build;
use super::{GroupProtocol, KafkaConfig};

/// What is wrong with a configuration; all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError {
    /// Each with what to do.
    pub faults: Vec<ConfigFault>,
}

/// One thing that is wrong with a configuration. Never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFault {
    /// The field of [`KafkaConfig`], or the property; empty where it isn't known which one.
    pub setting: String,
    /// What is wrong with it, and what to do.
    pub problem: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.setting.as_str() {
            "" => f.write_str(&self.problem),
            setting => write!(f, "`{setting}` {}", self.problem),
        }
    }
}

impl ConfigFault {
    pub(in crate::kafka) fn of(setting: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { setting: setting.into(), problem: problem.into() }
    }
}

impl ConfigError {
    pub(in crate::kafka) fn one(problem: impl Into<String>) -> Self {
        Self { faults: vec![ConfigFault::of("", problem)] }
    }
}

/// Properties that have a field of their own, or a value that no setting may change; and what to do instead.
const OWNED: [(&str, &str); 17] = [
    ("bootstrap.servers", "set `brokers`"),
    ("metadata.broker.list", "set `brokers`"),
    ("group.id", "set `group`"),
    ("group.protocol", "set `protocol`"),
    ("group.instance.id", "set `instance_id`"),
    ("partition.assignment.strategy", "set `protocol`"),
    ("session.timeout.ms", "set `session_timeout`"),
    ("max.poll.interval.ms", "set `max_poll_interval`"),
    ("auto.offset.reset", "set `start`, `out_of_range` and `truncated`"),
    ("topic.auto.offset.reset", "set `start`, `out_of_range` and `truncated`"),
    ("enable.auto.commit", "offsets are committed once their records are finished"),
    ("auto.commit.enable", "offsets are committed once their records are finished"),
    ("enable.auto.offset.store", "offsets are committed once their records are finished"),
    ("offset.store.method", "offsets are kept by the group's coordinator"),
    ("enable.partition.eof", "ends of partitions are told as the lag"),
    ("log.queue", "the client's log goes through the program's own"),
    ("enable.sasl.oauthbearer.unsecure.jwt", "unsigned tokens are for tests of the client only"),
];

impl KafkaConfig {
    /// What librdkafka refused. Its message names the property, and its value only where that is no secret.
    pub(in crate::kafka) fn refused(&self, error: &KafkaError) -> ConfigError {
        let fault = match error {
            // Whatever the value is: a misspelt name may be that of a secret.
            KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, key, _) => {
                ConfigFault::of(key, "is no property of the Kafka client: correct its name")
            }
            KafkaError::ClientConfig(_, _, key, _) if self.is_hidden(key) => {
                ConfigFault::of(key, "is refused by the Kafka client, and its value not shown here")
            }
            KafkaError::ClientConfig(_, reason, key, value) => {
                ConfigFault::of(key, format!("is `{value}`, which the Kafka client refuses: {}", reason.trim_end()))
            }
            KafkaError::ClientCreation(reason) => {
                ConfigFault::of("", format!("the Kafka client refuses its configuration: {}", reason.trim_end()))
            }
            other => ConfigFault::of("", format!("the Kafka client could not be made: {other}")),
        };
        ConfigError { faults: vec![fault] }
    }

    /// What is wrong with it that can be told without a client, and concerns a producer too.
    ///
    /// # Errors
    /// Every fault at once.
    pub(in crate::kafka) fn check_connection(&self) -> Result<(), ConfigError> {
        let faults = self.connection_faults();
        if faults.is_empty() { Ok(()) } else { Err(ConfigError { faults }) }
    }

    fn connection_faults(&self) -> Vec<ConfigFault> {
        let mut faults = Vec::new();
        if self.brokers.trim().is_empty() {
            faults.push(ConfigFault::of("brokers", "is empty, name one at least as `host:port`"));
        } else if self.brokers.split(',').any(|broker| !is_broker(broker.trim())) {
            let problem = "has an address that is none, write each as `host:port`, several with commas";
            faults.push(ConfigFault::of("brokers", problem));
        }
        faults.extend(Build::current().faults(&self.properties));
        faults
    }

    /// What is wrong with it that can be told without a client.
    pub(in crate::kafka) fn faults(&self) -> Vec<ConfigFault> {
        let mut faults = self.connection_faults();
        let mut fault = |setting: &str, problem: &str| faults.push(ConfigFault::of(setting, problem));
        if self.group.trim().is_empty() {
            fault("group", "is empty, name the consumer group");
        }
        if self.protocol == GroupProtocol::Consumer && self.session_timeout.is_some() {
            fault(
                "session_timeout",
                "can't be set with the protocol `consumer`: set `group.consumer.session.timeout.ms` on the brokers, or another protocol",
            );
        }
        if self.protocol == GroupProtocol::Consumer && self.properties.contains_key("heartbeat.interval.ms") {
            fault(
                "heartbeat.interval.ms",
                "can't be set with the protocol `consumer`: set `group.consumer.heartbeat.interval.ms` on the brokers, or another protocol",
            );
        }
        if let (Some(session), Some(poll)) = (self.session_timeout, self.max_poll_interval)
            && poll < session
        {
            fault("max_poll_interval", "is shorter than `session_timeout`: make it as long at least");
        }
        if self.topic_refresh.is_zero() {
            fault("topic_refresh", "is zero: give it some time, as by default 30 s");
        }
        let fields = [("brokers", &self.brokers), ("group", &self.group)].into_iter();
        let fields = fields.chain(self.instance_id.as_ref().map(|id| ("instance_id", id)));
        let properties = self.properties.iter().map(|(key, value)| (key.as_str(), value));
        for (setting, value) in fields.chain(properties) {
            if setting.contains('\0') || value.contains('\0') {
                fault(&setting.replace('\0', "\u{fffd}"), "has a NUL byte in it, which the Kafka client can't take");
            }
        }
        for (key, instead) in OWNED {
            if self.properties.contains_key(key) {
                fault(key, &format!("can't be passed through as a property: {instead}"));
            }
        }
        faults
    }
}

/// Whether a broker can have this address: a host, and a port if there is one; a protocol in front is allowed.
fn is_broker(address: &str) -> bool {
    let address = address.rsplit_once("://").map_or(address, |(_, address)| address);
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => port.parse::<u16>().is_ok_and(|port| port != 0) || host.contains(':'),
        Some(_) => false,
        None => !address.is_empty() && !address.contains(char::is_whitespace),
    }
}
