//! How many attempts may begin.

use super::super::rate::Budget;
use super::*;
use crate::pipeline::control::Rate;

#[test]
fn budget_is_granted_one_by_one_and_no_more_than_an_intervals_is_saved_up() {
    let start = Instant::now();
    let at = |seconds: u32| start + SECOND * seconds;
    let mut budget = Budget::new(Rate::new(4, SECOND * 8).expect("a rate"), at(0));
    assert_eq!((budget.left, budget.next(), budget.is_full(at(0))), (4, at(2), true));
    budget.left = 1;
    assert_eq!([5, 6].map(|seconds| budget.is_full(at(seconds))), [false, true]);
    for _ in 0..2 {
        budget.grant(at(3));
        assert_eq!((budget.left, budget.next()), (2, at(4)), "what is on its way to the next one counts");
    }
    budget.give_back(1);
    assert_eq!(budget.left, 3);
    budget.give_back(9);
    assert_eq!(budget.left, 4);
    budget.left = 2;
    budget.grant(at(7));
    assert_eq!((budget.left, budget.next()), (4, at(9)));
    assert!(budget.is_full(at(0)), "nothing of it is used");
    budget.left = 0;
    budget.grant(at(100));
    assert_eq!((budget.left, budget.next()), (4, at(102)));
}

#[test]
fn no_more_begins_than_the_rate_lets_and_who_has_the_clock_is_told() {
    let mut bench = Bench::keyed(3, 6, 20);
    for partition in 0..3 {
        bench.push(partition, 0, "ab");
    }
    let rate = Rate::new(4, HOUR);
    let told = bench.lanes.set_rate(rate, bench.now);
    assert_eq!((told.ready, told.timer), (3, true));
    assert_eq!(bench.lanes.set_rate(rate, bench.now), Effects::default());
    assert_eq!(bench.lanes.next_due(bench.now), None, "some may begin");
    let mut held: Vec<_> = (0..3).map(|_| bench.taken()).collect();
    assert_eq!(bench.wait(HOUR / 4).ready, 1, "one more, of two");
    held.extend((0..2).map(|_| bench.taken()));
    let (taken, told) = bench.lanes.take(&mut Cargo::default(), Instant::now);
    assert_eq!((taken.is_none(), told.timer), (true, true), "who has the clock is to look");
    assert!(!bench.lanes.demands().may_start);
    assert_eq!(bench.lanes.next_due(bench.now), Some(bench.now + HOUR / 4));
    assert_eq!(bench.wait(HOUR / 4).ready, 1);
    held.push(bench.taken());
    assert_eq!(bench.lanes.next_due(bench.now), None, "nothing waits for it");
    assert!(!bench.lanes.take(&mut Cargo::default(), Instant::now).1.timer);
}

#[test]
fn what_has_come_due_while_nobody_looked_is_no_more_than_an_intervals() {
    let mut bench = Bench::keyed(1, 20, 20);
    let _told = bench.lanes.set_rate(Rate::new(4, HOUR), bench.now);
    bench.push(0, 0, "ab");
    let held = [bench.taken(), bench.taken()];
    for held in held {
        bench.succeed(held);
    }
    // Nothing waits, so nobody has the lanes look at the clock.
    bench.now += HOUR * 10;
    bench.push(0, 2, "cdefgh");
    let held: Vec<_> = (0..4).map(|_| bench.taken()).collect();
    assert_eq!(bench.wait(Duration::ZERO).ready, 0, "all four of them are used");
    assert!(bench.take().is_none());
    for held in held {
        bench.succeed(held);
    }
}

#[test]
fn who_has_the_clock_is_told_of_what_becomes_possible_but_for_the_rate() {
    let mut bench = Bench::keyed(2, 2, 20);
    let _told = bench.lanes.set_workers(1);
    let _told = bench.lanes.set_rate(Rate::new(1, HOUR), bench.now);
    bench.push(0, 0, "ab");
    let held = bench.taken();
    assert!(bench.take().is_none(), "one worker is at something");
    let more = bench.lanes.set_workers(2);
    let more = bench.lanes.told(more);
    assert_eq!((more.ready, more.timer), (0, true));
    let pushed = bench.push(1, 0, "abc").0;
    let pushed = bench.lanes.told(pushed);
    assert_eq!((pushed.ready, pushed.timer), (0, true));
    assert_eq!(bench.lanes.next_due(bench.now), Some(bench.now + HOUR));
    bench.succeed(held);
}

#[test]
fn what_was_not_begun_after_all_uses_none_of_the_rate() {
    let mut bench = Bench::keyed(1, 4, 10);
    let _told = bench.lanes.set_rate(Rate::new(1, HOUR), bench.now);
    bench.push(0, 0, "a");
    let (haul, mut cargo) = bench.taken();
    let _told = bench.lanes.give_back(cargo.take(), true);
    let _told = bench.lanes.unload(haul, None, &mut Cargo::default(), None, NOTHING);
    assert!(bench.take().is_some());
}
