//! The circuit breaker of a route: whether what fails is the records, or something that all of them need. A pure part: whoever drives it
//! brings how attempts ended, and the time.
//!
//! ```text
//!            enough attempts failed                its time is over
//!   Closed ──────────────────────────▶ Open ──────────────────────────▶ HalfOpen
//!     ▲                                 ▲  the record that was tried fails │  │
//!     │                                 └──────────────────────────────────┘  │
//!     └───────────────────────────────────────────────────────────────────────┘
//!                                  a record succeeds
//! ```
//!
//! The evidence is the latest attempts, as far back as the share of them failed that the settings say. A success that brings them below it
//! ends it: what counts begins anew with the next failure. So a thousand successes before an outage don't have to be outweighed,
//! and a route where all is well has nothing to remember.
//!
//! The invariants: it remembers no more than ten counts and as many keys as it needs, for no longer than the window; while nothing fails it
//! remembers nothing, and looks at no clock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::circuit_breaker::CircuitBreaker;

/// The window is forgotten in so many parts, one after the other.
const PARTS: u64 = 10;

/// What a breaker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    /// Nothing is started until then.
    Open {
        until: Instant,
    },
    /// One record is tried.
    HalfOpen,
}

/// What there is to fail, beside the keys that have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// How many lanes can run at once.
    pub(super) workers: usize,
    /// How many others run, or could. Some of them may have failed before: those count twice, for a breaker that opens later.
    pub(super) others: usize,
}

/// Why it opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grounds {
    pub(super) attempts: usize,
    pub(super) failed: usize,
    /// As many as are told apart, at most.
    pub(super) keys: usize,
    pub(super) window: Duration,
    /// The last one's.
    pub(super) error: String,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: CircuitBreaker,
    window: Duration,
    state: State,
    evidence: Evidence,
    /// How often it has opened in a row.
    openings: u32,
    /// When it first did.
    opened: Option<Instant>,
    /// There were too few lanes for all of the evidence.
    is_few: bool,
    /// When a record was last tried.
    tried: Option<Instant>,
}

impl Breaker {
    /// That of a route with this timeout.
    pub(super) fn new(settings: CircuitBreaker, timeout: Duration) -> Self {
        let window = settings.window_of(timeout);
        let evidence = Evidence::new(window, settings.most_keys());
        Self { settings, window, state: State::Closed, evidence, openings: 0, opened: None, is_few: false, tried: None }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// So many attempts succeeded. Answers since when it was open, if that closes it.
    pub(super) fn succeeded(&mut self, attempts: usize) -> Option<Instant> {
        match self.state {
            State::Closed => {
                self.evidence.succeeded(attempts, &self.settings);
                None
            }
            // They began before it opened.
            State::Open { .. } => None,
            State::HalfOpen => {
                self.state = State::Closed;
                self.opened.take().or(self.tried)
            }
        }
    }

    /// An attempt failed that is worth a retry, of a record with this key. Answers whether it could open now, which is
    /// [asked](Self::judge) next.
    pub(super) fn failed(&mut self, key: u64, now: Instant) -> bool {
        if self.state != State::Closed {
            return false;
        }
        self.evidence.failed(key, now, &self.settings);
        let (_, perhaps) = self.settings.is_enough(self.evidence.attempts, self.evidence.keys.len());
        perhaps
    }

    /// Opens it if there is enough evidence for that; `reach` is only looked at where there may be too few lanes for all of it.
    pub(super) fn judge(&mut self, error: &str, now: Instant, reach: impl FnOnce() -> Reach) -> Option<Grounds> {
        let (attempts, keys) = (self.evidence.attempts, self.evidence.keys.len());
        let (is_enough, _) = self.settings.is_enough(attempts, keys);
        let opens = is_enough || {
            let Reach { workers, others } = reach();
            let active = if keys < self.evidence.most_keys { keys + others } else { usize::MAX };
            let enough = self.settings.enough(active.min(workers), active);
            attempts >= enough.0 && keys >= enough.1
        };
        if !opens {
            return None;
        }
        self.is_few = !is_enough;
        let failed = self.evidence.failed;
        // One that opens again soon has been closed too early.
        if self.tried.is_none_or(|tried| now.saturating_duration_since(tried) > self.settings.longest()) {
            self.openings = 0;
        }
        self.evidence.clear();
        self.opened = Some(now);
        self.open(now);
        Some(Grounds { attempts, failed, keys, window: self.window, error: error.to_owned() })
    }

    /// The record that was tried failed, too.
    pub(super) fn trial_failed(&mut self, now: Instant) {
        self.open(now);
    }

    /// Whether the record that is tried is to use up a retry: for too long nothing has told an outage from records that never succeed.
    pub(super) fn lost_patience(&self) -> bool {
        let open_for = |(opened, tried): (Instant, Instant)| tried.saturating_duration_since(opened);
        self.is_few
            && self.opened.zip(self.tried).is_some_and(|times| open_for(times) >= self.settings.patience_of_few())
    }

    fn open(&mut self, now: Instant) {
        self.openings = self.openings.saturating_add(1);
        let until = now.checked_add(self.settings.open_for(self.openings));
        // A time that never comes is far enough away.
        self.state = State::Open { until: until.unwrap_or(now + Duration::from_secs(365 * 24 * 3600)) };
    }

    /// When it is to [wake](Self::wake).
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Open { until } => Some(until),
            State::Closed | State::HalfOpen => None,
        }
    }

    /// Answers whether a record is to be tried now.
    pub(super) fn wake(&mut self, now: Instant) -> bool {
        let wakes = self.due().is_some_and(|until| until <= now);
        if wakes {
            (self.state, self.tried) = (State::HalfOpen, Some(now));
        }
        wakes
    }
}

/// The latest attempts, as far as they count.
#[derive(Debug)]
struct Evidence {
    /// How long a part of the window is.
    part: Duration,
    most_keys: usize,
    /// From when the parts are numbered.
    origin: Option<Instant>,
    /// Those with an attempt in them, in order.
    parts: VecDeque<Part>,
    /// The keys that failed last, as many as are needed.
    keys: Vec<Seen>,
    attempts: usize,
    failed: usize,
}

#[derive(Debug)]
struct Part {
    number: u64,
    attempts: usize,
    failed: usize,
}

/// A key, and the part in which it last failed.
#[derive(Debug)]
struct Seen {
    key: u64,
    part: u64,
}

impl Evidence {
    fn new(window: Duration, most_keys: usize) -> Self {
        let part = (window / u32::try_from(PARTS).expect("few")).max(Duration::from_nanos(1));
        Self { part, most_keys, origin: None, parts: VecDeque::new(), keys: Vec::new(), attempts: 0, failed: 0 }
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.keys.clear();
        (self.attempts, self.failed) = (0, 0);
    }

    /// They count as of the time of the last failure.
    fn succeeded(&mut self, attempts: usize, settings: &CircuitBreaker) {
        let Some(last) = self.parts.back_mut() else { return };
        last.attempts += attempts;
        self.attempts += attempts;
        if !settings.is_share(self.failed, self.attempts) {
            self.clear();
        }
    }

    fn failed(&mut self, key: u64, now: Instant, settings: &CircuitBreaker) {
        let part = self.part_of(now);
        self.expire(part, settings);
        match self.parts.back_mut() {
            Some(last) if last.number == part => {
                last.attempts += 1;
                last.failed += 1;
            }
            _ => self.parts.push_back(Part { number: part, attempts: 1, failed: 1 }),
        }
        self.attempts += 1;
        self.failed += 1;
        if let Some(seen) = self.keys.iter_mut().find(|seen| seen.key == key) {
            seen.part = part;
        } else if self.keys.len() < self.most_keys {
            self.keys.push(Seen { key, part });
        } else if let Some(oldest) = self.keys.iter_mut().min_by_key(|seen| seen.part) {
            *oldest = Seen { key, part };
        }
    }

    /// The number of a time's part. Workers look at the clock before they take turns: none is before the last one.
    fn part_of(&mut self, now: Instant) -> u64 {
        let origin = *self.origin.get_or_insert(now);
        let part = now.saturating_duration_since(origin).as_nanos() / self.part.as_nanos();
        let last = self.parts.back().map_or(0, |last| last.number);
        u64::try_from(part).unwrap_or(u64::MAX).max(last)
    }

    /// Forgets what is out of the window in this part.
    fn expire(&mut self, part: u64, settings: &CircuitBreaker) {
        let is_over = |number: u64| number.saturating_add(PARTS) <= part;
        if !self.parts.front().is_some_and(|first| is_over(first.number)) {
            return;
        }
        while let Some(first) = self.parts.pop_front_if(|first| is_over(first.number)) {
            self.attempts -= first.attempts;
            self.failed -= first.failed;
        }
        self.keys.retain(|seen| !is_over(seen.part));
        if !settings.is_share(self.failed, self.attempts) {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests;
