//! An allocator that counts, on the threads that take part, and that can say where what it counted came from.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// The system's, counted.
pub(crate) struct Counting;

static COUNTED: AtomicU64 = AtomicU64::new(0);
static IS_TRACED: AtomicBool = AtomicBool::new(false);
static TRACES: Mutex<Vec<Backtrace>> = Mutex::new(Vec::new());

/// Of so many allocations one is traced. A prime, so as not to fall in step with what is done over and over.
const SAMPLE: u64 = 13;

thread_local! {
    /// Whether this thread takes part. Both are constants at first and need no destructor, so they take no memory themselves.
    static TAKES_PART: Cell<bool> = const { Cell::new(false) };
    static IS_SUSPENDED: Cell<bool> = const { Cell::new(false) };
}

/// This thread takes part from now on.
pub(crate) fn take_part() {
    TAKES_PART.set(true);
}

/// What has been counted so far.
pub(crate) fn counted() -> u64 {
    COUNTED.load(Ordering::SeqCst)
}

/// Does something whose allocations are not to be counted.
pub(crate) fn uncounted<R>(work: impl FnOnce() -> R) -> R {
    let before = IS_SUSPENDED.replace(true);
    let result = work();
    IS_SUSPENDED.set(before);
    result
}

/// From now on it is noted where allocations come from, or no longer.
pub(crate) fn trace(is_traced: bool) {
    IS_TRACED.store(is_traced, Ordering::SeqCst);
}

/// Where the traced ones came from, the most frequent first: places in the library's sources, from the inside to the outside.
pub(crate) fn traces() -> Vec<(usize, String)> {
    let mut origins: HashMap<String, usize> = HashMap::new();
    for trace in std::mem::take(&mut *TRACES.lock()) {
        let text = trace.to_string();
        let ours =
            text.lines().filter_map(|line| line.trim().strip_prefix("at ./")).filter(|at| at.starts_with("src/"));
        *origins.entry(ours.take(3).collect::<Vec<_>>().join(", from ")).or_default() += 1;
    }
    let mut origins: Vec<(usize, String)> = origins.into_iter().map(|(origin, count)| (count, origin)).collect();
    origins.sort_unstable_by(|a, b| b.cmp(a));
    origins
}

fn count() {
    // A thread that ends has no such flags any more, and nothing to count either.
    if !TAKES_PART.try_with(Cell::get).unwrap_or(false) || IS_SUSPENDED.try_with(Cell::get).unwrap_or(true) {
        return;
    }
    let nth = COUNTED.fetch_add(1, Ordering::SeqCst);
    if IS_TRACED.load(Ordering::Relaxed) && nth.is_multiple_of(SAMPLE) {
        uncounted(|| TRACES.lock().push(Backtrace::force_capture()));
    }
}

#[expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; this one hands everything to the system's as it came"
)]
// SAFETY: each call goes to `System` with the arguments that came, whose contract is the caller's; nothing here unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        unsafe { System.dealloc(memory, layout) }
    }
}
