//! Kafka under the pipeline: the only code that names `rdkafka`.
//!
//! ```text
//!  librdkafka's threads                  event thread                                    pipeline
//!    fetchers ──► partition queues ─────► session ── assignment, rebalance,               KafkaSource
//!    group, commits ──► event queue ────►            commits, resets ──► mailbox ◄──────► KafkaCommitter
//!                 bells ──► wake ───────►
//! ```
//!
//! One thread of our own talks to the consumer: it polls for events, takes part in rebalances, reads each partition's queue
//! by itself, and hands records over within the pipeline's demand. A partition that is to be held back is not read; nothing
//! is paused, so nothing that was fetched is thrown away. Blocking questions to the cluster are errands on threads of their
//! own. What is `unsafe` stands in `native`.

mod admin;
mod assignment;
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
mod letters;
mod mailbox;
mod native;
mod obstacles;
mod producer;
mod pulse;
mod reading;
mod rebalance;
mod resets;
mod seeks;
mod selection;
mod served;
mod session;
mod shelf;
mod sight;
mod source;
mod standing;
mod starts;
mod startup;
mod thread;
mod trial;
mod trouble;
mod wake;

pub use admin::{AdminError, KafkaAdmin};
pub use committer::KafkaCommitter;
#[cfg(feature = "cli")]
pub(crate) use config::is_secret;
pub use config::{ConfigError, ConfigFault, GroupProtocol, KafkaConfig, OutOfRange, StartPolicy};
pub use embedded::{EmbeddedCluster, EmbeddedError};
pub(crate) use faults::missing;
pub(crate) use obstacles::REFUSALS;
pub use producer::KafkaProducer;
pub(crate) use selection::{Admission, Admit};
pub(crate) use shelf::KafkaShelf;
pub use source::KafkaSource;
pub use standing::Standing;
#[cfg(feature = "cli")]
pub(crate) use trial::is_built_with;

#[cfg(test)]
mod tests;
