//! When a daemon that failed is started again, and when no more.
//!
//! A [`RestartPolicy`] is plain data, as a route's [`RetryPolicy`](crate::retry::RetryPolicy) is; [`Restarts`] is what one daemon
//! has used of it, and belongs to the daemon's task. Both are pure: the caller brings the time and the random number, and owns
//! the timer. The invariant: a daemon is never restarted more often within the window than the policy says.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::retry::Backoff;

/// How often, and after which delays, a daemon that failed or panicked is started again.
///
/// As with Erlang's supervisors there is a restart intensity: so many restarts within a window are put up with, and the failure
/// after them ends the process. The delays double with each restart within the window, so a daemon that ran well for the
/// whole window begins anew with the first delay and with all of its restarts.
///
/// The default window is 10 min. The five delays before the end take 31 s of it at most, which leaves each run almost two
/// minutes to fail: enough for what is found out slowly too, such as a drain of 30 s, or a session that runs out after 45 s.
///
/// ```
/// use daemonry::supervisor::{RestartPolicy, Supervisor};
/// use std::time::Duration;
///
/// let policy = RestartPolicy::exponential().max_restarts(3).window(Duration::from_secs(300));
/// let supervisor = Supervisor::new().restart(policy);
/// # drop(supervisor);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    backoff: Backoff,
    /// `None` where there is no end to them.
    max_restarts: Option<u32>,
    window: Duration,
}

/// A restart policy that would never end the process, although it has a limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{max_restarts} restarts never come within the window of {window:?}, for which the delays between them ({delays:?}) are too long, \
     so it would be restarted for ever: widen the window, allow fewer, or say so with `RestartPolicy::forever`"
)]
pub(crate) struct Unreachable {
    max_restarts: u32,
    window: Duration,
    delays: Duration,
}

impl RestartPolicy {
    /// Five restarts within 10 min, after 1, 2, 4, 8 and 16 s, each delay up to a fifth shorter; with more restarts the delays go on
    /// doubling up to 30 s.
    pub fn exponential() -> Self {
        Self { backoff: Backoff::DEFAULT, max_restarts: Some(5), window: Duration::from_secs(600) }
    }

    /// No restarts: the first failure ends the process.
    pub fn never() -> Self {
        Self::exponential().max_restarts(0)
    }

    /// As [`exponential`](Self::exponential), but without an end: no failure of this kind ends the process, however often it comes.
    pub fn forever() -> Self {
        Self { max_restarts: None, ..Self::exponential() }
    }

    /// The same with at most this many restarts within the window. Where the delays between them don't fit into the window, the
    /// supervisor refuses to start.
    #[must_use]
    pub fn max_restarts(self, max_restarts: u32) -> Self {
        Self { max_restarts: Some(max_restarts), ..self }
    }

    /// The same with restarts counted for this long, each from its own time on.
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self { window, ..self }
    }

    /// The same with this delay before the first restart.
    #[must_use]
    pub fn base(self, base: Duration) -> Self {
        Self { backoff: self.backoff.base(base), ..self }
    }

    /// The same with no delay longer than this.
    #[must_use]
    pub fn cap(self, cap: Duration) -> Self {
        Self { backoff: self.backoff.cap(cap), ..self }
    }

    /// The same with delays shortened at random by up to this fraction, from 0 (never) to 1 (down to nothing).
    #[must_use]
    pub fn jitter(self, fraction: f64) -> Self {
        Self { backoff: self.backoff.jitter(fraction), ..self }
    }

    /// The same with delays that aren't shortened at random.
    #[must_use]
    pub fn no_jitter(self) -> Self {
        self.jitter(0.0)
    }

    /// Whether its limit can be reached at all: by a daemon that fails at once each time.
    pub(crate) fn check(&self) -> Result<(), Unreachable> {
        /// From here on a delay that isn't 0 has reached any cap.
        const DOUBLED_OUT: u32 = 130;
        let Some(max_restarts) = self.max_restarts.filter(|&max_restarts| max_restarts > 0) else { return Ok(()) };
        // From the first restart to the failure after the last: the first delay lies before both.
        let growing = (2..=max_restarts.min(DOUBLED_OUT)).map(|failures| self.backoff.delay(failures, 0.0));
        let grown = self.backoff.delay(max_restarts, 0.0).saturating_mul(max_restarts.saturating_sub(DOUBLED_OUT));
        let delays = growing.fold(grown, Duration::saturating_add);
        if delays < self.window { Ok(()) } else { Err(Unreachable { max_restarts, window: self.window, delays }) }
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self::exponential()
    }
}

/// The restarts of one daemon that still count.
#[derive(Debug)]
pub(super) struct Restarts {
    policy: RestartPolicy,
    /// When they were, or will be.
    times: VecDeque<Instant>,
}

impl Restarts {
    /// None yet.
    pub(super) fn new(policy: RestartPolicy) -> Self {
        Self { policy, times: VecDeque::new() }
    }

    /// How long to wait for the restart after a failure at `now`; `None` where there were too many. `random` lies in [0, 1).
    pub(super) fn delay(&mut self, now: Instant, random: f64) -> Option<Duration> {
        /// More of them make no delay longer.
        const REMEMBERED: usize = 128;
        while self.times.front().is_some_and(|&time| now.duration_since(time) >= self.policy.window) {
            self.times.pop_front();
        }
        let recent = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        if self.policy.max_restarts.is_some_and(|max_restarts| recent >= max_restarts) {
            return None;
        }
        let delay = self.policy.backoff.delay(recent + 1, random);
        // A time that no clock can show is as good as one that never comes to be forgotten.
        self.times.extend(now.checked_add(delay));
        if self.policy.max_restarts.is_none() && self.times.len() > REMEMBERED {
            self.times.pop_front();
        }
        Some(delay)
    }

    /// What to say where there were too many.
    pub(super) fn exhausted(&self, error: &str) -> String {
        match self.times.len() {
            0 => error.to_owned(),
            restarts => {
                let window = self.policy.window;
                format!("failed again after {restarts} restarts within {window:?}: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// The delays of a daemon whose runs take `run` each, until there is no more restart, 40 at most.
    fn delays(policy: RestartPolicy, run: Duration) -> Vec<Duration> {
        let mut restarts = Restarts::new(policy.no_jitter());
        let mut now = Instant::now();
        let next = std::iter::from_fn(|| {
            now += run;
            let delay = restarts.delay(now, 0.5)?;
            now += delay;
            Some(delay)
        });
        next.take(40).collect()
    }

    #[test]
    fn daemon_that_fails_at_once_is_restarted_five_times_with_growing_delays() {
        assert_eq!(delays(RestartPolicy::default(), secs(0)), [1, 2, 4, 8, 16].map(secs));
    }

    #[test]
    fn slow_failures_reach_the_default_limit_too() {
        assert_eq!(delays(RestartPolicy::default(), secs(90)).len(), 5);
    }

    #[test]
    fn daemon_that_ran_well_for_the_window_begins_anew() {
        assert_eq!(delays(RestartPolicy::default(), secs(600)), [secs(1); 40]);
    }

    #[test]
    fn restarts_are_forgotten_one_by_one() {
        let mut restarts = Restarts::new(RestartPolicy::exponential().max_restarts(2).window(secs(100)).no_jitter());
        let start = Instant::now();
        let mut delay = |at| restarts.delay(start + secs(at), 0.0);
        assert_eq!((delay(0), delay(60), delay(100)), (Some(secs(1)), Some(secs(2)), None));
        // The first restart was at 1 s, so it counts until 101 s; the second one counts on.
        assert_eq!((delay(101), delay(161)), (Some(secs(2)), None));
    }

    #[test]
    fn policy_without_restarts_gives_up_at_once_and_says_only_why() {
        let mut restarts = Restarts::new(RestartPolicy::never());
        assert_eq!(restarts.delay(Instant::now(), 0.0), None);
        assert_eq!(restarts.exhausted("fenced"), "fenced");
    }

    #[test]
    fn policy_without_an_end_never_gives_up_and_remembers_little() {
        let mut restarts = Restarts::new(RestartPolicy::forever().base(secs(0)).window(secs(1_000_000)));
        let now = Instant::now();
        assert!((0..100_000).all(|_| restarts.delay(now, 0.0) == Some(secs(0))));
        assert_eq!(restarts.times.len(), 128);
        assert_eq!(delays(RestartPolicy::forever(), secs(0)).last(), Some(&secs(30)));
    }

    #[test]
    fn delay_that_no_clock_can_show_is_no_panic() {
        let mut restarts = Restarts::new(RestartPolicy::forever().base(Duration::MAX).cap(Duration::MAX).no_jitter());
        assert_eq!(restarts.delay(Instant::now(), 0.0), Some(Duration::MAX));
    }

    #[test]
    fn exhausted_restarts_are_told_with_their_number_and_window() {
        let mut restarts = Restarts::new(RestartPolicy::exponential().max_restarts(2));
        let now = Instant::now();
        while restarts.delay(now, 0.0).is_some() {}
        assert_eq!(restarts.exhausted("no route"), "failed again after 2 restarts within 600s: no route");
    }

    #[test]
    fn limit_that_can_not_be_reached_is_refused() {
        let policy = RestartPolicy::exponential();
        assert_eq!(policy.check(), Ok(()));
        assert_eq!(policy.max_restarts(100).window(secs(3_600)).check(), Ok(()));
        let error = policy.window(secs(30)).check().expect_err("2 + 4 + 8 + 16 = 30");
        assert!(error.to_string().contains("5 restarts never come within the window of 30s"), "{error}");
        assert!(policy.max_restarts(u32::MAX).check().is_err());
        assert_eq!(policy.base(secs(0)).max_restarts(u32::MAX).check(), Ok(()), "no delay takes no time");
        assert!(policy.max_restarts(1).window(secs(0)).check().is_err());
        assert_eq!((RestartPolicy::never().check(), RestartPolicy::forever().check()), (Ok(()), Ok(())));
    }

    prop_compose! {
        fn policies()(
            max_restarts in 0..12_u32, window in 1..2_000_u64, base in 0..60_u64, cap in 0..120_u64, jitter in 0.0..1.0_f64
        ) -> RestartPolicy {
            let policy = RestartPolicy::exponential().max_restarts(max_restarts).window(secs(window));
            policy.base(secs(base)).cap(secs(cap)).jitter(jitter)
        }
    }

    proptest! {
        #[test]
        fn no_window_has_more_restarts_than_the_policy_says(
            policy in policies(), runs in prop::collection::vec((0..900_u64, 0.0..1.0_f64), 1..60)
        ) {
            let mut restarts = Restarts::new(policy);
            let (mut now, mut times) = (Instant::now(), Vec::new());
            for (run, random) in runs {
                now += secs(run);
                let Some(delay) = restarts.delay(now, random) else { break };
                now += delay;
                times.push(now);
            }
            for (index, &first) in times.iter().enumerate() {
                let within = times[index..].iter().take_while(|&&time| time - first < policy.window).count();
                prop_assert!(within <= policy.max_restarts.unwrap_or(u32::MAX) as usize);
            }
        }

        #[test]
        fn policy_that_passes_its_check_gives_up_on_a_daemon_that_fails_at_once(policy in policies()) {
            let gives_up = delays(policy, secs(0)).len() < 40;
            prop_assert_eq!(policy.check().is_ok(), gives_up);
        }
    }
}
