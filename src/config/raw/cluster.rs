//! A Kafka cluster.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::deserialize::GUARDED;
use crate::config::secret::{MASK, Secret, is_secret};
use crate::config::units::{Period, Size};
use crate::kafka::{GroupProtocol, KafkaConfig, LossPolicy, StartPolicy};

/// A Kafka cluster, and how its consumer groups are joined.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ClusterSection {
    /// The brokers to start from: `host:port`, several with commas. Has to be given.
    pub(in crate::config) brokers: String,
    /// The consumer group of daemons that name none themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) group: Option<String>,
    /// The protocol by which the members of a group agree; the same for all of them.
    pub(in crate::config) protocol: GroupProtocol,
    /// Makes the member a static one, which keeps its partitions over a restart. Unique to the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) instance_id: Option<String>,
    /// How long to wait for another member with the same instance id to leave the group, under the protocol `consumer`.
    pub(in crate::config) instance_wait: Period,
    /// How long the group waits for a silent member; 45 s by librdkafka. Not with the protocol `consumer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) session_timeout: Option<Period>,
    /// How long the client may be stuck before it leaves the group; 5 min by librdkafka. Handlers don't count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) max_poll_interval: Option<Period>,
    /// Where a partition starts that the group has committed nothing for.
    pub(in crate::config) start: StartPolicy,
    /// What happens when the committed offset no longer exists, as its records were removed before they were read.
    pub(in crate::config) out_of_range: LossPolicy,
    /// What happens when a log was cut below what was read of it, as by an unclean leader election; with `earliest` it goes on where it was cut.
    pub(in crate::config) truncated: LossPolicy,
    /// What happens when a topic was deleted and made anew while it was read.
    pub(in crate::config) recreated: LossPolicy,
    /// How many partitions a daemon is likely to get: what is fetched ahead is shared among them.
    pub(in crate::config) expected_partitions: usize,
    /// What a commit's metadata may hold, as the brokers' `offset.metadata.max.bytes`.
    pub(in crate::config) metadata_limit: Size,
    /// How often new partitions are looked for, topics for the patterns of the program, and whether a topic was made anew.
    pub(in crate::config) topic_refresh: Period,
    /// How connections are secured.
    pub(in crate::config) security: SecurityProtocol,
    /// TLS, with `security: ssl` or `sasl_ssl`.
    pub(in crate::config) tls: TlsSection,
    /// Who the client is, with `security: sasl_plaintext` or `sasl_ssl`.
    pub(in crate::config) sasl: SaslSection,
    /// Properties of librdkafka, passed through as they are.
    pub(in crate::config) properties: Properties,
}

impl Default for ClusterSection {
    fn default() -> Self {
        let KafkaConfig {
            protocol,
            instance_wait,
            start,
            out_of_range,
            truncated,
            recreated,
            expected_partitions,
            metadata_limit,
            topic_refresh,
            ..
        } = KafkaConfig::new("", "");
        Self {
            brokers: String::new(),
            group: None,
            protocol,
            instance_id: None,
            instance_wait: Period(instance_wait),
            session_timeout: None,
            max_poll_interval: None,
            start,
            out_of_range,
            truncated,
            recreated,
            expected_partitions,
            metadata_limit: Size(metadata_limit),
            topic_refresh: Period(topic_refresh),
            security: SecurityProtocol::default(),
            tls: TlsSection::default(),
            sasl: SaslSection::default(),
            properties: Properties::default(),
        }
    }
}

/// How connections to the brokers are secured, by Kafka's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum SecurityProtocol {
    /// Not at all.
    #[default]
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL, in the clear.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

impl SecurityProtocol {
    /// As librdkafka and this file call it.
    pub(in crate::config) fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }

    pub(in crate::config) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub(in crate::config) fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// TLS to the brokers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct TlsSection {
    /// A PEM file with the authorities to trust; the system's by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) ca_file: Option<String>,
    /// A PEM file with the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) cert_file: Option<String>,
    /// A PEM file with the client's private key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) key_file: Option<String>,
    /// The private key's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) key_password: Option<Secret>,
    /// A file with the private key's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) key_password_file: Option<String>,
}

/// SASL: who the client is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct SaslSection {
    /// How the password is proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) mechanism: Option<Mechanism>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) username: Option<String>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password: Option<Secret>,
    /// A file with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::config) password_file: Option<String>,
}

/// How a password is proven, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub(in crate::config) enum Mechanism {
    /// By sending it: over TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
    /// By a challenge, with SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// By a challenge, with SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    /// As librdkafka calls it.
    pub(in crate::config) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Properties of librdkafka: those with a secret's name, or a secret for a value, are never shown.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(in crate::config) struct Properties(pub(in crate::config) BTreeMap<String, Guarded>);

impl Properties {
    fn shown(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), if value.secret || is_secret(key) { MASK } else { value.text.as_str() }))
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

/// A text, or a number or truth value as it was written, that knows whether it came from a place for secrets.
#[derive(Clone)]
pub(in crate::config) struct Guarded {
    pub(in crate::config) text: String,
    pub(in crate::config) secret: bool,
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = Guarded;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, true, false")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Guarded, A::Error> {
                let text = parts.next_element()?.unwrap_or_default();
                // What isn't known to be harmless is secret.
                Ok(Guarded { text, secret: parts.next_element()?.unwrap_or(true) })
            }
        }
        deserializer.deserialize_newtype_struct(GUARDED, Parts)
    }
}
