//! The sections of a configuration file: the types that it is read into, and that its schema and its reference are made from.
//!
//! Every key may be left out. What is said of a key in its comment here is what users read.

mod api;
mod circuit_breaker;
mod cluster;
mod daemon;
mod fleet;
mod overrides;
mod scaling;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(super) use api::{ApiSection, CertificateSection, TokenSection};
pub(crate) use circuit_breaker::CircuitBreakerSection;
pub(super) use cluster::{ClusterSection, Mechanism, Properties, SaslSection, SecurityProtocol, TlsSection};
pub(super) use daemon::DaemonSection;
pub(crate) use daemon::{RetriesSection, TopicSection};
pub(super) use fleet::FleetSection;
pub(crate) use overrides::{OverridesSection, SkippedRecord};
pub(super) use scaling::ScalingSection;

use super::units::Period;
use crate::admin::DEFAULT_ADDRESS;
use crate::daemon::DaemonContext;
use crate::telemetry::{DEFAULT_FILTER, LogFormat};

/// What the daemons of a process are set up with.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    /// Probes and metrics over HTTP.
    pub(super) admin: AdminSection,
    /// The admin API over HTTP: what the daemons are at, and how they are steered.
    pub(super) api: ApiSection,
    /// The fleet: all processes of the program are shown and steered by each of them.
    pub(super) fleet: FleetSection,
    /// The log, on standard error.
    pub(super) log: LogSection,
    /// How the process stops.
    pub(super) stop: StopSection,
    /// How often a daemon that failed is started again.
    pub(super) restart: RestartSection,
    /// Kafka clusters, each by a name of yours.
    pub(super) kafka: BTreeMap<String, ClusterSection>,
    /// The program's daemons by their names. Each has to stand here; `orders: {}` leaves everything by default.
    pub(super) daemons: BTreeMap<String, DaemonSection>,
}

/// Probes and metrics over HTTP.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AdminSection {
    /// Whether they are served.
    pub(super) enabled: bool,
    /// Where they are served, on loopback by default, because nobody is asked who they are.
    pub(super) address: Address,
}

impl Default for AdminSection {
    fn default() -> Self {
        Self { enabled: true, address: Address(DEFAULT_ADDRESS) }
    }
}

/// The log, on standard error.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogSection {
    /// How a line looks.
    pub(super) format: LogFormat,
    /// What is logged, as in `info,daemonry=debug`. The environment's `RUST_LOG` counts more.
    pub(super) filter: String,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: DEFAULT_FILTER.to_owned() }
    }
}

/// How the process stops. Drain and grace together must be shorter than the pod's grace period.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StopSection {
    /// How long a daemon may end what it started.
    pub(super) drain: Period,
    /// How much longer the whole stop may take, for last commits and for leaving groups. Then the process ends.
    pub(super) grace: Period,
}

impl Default for StopSection {
    fn default() -> Self {
        Self { drain: Period(DaemonContext::DEFAULT_DRAIN), grace: Period(Duration::from_secs(12)) }
    }
}

/// How often a daemon that failed is started again.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RestartSection {
    /// Restarts within the window after which the next failure ends the process.
    pub(super) max: u32,
    /// How long a restart counts.
    pub(super) window: Period,
    /// The delay before the first restart; it doubles with each further one.
    pub(super) base: Period,
    /// No delay is longer than this.
    pub(super) cap: Period,
}

impl Default for RestartSection {
    fn default() -> Self {
        let period = |secs| Period(Duration::from_secs(secs));
        Self { max: 5, window: period(600), base: period(1), cap: period(30) }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Address(pub(super) SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::{Error, Unexpected};
        let text = String::deserialize(deserializer)?;
        let expected = "an address of this machine with its port, as in `127.0.0.1:9465` or `0.0.0.0:9465`";
        text.parse().map(Self).map_err(|_| D::Error::invalid_value(Unexpected::Str(&text), &expected))
    }
}
