//! When reading is held back, and when it goes on.

use super::{Bench, SECOND};
use crate::handler::ProcessingOrder;
use crate::record::TopicPartition;

#[test]
fn reading_is_held_back_at_the_high_mark_and_goes_on_at_the_low_one() {
    let mut bench = Bench::keyed(1, 10, 10);
    assert_eq!(bench.push(0, 0, "abcdefg").pressure, None);
    assert_eq!(bench.push(0, 7, "h").pressure, Some(true));
    assert_eq!(bench.allowed(0), 0);
    let runs: Vec<_> = (0..8).map(|_| bench.taken()).collect();
    let effects: Vec<_> = runs.into_iter().map(|run| bench.succeed(run)).collect();
    let changes: Vec<_> = effects.iter().map(|effects| effects.pressure).collect();
    assert_eq!(changes, [None, None, Some(false), None, None, None, None, None]);
    assert!(effects[2].room);
}

#[test]
fn partition_that_is_pressed_out_by_another_keeps_its_share() {
    let mut bench = Bench::keyed(2, 4, 20);
    bench.push(0, 0, "abcdefghijklmnop");
    assert_eq!((bench.allowed(0), bench.allowed(1)), (0, 4));
    bench.push(1, 0, "a");
    assert_eq!(bench.allowed(1), 3);
}

#[test]
fn partition_that_others_slots_keep_out_is_read_on_when_half_of_it_is_done() {
    // Six slots are kept for six partitions without a record, so the seventh has four of ten: below the high mark.
    let mut bench = Bench::keyed(7, 10, 10);
    assert_eq!(bench.allowed(0), 4);
    bench.push(0, 0, "abcd");
    assert_eq!(bench.allowed(0), 0);
    let runs: Vec<_> = (0..4).map(|_| bench.taken()).collect();
    let room: Vec<_> = runs.into_iter().map(|run| bench.succeed(run).room).collect();
    assert_eq!(room, [false, true, false, false]);
    assert_eq!(bench.allowed(0), 4);
}

#[test]
fn no_more_is_asked_for_than_workers_soon_get_though_the_queue_has_room() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 1, 10, 1_000, 100);
    bench.lanes.limits.ahead = 8;
    assert_eq!(bench.allowed(0), 8);
    bench.push(0, 0, "abc");
    assert_eq!(bench.allowed(0), 5);
    bench.push(0, 3, "defg");
    assert_eq!(bench.allowed(0), 0, "one more would not be worth it");
    let told: Vec<_> = (0..7).map(|_| bench.takes_one()).collect();
    assert_eq!(told, [false, false, true, false, false, false, false], "once, when half are left");
    assert_eq!(bench.allowed(0), 8, "what is out doesn't count");
}

#[test]
fn partitions_with_something_to_do_share_what_may_be_ready() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 4, 10, 1_000, 100);
    bench.lanes.limits.ahead = 400;
    assert_eq!([0, 1].map(|epoch| bench.allowed(epoch)), [400; 2]);
    bench.push(0, 0, "a");
    bench.push(1, 0, "b");
    assert_eq!([0, 1, 2].map(|epoch| bench.allowed(epoch)), [199, 199, 200]);
    bench.push(2, 0, "c");
    bench.push(3, 0, "d");
    bench.lanes.limits.ahead = 100;
    assert_eq!(bench.allowed(0), 63, "few are not worth a turn of the reader");
}

#[test]
fn a_partition_whose_last_record_becomes_a_parked_one_while_it_waits_keeps_a_slot() {
    let mut bench = Bench::new(ProcessingOrder::Key, 2, 4, 8, 1);
    let paused = |partition: i32| move |place: &TopicPartition| place.partition.0 <= partition;
    bench.push(0, 0, "aa");
    let _full = bench.lanes.set_paused(paused(0));
    bench.push(1, 0, "a");
    let held = bench.taken();
    bench.fail(held, SECOND);
    assert_eq!((bench.lanes.loads.queued.records, bench.lanes.empty), (2, 0), "the parked have no room for it");
    let _both = bench.lanes.set_paused(paused(1));
    bench.lose(0);
    let told = bench.wait(SECOND);
    assert_eq!((bench.lanes.loads.parked.records, bench.lanes.empty, told.room), (1, 1, true));
}
