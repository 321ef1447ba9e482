//! The parts of daemonry that threads share without a lock around all of it, compiled from the same files over [loom]'s primitives, which tries
//! out every order in which the threads may run.
//!
//! [loom]: https://docs.rs/loom

#[cfg(test)]
mod sync;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod workers;
