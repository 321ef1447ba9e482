//! Lanes that keys share.

use super::*;
use super::{Bench, NOTHING, SECOND, offsets};
use crate::pipeline::control::Rate;
use crate::pipeline::ticket::Ticket;

/// A partition whose keys share one lane as soon as their records take no time, which they do.
fn bundled(order: ProcessingOrder, partitions: usize) -> Bench {
    let mut bench = Bench::new(order, partitions, 4, 100, 100);
    (bench.lanes.limits.bundles, bench.lanes.limits.unbundled) = (1, 4);
    (0..partitions).for_each(|partition| bench.takes(partition as u64, 1));
    bench
}

fn keyed() -> Bench {
    bundled(ProcessingOrder::Key, 1)
}

/// Begins what is next of it.
fn begin(cargo: &mut Cargo<Offset>) -> (LaneId, Entry<Offset>) {
    let (lane, first) = cargo.next_lane(&mut Queue::new()).expect("there is more");
    (lane, first.expect("a bundle has a record"))
}

#[test]
fn keys_share_a_lane_while_their_records_take_no_time() {
    let mut bench = keyed();
    assert_eq!(bench.push(0, 0, "abacd").ready, 1);
    let all = bench.taken();
    assert_eq!((offsets(&all), all.1.lanes.len()), (vec![0, 1, 2, 3, 4], 1));
    bench.push(0, 5, "ea");
    assert!(bench.take().is_none(), "the lane is out");
    assert_eq!(bench.succeed(all).ready, 1);
    assert_eq!(offsets(&bench.taken()), [5, 6]);
}

#[test]
fn only_where_they_are_known_to_take_none_and_have_keys() {
    let slow = |order, nanos| {
        let mut bench = bundled(order, 1);
        bench.takes(0, nanos);
        bench.push(0, 0, "abc").ready
    };
    assert_eq!(slow(ProcessingOrder::Key, 3_125), 1);
    assert_eq!(slow(ProcessingOrder::Key, 3_400), 3);
    assert_eq!(slow(ProcessingOrder::Unordered, 1), 1);
    let mut ordered = bundled(ProcessingOrder::Partition, 1);
    ordered.push(0, 0, "abc");
    assert!(!ordered.lanes.places[0].bundles.has_some());
    let mut unknown = Bench::keyed(1, 4, 100);
    unknown.lanes.limits.bundles = 1;
    assert_eq!(unknown.push(0, 0, "abc").ready, 3);
}

#[test]
fn records_without_an_order_go_side_by_side() {
    let mut bench = bundled(ProcessingOrder::Unordered, 1);
    bench.lanes.limits.bundles = 2;
    assert_eq!(bench.push(0, 0, &"a".repeat(64)).ready, 2);
    let counts: Vec<usize> =
        bench.lanes.places[0].bundles.iter().map(|lane| bench.lanes.lanes[lane].queued()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 64);
    assert!(counts.iter().all(|count| *count >= 31), "{counts:?}");
    let first = bench.lanes.places[0].bundles.get(0).expect("both are there");
    let queue = bench.lanes.lanes[first].queue.iter().map(|entry| entry.record.offset().0);
    assert!(queue.take(31).eq(0..31), "what comes in together stays together");
}

#[test]
fn key_with_a_lane_of_its_own_keeps_it() {
    let mut bench = Bench::keyed(1, 4, 100);
    bench.push(0, 0, "a");
    let own = bench.taken();
    bench.lanes.limits.bundles = 1;
    bench.takes(0, 1);
    bench.push(0, 1, "abab");
    assert_eq!(offsets(&bench.taken()), [2, 4], "it waits for what is out");
    bench.succeed(own);
    assert_eq!(offsets(&bench.taken()), [1, 3]);
}

#[test]
fn failure_leaves_the_lane_to_its_key_and_the_others_go_on() {
    let mut bench = keyed();
    bench.push(0, 0, "abac");
    let all = bench.taken();
    bench.push(0, 4, "bd");
    let told = bench.fail(all, SECOND);
    assert_eq!((told.ready, told.timer), (3, true));
    let others: Vec<_> = std::iter::from_fn(|| bench.take()).flat_map(|held| offsets(&held)).collect();
    assert_eq!(others, [1, 4, 3, 5], "in the order of each");
    bench.push(0, 6, "a");
    assert_eq!(bench.wait(SECOND).ready, 1);
    assert_eq!(offsets(&bench.taken()), [0, 2, 6]);
}

#[test]
fn key_that_takes_its_time_is_left_alone_with_the_lane() {
    let mut bench = keyed();
    bench.push(0, 0, "aabac");
    let (haul, mut cargo) = bench.taken();
    bench.push(0, 5, "bad");
    let (lane, first) = begin(&mut cargo);
    let (same, second) = begin(&mut cargo);
    assert_eq!((lane, first.record.offset(), second.record.offset()), (same, Offset(0), Offset(1)));
    assert!(!cargo.is_empty() && cargo.has_several());
    bench.takes(0, 1_000_000);
    assert_eq!(bench.lanes.give_back(cargo.take(), true).ready, 3);
    assert_eq!(bench.lanes.out(&[Epoch(0)]), 1);
    let others: Vec<_> = std::iter::from_fn(|| bench.take()).flat_map(|held| offsets(&held)).collect();
    assert_eq!(others, [2, 5, 4, 7], "in the order of each");
    assert!(cargo.next_lane(&mut Queue::new()).is_none());
    let mut settled = vec![first.settle(Ticket::done), second.settle(Ticket::done)];
    let _told = bench.lanes.report(&haul, &mut settled, &mut vec![lane]);
    let _told = bench.lanes.unload(haul, None, &mut cargo, None, NOTHING);
    assert_eq!(offsets(&bench.taken()), [3, 6], "what is behind it waited");
}

#[test]
fn last_record_of_a_bundle_is_given_back_from_as_well() {
    let mut bench = keyed();
    bench.push(0, 0, "a");
    let (_haul, mut cargo) = bench.taken();
    begin(&mut cargo).1.ticket.release();
    assert!(!cargo.is_empty(), "others may come in behind it");
    bench.push(0, 1, "ba");
    assert!(bench.take().is_none());
    assert_eq!(bench.lanes.give_back(cargo.take(), false).ready, 1);
    assert_eq!(offsets(&bench.taken()), [1]);
}

#[test]
fn what_is_left_of_a_bundle_comes_back_with_its_lane() {
    let mut bench = keyed();
    bench.push(0, 0, "abc");
    let (haul, mut cargo) = bench.taken();
    let (lane, first) = begin(&mut cargo);
    bench.push(0, 3, "a");
    let mut settled = vec![first.settle(Ticket::done)];
    let _told = bench.lanes.report(&haul, &mut settled, &mut Vec::new());
    let begun = Some((lane, &mut Queue::new()));
    assert_eq!(bench.lanes.unload(haul, begun, &mut cargo, None, NOTHING).ready, 1);
    assert!(cargo.is_empty());
    assert_eq!(offsets(&bench.taken()), [1, 2, 3]);
}

#[test]
fn there_are_none_for_a_while_after_one_has_waited() {
    let mut bench = keyed();
    let mut give_back = |first, waits| {
        bench.push(0, first, "ab");
        let (haul, mut cargo) = bench.taken();
        let (lane, entry) = begin(&mut cargo);
        let _told = bench.lanes.give_back(cargo.take(), waits);
        let mut settled = vec![entry.settle(Ticket::done)];
        let _told = bench.lanes.report(&haul, &mut settled, &mut vec![lane]);
        let _told = bench.lanes.unload(haul, None, &mut cargo, None, NOTHING);
        let other = bench.taken();
        bench.succeed(other);
        let may = |bench: &mut Bench, first| {
            let ready = bench.push(0, first, "ab").ready;
            while let Some(held) = bench.take() {
                bench.succeed(held);
            }
            ready == 1
        };
        [2, 4, 6].map(|more| may(&mut bench, first + more))
    };
    assert_eq!(give_back(0, false), [true; 3]);
    assert_eq!(give_back(8, true), [false, true, true], "of four records");
}

#[test]
fn paused_key_is_told_apart_from_those_that_it_shared_a_lane_with() {
    let mut bench = keyed();
    bench.push(0, 0, "abc");
    assert_eq!(bench.lanes.set_paused_keys(paused(b"b")).ready, 1);
    bench.push(0, 3, "bd");
    let others = bench.taken();
    assert_eq!(offsets(&others), [0, 2, 4]);
    bench.succeed(others);
    assert!(bench.take().is_none());
    assert_eq!(bench.lanes.set_paused_keys(Keys::new()).ready, 1);
    assert_eq!(offsets(&bench.taken()), [1, 3]);
    // One that is out is sorted out when it comes back.
    bench.push(0, 5, "ef");
    let out = bench.taken();
    bench.push(0, 7, "gh");
    let _told = bench.lanes.set_paused_keys(paused(b"g"));
    bench.succeed(out);
    assert_eq!(offsets(&bench.taken()), [8]);
}

#[test]
fn keys_that_have_a_rate_each_share_no_lane() {
    let mut bench = keyed();
    bench.push(0, 0, "aab");
    let _told = bench.lanes.set_key_rate(Rate::new(1, SECOND));
    assert_eq!(offsets(&bench.taken()), [0, 2]);
    assert_eq!(bench.push(0, 3, "cd").ready, 2);
}

#[test]
fn bundle_of_an_assignment_that_is_over_stays_closed_until_it_comes_back() {
    let mut bench = keyed();
    bench.push(0, 0, "ab");
    let (haul, mut cargo) = bench.taken();
    let (lane, _first) = begin(&mut cargo);
    bench.lose(0);
    bench.assign(0, 1, ProcessingOrder::Key);
    bench.takes(1, 1);
    bench.push(1, 0, "abc");
    assert!(bench.take().is_none(), "nobody knows yet what is left of it");
    assert_eq!(bench.lanes.give_back(cargo.take(), true).ready, 2);
    let others = bench.taken();
    assert_eq!(offsets(&others), [1, 2]);
    assert_eq!(bench.lanes.unload(haul, Some((lane, &mut Queue::new())), &mut cargo, None, NOTHING).ready, 1);
    assert_eq!(offsets(&bench.taken()), [0]);
}

#[test]
fn reader_hears_of_records_where_lanes_have_many() {
    let mut bench = keyed();
    bench.lanes.limits.ahead = 8;
    bench.push(0, 0, "abcdefgh");
    assert_eq!(bench.allowed(0), 0, "as many wait as workers soon get");
    assert!(bench.takes_one(), "none waits any more");
    assert_eq!(bench.allowed(0), 8);
}

#[test]
fn what_stands_behind_a_key_that_takes_its_time_keeps_no_other_from_being_read() {
    let mut bench = keyed();
    bench.lanes.limits.ahead = 8;
    bench.takes(0, 1_000_000);
    bench.push(0, 0, "a");
    let _slow = bench.taken();
    bench.push(0, 1, "aaaaaaaa");
    (0..80).for_each(|_| bench.takes(0, 1));
    bench.push(0, 9, "b");
    assert!(bench.lanes.places[0].bundles.has_some());
    assert_eq!((bench.allowed(0), bench.lanes.places[0].hauls()), (7, 1));
}

#[test]
fn records_that_come_to_lanes_that_are_ready_are_for_more_workers() {
    let mut bench = keyed();
    bench.lanes.limits.bundles = 4;
    bench.takes(0, 3_000);
    let lanes = bench.push(0, 0, "abcd").ready;
    assert!(lanes > 1 && bench.lanes.places[0].hauls() == 1, "{lanes} lanes are one worker's");
    assert_eq!(bench.push(0, 4, &"abcd".repeat(20)).ready, lanes - 1);
}

#[test]
fn bundles_stay_a_little_longer_than_they_are_begun() {
    let mut bench = keyed();
    let takes = |bench: &mut Bench, nanos| (0..80).for_each(|_| bench.takes(0, nanos));
    bench.push(0, 0, "abab");
    let held = bench.taken();
    bench.push(0, 4, "cd");
    takes(&mut bench, 4_000);
    bench.succeed(held);
    assert!(bench.lanes.places[0].bundles.has_some());
    let rest = bench.taken();
    bench.succeed(rest);
    assert_eq!(bench.push(0, 6, "abc").ready, 3);
    assert!(!bench.lanes.places[0].bundles.has_some(), "none is begun");
}

#[test]
fn bundles_end_where_their_records_take_twice_what_they_are_begun_at() {
    let mut bench = keyed();
    bench.push(0, 0, "abab");
    let held = bench.taken();
    bench.push(0, 4, "cd");
    bench.takes(0, 7_000);
    bench.succeed(held);
    assert!(!bench.lanes.places[0].bundles.has_some());
    let both = bench.taken();
    assert_eq!((both.1.entries.len(), both.1.lanes.len()), (2, 2), "a lane each");
}

#[test]
fn none_is_begun_beside_those_that_stay() {
    let mut bench = keyed();
    bench.lanes.limits.bundles = 2;
    let bundle = |key: &char| (crate::pipeline::arrival::hash_of(&[*key as u8]) >> 32) % 2;
    let [one, other] = [0, 1].map(|number| ('a'..='z').find(|key| bundle(key) == number).expect("one of 26"));
    bench.push(0, 0, &one.to_string());
    let held = bench.taken();
    bench.takes(0, 4_000);
    bench.push(0, 1, &format!("{other}{one}{other}"));
    assert_eq!(bench.lanes.places[0].bundles.iter().count(), 1);
    assert_eq!(offsets(&bench.taken()), [1, 3], "a lane of its own, beside the one that is out");
    bench.succeed(held);
    assert_eq!(offsets(&bench.taken()), [2]);
}

#[test]
fn reader_hears_of_room_where_a_lane_is_left_to_all_that_stood_in_it() {
    let mut bench = keyed();
    bench.lanes.limits.ahead = 8;
    bench.push(0, 0, "a");
    let (_haul, mut cargo) = bench.taken();
    let (_lane, _first) = begin(&mut cargo);
    bench.push(0, 1, "aaaaaaaaaaaa");
    assert_eq!(bench.allowed(0), 0);
    let told = bench.lanes.give_back(cargo.take(), true);
    assert!(told.room, "one lane has them all, and waits");
    assert_eq!((told.ready, bench.allowed(0)), (0, 8));
}

#[test]
fn what_is_left_of_a_bundle_goes_back_to_its_source_where_the_partition_is_on_its_way_out() {
    let mut bench = keyed();
    bench.push(0, 0, "abc");
    let (haul, mut cargo) = bench.taken();
    let (lane, first) = begin(&mut cargo);
    bench.release(0);
    assert_eq!(bench.lanes.give_back(cargo.take(), true).ready, 0);
    assert_eq!(bench.lanes.loads.queued.records, 1, "the one that is begun");
    let mut settled = vec![first.settle(Ticket::done)];
    let _told = bench.lanes.report(&haul, &mut settled, &mut vec![lane]);
    assert!(bench.lanes.unload(haul, None, &mut cargo, None, NOTHING).drained);
}

#[test]
fn what_is_sorted_out_where_it_has_to_wait_keeps_no_room_from_others() {
    let mut bench = keyed();
    bench.push(0, 0, "abbb");
    let held = bench.taken();
    let _told = bench.lanes.set_paused(|_| true);
    let (haul, mut cargo) = held;
    let _told = bench.lanes.unload(haul, None, &mut cargo, None, NOTHING);
    assert_eq!((bench.lanes.loads.queued.records, bench.lanes.loads.parked.records), (0, 4));
}
