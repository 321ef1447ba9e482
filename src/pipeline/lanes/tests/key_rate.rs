//! How many attempts of each key may begin.

use super::*;
use crate::pipeline::control::Rate;

/// Partitions whose keys may each begin so many attempts an hour.
fn bench(attempts: u32) -> Bench {
    let mut bench = Bench::keyed(1, 4, 5_000);
    assert_eq!(bench.lanes.set_key_rate(Rate::new(attempts, HOUR)), Effects::default(), "nothing waits");
    bench
}

#[test]
fn each_key_begins_as_many_as_it_may_and_waits_for_the_next() {
    let mut bench = bench(2);
    bench.push(0, 0, "aaab");
    let (first, other) = (bench.taken(), bench.taken());
    assert_eq!((offsets(&first), offsets(&other)), (vec![0, 1], vec![3]));
    assert!(bench.succeed(first).timer);
    bench.succeed(other);
    assert!(bench.take().is_none());
    assert_eq!(bench.lanes.next_due(bench.now), Some(bench.now + HOUR / 2));
    assert_eq!(bench.wait(HOUR / 2).ready, 1);
    assert_eq!(offsets(&bench.taken()), [2]);
}

#[test]
fn what_was_not_begun_after_all_may_begin_later() {
    let mut bench = bench(2);
    bench.push(0, 0, "aa");
    let (haul, mut cargo) = bench.taken();
    assert_eq!(bench.lanes.give_back(cargo.take(), true).ready, 1);
    let _told = bench.lanes.unload(haul, None, &mut Cargo::default(), None, NOTHING);
    assert_eq!(offsets(&bench.taken()), [0, 1]);
}

#[test]
fn the_same_limit_again_grants_nothing_and_none_lets_all_go_on() {
    let mut bench = bench(1);
    bench.push(0, 0, "aa");
    let first = bench.taken();
    bench.succeed(first);
    assert_eq!(bench.lanes.set_key_rate(Rate::new(1, HOUR)), Effects::default());
    assert!(bench.take().is_none());
    assert_eq!(bench.lanes.set_key_rate(None).ready, 1);
    assert_eq!((bench.lanes.next_due(bench.now), offsets(&bench.taken())), (None, vec![1]));
}

#[test]
fn keys_that_have_waited_long_enough_are_forgotten_once_they_are_many() {
    let mut bench = bench(1);
    bench.takes(0, 1);
    let mut run = |keys: std::ops::Range<u16>, wait: Duration| {
        bench.now += wait;
        let records = keys.map(|key| (i64::from(key), Some(key.to_be_bytes().to_vec()), 1)).collect();
        let _told = bench.lanes.push(arriving(ProcessingOrder::Key, Epoch(0), 0, records), bench.now);
        while let Some(held) = bench.take() {
            bench.succeed(held);
        }
        bench.lanes.keys_with_a_budget()
    };
    assert_eq!(run(0..1_024, Duration::ZERO), 1_024);
    assert_eq!(run(1_024..1_025, HOUR / 2), 1_025, "each has one to wait for");
    assert_eq!(run(1_025..3_000, HOUR), 3_000 - 1_025, "those of before have waited");
}

#[test]
fn a_slot_that_was_waited_in_for_want_of_room_among_the_parked_is_told_of() {
    let mut bench = Bench::new(ProcessingOrder::Key, 2, 4, 10, 1);
    bench.push(1, 0, "x");
    let held = bench.taken();
    bench.fail(held, SECOND);
    let _told = bench.lanes.set_key_rate(Rate::new(1, HOUR));
    bench.push(0, 0, "aa");
    let held = bench.taken();
    bench.succeed(held);
    let _told = bench.lanes.set_paused(|place| place.partition.0 == 0);
    bench.wait(SECOND);
    assert_eq!((bench.lanes.loads.queued.records, bench.lanes.loads.parked.records), (2, 0));
    assert!(bench.lanes.set_key_rate(None).room);
    assert_eq!((bench.lanes.loads.queued.records, bench.lanes.loads.parked.records), (1, 1));
}

#[test]
fn a_slot_that_a_paused_key_gives_up_late_is_told_of() {
    let mut bench = Bench::new(ProcessingOrder::Key, 3, 1, 3, 1);
    let _told = bench.lanes.set_paused_keys(paused(b"a"));
    bench.push(0, 0, "a");
    bench.push(1, 0, "aaa");
    bench.lose(0);
    assert_eq!((bench.lanes.loads.queued.records, bench.allowed(2)), (3, 0));
    // Among the parked there is room now, and so there is in the queue.
    assert!(bench.lanes.set_key_rate(Rate::new(1, HOUR)).room);
    assert_eq!((bench.lanes.loads.queued.records, bench.allowed(2)), (2, 1));
}

#[test]
fn retry_that_is_due_waits_for_no_key_but_its_own() {
    let mut bench = Bench::keyed(1, 2, 4);
    bench.push(0, 0, "a");
    let held = bench.taken();
    bench.fail(held, SECOND);
    bench.push(0, 1, "bcde");
    assert_eq!(bench.wait(SECOND).ready, 0, "the queue is full");
    let _told = bench.lanes.set_paused_keys(paused(b"x"));
    let held = bench.taken();
    assert_eq!(bench.succeed(held).ready, 1, "it takes the slot");
}
