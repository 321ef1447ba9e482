//! daemonry: Kafka consumer daemons, and the jobs that live beside them.
//!
//! Start with an [`app::App`] and a [`handler::Router`]; write handlers with [`handler::extract`]; test them with
//! [`testing::MemoryBroker`]. Under an `App` stand a [`daemon::Consumer`] for each router and a [`supervisor::Supervisor`], to be used by hand
//! where a program has a configuration of another kind.

pub mod admin;
#[cfg(feature = "mimalloc")]
mod allocator;
#[cfg(feature = "api")]
pub mod api;
#[cfg(feature = "cli")]
pub mod app;
pub mod circuit_breaker;
#[cfg(feature = "cli")]
pub mod config;
pub mod daemon;
pub mod dead_letters;
#[cfg(all(doctest, feature = "cli"))]
mod documentation;
#[cfg(feature = "api")]
pub mod fleet;
pub mod handler;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod metrics;
#[cfg(feature = "__micro")]
#[doc(hidden)]
pub mod micro;
#[cfg(feature = "cli")]
pub mod operator;
mod panic;
#[cfg(feature = "api")]
mod payload;
pub mod pipeline;
pub mod producer;
pub mod record;
pub mod records;
pub mod retry;
pub mod shutdown;
pub mod supervisor;
mod sync;
pub mod telemetry;
pub mod testing;
pub mod trace;
