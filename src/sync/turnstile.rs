//! A lock that one side waits for and the other never does: who finds it taken is turned away, and called back.
//!
//! The invariant: after each time that somebody was turned away there is a call, which comes when the lock is free.

use super::{AtomicBool, Mutex, MutexGuard, Ordering, fence};

/// Calls whoever was turned away.
pub(crate) trait CallBack {
    /// Once for all that were since the last call. What is called before anybody waits for it must not be lost.
    fn call_back(&self);
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Turnstile<T, C> {
    inside: Mutex<T>,
    /// Whether somebody found it taken, and waits.
    turned_away: AtomicBool,
    call: C,
}

impl<T, C: CallBack> Turnstile<T, C> {
    pub(crate) fn new(inside: T, call: C) -> Self {
        Self { inside: Mutex::new(inside), turned_away: AtomicBool::new(false), call }
    }

    /// Waits for the lock, and holds it meanwhile.
    pub(crate) fn hold<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let answer = change(&mut self.inside.lock());
        fence(Ordering::SeqCst);
        if self.turned_away.swap(false, Ordering::Relaxed) {
            self.call.call_back();
        }
        answer
    }

    /// What is inside; `None` while somebody holds it. Then there is a call once that is over.
    pub(crate) fn try_enter(&self) -> Option<MutexGuard<'_, T>> {
        self.inside.try_lock().or_else(|| {
            // A store would do; loom has no order between one and the other side's exchange.
            self.turned_away.swap(true, Ordering::Relaxed);
            // It may have been let go before anybody could see that. With the other fence: either it is seen there, or the lock is free here.
            fence(Ordering::SeqCst);
            self.inside.try_lock()
        })
    }
}
