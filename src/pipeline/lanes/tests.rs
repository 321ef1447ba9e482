mod admission;
mod audit;
mod breaking;
mod bundles;
mod by_key;
mod census;
mod chance;
mod commits;
mod crew;
mod effects;
mod gather;
mod hauler;
mod hauls;
mod key_rate;
mod memory;
mod model;
mod parking;
mod probation;
mod rate;
mod scaling;
mod told;

use std::time::Duration;

use super::super::dead_letter::Reason;
use super::super::ticket::{Receipt, Ticket};
use super::*;
use crate::circuit_breaker::CircuitBreaker;
use crate::handler::{ProcessingOrder, Router, on, on_batch};
use crate::pipeline::arrival::{Arrivals, arrivals};
use crate::pipeline::source::Batch;
use crate::pipeline::tracker::OffsetTracker;
use crate::record::{OwnedRecord, OwnedRecords, Record};

const LOTS: usize = 1 << 40;

fn load(records: usize, bytes: usize) -> Load {
    Load { records, bytes }
}

fn route(order: ProcessingOrder) -> Arc<RouteSpec> {
    breaking(order, CircuitBreaker::new())
}

/// A route with this circuit breaker.
fn breaking(order: ProcessingOrder, breaker: CircuitBreaker) -> Arc<RouteSpec> {
    async fn handle() {}
    let router: Router = Router::new().topic("orders", on(handle).order(order).circuit_breaker(breaker));
    Arc::clone(router.into_routes().of(&"orders".into()).expect("just made"))
}

/// A route of batches.
fn batched(order: ProcessingOrder, max: usize, breaker: CircuitBreaker) -> Arc<RouteSpec> {
    async fn handle(_: Vec<Record>) {}
    let route = on_batch(handle).max(max).within(Duration::from_millis(500)).order(order).circuit_breaker(breaker);
    let router: Router = Router::new().topic("orders", route);
    Arc::clone(router.into_routes().of(&"orders".into()).expect("just made"))
}

/// A tracker that goes on from `next`, with so many bytes to remember finished runs in.
fn resumed(next: i64, metadata: usize) -> OffsetTracker {
    OffsetTracker::resume(Some(crate::record::NextOffset::at(next)), "", &"key".into(), metadata).tracker
}

fn failure() -> Failure {
    Failure { reason: Reason::Poison, error: "bad".to_owned(), attempts: 1, handler: "handle" }
}

/// One key, as it is paused.
fn paused(key: &[u8]) -> Keys {
    Keys::from_iter([("orders".into(), crate::pipeline::arrival::hash_of(key))])
}

/// Records of these offsets, keys and sizes, as they come in.
fn arriving(
    order: ProcessingOrder,
    epoch: Epoch,
    partition: usize,
    records: Vec<(i64, Option<Vec<u8>>, usize)>,
) -> Arrivals {
    let record =
        |(offset, key, size)| (offset, OwnedRecord { key, value: Some(vec![0; size]), ..OwnedRecord::default() });
    came_in(order, epoch, partition, records.into_iter().map(record))
}

fn came_in(
    order: ProcessingOrder,
    epoch: Epoch,
    partition: usize,
    records: impl Iterator<Item = (i64, OwnedRecord)>,
) -> Arrivals {
    let topic_partition = TopicPartition::new("orders", i32::try_from(partition).expect("few partitions"));
    let records = records.map(|(offset, record)| (Offset(offset), Arc::new(record))).collect();
    let records = OwnedRecords::handles(topic_partition, records);
    arrivals(Batch { epoch, records, next: None, rewritten: None }, &route(order).settings)
}

/// Lanes with partitions `0..n` assigned under the epochs `0..n`.
struct Bench {
    lanes: Lanes<OffsetTracker>,
    order: ProcessingOrder,
    now: Instant,
}

/// What a call said, for the tests that want to know.
struct Told(Effects);

impl std::ops::Deref for Told {
    type Target = Effects;

    fn deref(&self) -> &Effects {
        &self.0
    }
}

type Held = (Haul, Cargo<Offset>);

/// No attempts, in no time.
const NOTHING: (usize, Duration) = (0, Duration::ZERO);

impl Bench {
    fn new(order: ProcessingOrder, partitions: usize, workers: usize, queue: usize, parked: usize) -> Self {
        let limits = Limits {
            queue: load(queue, LOTS),
            parked: load(parked, LOTS),
            high: 0.8,
            low: 0.5,
            workers,
            ahead: 1_000,
            bundles: 0,
            unbundled: 0,
            commit_after: 1_000,
        };
        let mut bench = Self { lanes: Lanes::new(limits, Instant::now()), order, now: Instant::now() };
        for partition in 0..partitions {
            bench.assign(partition, partition as u64, order);
        }
        bench
    }

    fn keyed(partitions: usize, workers: usize, queue: usize) -> Self {
        Self::new(ProcessingOrder::Key, partitions, workers, queue, 100)
    }

    fn assign(&mut self, partition: usize, epoch: u64, order: ProcessingOrder) {
        let topic_partition = TopicPartition::new("orders", i32::try_from(partition).expect("few partitions"));
        let assigned = Assigned { epoch: Epoch(epoch), topic_partition, progress: resumed(0, 4_096) };
        let effects = self.lanes.assign(assigned, route(order));
        assert!(effects.room, "a new partition is to be read");
    }

    /// Records from `first` on, one for each key; a blank is no key.
    fn push(&mut self, epoch: u64, first: i64, keys: &str) -> Told {
        let keys = keys.bytes().map(|key| (key != b' ').then(|| vec![key]));
        let records = (first..).zip(keys).map(|(offset, key)| (offset, key, 1)).collect();
        let partition = self.lanes.place_by_epoch.get(&Epoch(epoch)).copied().unwrap_or(0);
        Told(self.lanes.push(arriving(self.order, Epoch(epoch), partition, records), self.now))
    }

    fn take(&mut self) -> Option<Held> {
        let mut cargo = Cargo::default();
        let now = self.now;
        match self.lanes.take(&mut cargo, || now).0? {
            Taken::Haul(haul) => Some((haul, cargo)),
            Taken::Batch(_) => panic!("no route here takes batches"),
        }
    }

    /// Takes what is next, and says whether the reader is told.
    fn takes_one(&mut self) -> bool {
        let mut cargo = Cargo::default();
        self.lanes.take(&mut cargo, Instant::now).1.room
    }

    fn taken(&mut self) -> Held {
        self.take().expect("a lane is ready")
    }

    fn hold<const N: usize>(&mut self) -> [Held; N] {
        std::array::from_fn(|_| self.taken())
    }

    /// All of it succeeds.
    fn succeed(&mut self, (haul, mut cargo): Held) -> Told {
        let (mut entries, mut done) = (Queue::new(), Vec::new());
        while let Some((lane, first)) = cargo.next_lane(&mut entries) {
            done.extend((done.last() != Some(&lane)).then_some(lane));
            entries.extend(first);
        }
        let mut settled = entries.drain_all().map(|entry| entry.settle(Ticket::done)).collect();
        let told = self.lanes.report(&haul, &mut settled, &mut done);
        Told(told.and(self.lanes.unload(haul, None, &mut cargo, None, NOTHING)))
    }

    /// Its first record fails and is to be tried again after `delay`.
    fn fail(&mut self, held: Held, delay: Duration) -> Told {
        let due = self.now + delay;
        self.halt(held, |entry| Halt::Retry(entry, due))
    }

    /// Its first record is to become a dead letter.
    fn poison(&mut self, held: Held) -> Told {
        self.halt(held, |entry| Halt::Letter(entry, Box::new(failure())))
    }

    /// The daemon is to stop because of its first record.
    fn stop(&mut self, held: Held) -> Told {
        self.halt(held, Halt::Stop)
    }

    fn halt(&mut self, (haul, mut cargo): Held, halt: impl FnOnce(Entry<Offset>) -> Halt<Offset>) -> Told {
        let mut entries = Queue::new();
        let (lane, first) = cargo.next_lane(&mut entries).expect("a haul has a lane");
        let entry = first.expect("a lane has a record");
        Told(self.lanes.unload(haul, Some((lane, &mut entries)), &mut cargo, Some(halt(entry)), NOTHING))
    }

    /// What handlers of the partition take lately.
    fn takes(&mut self, epoch: u64, nanos: u64) {
        let open = self.lanes.assignment(Epoch(epoch)).expect("assigned");
        open.context.took(1, Duration::from_nanos(nanos));
    }

    fn release(&mut self, epoch: u64) -> Told {
        Told(self.lanes.release(&[Epoch(epoch)]))
    }

    fn lose(&mut self, epoch: u64) -> Told {
        Told(self.lanes.lose(&[Epoch(epoch)]))
    }

    fn acknowledge(&mut self, LetterJob { run, entry }: LetterJob<Offset>) -> Told {
        let weight = entry.weight();
        Told(self.lanes.letter_acknowledged(run, entry.ticket.dead_lettered(Receipt::acknowledged()), weight))
    }

    fn wait(&mut self, time: Duration) -> Told {
        self.now += time;
        Told(self.lanes.wake(self.now))
    }

    fn allowed(&mut self, epoch: u64) -> usize {
        self.lanes.demand().records(Epoch(epoch))
    }
}

fn offsets((_, cargo): &Held) -> Vec<i64> {
    cargo.entries.iter().map(|entry| entry.record.offset().0).collect()
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn records_of_a_key_are_one_run_and_other_keys_go_beside_it() {
    let mut bench = Bench::keyed(1, 4, 10);
    assert_eq!(bench.push(0, 0, "aba").ready, 2);
    let (first, second) = (bench.taken(), bench.taken());
    assert_eq!((offsets(&first), offsets(&second)), (vec![0, 2], vec![1]));
    bench.push(0, 3, "a");
    assert!(bench.take().is_none(), "the key is out");
    assert_eq!(bench.succeed(first).ready, 1);
    assert_eq!(offsets(&bench.taken()), [3]);
}

#[test]
fn keyless_records_wait_for_one_another() {
    let mut bench = Bench::keyed(1, 4, 10);
    bench.push(0, 0, "  a ");
    assert_eq!((offsets(&bench.taken()), offsets(&bench.taken())), (vec![0, 1, 3], vec![2]));
}

#[test]
fn unordered_records_wait_for_nobody() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 1, 4, 10, 10);
    assert_eq!(bench.push(0, 0, "aa ").ready, 3);
    let (first, second) = (bench.taken(), bench.taken());
    assert_eq!((offsets(&first), offsets(&second)), (vec![0], vec![1]));
}

#[test]
fn partitions_take_turns() {
    let mut bench = Bench::keyed(2, 4, 20);
    bench.push(0, 0, "abcd");
    bench.push(1, 0, "ab");
    let partitions: Vec<i32> =
        (0..4).map(|_| bench.taken()).map(|(haul, _)| haul.context.topic_partition.partition.0).collect();
    assert_eq!(partitions, [0, 1, 0, 1]);
}

#[test]
fn no_partition_takes_the_last_worker_while_another_is_assigned() {
    let mut bench = Bench::keyed(2, 3, 20);
    bench.push(0, 0, "abcd");
    let _first = (bench.taken(), bench.taken());
    assert!(bench.take().is_none());
    assert_eq!(bench.push(1, 0, "a").ready, 1);
    assert_eq!(bench.taken().0.context.epoch, Epoch(1));
}

#[test]
fn last_worker_is_free_for_a_partition_that_remains_alone() {
    for goes in [Bench::release, Bench::lose] {
        let mut bench = Bench::keyed(2, 2, 20);
        bench.push(0, 0, "ab");
        let _first = bench.taken();
        assert!(bench.take().is_none());
        assert!(goes(&mut bench, 1).ready > 0, "a worker is to look again");
        assert_eq!(offsets(&bench.taken()), [1]);
    }
}

#[test]
fn waiting_retry_holds_neither_worker_nor_slot_and_keeps_its_successors_behind_it() {
    let mut bench = Bench::keyed(1, 1, 2);
    bench.push(0, 0, "aa");
    let run = bench.taken();
    assert!(bench.fail(run, SECOND).timer);
    assert_eq!((bench.lanes.loads.queued, bench.lanes.loads.parked, bench.lanes.busy()), (load(0, 0), load(2, 4), 0));
    bench.push(0, 2, "ab");
    let other = bench.taken();
    assert_eq!(offsets(&other), [3]);
    assert_eq!(bench.succeed(other).ready, 0);
    assert_eq!(bench.wait(SECOND).ready, 1);
    // Behind it goes what the queue of two has room for.
    let again = bench.taken();
    assert_eq!((offsets(&again), again.1.entries.iter().next().map_or(9, |entry| entry.failures)), (vec![0, 1], 0));
    bench.succeed(again);
    assert_eq!(offsets(&bench.taken()), [2]);
}

#[test]
fn retry_that_finds_the_queue_full_of_its_own_successors_takes_the_place_of_one() {
    // One parked record at most: the successors stay in the queue, and fill it.
    let mut bench = Bench::new(ProcessingOrder::Key, 1, 1, 2, 1);
    bench.push(0, 0, "aa");
    let run = bench.taken();
    bench.fail(run, SECOND);
    bench.push(0, 2, "a");
    assert_eq!((bench.lanes.loads.queued.records, bench.lanes.loads.parked.records), (2, 1));
    assert_eq!(bench.wait(SECOND).ready, 1);
    assert_eq!(offsets(&bench.taken()), [0]);
}

#[test]
fn retries_that_come_due_while_a_read_is_under_way_leave_the_queue_within_its_bound() {
    let mut bench = Bench::keyed(1, 1, 4);
    bench.push(0, 0, "ab");
    for _ in 0..2 {
        let run = bench.taken();
        bench.fail(run, SECOND);
    }
    assert_eq!(bench.allowed(0), 4);
    assert_eq!(bench.wait(SECOND).ready, 2);
    bench.push(0, 2, "cdef");
    assert_eq!((bench.lanes.loads.queued.records, bench.lanes.loads.parked.records), (4, 2));
    let order: Vec<i64> = (0..6)
        .map(|_| {
            let run = bench.taken();
            let offset = offsets(&run)[0];
            bench.succeed(run);
            offset
        })
        .collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
}

#[test]
fn partitions_held_for_the_parked_are_read_again_when_anothers_are_gone() {
    let mut bench = Bench::new(ProcessingOrder::Key, 2, 4, 10, 2);
    for (partition, delay) in [(0, SECOND), (1, SECOND * 3_600)] {
        bench.push(partition, 0, "a");
        let run = bench.taken();
        bench.fail(run, delay);
    }
    assert_eq!([0, 1].map(|partition| bench.allowed(partition)), [0, 0], "the bound of the parked is reached");
    assert!(bench.wait(SECOND).room, "the reader must hear that it isn't any more");
    assert_eq!(bench.allowed(1), 1);
}

#[test]
fn retries_that_wait_leave_the_slots_that_other_partitions_keep() {
    let mut bench = Bench::keyed(4, 4, 4);
    for (offset, key) in [(0, "a"), (1, "b"), (2, "c")] {
        bench.push(0, offset, key);
        let run = bench.taken();
        bench.fail(run, SECOND);
    }
    bench.push(0, 3, "d");
    let running = bench.taken();
    assert_eq!(bench.wait(SECOND).ready, 0, "the free slots are the others'");
    assert_eq!([1, 2, 3].map(|partition| bench.allowed(partition)), [1, 1, 1]);
    assert_eq!(bench.allowed(0), 0);
    assert_eq!(bench.succeed(running).ready, 1, "a retry has the slot that was its partition's");
}

#[test]
fn retry_that_is_due_is_counted_as_if_it_were_queued() {
    let mut bench = Bench::keyed(1, 2, 4);
    bench.push(0, 0, "a");
    let run = bench.taken();
    bench.fail(run, SECOND);
    bench.push(0, 1, "bcde");
    assert_eq!(bench.wait(SECOND).ready, 0);
    let run = bench.taken();
    assert_eq!(bench.succeed(run).ready, 1, "the retry takes the slot");
    assert_eq!(bench.allowed(0), 0);
}

#[test]
fn parked_records_have_a_bound_and_hold_their_partition_at_it() {
    let mut bench = Bench::new(ProcessingOrder::Key, 2, 2, 10, 2);
    bench.push(0, 0, "ab");
    for _ in 0..2 {
        let run = bench.taken();
        bench.fail(run, SECOND);
    }
    assert_eq!((bench.allowed(0), bench.allowed(1)), (0, 10), "only the one that is parked is held");
    assert_eq!(bench.lanes.census().partitions[0].hold, Some(Hold::Parked));
    bench.wait(SECOND);
    let run = bench.taken();
    assert!(bench.succeed(run).room);
    assert!(bench.allowed(0) > 0);
}

#[test]
fn record_that_stops_the_daemon_closes_its_lane() {
    let mut bench = Bench::keyed(1, 2, 10);
    bench.push(0, 0, "aa");
    let run = bench.taken();
    bench.stop(run);
    bench.push(0, 2, "a");
    assert!(bench.take().is_none());
    assert!(bench.lose(0).drained);
    assert_eq!(bench.lanes.loads.queued, load(0, 0));
}

#[test]
fn released_partition_gives_back_what_is_not_started_and_lets_the_rest_end() {
    let mut bench = Bench::keyed(1, 2, 10);
    bench.push(0, 0, "aabc");
    let (a, b) = (bench.taken(), bench.taken());
    let effects = bench.release(0);
    assert!(!effects.drained && bench.lanes.out(&[Epoch(0)]) == 2);
    assert!(bench.take().is_none());
    bench.push(0, 4, "z");
    assert_eq!(bench.lanes.loads.queued.records, 3, "what comes in late is not taken");
    assert!(!bench.fail(b, SECOND).drained);
    assert_eq!(bench.lanes.next_retry(), None, "no retry is waited for");
    assert!(bench.succeed(a).drained);
    assert_eq!((bench.lanes.out(&[Epoch(0)]), bench.lanes.loads.queued.records), (0, 0));
    let commits = bench.lanes.final_commits(&[Epoch(0)]).0;
    assert_eq!(commits[0].1.next.offset(), Offset(2));
}

#[test]
fn letter_of_a_started_record_is_written_while_its_partition_goes() {
    let mut bench = Bench::keyed(1, 2, 10);
    bench.push(0, 0, "aa");
    let run = bench.taken();
    bench.release(0);
    let effects = bench.poison(run);
    assert!(effects.letters && bench.lanes.out(&[Epoch(0)]) == 1, "the drain waits for it");
    let job = bench.lanes.take_letter().expect("it is to be written");
    assert!(bench.acknowledge(job).drained);
    assert_eq!(bench.lanes.final_commits(&[Epoch(0)]).0[0].1.next.offset(), Offset(1));
}

#[test]
fn what_comes_back_for_a_lost_assignment_settles_nothing() {
    let mut bench = Bench::keyed(1, 2, 10);
    bench.push(0, 0, "a");
    let run = bench.taken();
    assert!(!run.0.context.circumstances.cancellation().is_gone());
    bench.lose(0);
    assert!(run.0.context.circumstances.cancellation().is_gone());
    assert_eq!(bench.lanes.loads.queued.records, 1, "its handler still runs");
    bench.assign(0, 1, ProcessingOrder::Key);
    bench.push(1, 0, "ab");
    assert_eq!(offsets(&bench.taken()), [1], "no two handlers of a key run at once");
    assert!(bench.take().is_none());
    assert_eq!(bench.succeed(run).ready, 1);
    assert_eq!(offsets(&bench.taken()), [0]);
    assert!(bench.lanes.commits().is_empty());
}
