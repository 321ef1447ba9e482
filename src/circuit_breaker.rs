//! When a route is held back because whatever it is given fails, and for how long.
//!
//! A [`CircuitBreaker`] is plain data, set on a route. The machine that it steers is the pipeline's, in `pipeline/breaker.rs`.

use std::time::Duration;

/// The window of a route that says nothing of it is this long at least …
const LEAST_WINDOW: Duration = Duration::from_secs(30);
/// … and so many of its timeouts.
const TIMEOUTS: u32 = 3;
/// Keys that are told apart at most: they are looked through at each failed attempt.
const MOST_KEYS: usize = 1_000;

/// What tells an outage of what a handler needs from records that can't be handled. While there is one, the breaker is open: nothing of the
/// route is started, and nobody's retries are used up. Every now and then one record is tried, and its success closes the breaker.
///
/// The evidence is a route's latest attempts, as far back as nine out of ten of them failed: with errors worth a retry or by their timeout.
/// Poison, errors that aren't retried, and panics never count. It opens when these are 50 attempts over 20 keys within the window. Where there are
/// fewer lanes, so many can't come together: then twice as many attempts are enough as lanes can run at once, over more than half of
/// the lanes that failed or could run now, and what is tried uses up its retries after an hour, as it may be the records after all. It
/// never opens for a single key, unless [`keys`](Self::keys) says so.
///
/// ```
/// use daemonry::circuit_breaker::CircuitBreaker;
/// use daemonry::handler::{Route, on, extract::Text};
/// use std::time::Duration;
///
/// async fn store(Text(line): Text) -> Result<(), std::io::Error> { std::fs::write("line", line) }
///
/// let breaker = CircuitBreaker::new().attempts(100).keys(10).open(Duration::from_secs(2)).cap(Duration::from_secs(30));
/// let route: Route = on(store).circuit_breaker(breaker);
/// let never: Route = on(store).circuit_breaker(CircuitBreaker::off());
/// # drop((route, never));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitBreaker {
    is_on: bool,
    attempts: usize,
    keys: usize,
    failed: f64,
    window: Option<Duration>,
    open: Duration,
    cap: Duration,
    patience: Duration,
}

/// A setting of a circuit breaker that can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{setting}` is {found}, but must be {allowed}")]
pub struct CircuitBreakerError {
    /// The setting's name.
    pub setting: &'static str,
    /// What it is.
    pub found: String,
    /// What it may be.
    pub allowed: &'static str,
}

impl CircuitBreaker {
    /// On: 50 attempts over 20 keys, nine out of ten failed, within 30 s or three timeouts, whichever is longer; open for 5 s, and twice as
    /// long each time, up to 1 min; patient for 1 h where lanes are few.
    pub fn new() -> Self {
        Self {
            is_on: true,
            attempts: 50,
            keys: 20,
            failed: 0.9,
            window: None,
            open: Duration::from_secs(5),
            cap: Duration::from_secs(60),
            patience: Duration::from_secs(3_600),
        }
    }

    /// None: every record has its retries, whatever becomes of the others.
    pub fn off() -> Self {
        Self { is_on: false, ..Self::new() }
    }

    /// The same, opening after this many attempts at least (default: 50).
    #[must_use]
    pub fn attempts(self, attempts: usize) -> Self {
        Self { attempts, ..self }
    }

    /// The same, opening only for attempts over this many keys, 1 to 1,000 (default: 20). A key is what the route orders by; without an order
    /// each record is one. With 1, one record that always fails opens it, and is tried for ever: for a route that is one lane, where nothing
    /// may pass a record that failed.
    #[must_use]
    pub fn keys(self, keys: usize) -> Self {
        Self { keys, ..self }
    }

    /// The same, opening where at least this share of the attempts failed, above 0 and up to 1 (default: 0.9).
    #[must_use]
    pub fn failed(self, share: f64) -> Self {
        Self { failed: share, ..self }
    }

    /// The same, with attempts counting for this long (default: 30 s, or three times the route's timeout where that is longer).
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self { window: Some(window), ..self }
    }

    /// The same, open for this long until a record is tried (default: 5 s). Twice as long each time that this record fails too, or the breaker
    /// opens again soon.
    #[must_use]
    pub fn open(self, open: Duration) -> Self {
        Self { open, ..self }
    }

    /// The same, never open for longer than this until a record is tried (default: 1 min).
    #[must_use]
    pub fn cap(self, cap: Duration) -> Self {
        Self { cap, ..self }
    }

    /// The same, where lanes are few, trying records for this long without using up their retries (default: 1 h). There an outage looks like
    /// records that never succeed, and nothing but time tells them apart: after it each record that is tried has an attempt less, and
    /// becomes a dead letter with its last one. The breaker stays open meanwhile, so that is one attempt each [`cap`](Self::cap) at most.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Everything that is wrong with it, at once.
    ///
    /// # Errors
    /// One [`CircuitBreakerError`] for each setting that can't work. One that is off has none.
    pub fn check(&self) -> Result<(), Vec<CircuitBreakerError>> {
        let mut errors = Vec::new();
        let mut require = |holds: bool, setting: &'static str, found: String, allowed: &'static str| {
            if !holds && self.is_on {
                errors.push(CircuitBreakerError { setting, found, allowed });
            }
        };
        require(self.attempts > 0, "attempts", self.attempts.to_string(), "1 or more");
        require((1..=MOST_KEYS).contains(&self.keys), "keys", self.keys.to_string(), "between 1 and 1,000");
        let is_share = self.failed > 0.0 && self.failed <= 1.0;
        require(is_share, "failed", self.failed.to_string(), "above 0 and at most 1");
        let has_window = self.window.is_none_or(|window| !window.is_zero());
        require(has_window, "window", format!("{:?}", self.window.unwrap_or_default()), "above 0");
        require(!self.open.is_zero(), "open", format!("{:?}", self.open), "above 0");
        require(self.cap >= self.open, "cap", format!("{:?}", self.cap), "at least as long as `open`");
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// How long an attempt counts in a route with this timeout.
    pub(crate) fn window_of(&self, timeout: Duration) -> Duration {
        self.window.unwrap_or_else(|| LEAST_WINDOW.max(timeout.saturating_mul(TIMEOUTS)))
    }

    /// How many attempts are enough where so many lanes can run at once, of so many that failed or could run; and over how many keys.
    pub(crate) fn enough(&self, running: usize, active: usize) -> (usize, usize) {
        (self.attempts.min(running.saturating_mul(2)), self.keys.min((active / 2 + 1).max(2)))
    }

    /// Whether so many attempts over so many keys are enough wherever it is, and whether they may be where there are few lanes.
    pub(crate) fn is_enough(&self, attempts: usize, keys: usize) -> (bool, bool) {
        (attempts >= self.attempts && keys >= self.keys, keys >= self.keys.min(2))
    }

    /// How many keys are told apart. Where so many have failed there are not too few lanes for the attempts; or they are too many to be looked
    /// through.
    pub(crate) fn most_keys(&self) -> usize {
        self.keys.max(self.attempts.div_ceil(2)).min(MOST_KEYS)
    }

    /// Whether so many failed attempts are its share of all of them.
    #[expect(clippy::cast_precision_loss, reason = "counts of a window are small")]
    pub(crate) fn is_share(&self, failed: usize, attempts: usize) -> bool {
        failed as f64 >= self.failed * attempts as f64
    }

    /// How long it is open at its so-manieth opening in a row, counted from 1.
    pub(crate) fn open_for(&self, openings: u32) -> Duration {
        let factor = 1_u32.checked_shl(openings.saturating_sub(1)).unwrap_or(u32::MAX);
        self.open.saturating_mul(factor).min(self.cap)
    }

    /// How long records are tried for nothing where lanes are few.
    pub(crate) fn patience_of_few(&self) -> Duration {
        self.patience
    }

    /// What it never is open for longer than.
    pub(crate) fn longest(&self) -> Duration {
        self.cap
    }

    /// All of it.
    #[cfg(feature = "cli")]
    pub(crate) fn parts(&self) -> Parts {
        let Self { is_on, attempts, keys, failed, window, open, cap, patience } = *self;
        Parts { is_on, attempts, keys, failed, window, open, cap, patience }
    }
}

/// A circuit breaker's settings, for a configuration to show and to change.
#[cfg(feature = "cli")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) is_on: bool,
    pub(crate) attempts: usize,
    pub(crate) keys: usize,
    pub(crate) failed: f64,
    pub(crate) window: Option<Duration>,
    pub(crate) open: Duration,
    pub(crate) cap: Duration,
    pub(crate) patience: Duration,
}

#[cfg(feature = "cli")]
impl From<Parts> for CircuitBreaker {
    fn from(parts: Parts) -> Self {
        let Parts { is_on, attempts, keys, failed, window, open, cap, patience } = parts;
        Self { is_on, attempts, keys, failed, window, open, cap, patience }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn window_is_thirty_seconds_or_three_timeouts_unless_it_is_said() {
        let breaker = CircuitBreaker::new();
        assert_eq!([1, 10, 11, 600].map(|timeout| breaker.window_of(secs(timeout))), [30, 30, 33, 1_800].map(secs));
        assert_eq!(breaker.window(secs(5)).window_of(secs(600)), secs(5));
        assert_eq!(breaker.window_of(Duration::MAX), Duration::MAX);
    }

    #[test]
    fn few_lanes_need_twice_as_many_attempts_as_can_run_over_more_than_half_of_them() {
        let breaker = CircuitBreaker::new();
        assert_eq!(breaker.enough(100, 1_000), (50, 20));
        assert_eq!(breaker.enough(10, 100), (20, 20));
        assert_eq!(breaker.enough(10, 12), (20, 7));
        assert_eq!([2, 3, 4].map(|lanes| breaker.enough(lanes, lanes)), [(4, 2), (6, 2), (8, 3)]);
        // One alone tells nothing, unless somebody says that it does.
        assert_eq!(breaker.enough(1, 1), (2, 2));
        assert_eq!(breaker.keys(1).enough(1, 1), (2, 1));
    }

    #[test]
    fn it_is_open_for_twice_as_long_each_time_up_to_the_cap() {
        let times = [1, 2, 3, 4, 5, 40, u32::MAX].map(|openings| CircuitBreaker::new().open_for(openings));
        assert_eq!(times, [5, 10, 20, 40, 60, 60, 60].map(secs));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_and_nothing_of_one_that_is_off() {
        let told = |breaker: CircuitBreaker| -> Vec<String> {
            breaker.check().err().unwrap_or_default().iter().map(ToString::to_string).collect()
        };
        let wrong =
            CircuitBreaker::new().attempts(0).keys(1_001).failed(f64::NAN).window(secs(0)).open(secs(9)).cap(secs(8));
        assert_eq!(
            told(wrong),
            [
                "`attempts` is 0, but must be 1 or more",
                "`keys` is 1001, but must be between 1 and 1,000",
                "`failed` is NaN, but must be above 0 and at most 1",
                "`window` is 0ns, but must be above 0",
                "`cap` is 8s, but must be at least as long as `open`",
            ]
        );
        assert_eq!(told(CircuitBreaker::new().open(secs(0))), ["`open` is 0ns, but must be above 0"]);
        assert!(told(CircuitBreaker::off().attempts(0)).is_empty());
        assert!(told(CircuitBreaker::new()).is_empty());
    }
}
