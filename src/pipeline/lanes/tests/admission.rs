//! When reading is held back, and when it goes on.

use super::{Bench, SECOND, arriving};
use crate::handler::ProcessingOrder;
use crate::pipeline::source::Epoch;
use crate::record::TopicPartition;

impl Bench {
    /// So many records are taken, and those of one partition succeed, one after the other: whether the reader is told of each.
    fn tells_of(&mut self, taken: usize, epoch: u64) -> Vec<bool> {
        let held: Vec<_> = (0..taken).map(|_| self.taken()).collect();
        let (ours, _theirs): (Vec<_>, Vec<_>) =
            held.into_iter().partition(|(haul, _)| haul.context.epoch == Epoch(epoch));
        ours.into_iter().map(|held| self.succeed(held).room).collect()
    }
}

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
fn a_full_queue_is_read_on_at_the_low_mark_and_at_half_of_a_partitions_share_of_it() {
    let mut bench = Bench::keyed(1, 10, 10);
    bench.push(0, 0, "abcdefghij");
    assert_eq!(bench.allowed(0), 0);
    let at = |left: &[usize]| (0..10).rev().map(|one| left.contains(&one)).collect::<Vec<_>>();
    assert_eq!(bench.tells_of(10, 0), at(&[5, 2]));
}

#[test]
fn reader_that_may_go_on_anyway_is_told_nothing() {
    let mut bench = Bench::keyed(1, 10, 10);
    bench.push(0, 0, "abcd");
    assert_eq!(bench.allowed(0), 6);
    assert_eq!(bench.tells_of(4, 0), [false; 4]);
}

#[test]
fn partition_without_a_slot_is_read_as_soon_as_there_is_one() {
    let mut bench = Bench::keyed(5, 12, 10);
    bench.push(0, 0, "abcdefg");
    for partition in 1..4 {
        bench.push(partition, 0, "a");
    }
    assert_eq!(bench.allowed(4), 0);
    // At once; where the pressure ends; and with half of the share of one.
    assert_eq!(bench.tells_of(10, 0), [true, false, false, false, true, false, true]);
    assert!(bench.allowed(4) > 0);
}

#[test]
fn partition_over_its_share_is_read_on_when_half_of_that_is_left_of_it() {
    let mut bench = Bench::keyed(2, 20, 20);
    bench.push(1, 0, "abcdefghijklmn");
    bench.push(0, 0, "abcdef");
    assert_eq!([0, 1].map(|epoch| bench.allowed(epoch)), [0, 0]);
    assert_eq!(bench.tells_of(20, 0), [false, false, false, true, false, false], "five are its share");
}

#[test]
fn partition_whose_bytes_fill_the_queue_is_held_back_however_few_its_records() {
    let mut bench = Bench::keyed(2, 10, 100);
    bench.lanes.limits.queue.bytes = 1_000;
    let large = vec![(0, Some(b"a".to_vec()), 450), (1, Some(b"b".to_vec()), 450)];
    let records = arriving(bench.order, Epoch(0), 0, large);
    assert_eq!(bench.lanes.push(records, bench.now).pressure, Some(true));
    bench.push(1, 0, "a");
    assert_eq!([0, 1].map(|epoch| bench.allowed(epoch)), [0, 24]);
}

#[test]
fn partition_that_its_bounds_hold_is_not_read_on_because_its_ready_lanes_are_taken() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 1, 10, 10, 100);
    bench.lanes.limits.ahead = 8;
    bench.push(0, 0, "abcdefgh");
    assert_eq!(bench.allowed(0), 0);
    assert_eq!([(); 8].map(|()| bench.takes_one()), [false; 8]);
}

#[test]
fn slot_that_a_retry_waits_for_is_not_read_into_though_its_owner_is_paused() {
    let mut bench = Bench::keyed(2, 2, 2);
    bench.push(0, 0, "a");
    let held = bench.taken();
    bench.fail(held, SECOND);
    bench.push(0, 1, "b");
    let _running = bench.taken();
    let _paused = bench.lanes.set_paused(|place: &TopicPartition| place.partition.0 == 1);
    assert_eq!(bench.wait(SECOND).ready, 0);
    assert_eq!(bench.allowed(0), 0);
}

#[test]
fn successors_of_a_retry_leave_the_slot_that_another_one_waits_for() {
    let mut bench = Bench::keyed(1, 2, 3);
    for (first, keys) in [(0, "aaa"), (3, "b")] {
        bench.push(0, first, keys);
        let held = bench.taken();
        bench.fail(held, SECOND);
    }
    assert_eq!(bench.wait(SECOND).ready, 2);
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
    bench.push(0, 3, "def");
    assert_eq!(bench.allowed(0), 2);
    bench.push(0, 6, "g");
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
