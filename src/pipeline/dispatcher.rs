//! The dispatcher: lets retries and batches go on when they are due, wakes workers for what other workers made ready, and takes from those
//! that are stuck what they have not begun.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::shared::Shared;
use super::source::Progress;
use super::watchdog::Slot;

/// Far enough away to mean "not before I am told".
const FAR: Duration = Duration::from_secs(24 * 3600);

/// How long a handler may block its thread before the lanes that its worker has not begun are taken back, and how often that is looked at.
const STUCK: Duration = Duration::from_millis(5);

/// Dispatches, for ever.
pub(super) async fn dispatch<G: Progress>(shared: Arc<Shared<G>>, slots: Vec<Arc<Slot<G::Position>>>) {
    let mut look = None;
    loop {
        if look.is_some_and(|look| look <= Instant::now()) {
            look = unburden(&shared, &slots).then(|| Instant::now() + STUCK);
        }
        let now = Instant::now();
        let due = shared.lanes().next_due(now);
        if due.is_some_and(|due| due <= now) {
            shared.change(|lanes| lanes.wake(now));
        }
        shared.wake_idle();
        if look.is_none() && shared.was_laden() {
            look = Some(now + STUCK);
        }
        let next = [shared.lanes().next_due(now), look].into_iter().flatten().min().unwrap_or(now + FAR);
        tokio::select! {
            biased;
            () = shared.wakes.called() => {}
            () = sleep_until(next) => {}
        }
    }
}

/// Takes back what stuck workers have not begun. Answers whether any worker has taken more than it has begun, or did lately.
fn unburden<G: Progress>(shared: &Shared<G>, slots: &[Arc<Slot<G::Position>>]) -> bool {
    let (mut laden, now) = (shared.was_laden(), Instant::now());
    for slot in slots {
        if slot.cargo.lock().is_empty() {
            continue;
        }
        laden = true;
        if slot.is_at_it(STUCK, now) {
            slot.take_back(|cargo| shared.change(|lanes| lanes.give_back(cargo, false)));
        }
    }
    laden
}
