//! daemonry: Kafka consumer daemons, and the jobs that live beside them.

#[cfg(feature = "kafka")]
pub mod kafka;
pub mod pipeline;
pub mod record;
