//! What the tests against real servers share: a Kafka broker of their own, hands to look into one, processes under test, and the
//! checker that decides from outside whether they kept their promises.
//!
//! The library never goes through daemonry to look at Kafka: what checks the pipeline must not share its faults.

pub mod abuse;
pub mod broker;
pub mod certificates;
pub mod checker;
pub mod clock;
pub mod cluster;
pub mod compose;
pub mod figures;
pub mod idle;
pub mod kafka_home;
pub mod ledger;
pub mod letter;
pub mod load;
pub mod member;
pub mod message;
pub mod namespace;
pub mod patience;
pub mod payload;
pub mod proxy;
pub mod rights;
pub mod sampler;
pub mod scale;
pub mod scenario;
pub mod secured;
pub mod seed;
pub mod seeking;
pub mod topics;
pub mod vitals;
pub mod writer;

mod address;
mod commit_log;
mod wire;

pub use address::{answers, brokers};
pub use broker::{Broker, BrokerOptions};
pub use clock::Clock;
pub use cluster::Cluster;
pub use compose::Compose;
pub use member::{Flags, Member, get, send};
pub use message::{Message, Stored};
pub use patience::until;
pub use proxy::{Commits, Link, Proxy};
pub use scenario::Scenario;
pub use secured::{Entry, SecuredBroker, Way};
pub use seeking::Seeking;
pub use topics::{Committed, Group, Topics};
pub use vitals::Watch;
pub use writer::Writer;
