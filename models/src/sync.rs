//! `src/sync.rs` over loom's primitives.

#[path = "../../src/sync/flag.rs"]
pub(crate) mod flag;
mod notify;
#[path = "../../src/sync/turnstile.rs"]
pub(crate) mod turnstile;
#[path = "../../src/sync/wakes.rs"]
pub(crate) mod wakes;

use std::ops::{Deref, DerefMut};

use loom::sync::atomic::{AtomicBool, Ordering, fence};
use loom::thread;
pub(crate) use notify::Notify;

/// As `parking_lot`'s. Letting it go is a step of its own here, which loom's is not: nobody would ever find that one taken.
#[derive(Debug)]
pub(crate) struct Mutex<T> {
    is_taken: AtomicBool,
    inside: loom::sync::Mutex<T>,
}

/// As `parking_lot`'s.
#[derive(Debug)]
pub(crate) struct MutexGuard<'a, T> {
    of: &'a Mutex<T>,
    /// `None` once it is dropped.
    inside: Option<loom::sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(inside: T) -> Self {
        Self { is_taken: AtomicBool::new(false), inside: loom::sync::Mutex::new(inside) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        loop {
            match self.try_lock() {
                Some(guard) => return guard,
                None => thread::yield_now(),
            }
        }
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).ok()?;
        Some(MutexGuard { of: self, inside: Some(self.inside.lock().expect("no thread panicked")) })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.inside.as_ref().expect("it is not dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inside.as_mut().expect("it is not dropped")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.inside = None;
        self.of.is_taken.store(false, Ordering::Release);
    }
}
