//! What must hold in every order.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::sync::Mutex;
use crate::sync::flag::Flag;
use crate::sync::turnstile::{CallBack, Turnstile};

/// Calls that nobody has answered yet, as a `Notify` keeps one.
#[derive(Debug, Default)]
struct Calls(AtomicUsize);

impl CallBack for Arc<Calls> {
    fn call_back(&self) {
        self.0.swap(1, Ordering::AcqRel);
    }
}

fn turnstile(calls: &Arc<Calls>) -> Arc<Turnstile<usize, Arc<Calls>>> {
    Arc::new(Turnstile::new(0, Arc::clone(calls)))
}

#[test]
fn who_is_turned_away_is_called_back_and_finds_it_free() {
    loom::model(|| {
        let calls = Arc::new(Calls::default());
        let turnstile = turnstile(&calls);
        let held = Arc::clone(&turnstile);
        let holder = thread::spawn(move || held.hold(|inside| *inside += 1));
        let is_turned_away = turnstile.try_enter().is_none();
        holder.join().expect("it ends");
        assert!(!is_turned_away || calls.0.load(Ordering::Acquire) == 1, "turned away, and never called");
        assert_eq!(turnstile.try_enter().map(|inside| *inside), Some(1));
    });
}

#[test]
fn who_is_called_in_between_and_turned_away_again_is_called_again() {
    loom::model(|| {
        let calls = Arc::new(Calls::default());
        let turnstile = turnstile(&calls);
        let held = Arc::clone(&turnstile);
        let holder = thread::spawn(move || (0..2).for_each(|_| held.hold(|inside| *inside += 1)));
        let mut is_waiting = turnstile.try_enter().is_none();
        if is_waiting && calls.0.swap(0, Ordering::AcqRel) == 1 {
            is_waiting = turnstile.try_enter().is_none();
        }
        holder.join().expect("it ends");
        assert!(!is_waiting || calls.0.load(Ordering::Acquire) == 1, "turned away, and never called");
    });
}

/// What a worker has taken and not begun, which whoever looks after it takes back each time that it is called.
#[test]
fn what_was_put_down_before_the_flag_was_raised_is_taken_by_who_is_called() {
    loom::model(|| {
        let (slots, flag) = (Arc::new([Mutex::new(0), Mutex::new(0)]), Arc::new(Flag::new()));
        let calls = Arc::new(Calls::default());
        let workers: Vec<_> = (0..2)
            .map(|worker| {
                let (slots, flag, calls) = (Arc::clone(&slots), Arc::clone(&flag), Arc::clone(&calls));
                thread::spawn(move || {
                    *slots[worker].lock() = 1;
                    if flag.raise() {
                        calls.call_back();
                    }
                })
            })
            .collect();
        let look_if_called = || -> usize {
            if calls.0.swap(0, Ordering::AcqRel) == 0 || !flag.take() {
                return 0;
            }
            slots.iter().map(|slot| std::mem::take(&mut *slot.lock())).sum()
        };
        let mut taken = look_if_called();
        workers.into_iter().for_each(|worker| worker.join().expect("it ends"));
        taken += look_if_called();
        assert_eq!(taken, 2, "something was put down that nobody looks for");
    });
}
