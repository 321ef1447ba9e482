//! Kafka under the pipeline: the only code that names `rdkafka`.
//!
//! ```text
//!  librdkafka's threads                  event thread                                    pipeline
//!    fetchers ──► partition queues ───────────────────── assignment ──────────────────► KafkaSource
//!    group, commits ──► event queue ─────► session ── rebalance, ▲
//!                 bells ──► wake ────────►            commits, resets ──► mailbox ◄──────► KafkaCommitter
//! ```
//!
//! One thread of our own talks to the consumer: it polls for events, takes part in rebalances, commits, and says which partitions are
//! read. The poll of the source reads their queues, each by itself, within the pipeline's demand: a thread more on the records' way
//! would cost more than all else that is done for them. A partition that is to be held back is not read; nothing
//! is paused, so nothing that was fetched is thrown away. Blocking questions to the cluster are errands on threads of their
//! own. What is `unsafe` stands in `native`.

mod admin;
mod assignment;
mod bootstrap;
mod callbacks;
mod client;
mod commits;
mod committer;
mod config;
mod context;
mod describe;
mod drain;
mod embedded;
mod errand;
mod faults;
#[cfg(feature = "cli")]
mod groups;
mod identities;
mod letters;
mod losses;
mod mailbox;
mod native;
mod obstacles;
mod origin;
mod producer;
mod pulse;
mod reading;
mod rebalance;
mod resets;
mod seeks;
mod selection;
mod served;
mod session;
mod setback;
#[cfg(feature = "cli")]
mod settings;
mod shelf;
mod sight;
mod source;
mod standing;
mod starts;
mod startup;
mod thread;
mod trial;
mod trouble;
mod validations;
mod wake;

pub use admin::{AdminError, KafkaAdmin};
pub use committer::KafkaCommitter;
#[cfg(feature = "cli")]
pub(crate) use config::is_secret;
pub use config::{ConfigError, ConfigFault, GroupProtocol, KafkaConfig, LossPolicy, StartPolicy};
pub use describe::{PartitionState, TopicState};
pub use embedded::{EmbeddedCluster, EmbeddedError};
pub(crate) use faults::missing;
#[cfg(feature = "cli")]
pub(crate) use groups::{Found, GroupCommit, GroupMember, GroupPhase, GroupState, OffsetAt};
#[cfg(feature = "cli")]
pub(crate) use native::Rights;
pub(crate) use obstacles::REFUSALS;
pub use producer::KafkaProducer;
pub(crate) use selection::{Admission, Admit};
#[cfg(feature = "cli")]
pub(crate) use settings::Settings;
pub(crate) use shelf::KafkaShelf;
pub use source::KafkaSource;
pub use standing::Standing;
#[cfg(feature = "cli")]
pub(crate) use trial::is_built_with;

#[cfg(test)]
mod tests;
