//! daemonry: Kafka consumer daemons, and the jobs that live beside them.

pub mod admin;
pub mod daemon;
pub mod handler;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod metrics;
pub mod pipeline;
pub mod record;
pub mod retry;
pub mod shutdown;
pub mod supervisor;
pub mod telemetry;
pub mod testing;
