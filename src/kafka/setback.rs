//! Whether the system's clock was put back.
//!
//! librdkafka's main thread, which keeps the membership alive, waits for times of that clock: where it is put back by an hour, the thread waits an
//! hour longer, and the group takes the member for dead, unless something is there for it to do. Any broker's answer is.

use std::time::{Duration, Instant, SystemTime};

/// What it may be put back by unnoticed: the thread waits that much longer.
const SLACK: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(super) struct Setback {
    last: (Instant, SystemTime),
}

impl Setback {
    /// From now on.
    pub(super) fn new(now: Instant, clock: SystemTime) -> Self {
        Self { last: (now, clock) }
    }

    /// Whether the clock shows less by now than it would if it had been left alone since the last look.
    pub(super) fn look(&mut self, now: Instant, clock: SystemTime) -> bool {
        let (then, shown) = std::mem::replace(&mut self.last, (now, clock));
        clock + SLACK < shown + now.saturating_duration_since(then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_put_back_is_noticed_once_and_one_that_goes_on_or_ahead_is_none() {
        let (now, clock) = (Instant::now(), SystemTime::now());
        let seconds = Duration::from_secs;
        let mut setback = Setback::new(now, clock);
        assert!(!setback.look(now + seconds(1), clock + seconds(1)), "it goes on");
        assert!(!setback.look(now + seconds(2), clock + seconds(3_602)), "it is ahead");
        assert!(setback.look(now + seconds(3), clock + seconds(3)), "it is right again, and was put back");
        assert!(!setback.look(now + seconds(4), clock + seconds(4)), "it goes on from there");
        assert!(setback.look(now + seconds(10), clock + seconds(9)), "by a second, in between two looks");
        assert!(!setback.look(now + seconds(11), clock + seconds(10) - SLACK), "by too little");
    }
}
