//! The dispatcher: lets retries and batches go on when they are due, and wakes workers for what other workers made ready.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::shared::Shared;
use super::source::Progress;

/// Far enough away to mean "not before I am told".
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Dispatches, for ever.
pub(super) async fn dispatch<G: Progress>(shared: Arc<Shared<G>>) {
    loop {
        let now = Instant::now();
        let due = shared.lanes().next_due(now);
        if due.is_some_and(|due| due <= now) {
            shared.change(|lanes| lanes.wake(now));
        }
        let ready = shared.lanes().ready();
        shared.wake_workers(ready);
        let next = shared.lanes().next_due(now).unwrap_or(now + FAR);
        tokio::select! {
            biased;
            () = shared.dispatch.notified() => {}
            () = sleep_until(next) => {}
        }
    }
}
