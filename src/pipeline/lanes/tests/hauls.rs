//! How many lanes a worker takes at once.

use super::*;
use super::{Bench, NOTHING, SECOND, offsets};
use crate::pipeline::ticket::Ticket;

#[test]
fn lanes_of_quick_work_are_taken_together_and_of_slow_work_one_by_one() {
    let mut bench = Bench::keyed(1, 4, 100);
    bench.push(0, 0, "abacd");
    let first = bench.taken();
    assert_eq!(offsets(&first), [0, 2], "nothing is known of it yet");
    bench.succeed(first);
    bench.takes(0, 10_000);
    bench.push(0, 5, "efgh");
    let five_of_ten_micros = bench.taken();
    assert_eq!(offsets(&five_of_ten_micros), [1, 3, 4, 5, 6]);
    bench.succeed(five_of_ten_micros);
    bench.takes(0, 1_000_000);
    assert_eq!(offsets(&bench.taken()), [7]);
    bench.takes(0, 1);
    assert_eq!(offsets(&bench.taken()), [8], "it is only slowly believed that it is quick now");
}

#[test]
fn lanes_that_are_not_begun_are_given_back_to_be_the_next_ones() {
    let mut bench = Bench::keyed(1, 4, 100);
    bench.takes(0, 1);
    bench.push(0, 0, "aabc");
    let (haul, mut cargo) = bench.taken();
    bench.push(0, 4, "de");
    bench.takes(0, 1_000_000);
    let mut entries = Queue::new();
    let (lane, begun) = cargo.next_lane(&mut entries).expect("it has three");
    assert_eq!(bench.lanes.give_back(cargo.take(), true).ready, 2);
    assert_eq!(bench.lanes.out(&[Epoch(0)]), 1);
    let (b, c) = (bench.taken(), bench.taken());
    assert_eq!((offsets(&b), offsets(&c)), (vec![2], vec![3]));
    let begun = begun.expect("it has two records");
    let mut settled = vec![begun.settle(Ticket::done)];
    let _told = bench.lanes.report(&haul, &mut settled, &mut Vec::new());
    assert_eq!(bench.lanes.unload(haul, Some((lane, &mut entries)), &mut cargo, None, NOTHING).ready, 1);
    assert_eq!((bench.lanes.busy(), bench.lanes.loads.queued.records), (2, 5));
    assert_eq!(offsets(&bench.taken()), [4]);
}

#[test]
fn failure_in_a_haul_stops_its_own_lane_alone() {
    let mut bench = Bench::keyed(1, 4, 100);
    bench.takes(0, 1);
    bench.push(0, 0, "aabbcc");
    let held = bench.taken();
    assert_eq!(offsets(&held), [0, 1, 2, 3, 4, 5]);
    assert_eq!(bench.fail(held, SECOND).ready, 2);
    let again = bench.taken();
    assert_eq!(offsets(&again), [2, 3, 4, 5]);
}

#[test]
fn what_is_begun_of_a_haul_and_what_is_left_of_it() {
    let mut bench = Bench::keyed(1, 4, 100);
    assert!(Cargo::<Offset>::default().is_empty() && !Cargo::<Offset>::default().has_lanes());
    bench.push(0, 0, "a");
    let one = bench.taken();
    assert!(!one.1.is_empty() && one.1.has_lanes() && !one.1.has_several());
    bench.succeed(one);
    bench.takes(0, 1);
    bench.push(0, 1, "ab");
    let (haul, mut cargo) = bench.taken();
    assert!(!cargo.is_empty() && cargo.has_several());
    let mut entries = Queue::new();
    let (lane, first) = cargo.next_lane(&mut entries).expect("two lanes");
    assert!(!cargo.is_empty() && !cargo.has_several());
    assert_eq!(first.map(|first| first.record.offset()), Some(Offset(1)));
    bench.release(0);
    assert!(!haul.may_start());
    let begun = Some((lane, &mut entries));
    assert!(bench.lanes.unload(haul, begun, &mut cargo, None, NOTHING).drained);
}

#[test]
fn what_takes_longer_is_believed_at_once_and_what_takes_less_by_a_quarter() {
    let bench = Bench::keyed(1, 4, 10);
    let context = &bench.lanes.places[0].assignment.as_ref().expect("assigned").context;
    let took = |records, nanos| {
        context.took(records, Duration::from_nanos(nanos));
        (context.appetite(), context.is_brief())
    };
    assert_eq!((context.appetite(), context.is_brief()), (1, false), "nothing is known");
    assert_eq!(took(4, 4_000), (50, true));
    assert_eq!(took(1, 2_000), (25, true));
    assert_eq!(took(1, 1_000), (50_000 / 1_750, true));
    assert_eq!(took(0, 1_000_000_000), (50_000 / 1_750, true));
    assert_eq!(took(1, 25_000), (2, true));
    assert_eq!(took(1, 25_001), (1, false));
    assert_eq!(took(1, 1), (2, true));
    context.takes_its_time();
    assert_eq!((context.appetite(), context.is_brief()), (1, false));
    assert_eq!(took(1, 1), (1, false), "a quarter less");
}

#[test]
fn what_takes_less_than_so_long_is_fleeting_once_that_is_known() {
    let bench = Bench::keyed(1, 4, 10);
    let context = &bench.lanes.places[0].assignment.as_ref().expect("assigned").context;
    let fleeting = |nanos| context.is_fleeting(Duration::from_nanos(nanos));
    assert!(!fleeting(1_000), "nothing is known");
    context.took(1, Duration::from_nanos(500));
    assert_eq!([499, 500, 501].map(fleeting), [false, false, true]);
}

#[test]
fn what_is_given_back_is_next_in_the_order_it_had() {
    let mut bench = Bench::keyed(1, 4, 100);
    bench.takes(0, 1);
    bench.push(0, 0, "abc");
    let (haul, mut cargo) = bench.taken();
    bench.push(0, 3, "d");
    assert_eq!(bench.lanes.give_back(cargo.take(), true).ready, 3);
    let _told = bench.lanes.unload(haul, None, &mut cargo, None, NOTHING);
    assert_eq!(offsets(&bench.taken()), [0, 1, 2, 3]);
}

#[test]
fn what_one_worker_would_have_taken_is_for_several_once_it_takes_its_time() {
    let mut bench = Bench::keyed(1, 4, 100);
    bench.takes(0, 1);
    bench.push(0, 0, "a");
    let (haul, mut cargo) = bench.taken();
    bench.push(0, 1, "bcd");
    let told = bench.lanes.unload(haul, None, &mut cargo, None, (1, SECOND));
    assert_eq!(told.ready, 3, "two more than one, and the one that comes back");
}
