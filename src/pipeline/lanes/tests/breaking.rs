//! Routes that are held back, and what is tried of them.

use super::super::super::breaker::State as BreakerState;
use super::*;

/// One that a failure of each of two keys opens.
fn eager() -> CircuitBreaker {
    CircuitBreaker::new().attempts(2).keys(2)
}

/// So many partitions of such a route, each with records of these keys.
fn bench(partitions: usize, keys: &str) -> Bench {
    let mut bench = Bench::keyed(0, 4, 100);
    let route = breaking(ProcessingOrder::Key, eager());
    for partition in 0..partitions {
        bench.assign_to(partition, partition as u64, &route);
        bench.push(partition as u64, 0, keys);
    }
    bench
}

impl Bench {
    pub(super) fn assign_to(&mut self, partition: usize, epoch: u64, route: &Arc<RouteSpec>) {
        let topic_partition = TopicPartition::new("orders", i32::try_from(partition).expect("few partitions"));
        let assigned = Assigned { epoch: Epoch(epoch), topic_partition, progress: resumed(0, 4_096) };
        assert!(self.lanes.assign(assigned, Arc::clone(route)).room, "a new partition is to be read");
    }

    /// Its first record fails as in an outage, and is to be tried again after a second.
    pub(super) fn complain(&mut self, held: Held) -> Told {
        let (haul, mut cargo) = held;
        let mut entries = Queue::new();
        let (lane, first) = cargo.next_lane(&mut entries).expect("something was taken");
        let mut entry = first.expect("it has a record");
        entry.failures += u32::from(!haul.context.is_held_back());
        let (offset, beside) = (entry.record.offset(), cargo.bundled());
        let complaint = Complaint { offset, key: entry.key, error: "down".to_owned(), beside };
        let effects = self.lanes.complain(lane, &haul.context, complaint, self.now);
        let halt = Halt::Retry(entry, self.now + Duration::from_secs(1));
        let begun = Some((lane, &mut entries));
        Told(effects.and(self.lanes.unload(haul, begun, &mut cargo, Some(halt), NOTHING)))
    }

    /// Two keys fail, which opens an eager breaker.
    pub(super) fn open(&mut self) {
        for held in self.hold::<2>() {
            self.complain(held);
        }
        assert!(matches!(self.state(), BreakerState::Open { .. }));
    }

    fn state(&self) -> BreakerState {
        self.lanes.circuits[0].breaker.state()
    }
}

#[test]
fn route_that_is_held_back_starts_nothing_and_is_not_read() {
    let mut bench = bench(2, "abcd");
    let (first, second, third) = (bench.taken(), bench.taken(), bench.taken());
    assert!(third.0.may_start());
    assert!(!bench.complain(first).breakers);
    assert!(bench.complain(second).breakers);
    assert!(!third.0.may_start());
    bench.fail(third, SECOND);
    assert!(matches!(bench.state(), BreakerState::Open { .. }));
    assert!(matches!(bench.lanes.take_news()[..], [BreakerNews { change: BreakerChange::Opened(..), .. }]));
    assert!(bench.lanes.take_news().is_empty());
    assert!(bench.take().is_none());
    assert!(bench.lanes.places.iter().all(|place| place.why_held(false) == Some(Hold::CircuitBreaker)));
    assert_eq!(bench.lanes.next_due(bench.now), Some(bench.now + Duration::from_secs(1)), "its retries wait with it");
    assert!(!bench.wait(Duration::from_secs(1)).breakers);
    assert!(bench.take().is_none());
    assert_eq!(bench.lanes.next_due(bench.now), Some(bench.now + Duration::from_secs(4)), "then one is tried");
}

#[test]
fn one_record_is_tried_that_has_not_failed_and_its_success_lets_all_go_on() {
    let mut bench = bench(1, "abcd");
    bench.open();
    let effects = bench.wait(Duration::from_secs(5));
    assert!(effects.breakers && effects.ready == 1);
    let trial = bench.taken();
    assert_eq!(trial.1.entries.iter().map(|entry| entry.record.offset().0).collect::<Vec<_>>(), [2]);
    assert!(trial.0.may_start() && bench.take().is_none());
    let told = bench.succeed(trial);
    assert!(told.breakers && told.room && told.ready > 0);
    assert_eq!((bench.state(), bench.lanes.held_back), (BreakerState::Closed, 0));
    let rest: Vec<_> = std::iter::from_fn(|| bench.take()).collect();
    assert_eq!(rest.len(), 3);
    assert!(rest.iter().all(|(haul, _)| haul.may_start()));
}

#[test]
fn trial_of_which_nothing_came_makes_room_for_another_one() {
    let mut bench = bench(1, "abcd");
    bench.open();
    bench.wait(Duration::from_secs(5));
    let trial = bench.taken();
    assert_eq!(offsets(&trial), [2]);
    assert_eq!(bench.fail(trial, SECOND).ready, 1);
    assert_eq!(offsets(&bench.taken()), [3]);
}

#[test]
fn trial_that_leaves_with_its_partition_makes_room_for_another_one() {
    let mut bench = bench(2, "ab");
    bench.open();
    bench.wait(Duration::from_secs(5));
    let tried = bench.lanes.circuits[0].trial.expect("one is tried");
    let epoch =
        bench.lanes.places[bench.lanes.lanes[tried].place()].assignment.as_ref().expect("it is assigned").context.epoch;
    assert!(bench.lanes.release(&[epoch]).ready > 0);
    let next = bench.lanes.circuits[0].trial.expect("another one is");
    assert_ne!(bench.lanes.lanes[next].place(), bench.lanes.lanes[tried].place());
    assert!(bench.take().is_some());
}

#[test]
fn route_without_a_record_to_try_is_read_for_one() {
    let mut bench = bench(1, "ab");
    bench.open();
    let told = bench.wait(Duration::from_secs(5));
    assert!(told.room, "only such are there as have failed");
    assert_eq!(bench.lanes.places[0].why_held(false), None);
    // One of those is tried meanwhile.
    let trial = bench.taken();
    bench.push(0, 2, "c");
    assert!(bench.take().is_none());
    bench.complain(trial);
    assert_eq!(bench.lanes.places[0].why_held(false), Some(Hold::CircuitBreaker));
    bench.wait(Duration::from_secs(10));
    let trial = bench.taken();
    assert_eq!(
        trial.1.entries.front().expect("one is taken").record.offset(),
        Offset(2),
        "the one that has not failed"
    );
    assert_eq!(bench.lanes.places[0].why_held(false), Some(Hold::CircuitBreaker));
}

#[test]
fn attempts_of_partitions_on_their_way_out_open_nothing() {
    let mut bench = bench(1, "abcd");
    let held: Vec<_> = (0..4).map(|_| bench.taken()).collect();
    assert!(!bench.release(0).drained);
    for held in held {
        bench.complain(held);
    }
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn lanes_that_wait_for_a_letter_make_few_that_can_fail_no_more() {
    let mut bench = Bench::keyed(0, 4, 100);
    bench.assign_to(0, 0, &breaking(ProcessingOrder::Key, CircuitBreaker::new()));
    bench.push(0, 0, "poisoned");
    for _ in 0..7 {
        let held = bench.taken();
        bench.poison(held);
    }
    bench.push(0, 8, "ab");
    let opens = |bench: &mut Bench| {
        let held = bench.taken();
        bench.complain(held).breakers
    };
    assert_eq!([(); 2].map(|()| opens(&mut bench)), [false, false]);
    bench.wait(Duration::from_secs(1));
    assert_eq!([(); 2].map(|()| opens(&mut bench)), [false, true], "two lanes, each of them twice");
}

#[test]
fn attempt_that_fails_after_it_opened_closes_nothing() {
    let mut bench = bench(1, "abcd");
    let [first, second, third] = bench.hold();
    bench.complain(first);
    bench.complain(second);
    bench.wait(Duration::from_secs(5));
    assert_eq!(bench.state(), BreakerState::HalfOpen);
    let _told = bench.lanes.report(&third.0, &mut Vec::new(), &mut Vec::new());
    bench.fail(third, SECOND);
    assert_eq!(bench.state(), BreakerState::HalfOpen);
}

#[test]
fn partition_that_goes_on_while_its_route_is_tried_is_to_be_read() {
    let mut bench = bench(1, "ab");
    bench.open();
    let _told = bench.lanes.set_paused(|_| true);
    assert!(bench.lanes.set_paused(|_| false).room);
}

#[test]
fn lanes_of_another_route_are_none_that_can_fail() {
    let mut bench = Bench::keyed(0, 4, 100);
    bench.assign_to(0, 0, &breaking(ProcessingOrder::Key, CircuitBreaker::new()));
    bench.assign_to(1, 1, &breaking(ProcessingOrder::Key, CircuitBreaker::new()));
    bench.push(0, 0, "ab");
    bench.push(1, 0, "abcdefghijklmnopqrst");
    let _paused = bench.lanes.set_paused(|place| place.partition.0 == 1);
    let opens = |bench: &mut Bench| {
        let held = bench.taken();
        bench.complain(held).breakers
    };
    assert_eq!([(); 2].map(|()| opens(&mut bench)), [false, false]);
    bench.wait(SECOND);
    let _going = bench.lanes.set_paused(|_| false);
    let mut held: Vec<_> = (0..3).map(|_| bench.taken()).collect();
    held.retain(|(haul, _)| haul.context.epoch == Epoch(0));
    assert_eq!(held.into_iter().map(|held| bench.complain(held).breakers).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn records_without_a_key_count_one_by_one_in_each_partition() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 0, 4, 100, 100);
    let route = breaking(ProcessingOrder::Unordered, eager());
    bench.assign_to(0, 0, &route);
    bench.assign_to(1, 1, &route);
    bench.push(1, 0, "  ");
    let (first, second) = (bench.taken(), bench.taken());
    assert!(!bench.complain(first).breakers);
    assert!(bench.complain(second).breakers);
}

#[test]
fn record_whose_letter_is_on_its_way_is_not_tried() {
    let mut bench = bench(1, "abc");
    let [first, second, third] = bench.hold();
    bench.poison(third);
    bench.complain(first);
    bench.complain(second);
    bench.wait(Duration::from_secs(5));
    let trial = bench.taken();
    assert_ne!(offsets(&trial), [2]);
}

#[test]
fn those_that_have_failed_are_tried_in_turn() {
    let mut bench = bench(1, "abc");
    for held in bench.hold::<3>() {
        bench.complain(held);
    }
    let mut tried = Vec::new();
    for _ in 0..4 {
        bench.wait(Duration::from_secs(3_600));
        let trial = bench.taken();
        tried.extend(offsets(&trial));
        bench.complain(trial);
    }
    assert_eq!(tried, [2, 0, 1, 2], "first the one that failed when that counted for nothing any more");
}

#[test]
fn trial_takes_the_slot_of_one_that_waits_with_it_and_of_no_other() {
    let mut bench = Bench::new(ProcessingOrder::Key, 0, 6, 5, 2);
    bench.assign_to(0, 0, &breaking(ProcessingOrder::Key, CircuitBreaker::new()));
    bench.assign_to(1, 1, &breaking(ProcessingOrder::Key, eager()));
    bench.push(0, 0, "x");
    let _running = bench.taken();
    bench.push(1, 0, "cab");
    let [_running, first, second] = bench.hold();
    bench.complain(first);
    bench.complain(second);
    // The parked have no room for more, so what comes behind them fills the queue.
    bench.push(0, 1, "x");
    bench.push(1, 3, "cb");
    let queued = |bench: &Bench| (0..4).map(|lane| bench.lanes.lanes[lane].queued()).collect::<Vec<_>>();
    assert_eq!((queued(&bench), bench.lanes.loads.queued.records), (vec![1, 1, 0, 1], 5));
    assert_eq!(bench.wait(Duration::from_secs(5)).ready, 1);
    assert_eq!((queued(&bench), bench.lanes.loads.queued.records), (vec![1, 1, 1, 0], 5));
    assert_eq!(offsets(&bench.taken()), [1]);
}

#[test]
fn keys_that_shared_a_lane_with_one_that_fails_could_have_failed_as_well() {
    let mut bench = Bench::keyed(0, 2, 100);
    bench.lanes.limits.bundles = 1;
    bench.assign_to(0, 0, &breaking(ProcessingOrder::Key, CircuitBreaker::new()));
    for (offset, key) in [(0, "a"), (1, "b"), (2, "c")] {
        bench.push(0, offset, key);
        let alone = bench.taken();
        bench.complain(alone);
    }
    bench.takes(0, 1);
    (0..80).for_each(|_| bench.takes(0, 1));
    bench.push(0, 3, &('A'..='Z').chain('d'..='z').collect::<String>());
    let all = bench.taken();
    assert_eq!((all.1.lanes.len(), all.1.bundled()), (1, 49));
    bench.complain(all);
    assert!(matches!(bench.state(), BreakerState::Closed), "four of some fifty: {:?}", bench.state());
}

#[test]
fn bundle_that_all_was_taken_of_is_one_that_can_fail_but_for_the_one_that_does() {
    let opens_at_the_fourth = |partitions: u64| {
        let mut bench = Bench::keyed(0, 4, 100);
        bench.lanes.limits.bundles = 1;
        let route = breaking(ProcessingOrder::Key, CircuitBreaker::new());
        for partition in 0..partitions {
            bench.assign_to(partition as usize, partition, &route);
            bench.takes(partition, 1);
        }
        let _beside: Vec<_> = (1..partitions)
            .map(|partition| {
                bench.push(partition, 0, "z");
                bench.taken()
            })
            .collect();
        bench.push(0, 0, "a");
        for _ in 0..3 {
            bench.wait(SECOND);
            let held = bench.taken();
            assert!(!bench.complain(held).breakers);
        }
        // The failed one's lane waits, and is its own; this one's is shared, if only somebody came.
        bench.push(0, 1, "b");
        assert!(bench.lanes.places[0].bundles.has_some());
        let held = bench.taken();
        bench.complain(held).breakers
    };
    assert_eq!([1, 2].map(opens_at_the_fourth), [true, false], "two keys four times, and of three six times");
}
