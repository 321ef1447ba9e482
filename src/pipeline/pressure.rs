//! What the log says of backpressure: that it began, once a minute at most, and that it ended, if it lasted.
//!
//! A reader that is quicker than its handlers is held back and let go hundreds of times a second, which is as it should be: whoever works
//! off a backlog meets it all the time. The metrics count each time.

use std::time::Duration;

use tokio::time::Instant;

/// How far apart two lines that say that it began are.
const APART: Duration = Duration::from_secs(60);

/// From when on its end is worth a line.
const LASTING: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct PressureLog {
    /// When it began, while it lasts.
    since: Option<Instant>,
    /// When it was last said that it began.
    told: Option<Instant>,
    /// How often it has begun since then.
    times: u64,
}

/// What is to be said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pressure {
    /// It began: so often since that was last said, this time with it.
    Began { times: u64 },
    /// It ended, after so long.
    Ended { after: Duration },
}

impl PressureLog {
    /// Backpressure went on or off.
    pub(super) fn changed(&mut self, pressed: bool, now: Instant) -> Option<Pressure> {
        if !pressed {
            let after = now.saturating_duration_since(self.since.take()?);
            return (after >= LASTING).then_some(Pressure::Ended { after });
        }
        self.since = Some(now);
        self.times += 1;
        if self.told.is_some_and(|told| now < told + APART) {
            return None;
        }
        self.told = Some(now);
        Some(Pressure::Began { times: std::mem::take(&mut self.times) })
    }
}
