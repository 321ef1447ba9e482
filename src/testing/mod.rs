//! Testing: handlers, routers and whole daemons without a broker.
//!
//! - A handler is a plain `async fn`: call it.
//! - An extractor, a filter, a key function: give it a [record made by hand](crate::record::OwnedRecord::into_record).
//! - A router: run it in a [`TestDaemon`], in virtual time, and look at what was counted, committed, produced and dead-lettered.
//! - Rebalances, outages and other faults: ask the [`MemoryBroker`] under it for them.
//!
//! The broker has topics, a consumer group that rebalances, commits, dead letters, and faults on demand. What runs on it is the whole
//! pipeline, under tokio's time: with the clock paused, hours of backoff pass in milliseconds, and a run with the same seeds goes the same
//! way. It stands under the same conformance tests as the Kafka source.
//!
//! ```
//! use daemonry::record::OwnedRecord;
//! use daemonry::testing::MemoryBroker;
//!
//! let broker = MemoryBroker::new();
//! broker.create_topic("orders", 2);
//! broker.produce("orders", 0, OwnedRecord::new(r#"{"id":1}"#).with_key("a"));
//! assert_eq!(broker.records("orders", 0).len(), 1);
//! assert_eq!(broker.committed("orders", 0), None);
//! ```

mod broker;
mod daemon;
mod losses;
mod ownership;
mod shelf;
mod source;
mod writes;

pub use broker::{CommitFault, MemberId, MemoryBroker, PartitionFault};
pub use daemon::{Counts, TestDaemon, TestOptions};
pub use source::{MemoryCommitter, MemorySource};
