//! Workers that become more and fewer while some of them are at something.

use super::{Bench, Effects, HOUR, Held, offsets};
use crate::pipeline::control::Rate;

impl Bench {
    fn scale(&mut self, workers: usize) -> usize {
        self.lanes.set_workers(workers).ready
    }

    fn take_all(&mut self) -> Vec<Held> {
        std::iter::from_fn(|| self.take()).collect()
    }
}

#[test]
fn fewer_workers_take_no_more_than_they_are_and_more_take_the_rest() {
    let mut bench = Bench::keyed(1, 6, 20);
    assert_eq!(bench.scale(2), 0);
    bench.push(0, 0, "abcdefgh");
    assert_eq!((bench.take_all().len(), bench.lanes.idle()), (2, 0));
    assert!(bench.scale(5) > 0, "somebody is to look");
    assert_eq!((bench.lanes.idle(), bench.take_all().len()), (3, 3));
    assert_eq!((bench.scale(100), bench.take_all().len()), (3, 1), "there are no more than six");
    assert_eq!((bench.lanes.workers, bench.lanes.idle()), (6, 0));
}

#[test]
fn no_more_workers_are_woken_than_are_idle_and_would_find_something() {
    let mut bench = Bench::keyed(2, 6, 40);
    assert_eq!(bench.lanes.wanted(), 0, "nobody would find anything");
    bench.push(0, 0, "ab");
    bench.push(1, 0, "c");
    assert_eq!(bench.lanes.wanted(), 3);
    bench.push(1, 1, "defghijk");
    assert_eq!(bench.lanes.wanted(), 6);
    let held: Vec<_> = (0..4).map(|_| bench.taken()).collect();
    assert_eq!((bench.lanes.wanted(), bench.lanes.idle()), (2, 2));
    let many = Effects { ready: 7, ..Effects::default() };
    assert_eq!(bench.lanes.told(many).ready, 3, "the idle ones, and whoever asks");

    let _told = bench.lanes.set_rate(Rate::new(1, HOUR), bench.now);
    let last = bench.taken();
    assert_eq!(bench.lanes.wanted(), 0, "none may begin");
    assert_eq!(bench.lanes.told(Effects::default()), Effects::default());
    for held in held.into_iter().chain([last]) {
        bench.succeed(held);
    }
}

#[test]
fn what_runs_when_the_workers_become_fewer_ends_first() {
    let mut bench = Bench::keyed(1, 4, 20);
    bench.push(0, 0, "abcdefgh");
    let mut held = bench.take_all();
    assert_eq!(held.len(), 4);
    bench.scale(2);
    for _ in 0..2 {
        bench.succeed(held.remove(0));
        assert!(bench.take().is_none(), "two are still at something");
    }
    bench.succeed(held.remove(0));
    assert_eq!(offsets(&bench.taken()), [4]);
    assert_eq!(bench.lanes.busy(), 2);
}

#[test]
fn partition_that_holds_more_than_its_share_takes_no_worker_from_the_others() {
    let mut bench = Bench::keyed(2, 10, 100);
    bench.push(0, 0, "abcdefghijklmno");
    let mut stuck = bench.take_all();
    assert_eq!(stuck.len(), 9, "one is left for the other partition");
    bench.scale(9);
    assert_eq!(bench.lanes.idle(), 1, "as many as there are to be are at something, one of them for nobody");
    bench.scale(4);
    assert_eq!(bench.push(1, 0, "ab").ready, 2);
    assert_eq!(bench.lanes.idle(), 1, "so somebody is woken");
    let other = bench.taken();
    assert!(bench.take().is_none());
    assert_eq!(other.0.place, bench.lanes.place_by_epoch[&super::Epoch(1)]);
    bench.succeed(other);
    let other = bench.taken();
    // The one that has too many gets none until it has fewer than its share.
    bench.succeed(other);
    for _ in 0..6 {
        bench.succeed(stuck.remove(0));
        assert!(bench.take().is_none());
    }
    bench.succeed(stuck.remove(0));
    assert_eq!((bench.take_all().len(), bench.lanes.busy()), (1, 3));
}

#[test]
fn one_worker_is_one_whatever_many_partitions_there_are() {
    let mut bench = Bench::keyed(3, 4, 100);
    bench.scale(1);
    for epoch in 0..3 {
        bench.push(epoch, 0, "ab");
    }
    let only = bench.taken();
    assert_eq!((bench.take_all().len(), bench.lanes.idle()), (0, 0));
    bench.succeed(only);
    assert_eq!(bench.take_all().len(), 1);
}

#[test]
fn demands_tell_what_there_is_to_do_and_who_does_it() {
    let mut bench = Bench::keyed(1, 4, 10);
    bench.scale(2);
    bench.push(0, 0, "abcdefgh");
    let held = bench.take_all();
    let demands = bench.lanes.demands();
    assert_eq!((demands.busy, demands.waiting, demands.queued.records, demands.capacity.records), (2, 6, 8, 10));
    assert!(demands.held_back && demands.may_start);
    drop(held);
}

#[test]
fn fetching_is_held_back_where_more_lanes_are_ready_than_workers_soon_get() {
    let mut bench = Bench::keyed(1, 4, 10_000);
    bench.lanes.limits.ahead = 8;
    bench.push(0, 0, "abcdefg");
    assert_eq!((bench.allowed(0), bench.lanes.demands().held_back), (0, true));
    let held = bench.take_all();
    assert!(!bench.lanes.demands().held_back, "{} are ready", bench.lanes.demands().waiting);
    drop(held);
}

#[test]
fn lanes_wait_when_no_worker_is_free_for_them_or_their_partition_has_its_share() {
    let mut bench = Bench::keyed(2, 10, 100);
    bench.scale(4);
    bench.push(0, 0, "abcde");
    assert_eq!(bench.lanes.demands().waiting, 2, "three are about to be taken, and that is the partition's share");
    let held = bench.take_all();
    assert_eq!((held.len(), bench.lanes.demands().waiting), (3, 2));
    bench.push(1, 0, "ab");
    assert_eq!(bench.lanes.demands().waiting, 3, "one of the other partition's is about to be taken");
    bench.scale(10);
    assert_eq!(bench.lanes.demands().waiting, 0);
}
