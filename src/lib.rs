//! daemonry: Kafka consumer daemons, and the jobs that live beside them.
//!
//! Start with [`daemon::Consumer`], a [`handler::Router`] and a [`supervisor::Supervisor`]; write handlers with [`handler::extract`];
//! test them with [`testing::MemoryBroker`].

pub mod admin;
pub mod daemon;
pub mod dead_letters;
pub mod handler;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod metrics;
mod panic;
pub mod pipeline;
pub mod producer;
pub mod record;
pub mod retry;
pub mod shutdown;
pub mod supervisor;
pub mod telemetry;
pub mod testing;
pub mod trace;

// The README's code is compiled with the documentation's.
#[cfg(all(doctest, feature = "kafka"))]
#[doc = include_str!("../README.md")]
mod readme {}
