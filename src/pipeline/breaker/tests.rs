use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A breaker that has many lanes to look at, driven by hand.
struct Bench {
    breaker: Breaker,
    now: Instant,
    reach: Reach,
}

impl Bench {
    fn new(settings: CircuitBreaker) -> Self {
        let reach = Reach { workers: 100, others: 1_000 };
        Self { breaker: Breaker::new(settings, secs(1)), now: Instant::now(), reach }
    }

    fn with_lanes(workers: usize, others: usize) -> Self {
        Self { reach: Reach { workers, others }, ..Self::new(CircuitBreaker::new()) }
    }

    /// An attempt of this key fails; says why it opens, if it does.
    fn fail(&mut self, key: u64) -> Option<Grounds> {
        let reach = self.reach;
        self.breaker.failed(key, self.now).then(|| self.breaker.judge("down", self.now, || reach)).flatten()
    }

    /// Attempts of so many keys fail in turn, until it opens or there were `attempts`. Answers how many there were.
    fn fail_until_open(&mut self, keys: u64, attempts: usize) -> usize {
        (1..=attempts).find(|n| self.fail(*n as u64 % keys).is_some()).unwrap_or(attempts)
    }

    fn wait(&mut self, time: Duration) -> bool {
        self.now += time;
        self.breaker.wake(self.now)
    }

    fn is_closed(&self) -> bool {
        self.breaker.state() == State::Closed
    }
}

#[test]
fn fifty_attempts_over_twenty_keys_open_it_and_tell_why() {
    let mut bench = Bench::new(CircuitBreaker::new());
    let grounds = (0..50).find_map(|n| bench.fail(n % 20).map(|grounds| (n, grounds)));
    let expected = Grounds { attempts: 50, failed: 50, keys: 20, window: secs(30), error: "down".to_owned() };
    assert_eq!(grounds, Some((49, expected)));
    assert_eq!(bench.breaker.state(), State::Open { until: bench.now + secs(5) });
}

#[test]
fn few_keys_never_open_it_however_often_they_fail() {
    let mut bench = Bench::new(CircuitBreaker::new());
    assert_eq!(bench.fail_until_open(19, 10_000), 10_000);
    assert!(bench.is_closed());
}

#[test]
fn one_key_alone_never_opens_it_unless_it_is_said_to() {
    let mut bench = Bench::with_lanes(1, 0);
    assert_eq!(bench.fail_until_open(1, 1_000), 1_000);
    bench = Bench { reach: bench.reach, ..Bench::new(CircuitBreaker::new().keys(1)) };
    assert_eq!(bench.fail_until_open(1, 1_000), 2);
}

#[test]
fn few_lanes_open_it_with_twice_as_many_attempts_over_more_than_half_of_them() {
    assert_eq!(Bench::with_lanes(100, 0).fail_until_open(2, 100), 4);
    assert_eq!(Bench::with_lanes(100, 0).fail_until_open(3, 100), 6);
    assert_eq!(Bench::with_lanes(100, 1).fail_until_open(2, 100), 6, "two of three");
    assert_eq!(Bench::with_lanes(10, 10).fail_until_open(30, 100), 20);
    // Two of four are half of them and no more.
    assert_eq!(Bench::with_lanes(100, 2).fail_until_open(2, 100), 100);
}

#[test]
fn many_lanes_that_all_wait_for_a_retry_are_not_few() {
    assert_eq!(Bench::with_lanes(100, 0).fail_until_open(1_000, 100), 50);
    let mut bench = Bench { reach: Reach { workers: 10_000, others: 0 }, ..Bench::new(CircuitBreaker::new()) };
    bench.breaker = Breaker::new(CircuitBreaker::new().attempts(5_000), secs(1));
    assert_eq!(bench.fail_until_open(3_000, 10_000), 5_000, "though not so many are told apart");
}

#[test]
fn successes_before_need_not_be_outweighed() {
    let mut bench = Bench::new(CircuitBreaker::new());
    assert_eq!(bench.breaker.succeeded(1_000_000), None);
    assert_eq!(bench.fail_until_open(25, 100), 50);
}

#[test]
fn one_success_in_nine_keeps_it_closed_and_one_in_ten_does_not() {
    for (failures, opens) in [(8, false), (9, true)] {
        let mut bench = Bench::new(CircuitBreaker::new());
        let mut key = 0..;
        let opened = (0..100).any(|_| {
            let opened = key.by_ref().take(failures).any(|key| bench.fail(key).is_some());
            bench.breaker.succeeded(1);
            opened
        });
        assert_eq!(opened, opens, "{failures} failures to a success");
    }
}

#[test]
fn failures_that_are_too_far_apart_never_come_together() {
    let mut bench = Bench::new(CircuitBreaker::new());
    for key in 0..1_000 {
        bench.wait(secs(1));
        assert_eq!(bench.fail(key), None, "fifty seconds are more than thirty");
    }
    assert!(bench.breaker.evidence.parts.len() <= 10 && bench.breaker.evidence.keys.len() <= 25);
}

#[test]
fn it_stays_open_for_longer_each_time_the_record_that_is_tried_fails() {
    let mut bench = Bench::new(CircuitBreaker::new());
    bench.fail_until_open(50, 50);
    for open in [5, 10, 20, 40, 60, 60].map(secs) {
        assert!(!bench.wait(open - Duration::from_millis(1)));
        assert!(bench.wait(Duration::from_millis(1)));
        assert_eq!(bench.breaker.state(), State::HalfOpen);
        bench.breaker.trial_failed(bench.now);
    }
}

#[test]
fn success_closes_it_only_while_a_record_is_tried() {
    let mut bench = Bench::new(CircuitBreaker::new());
    let begun = bench.now;
    bench.fail_until_open(50, 50);
    assert_eq!(bench.breaker.succeeded(10), None, "they began before");
    assert!(!bench.is_closed());
    bench.wait(secs(5));
    bench.breaker.trial_failed(bench.now);
    bench.wait(secs(10));
    assert_eq!(bench.breaker.succeeded(1), Some(begun), "open since the first time");
    assert!(bench.is_closed());
}

#[test]
fn one_that_opens_again_soon_goes_on_with_its_times() {
    for (later, open) in [(10, 10), (61, 5)] {
        let mut bench = Bench::new(CircuitBreaker::new());
        bench.fail_until_open(50, 50);
        bench.wait(secs(5));
        bench.breaker.succeeded(1);
        bench.wait(secs(later));
        assert_eq!(bench.fail_until_open(50, 50), 50, "it begins with no evidence");
        assert_eq!(bench.breaker.due(), Some(bench.now + secs(open)));
    }
}

#[test]
fn route_without_a_timeout_has_a_window_without_an_end() {
    let mut bench =
        Bench { breaker: Breaker::new(CircuitBreaker::new(), Duration::MAX), ..Bench::new(CircuitBreaker::new()) };
    for key in 0..49 {
        bench.wait(secs(3_600));
        assert_eq!(bench.fail(key), None);
    }
    assert!(bench.fail(49).is_some());
}

/// Everything since the evidence began, with nothing summed up.
struct Naive {
    settings: CircuitBreaker,
    reach: Reach,
    /// In which tenth of the window each attempt ended, and the key of one that failed.
    attempts: Vec<(u128, Option<u64>)>,
    begun: Option<Instant>,
}

impl Naive {
    fn weigh(&mut self) {
        let failed = self.attempts.iter().filter(|(_, key)| key.is_some()).count();
        if !self.settings.is_share(failed, self.attempts.len()) {
            self.attempts.clear();
        }
    }

    fn succeeded(&mut self, attempts: usize) {
        let Some(&(tenth, _)) = self.attempts.last() else { return };
        self.attempts.extend(std::iter::repeat_n((tenth, None), attempts));
        self.weigh();
    }

    fn failed(&mut self, key: u64, now: Instant) -> bool {
        let begun = *self.begun.get_or_insert(now);
        let tenth = (now - begun).as_nanos() / (self.settings.window_of(secs(1)) / 10).as_nanos();
        self.attempts.retain(|(then, _)| then + 10 > tenth);
        self.weigh();
        self.attempts.push((tenth, Some(key)));
        let keys = self.attempts.iter().filter_map(|(_, key)| *key).collect::<BTreeSet<_>>().len();
        let Reach { workers, others } = self.reach;
        let enough = self.settings.enough(workers.min(keys + others), keys + others);
        let most = self.settings.enough(usize::MAX, usize::MAX);
        let attempts = self.attempts.len();
        let opens = [enough, most].into_iter().any(|(least, over)| attempts >= least && keys >= over);
        if opens {
            self.attempts.clear();
        }
        opens
    }
}

proptest! {
    #![proptest_config(crate::pipeline::properties())]

    #[test]
    fn opens_exactly_when_a_count_of_everything_does(
        (attempts, keys, share) in (1_usize..12, 1_usize..6, 0.1..1.0_f64),
        (workers, others) in (1_usize..8, 0_usize..8),
        window in 1_u64..20,
        events in prop::collection::vec((0_u64..3_000, prop::option::weighted(0.8, 0_u64..8), 1_usize..4), 1..200),
    ) {
        let settings = CircuitBreaker::new().attempts(attempts).keys(keys).failed(share).window(secs(window));
        let reach = Reach { workers, others };
        let mut bench = Bench { reach, ..Bench::new(settings) };
        let mut naive = Naive { settings, reach, attempts: Vec::new(), begun: None };
        for (millis, key, successes) in events {
            bench.now += Duration::from_millis(millis);
            let Some(key) = key else {
                bench.breaker.succeeded(successes);
                naive.succeeded(successes);
                continue;
            };
            let opened = bench.fail(key);
            prop_assert_eq!(opened.is_some(), naive.failed(key, bench.now));
            prop_assert!(bench.breaker.evidence.parts.len() <= 10);
            prop_assert!(bench.breaker.evidence.keys.len() <= keys.max(attempts.div_ceil(2)));
            if let Some(grounds) = opened {
                prop_assert!(settings.is_share(grounds.failed, grounds.attempts));
                while !bench.wait(secs(1)) {}
                prop_assert!(bench.breaker.succeeded(1).is_some());
            }
        }
    }
}
