//! What a thread takes: CPU time, and memory at most, by an allocator that knows how much is allocated now.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The system's, added up.
pub(crate) struct Live;

thread_local! {
    /// Constants at first, without a destructor: so they take no memory themselves. What another thread frees makes the sum too large,
    /// and what is freed for another one too small; who asks has but one thread.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    static UNCOUNTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The most bytes that are allocated at once on this thread during this, beyond those that were before.
pub(crate) fn most_during(work: impl FnOnce()) -> usize {
    let before = LIVE.get();
    MOST.set(before);
    work();
    usize::try_from(MOST.get() - before).expect("never below where it began")
}

/// The CPU time that this thread has taken so far, as far as it counts.
pub(crate) fn counted() -> Duration {
    cpu_time() - UNCOUNTED.get()
}

/// Does something whose time is not to be counted.
pub(crate) fn uncounted<R>(work: impl FnOnce() -> R) -> R {
    let began = cpu_time();
    let result = work();
    UNCOUNTED.set(UNCOUNTED.get() + (cpu_time() - began));
    result
}

fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("a clock that counts up")
}

fn add(bytes: usize) {
    LIVE.set(LIVE.get().wrapping_add_unsigned(bytes));
    MOST.set(MOST.get().max(LIVE.get()));
}

fn remove(bytes: usize) {
    LIVE.set(LIVE.get().wrapping_sub_unsigned(bytes));
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; this one hands everything to the system's as it came"
)]
// SAFETY: everything goes to the system's allocator as it came, and comes back as it gave it.
unsafe impl GlobalAlloc for Live {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller keeps to the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are there for a moment.
        add(size);
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
