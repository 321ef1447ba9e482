//! What threads share where a mutex alone won't do: each part small enough that every way its threads may interleave can be tried out.
//!
//! The parts take their primitives from here. `models/` compiles the same files over loom's, which tries all orders of their steps; it can't
//! show that the fences are needed, as its failed exchanges read no value that is out of date.

#[cfg(feature = "kafka")]
pub(crate) mod turnstile;

pub(crate) mod flag;

pub(crate) mod wakes;

#[cfg(test)]
mod tests;

#[cfg(feature = "kafka")]
use std::sync::atomic::fence;
use std::sync::atomic::{AtomicBool, Ordering};

#[cfg(feature = "kafka")]
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
