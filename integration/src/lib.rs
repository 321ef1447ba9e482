//! What the tests against real servers share: a Kafka broker of their own, and hands to look into one.
//!
//! The library never goes through daemonry to look at Kafka: what checks the pipeline must not share its faults.

pub mod broker;
pub mod kafka_home;
pub mod message;
pub mod topics;

mod address;
mod wire;

pub use address::{answers, brokers};
pub use broker::{Broker, BrokerOptions};
pub use message::{Message, Stored};
pub use topics::{Committed, Group, Topics};
