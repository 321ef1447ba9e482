//! What every Rust program that is measured shares: its flags, what its handler does, what it counts, and the line that it prints.
//!
//! A consumer reads a topic from its beginning until so many messages are handled, commits only what has been handled, and prints one
//! line of JSON, a [`Report`]. The Go programs do the same by themselves.

pub mod flags;
pub mod handler;
pub mod meter;
pub mod payload;
pub mod report;
pub mod work;

mod usage;

pub use flags::{Flags, Order};
pub use handler::{Body, Handler};
pub use meter::Meter;
pub use report::Report;
pub use work::Work;
