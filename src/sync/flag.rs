//! A flag that many raise and one takes down, who has to be called once for that, not each time.
//!
//! The invariant: who has changed something before it raises the flag is seen by the look that follows the next taking down.

use super::{AtomicBool, Ordering};

/// See the module.
#[derive(Debug)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    /// One that is down.
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Raises it; whether it was down, so that somebody has to be called. Cheap where it is up.
    #[must_use]
    pub(crate) fn raise(&self) -> bool {
        // A read that is out of date says too often that it is up. But what was looked at since then was behind a lock that whoever raises it
        // has had, so that its taking down is seen as well.
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::AcqRel)
    }

    /// Takes it down; whether it was up.
    #[must_use]
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::AcqRel)
    }
}
