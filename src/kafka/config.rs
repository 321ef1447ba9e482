//! How the source talks to Kafka.
//!
//! A plain value: `KafkaConfig` is what was asked for, checked as a whole when a client is made of it. The invariant: what
//! the promise of no loss rests on can't be overridden by a property.

mod check;
mod security;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

pub use crate::pipeline::source::LossPolicy;
pub use check::{ConfigError, ConfigFault};
use security::{authorities, may_hold_a_secret};

const MIB: usize = 1024 * 1024;

/// Which protocol the members of a group agree by. All members of a group must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
pub enum GroupProtocol {
    /// The classic one, where partitions move one by one while the others go on.
    #[default]
    Cooperative,
    /// The classic one, where every rebalance takes all partitions from everybody.
    Eager,
    /// The broker's own (KIP-848, Apache Kafka 4.0 and later). Session timeout and heartbeat are the broker's then.
    Consumer,
}

/// Where a partition starts that the group has committed nothing for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
pub enum StartPolicy {
    /// At its first record.
    #[default]
    Earliest,
    /// At its end. The place is committed at once, so that no restart can skip what came in since. A partition that is added to a topic
    /// which the group has read before starts at its first record all the same, whoever runs then.
    Latest,
    /// Nowhere: the daemon fails, and says why. A partition that is added later starts at its first record.
    Fail,
}

/// How to reach Kafka, and as which member of which group.
///
/// How to be let in is said in librdkafka's properties, each by [`property`](Self::property). TLS and SCRAM need a build with the feature
/// `tls` or `tls-vendored`; one without says so.
///
/// ```no_run
/// use daemonry::kafka::KafkaConfig;
///
/// # fn main() -> Result<(), std::env::VarError> {
/// let by_password = KafkaConfig::new("kafka.example.org:9093", "shop")
///     .property("security.protocol", "sasl_ssl")
///     .property("ssl.ca.location", "/etc/kafka/ca.pem") // unless the system trusts it
///     .property("sasl.mechanism", "SCRAM-SHA-512") // or SCRAM-SHA-256, or PLAIN
///     .property("sasl.username", "shop")
///     .property("sasl.password", std::env::var("KAFKA_PASSWORD")?);
/// let by_certificate = KafkaConfig::new("kafka.example.org:9094", "shop")
///     .property("security.protocol", "ssl")
///     .property("ssl.ca.location", "/etc/kafka/ca.pem")
///     .property("ssl.certificate.location", "/etc/shop/tls.crt")
///     .property("ssl.key.location", "/etc/shop/tls.key");
/// # Ok(())
/// # }
/// ```
///
/// `brokers` must name them as their certificates do. Nothing that is printed of a configuration, and no error of it, shows a secret.
#[derive(Clone)]
pub struct KafkaConfig {
    /// The brokers to start from: `host:port`, several with commas.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// The group's protocol (cooperative by default).
    pub protocol: GroupProtocol,
    /// Makes the member a static one: it keeps its partitions over a restart. Unique to the process.
    pub instance_id: Option<String>,
    /// How long to wait for another member with the same instance id to leave the group, under [`GroupProtocol::Consumer`]: there the newer
    /// one is refused, while the others fence the older one. By default 2 min, more than a broker waits for a process that was killed;
    /// then the daemon fails.
    pub instance_wait: Duration,
    /// How long the group waits for a silent member (45 s by librdkafka). Not with [`GroupProtocol::Consumer`].
    pub session_timeout: Option<Duration>,
    /// How long the client may be stuck before it leaves the group (5 min by librdkafka). Handlers don't count: polling goes on beside them.
    pub max_poll_interval: Option<Duration>,
    /// Where to start without a commit (earliest by default).
    pub start: StartPolicy,
    /// What to do when the next offset is gone: its records were removed before they were read (stop by default).
    pub out_of_range: LossPolicy,
    /// What to do when a log was cut below what was read of it, as by an unclean leader election (stop by default). To go on at the earliest
    /// is to go on where it was cut: what is written there since is new.
    pub truncated: LossPolicy,
    /// What to do when a topic was deleted and made anew while it was read (stop by default).
    pub recreated: LossPolicy,
    /// How often new partitions of the topics are looked for, whether a topic was deleted and made anew, and topics for the patterns (every 30 s
    /// by default); these at the same moments of the clock by all members of a group.
    pub topic_refresh: Duration,
    /// Bytes of records that the pipeline may hold (64 MiB by default). What the client fetches ahead is kept to a quarter of it, 16 MiB at most.
    pub byte_budget: usize,
    /// How many partitions this member is likely to get (8 by default): what is fetched ahead is shared among them.
    pub expected_partitions: usize,
    /// How long a partition on its way to another member is kept for what was started (10 s by default).
    pub revoke_drain: Duration,
    /// Bytes of metadata that a commit may carry (4,096 by default), as the broker's `offset.metadata.max.bytes`.
    pub metadata_limit: usize,
    properties: BTreeMap<String, String>,
    /// Those whose values are secret although their names don't say so.
    hidden: BTreeSet<String>,
}

impl KafkaConfig {
    /// Everything else by default.
    pub fn new(brokers: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            group: group.into(),
            protocol: GroupProtocol::default(),
            instance_id: None,
            instance_wait: Duration::from_secs(120),
            session_timeout: None,
            max_poll_interval: None,
            start: StartPolicy::default(),
            out_of_range: LossPolicy::default(),
            truncated: LossPolicy::default(),
            recreated: LossPolicy::default(),
            topic_refresh: Duration::from_secs(30),
            byte_budget: 64 * MIB,
            expected_partitions: 8,
            revoke_drain: Duration::from_secs(10),
            metadata_limit: 4096,
            properties: BTreeMap::new(),
            hidden: BTreeSet::new(),
        }
    }

    /// The same with this property of librdkafka's, passed through as it is.
    #[must_use]
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// A property that was passed through.
    pub(super) fn get_property(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(String::as_str)
    }

    /// As [`property`](Self::property), with a value that is never shown, whatever the property's name.
    #[must_use]
    pub fn secret_property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        self.hidden.insert(key.clone());
        self.property(key, value)
    }

    /// What the user has set.
    pub(crate) fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    fn is_hidden(&self, key: &str) -> bool {
        is_secret(key) || may_hold_a_secret(key) || self.hidden.contains(key)
    }

    /// The properties of a consumer.
    ///
    /// # Errors
    /// Every fault at once.
    pub(super) fn consumer(&self) -> Result<ClientConfig, ConfigError> {
        let faults = self.faults();
        if faults.is_empty() { Ok(self.consumer_properties()) } else { Err(ConfigError { faults }) }
    }

    pub(super) fn consumer_properties(&self) -> ClientConfig {
        let mut client = self.common();
        // Beside it stand the responses on their way, and those that records which are held still keep: half the budget in all.
        let ahead = (self.byte_budget / 4).clamp(MIB, 16 * MIB);
        let share = ahead / self.expected_partitions.max(1);
        client
            // A small record takes some 400 bytes beside its own in librdkafka, which its limit in bytes doesn't count.
            .set("queued.min.messages", (share / 256).clamp(1000, 100_000).to_string())
            .set("queued.max.messages.kbytes", (share / 1024).max(64).to_string())
            .set("max.partition.fetch.bytes", (share / 4).clamp(64 * 1024, MIB).to_string())
            // A record that is held keeps the whole response it came in.
            .set("fetch.max.bytes", (ahead / 4).clamp(MIB, 16 * MIB).to_string())
            // By default a fetcher that ran ahead looks only once a second whether there is room again.
            .set("fetch.queue.backoff.ms", "5")
            // What a connection that is half-open swallows is missed after a minute by default: later than a group gives up a member.
            .set("socket.timeout.ms", "30000")
            // New partitions are read from their start, but not before they are seen: five minutes late, by default.
            .set("topic.metadata.refresh.interval.ms", self.topic_refresh.as_millis().clamp(10, 3_600_000).to_string())
            // A request that asks only for partitions with nothing new waits this long at the broker, 500 ms by default; one that ran
            // ahead when it was sent, and has room again since, waits with it: so at the end of a backlog, once for each partition that
            // runs out. A shorter time is more requests while nothing comes: twenty a second to each broker.
            .set("fetch.wait.max.ms", "50");
        // From here on a user's own word counts more, and ours again where it must.
        self.properties.iter().for_each(|(key, value)| {
            client.set(key, value);
        });
        client
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Read in batches, an end counts as a record of its offset: the next rebalance would begin one record too far.
            .set("enable.partition.eof", "false")
            .set("auto.offset.reset", "error");
        match self.protocol {
            GroupProtocol::Cooperative => client.set("partition.assignment.strategy", "cooperative-sticky"),
            GroupProtocol::Eager => client.set("partition.assignment.strategy", "range,roundrobin"),
            GroupProtocol::Consumer => client.set("group.protocol", "consumer"),
        };
        if let Some(id) = &self.instance_id {
            client.set("group.instance.id", id);
        }
        if let Some(timeout) = self.session_timeout {
            client.set("session.timeout.ms", timeout.as_millis().to_string());
            // A third, as Kafka advises, unless the user knows better.
            if !self.properties.contains_key("heartbeat.interval.ms") {
                client.set("heartbeat.interval.ms", (timeout.as_millis() / 3).clamp(1, 3000).to_string());
            }
        }
        if let Some(interval) = self.max_poll_interval {
            client.set("max.poll.interval.ms", interval.as_millis().to_string());
            // librdkafka wants it no shorter than the session timeout, which is 45 s if nothing is said.
            if self.session_timeout.is_none()
                && self.protocol != GroupProtocol::Consumer
                && interval < Duration::from_secs(45)
            {
                client.set("session.timeout.ms", interval.as_millis().to_string());
                client.set("heartbeat.interval.ms", (interval.as_millis() / 3).clamp(1, 3000).to_string());
            }
        }
        client
    }

    /// The properties of a producer or an administrator: those that aren't a consumer's.
    pub(super) fn other(&self) -> ClientConfig {
        let mut client = self.common();
        let shared = |key: &str| {
            [
                "sasl.",
                "ssl.",
                "security.",
                "client.",
                "socket.",
                "broker.",
                "reconnect.",
                "connections.",
                "metadata.",
                "debug",
                "log",
                "api.",
                "enable.ssl",
                "topic.metadata",
                "statistics.",
                "retry.",
            ]
            .iter()
            .any(|prefix| key.starts_with(prefix))
        };
        for (key, value) in self.properties.iter().filter(|(key, _)| shared(key)) {
            client.set(key, value);
        }
        client
    }

    fn common(&self) -> ClientConfig {
        initialise_tls();
        let mut client = ClientConfig::new();
        // That somebody hangs up is only told in passing, and may be all there is to learn of a wrong `security.protocol`.
        let is_debugged = self.properties.contains_key("debug");
        client.set_log_level(if is_debugged { RDKafkaLogLevel::Debug } else { RDKafkaLogLevel::Info });
        client
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "daemonry")
            // By default up to 10 s pass before a broker is tried again: longer than a group with short timeouts, once its coordinator
            // is back, waits for its members.
            .set("reconnect.backoff.max.ms", "1000")
            // By default a connection that gets no answer while it is set up is given up after 30 s only, by when the group, too, has waited
            // long. Java's clients give it 10 s.
            .set("socket.connection.setup.timeout.ms", "10000");
        if let Some(authorities) = authorities(cfg!(feature = "tls-vendored"), |name| std::env::var_os(name).is_some())
        {
            client.set("ssl.ca.location", authorities);
        }
        client
    }
}

impl fmt::Debug for KafkaConfig {
    /// All of it but the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, &str> = self
            .properties
            .iter()
            .map(|(key, value)| (key.as_str(), if self.is_hidden(key) { "***" } else { value.as_str() }))
            .collect();
        f.debug_struct("KafkaConfig")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("protocol", &self.protocol)
            .field("instance_id", &self.instance_id)
            .field("instance_wait", &self.instance_wait)
            .field("session_timeout", &self.session_timeout)
            .field("max_poll_interval", &self.max_poll_interval)
            .field("start", &self.start)
            .field("out_of_range", &self.out_of_range)
            .field("truncated", &self.truncated)
            .field("recreated", &self.recreated)
            .field("topic_refresh", &self.topic_refresh)
            .field("byte_budget", &self.byte_budget)
            .field("expected_partitions", &self.expected_partitions)
            .field("revoke_drain", &self.revoke_drain)
            .field("metadata_limit", &self.metadata_limit)
            .field("properties", &shown)
            .finish()
    }
}

/// Has OpenSSL do without its clean-up at the end of the process: librdkafka's threads that nobody waits for would run into it, and
/// the process end with SIGSEGV in place of its exit code.
fn initialise_tls() {
    #[cfg(any(feature = "tls", feature = "tls-vendored"))]
    openssl_sys::init();
}

/// Whether a property's value must not be shown.
pub(crate) fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    [
        "password",
        "passphrase",
        "secret",
        "pem",
        "token",
        "api_key",
        "apikey",
        "sasl.oauthbearer.config",
        "assertion",
        "credential",
        "jaas",
    ]
    .iter()
    .any(|part| key.contains(part))
}

#[cfg(test)]
mod tests;
