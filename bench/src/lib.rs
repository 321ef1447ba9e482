//! Measures daemonry: `bench ours` beside what it stands on, `bench peers` beside other frameworks too.
//!
//! A [row](row::Row) of the table of figures has a [plan]: which programs consume what, one at a time. What each run came to is a
//! [sample](sample::Sample); [targets] are what the medians are held against, and the [table] shows both. All programs
//! print the same line at their end, a [`meter::Report`].

pub mod builder;
pub mod figures;
pub mod judge;
pub mod loader;
pub mod machine;
pub mod messages;
pub mod peer;
pub mod plan;
pub mod raw;
pub mod row;
pub mod runner;
pub mod sample;
pub mod table;
pub mod targets;
pub mod topic;
