//! The promises on a real Kafka, kept by real processes: each scenario starts some of `examples/ledger`, lets something happen to
//! them, and has the ledger checker judge what came out.

mod abuse;
mod book;
mod bounds;
mod checker;
mod clocks;
mod clusters;
mod commits;
mod crashes;
mod cuts;
mod downstream;
mod exits;
mod leaders;
mod letters;
mod networks;
mod operators;
mod outages;
mod panics;
mod partitions;
mod payloads;
mod peers;
mod rebalances;
mod recreations;
mod resources;
mod restarts;
mod running;
mod seeks;
mod seeks_of_what_waits;
mod side_by_side;
mod stops;
mod stuck;
mod unreadable;
