//! How many handles of one record there are.

use std::sync::atomic::{AtomicU32, Ordering, fence};

/// Far more handles than fit in any memory; only forgotten ones can come near.
const MOST: u32 = u32::MAX / 2;

/// A count of handles, as in `Arc`.
#[derive(Debug)]
pub(super) struct Handles(AtomicU32);

impl Handles {
    /// One handle.
    pub(super) fn one() -> Self {
        Self(AtomicU32::new(1))
    }

    /// One more.
    ///
    /// # Panics
    /// Where there are too many. Handles that are forgotten (`mem::forget`) are never counted off; were the count to wrap, the
    /// record would be freed while others still read it.
    pub(super) fn retain(&self) {
        // Relaxed, as in `Arc`: who makes a handle has one.
        if self.0.fetch_add(1, Ordering::Relaxed) > MOST {
            // Taken back, so that no number of caught panics adds up.
            self.0.fetch_sub(1, Ordering::Relaxed);
            panic!("a record has too many handles, all but a few of them forgotten");
        }
    }

    /// One less; says whether it was the last. Then all that was done with the others has happened before.
    pub(super) fn release(&self) -> bool {
        let last = self.0.fetch_sub(1, Ordering::Release) == 1;
        if last {
            fence(Ordering::Acquire);
        }
        last
    }

    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn only_the_last_handle_frees() {
        let handles = Handles::one();
        handles.retain();
        assert!(!handles.release() && !handles.is_none());
        assert!(handles.release() && handles.is_none());
    }

    #[test]
    fn a_count_that_would_wrap_stops_short_of_it() {
        let handles = Handles(AtomicU32::new(MOST));
        handles.retain();
        for _ in 0..3 {
            catch_unwind(AssertUnwindSafe(|| handles.retain())).expect_err("one too many");
        }
        assert_eq!(handles.0.into_inner(), MOST + 1, "refused handles don't count");
    }
}
