use proptest::prelude::*;

use super::super::{Scaling, ScalingMode};
use super::*;
use ScalingDirection::{Grow, Hold, Shrink};
use ScalingReason::{Balanced, HandlerBound, LatencyBound, OrderingBound, RateBound, SourceBound};

const SECOND: Duration = Duration::from_secs(1);

/// All workers at something, and so many lanes without one, in a full queue.
fn loaded(workers: usize, waiting: f64) -> Sample {
    Sample { used: 1.0, busy: workers as f64, peak: workers, waiting, ..Sample::default() }
}

/// So many workers at something at once, and nothing besides.
fn calm(peak: usize) -> Sample {
    Sample { used: 0.05, busy: peak as f64 / 2.0, peak, ..Sample::default() }
}

fn by_queue(min: usize, max: usize) -> Controller {
    Controller::new(Scaling { min, ..Scaling::by_queue() }, max)
}

/// A controller that has this many workers.
fn with(workers: usize, scaling: Scaling, max: usize) -> Controller {
    Controller { workers, ..Controller::new(scaling, max) }
}

#[test]
fn begins_with_the_fewest() {
    assert_eq!(by_queue(4, 64).workers(), 4);
}

#[test]
fn full_queue_with_lanes_that_wait_doubles_the_workers_each_cool_down_up_to_the_most() {
    let mut controller = by_queue(2, 20);
    let steps: Vec<_> = (0..12)
        .map(|_| {
            let verdict = controller.decide(&loaded(controller.workers(), 50.0), SECOND);
            assert_eq!(verdict.reason, HandlerBound);
            verdict.workers
        })
        .collect();
    assert_eq!(steps, [2, 4, 4, 8, 8, 16, 16, 20, 20, 20, 20, 20]);
}

#[test]
fn grows_by_no_more_workers_than_lanes_wait() {
    let mut controller = with(20, Scaling::by_queue(), 64);
    controller.decide(&loaded(20, 2.6), SECOND);
    let verdict = controller.decide(&loaded(20, 2.6), SECOND);
    assert_eq!((verdict.direction, verdict.workers), (Grow, 23));
}

#[test]
fn full_queue_without_a_lane_that_waits_is_ordering_bound_and_holds() {
    let mut controller = by_queue(2, 64);
    for _ in 0..100 {
        let sample = Sample { used: 1.0, busy: 2.0, peak: 2, waiting: 0.1, ..Sample::default() };
        let verdict = controller.decide(&sample, SECOND);
        assert_eq!((verdict.direction, verdict.reason, verdict.workers), (Hold, OrderingBound, 2));
    }
}

#[test]
fn empty_queue_is_source_bound_and_holds_at_the_fewest() {
    let mut controller = by_queue(2, 64);
    for _ in 0..100 {
        let verdict = controller.decide(&calm(0), SECOND);
        assert_eq!((verdict.direction, verdict.reason, verdict.workers), (Hold, SourceBound, 2));
    }
}

#[test]
fn queue_between_the_marks_is_balanced() {
    let mut controller = with(8, Scaling::by_queue(), 64);
    let sample = Sample { used: 0.5, busy: 8.0, peak: 8, waiting: 9.0, ..Sample::default() };
    for _ in 0..100 {
        let verdict = controller.decide(&sample, SECOND);
        assert_eq!((verdict.direction, verdict.reason), (Hold, Balanced));
    }
}

#[test]
fn limited_rate_is_no_reason_to_grow() {
    let mut controller = by_queue(2, 64);
    for _ in 0..100 {
        let sample = Sample { used: 1.0, limited: true, ..Sample::default() };
        let verdict = controller.decide(&sample, SECOND);
        assert_eq!((verdict.direction, verdict.reason), (Hold, RateBound));
    }
}

#[test]
fn nearly_empty_queue_halves_the_workers_after_half_a_minute_and_again() {
    let mut controller = with(64, Scaling::by_queue(), 64);
    let workers: Vec<_> = (0..180).map(|_| controller.decide(&calm(0), SECOND).workers).collect();
    for (second, expected) in [(28, 64), (29, 32), (58, 32), (59, 16), (89, 8), (119, 4), (149, 2), (179, 2)] {
        assert_eq!(workers[second], expected, "after {} s", second + 1);
    }
}

#[test]
fn one_moment_above_the_low_mark_begins_the_half_minute_anew() {
    let mut controller = with(64, Scaling::by_queue(), 64);
    for second in 0..300 {
        let sample = if second % 25 == 0 { Sample { used: 0.3, ..calm(3) } } else { calm(3) };
        assert_eq!(controller.decide(&sample, SECOND).workers, 64);
    }
}

#[test]
fn shrinks_to_a_quarter_more_than_were_at_something_at_once() {
    let mut controller = with(64, Scaling::by_queue(), 64);
    let verdicts: Vec<_> =
        (0..300).map(|second| controller.decide(&calm(if second == 40 { 24 } else { 20 }), SECOND)).collect();
    let changes: Vec<_> =
        verdicts.iter().filter(|verdict| verdict.direction != Hold).map(|verdict| verdict.workers).collect();
    assert_eq!(changes, [32, 30, 25], "first by half, then to 24 and a quarter, then to 20 and a quarter");
}

#[test]
fn lanes_that_wait_are_no_calm_however_large_the_queue_is() {
    let mut controller = with(8, Scaling::by_queue(), 64);
    for _ in 0..100 {
        let verdict =
            controller.decide(&Sample { used: 0.01, busy: 8.0, peak: 8, waiting: 3.0, ..Sample::default() }, SECOND);
        assert_eq!((verdict.direction, verdict.reason), (Hold, Balanced));
    }
}

/// What handlers ask, and how long it takes where so many ask it at once.
struct Downstream {
    /// Seconds without company.
    alone: f64,
    /// How many it serves side by side; more wait for one another.
    side_by_side: f64,
}

impl Downstream {
    /// A second of so many workers, all of which are at something.
    fn second(&self, workers: usize, waiting: f64) -> Sample {
        let latency = self.alone * (workers as f64 / self.side_by_side).max(1.0);
        let attempts = (workers as f64 / latency).round();
        let time = Duration::from_secs_f64(attempts * latency);
        Sample { attempts: attempts as u64, time, ..loaded(workers, waiting) }
    }
}

/// The workers of each second.
fn run(controller: &mut Controller, downstream: &Downstream, seconds: usize) -> Vec<usize> {
    let second = |_| controller.decide(&downstream.second(controller.workers(), 100.0), SECOND).workers;
    (0..seconds).map(second).collect()
}

fn by_latency(min: usize, max: usize) -> Controller {
    Controller::new(Scaling { min, ..Scaling::by_latency() }, max)
}

#[test]
fn latency_finds_about_as_many_workers_as_are_served_side_by_side() {
    let mut controller = by_latency(2, 500);
    let workers = run(&mut controller, &Downstream { alone: 0.020, side_by_side: 40.0 }, 600);
    let settled = &workers[100..];
    let (least, most) = (settled.iter().min().copied(), settled.iter().max().copied());
    assert!(least >= Some(40) && most <= Some(61), "between {least:?} and {most:?}");
    // The same workers for a time without end: what it holds to is still what an attempt takes alone.
    let late = run(&mut controller, &Downstream { alone: 0.020, side_by_side: 40.0 }, 100_000);
    assert!(late.iter().all(|workers| (40..=61).contains(workers)));
}

#[test]
fn latency_grows_to_the_most_where_nothing_gets_slower() {
    let mut controller = by_latency(2, 64);
    let workers = run(&mut controller, &Downstream { alone: 0.020, side_by_side: 1_000.0 }, 60);
    assert_eq!(workers.last(), Some(&64));
}

#[test]
fn latency_shrinks_at_once_when_what_is_asked_gets_narrow() {
    let mut controller = by_latency(2, 64);
    run(&mut controller, &Downstream { alone: 0.020, side_by_side: 1_000.0 }, 60);
    let narrow = Downstream { alone: 0.020, side_by_side: 8.0 };
    let first = controller.decide(&narrow.second(64, 100.0), SECOND);
    assert_eq!((first.direction, first.reason, first.workers), (Shrink, LatencyBound, 32));
    let workers = run(&mut controller, &narrow, 30);
    assert!(workers.last().is_some_and(|workers| (8..=12).contains(workers)), "{workers:?}");
}

#[test]
fn latency_learns_at_the_fewest_that_everything_takes_longer_now() {
    let mut controller = by_latency(2, 64);
    run(&mut controller, &Downstream { alone: 0.020, side_by_side: 1_000.0 }, 60);
    let workers = run(&mut controller, &Downstream { alone: 0.200, side_by_side: 1_000.0 }, 120);
    assert!(workers.contains(&2), "it goes back as far as it may: {workers:?}");
    assert_eq!(workers.last(), Some(&64), "and grows again");
}

#[test]
fn latency_of_a_few_workers_of_many_says_nothing_of_the_others() {
    let mut controller = by_latency(2, 64);
    run(&mut controller, &Downstream { alone: 0.020, side_by_side: 1_000.0 }, 60);
    // Four slow attempts at a time.
    let slow =
        Sample { used: 0.5, busy: 4.0, peak: 4, attempts: 40, time: 4 * Duration::from_secs(1), ..Sample::default() };
    for _ in 0..20 {
        assert_eq!(controller.decide(&slow, SECOND).workers, 64);
    }
}

#[test]
fn latency_is_not_judged_by_a_few_attempts() {
    let mut controller = with(64, Scaling::by_latency(), 64);
    let fast = Sample { attempts: 64, time: Duration::from_secs(64) / 50, ..loaded(64, 9.0) };
    controller.decide(&fast, SECOND);
    let slow = Sample { attempts: 6, time: Duration::from_secs(60), ..loaded(64, 9.0) };
    let verdicts: Vec<_> = (0..11).map(|_| controller.decide(&slow, SECOND).workers).collect();
    assert_eq!(verdicts, [64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 32], "66 attempts are enough for 64 workers");
}

/// A daemon as a fluid: what comes in a second, and how long each of it takes.
fn flow(controller: &mut Controller, arrivals: f64, service: f64, queue: f64, backlog: &mut f64) -> Verdict {
    let (mut sample, looks) = (Sample::default(), 10);
    for _ in 0..looks {
        let workers = controller.workers() as f64;
        *backlog = (*backlog + arrivals / 10.0).max(0.0);
        let busy = backlog.min(workers);
        *backlog -= (busy / service / 10.0).min(*backlog);
        let queued = (*backlog + busy).min(queue);
        let used = if queued >= queue * 0.8 { 1.0 } else { queued / queue };
        sample.used += used / 10.0;
        sample.busy += busy / 10.0;
        sample.peak = sample.peak.max(busy.ceil() as usize);
        sample.waiting += (queued - busy).max(0.0) / 10.0;
    }
    controller.decide(&sample, SECOND)
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let share = prop_oneof![0.0..1.0_f64, Just(0.0), Just(1.0)];
    (share, 0.0..1.0_f64, 0.0..50.0_f64, any::<bool>(), 0..1_000_u64, 0..5_000_u64).prop_map(
        |(used, busy, waiting, limited, attempts, millis)| {
            let time = Duration::from_millis(millis * attempts / 10);
            // Of busy workers only the share is drawn: how many there are is the controller's.
            Sample { used, busy, peak: 0, waiting, limited, attempts, time }
        },
    )
}

proptest! {
    #![proptest_config(crate::pipeline::properties())]

    #[test]
    fn whatever_is_seen_the_bounds_the_cool_down_and_what_is_at_work_are_kept(
        samples in prop::collection::vec(any_sample(), 1..200),
        min in 1..10_usize,
        more in 0..100_usize,
        mode in prop_oneof![Just(ScalingMode::Queue), Just(ScalingMode::Latency)],
    ) {
        let scaling = Scaling { mode, min, shrink_after: 3 * SECOND, ..Scaling::by_queue() };
        let mut controller = Controller::new(scaling, min + more);
        let (mut since, mut low) = (Duration::ZERO, Vec::new());
        for drawn in samples {
            let before = controller.workers();
            let busy = drawn.busy * before as f64;
            let sample = Sample { busy, peak: busy.ceil() as usize, ..drawn };
            since += SECOND;
            if sample.used < 0.2 && sample.waiting < 0.5 { low.push(sample.peak) } else { low.clear() }
            let verdict = controller.decide(&sample, SECOND);
            prop_assert_eq!(verdict.workers, controller.workers());
            prop_assert!((min..=min + more).contains(&verdict.workers));
            match verdict.direction {
                Grow => {
                    prop_assert!(verdict.workers > before && verdict.reason == HandlerBound);
                    prop_assert!((verdict.workers - before) as f64 <= sample.waiting.ceil());
                }
                Shrink if verdict.reason == SourceBound => {
                    prop_assert!(verdict.workers < before && low.len() >= 3);
                    prop_assert!(low.iter().all(|peak| *peak <= verdict.workers));
                }
                Shrink => {
                    prop_assert!(verdict.workers < before && verdict.reason == LatencyBound);
                    prop_assert!(mode == ScalingMode::Latency && verdict.workers >= before / 2);
                }
                Hold => prop_assert_eq!(verdict.workers, before),
            }
            if verdict.direction != Hold {
                prop_assert!(since >= scaling.cool_down);
                (since, low) = (Duration::ZERO, Vec::new());
            }
        }
    }

    #[test]
    fn steady_load_is_met_without_going_up_and_down(
        arrivals in 0.0..3_000.0_f64,
        millis in 1..100_u64,
    ) {
        let (service, max) = (millis as f64 / 1_000.0, 64);
        let mut controller = by_queue(2, max);
        let mut backlog = 0.0;
        let verdicts: Vec<_> =
            (0..900).map(|_| flow(&mut controller, arrivals, service, 200.0, &mut backlog)).collect();
        let needed = arrivals * service;
        let shrunk = verdicts.iter().skip_while(|verdict| verdict.direction != Shrink);
        prop_assert!(shrunk.clone().all(|verdict| verdict.direction != Grow), "{} workers are needed", needed);
        let workers = controller.workers() as f64;
        prop_assert!(workers >= needed.min(max as f64).floor(), "{} of {} needed", workers, needed);
    }
}
