//! When a failed record is tried again, and when no more.
//!
//! A [`RetryPolicy`] is plain data, set on a route. [`RetryPolicy::delay`] is a pure function: the caller brings the number of
//! failures and the random number, and owns the timer. The invariant: no delay is longer than the cap. Its arithmetic, `Backoff`, is
//! what daemons are restarted by too.

use std::time::Duration;

/// How often, and after which delays, a failed record is tried again.
///
/// ```
/// use daemonry::retry::RetryPolicy;
/// use std::time::Duration;
///
/// let policy = RetryPolicy::exponential().max_retries(2).no_jitter();
/// assert_eq!(policy.delay(1, 0.0), Some(Duration::from_secs(1)));
/// assert_eq!(policy.delay(2, 0.0), Some(Duration::from_secs(2)));
/// assert_eq!(policy.delay(3, 0.0), None); // two retries failed as well
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    backoff: Backoff,
    max_retries: u32,
}

/// Delays that double from the base up to the cap, each shortened at random by up to a fraction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Backoff {
    base: Duration,
    cap: Duration,
    /// From 0 to 1.
    jitter: f64,
}

impl Backoff {
    /// From 1 s to 30 s, each up to a fifth shorter.
    pub(crate) const DEFAULT: Self = Self { base: Duration::from_secs(1), cap: Duration::from_secs(30), jitter: 0.2 };

    /// The same with this first delay.
    pub(crate) fn base(self, base: Duration) -> Self {
        Self { base, ..self }
    }

    /// The same with no delay longer than this.
    pub(crate) fn cap(self, cap: Duration) -> Self {
        Self { cap, ..self }
    }

    /// The same with delays shortened by up to this fraction; what lies outside of 0 to 1 counts as the nearer end.
    pub(crate) fn jitter(self, fraction: f64) -> Self {
        Self { jitter: unit(fraction), ..self }
    }

    /// The delay after the `failures`-th failure in a row, counted from 1. `random` lies in [0, 1) and chooses how much of the
    /// jitter is taken.
    pub(crate) fn delay(&self, failures: u32, random: f64) -> Duration {
        let doublings = failures.max(1) - 1;
        let factor = 1_u128.checked_shl(doublings).unwrap_or(u128::MAX);
        let grown = self.base.as_nanos().saturating_mul(factor);
        let full = if grown < self.cap.as_nanos() { Duration::from_nanos_u128(grown) } else { self.cap };
        let shortened = 1.0 - self.jitter * unit(random);
        // Rounding can carry the product past the largest duration; it must not pass the full delay.
        Duration::try_from_secs_f64(full.as_secs_f64() * shortened).map_or(full, |delay| delay.min(full))
    }
}

impl RetryPolicy {
    /// Three retries, after 1 s, 2 s and 4 s, each up to a fifth earlier; with more retries the delays go on doubling up to 30 s.
    pub fn exponential() -> Self {
        Self { backoff: Backoff::DEFAULT, max_retries: 3 }
    }

    /// No retries: the first failure is the last.
    pub fn none() -> Self {
        Self::exponential().max_retries(0)
    }

    /// The same with at most this many retries after the first attempt.
    #[must_use]
    pub fn max_retries(self, max_retries: u32) -> Self {
        Self { max_retries, ..self }
    }

    /// The same with this delay before the first retry.
    #[must_use]
    pub fn base(self, base: Duration) -> Self {
        Self { backoff: self.backoff.base(base), ..self }
    }

    /// The same with no delay longer than this.
    #[must_use]
    pub fn cap(self, cap: Duration) -> Self {
        Self { backoff: self.backoff.cap(cap), ..self }
    }

    /// The same with delays shortened at random by up to this fraction, from 0 (never) to 1 (down to nothing); what lies
    /// outside counts as the nearer end. Delays are only ever shortened, so that the cap holds.
    #[must_use]
    pub fn jitter(self, fraction: f64) -> Self {
        Self { backoff: self.backoff.jitter(fraction), ..self }
    }

    /// The same with delays that aren't shortened at random.
    #[must_use]
    pub fn no_jitter(self) -> Self {
        self.jitter(0.0)
    }

    /// Its numbers: retries, first delay, cap, and jitter.
    #[cfg(feature = "cli")]
    pub(crate) fn parts(&self) -> (u32, Duration, Duration, f64) {
        (self.max_retries, self.backoff.base, self.backoff.cap, self.backoff.jitter)
    }

    /// How long to wait after the `failed_attempts`-th failure in a row, counted from 1; `None` when the retries are used up.
    /// `random` lies in [0, 1) and chooses how much of the jitter is taken.
    pub fn delay(&self, failed_attempts: u32, random: f64) -> Option<Duration> {
        let failed_attempts = failed_attempts.max(1);
        (failed_attempts <= self.max_retries).then(|| self.backoff.delay(failed_attempts, random))
    }
}

/// The number within 0 to 1 that is nearest; 0 for what is not a number.
fn unit(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn durations() -> impl Strategy<Value = Duration> {
        (prop_oneof![0..100_u64, any::<u64>()], 0..1_000_000_000_u32)
            .prop_map(|(secs, nanos)| Duration::new(secs, nanos))
    }

    prop_compose! {
        fn policies()(base in durations(), cap in durations(), retries in any::<u32>(), jitter in any::<f64>()) -> RetryPolicy {
            RetryPolicy::exponential().base(base).cap(cap).max_retries(retries).jitter(jitter)
        }
    }

    #[test]
    fn chance_takes_its_part_of_the_jitter_off() {
        let policy = RetryPolicy::exponential().base(Duration::from_secs(10)).jitter(0.5).cap(Duration::from_secs(25));
        let delays =
            [(1, 0.0), (1, 0.5), (1, 0.8), (2, 0.0), (3, 0.0)].map(|(failed, chance)| policy.delay(failed, chance));
        assert_eq!(delays, [10_000, 7_500, 6_000, 20_000, 25_000].map(|millis| Some(Duration::from_millis(millis))));
    }

    proptest! {
        #[test]
        fn delay_never_overflows_and_never_exceeds_the_cap(
            policy in policies(), failed in any::<u32>(), random in 0.0..1.0_f64
        ) {
            if let Some(delay) = policy.delay(failed, random) {
                prop_assert!(delay <= policy.backoff.cap);
            }
        }

        #[test]
        fn retries_end_exactly_after_the_maximum(policy in policies(), failed in 1..u32::MAX, random in 0.0..1.0_f64) {
            prop_assert_eq!(policy.delay(failed, random).is_some(), failed <= policy.max_retries);
        }

        #[test]
        fn delay_without_jitter_never_shrinks(policy in policies(), failed in 1..u32::MAX) {
            let policy = policy.no_jitter().max_retries(u32::MAX);
            prop_assert!(policy.delay(failed, 0.5) <= policy.delay(failed + 1, 0.5));
        }

        #[test]
        fn jitter_shortens_by_no_more_than_its_fraction(
            base in 1..100_000_u64, failed in 1..40_u32, jitter in 0.0..1.0_f64, random in 0.0..1.0_f64
        ) {
            let policy = RetryPolicy::exponential().base(Duration::from_millis(base)).max_retries(40);
            let full = policy.no_jitter().delay(failed, random).expect("retries are left");
            let delay = policy.jitter(jitter).delay(failed, random).expect("retries are left");
            prop_assert!(delay <= full);
            prop_assert!(delay.as_secs_f64() >= full.as_secs_f64() * (1.0 - jitter) - 1e-8);
        }
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let policy = RetryPolicy::exponential().max_retries(7).no_jitter();
        let seconds: Vec<_> = (1..=7).filter_map(|failed| policy.delay(failed, 0.9)).map(|d| d.as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn policy_without_retries_gives_no_delay() {
        assert_eq!(RetryPolicy::none().delay(0, 0.0), None);
        assert_eq!(RetryPolicy::none().delay(1, 0.0), None);
    }

    #[test]
    fn jitter_that_is_not_a_number_counts_as_none() {
        assert_eq!(RetryPolicy::exponential().jitter(f64::NAN), RetryPolicy::exponential().no_jitter());
    }
}
