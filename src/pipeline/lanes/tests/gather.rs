//! Batches: what is gathered for the next one, and when it may be taken.

use super::super::entry::KeyHash;
use super::*;
use crate::pipeline::control::Rate;
use crate::pipeline::ticket::Ticket;

const HALF: Duration = Duration::from_millis(500);

/// Partitions of one route that takes batches of three, or less after half a second; two keys that fail open its breaker.
fn bench(partitions: usize) -> Bench {
    let mut bench = Bench::keyed(0, 4, 100);
    let route = batched(ProcessingOrder::Key, 3, CircuitBreaker::new().attempts(2).keys(2));
    for partition in 0..partitions {
        bench.assign_to(partition, partition as u64, &route);
    }
    bench
}

type Batched = (BatchRun, Queue<Entry<Offset>>);

impl Bench {
    fn take_batch(&mut self) -> Option<(Batched, Told)> {
        let (mut cargo, mut entries) = (Cargo::default(), Queue::new());
        let now = self.now;
        let (taken, told) = self.lanes.take(&mut cargo, || now);
        let Taken::Batch(batch) = taken? else { panic!("the route takes batches") };
        cargo.take_batch(&mut entries);
        Some(((batch, entries), Told(told)))
    }

    /// What is gathered has waited long enough. How many batches that makes ready.
    fn ripen(&mut self) -> usize {
        assert_eq!(self.lanes.next_due(self.now), Some(self.now + HALF));
        self.wait(HALF).ready
    }

    fn batch(&mut self) -> Batched {
        self.take_batch().expect("there is a batch").0
    }

    /// Gives all of it back, each record by itself from now on where `alone` says so.
    fn return_batch(&mut self, (mut batch, mut entries): Batched, alone: impl Fn(i64) -> bool) {
        for (run, count) in batch.parts.drain(..) {
            let mut own: Queue<_> = entries.drain(count).collect();
            for entry in own.iter_mut() {
                entry.alone = alone(entry.record.offset().0);
            }
            let _told = self.lanes.finish(run, &mut own, None);
        }
        let _told = self.lanes.finish_batch(batch);
    }
}

fn offsets((_, entries): &Batched) -> Vec<i64> {
    entries.iter().map(|entry| entry.record.offset().0).collect()
}

#[test]
fn a_batch_is_told_of_when_it_is_full_and_looked_for_in_time_until_then() {
    let mut bench = bench(1);
    let told = bench.push(0, 0, "ab");
    assert_eq!((told.ready, told.timer), (0, true));
    assert!(bench.take_batch().is_none());
    let told = bench.push(0, 2, "cdef");
    assert_eq!((told.ready, told.timer), (2, false), "two are full");
    let (batch, told) = bench.take_batch().expect("there is one");
    assert_eq!((offsets(&batch), told.timer), (vec![0, 1, 2], false));
    let (last, told) = bench.take_batch().expect("there is another one");
    assert_eq!((offsets(&last), told.timer), (vec![3, 4, 5], false), "nothing is left to look for");
}

#[test]
fn what_has_waited_long_enough_is_a_batch_however_little_it_is() {
    let mut bench = bench(1);
    bench.push(0, 0, "ab");
    assert_eq!(bench.ripen(), 1);
    assert_eq!(offsets(&bench.batch()), [0, 1]);
    bench.push(0, 2, "cd");
    assert!(bench.take_batch().is_none(), "the next one waits again");
}

#[test]
fn a_batch_that_is_done_tells_of_the_next_one_and_whoever_waits_for_its_end() {
    let mut bench = bench(1);
    bench.push(0, 0, "abcdef");
    let (mut batch, mut entries) = bench.batch();
    for (run, count) in batch.parts.drain(..) {
        let mut settled = entries.drain(count).map(|entry| entry.settle(Ticket::done)).collect();
        let _told = bench.lanes.settle(&run, &mut settled);
        let _told = bench.lanes.finish(run, &mut Queue::new(), None);
    }
    let told = bench.lanes.finish_batch(batch);
    assert_eq!((told.ready, told.drained), (1, true));
}

#[test]
fn what_a_rate_lets_begin_again_is_told_of_though_it_makes_no_batch_full() {
    let mut bench = bench(1);
    bench.push(0, 0, "abcdefgh");
    let _told = bench.lanes.set_rate(Rate::new(2, HOUR), bench.now);
    let (mut batch, mut entries) = bench.batch();
    assert_eq!(entries.len(), 2, "as many as may begin");
    assert!(bench.take_batch().is_none());
    let (run, count) = batch.parts.remove(0);
    assert!(
        bench.lanes.finish(run, &mut entries.drain(count).collect(), None).ready > 0,
        "another worker may begin it"
    );
    assert_eq!(bench.batch().1.len(), 1);
}

#[test]
fn a_record_that_is_to_be_tried_by_itself_is_in_no_batch_with_others() {
    let mut bench = bench(1);
    bench.push(0, 0, "aab");
    let batch = bench.batch();
    bench.return_batch(batch, |offset| offset == 1);
    let first = bench.batch();
    assert_eq!(offsets(&first), [0, 2], "what stands behind it in its lane waits");
    bench.return_batch(first, |offset| offset == 2);
    let first = bench.batch();
    assert_eq!(offsets(&first), [0]);
    assert_eq!(bench.ripen(), 1);
    assert_eq!(offsets(&bench.batch()), [2]);
}

#[test]
fn a_record_that_has_no_slot_yet_makes_no_batch_full() {
    let mut bench = Bench::keyed(0, 4, 2);
    bench.assign_to(0, 0, &batched(ProcessingOrder::Key, 3, CircuitBreaker::new()));
    assert_eq!(bench.push(0, 0, "aaa").ready, 0);
    assert!(bench.take_batch().is_none());
}

#[test]
fn a_batch_whose_records_have_gone_is_not_ripe_for_those_that_come() {
    let mut bench = bench(1);
    bench.push(0, 0, "a");
    assert_eq!(bench.ripen(), 1);
    bench.lose(0);
    let route = batched(ProcessingOrder::Key, 3, CircuitBreaker::new());
    bench.assign_to(0, 1, &route);
    assert_eq!(bench.push(1, 0, "b").ready, 0);
}

#[test]
fn a_batch_of_which_some_have_gone_stays_ripe_for_the_others() {
    let mut bench = bench(2);
    bench.push(0, 0, "a");
    bench.push(1, 5, "b");
    assert_eq!(bench.ripen(), 1);
    bench.lose(0);
    assert_eq!(offsets(&bench.batch()), [5]);
}

#[test]
fn each_lane_of_a_batch_complains_for_itself() {
    let mut bench = bench(1);
    bench.push(0, 0, "abc");
    let (batch, _entries) = bench.batch();
    let complain = |(run, _): &(Run, usize), lanes: &mut Lanes<OffsetTracker>| {
        let key = lanes.lanes[run.lane()].key().map(KeyHash::new);
        let complaint = Complaint { offset: Offset(0), key, error: "down".to_owned(), beside: 0 };
        lanes.complain(run.lane(), &run.context, complaint, bench.now).breakers
    };
    assert!(!complain(&batch.parts[1], &mut bench.lanes));
    assert!(complain(&batch.parts[2], &mut bench.lanes), "two keys have failed");
}
