//! Records that run alone, each announced first.

use std::num::NonZero;

use super::super::super::tracker::{OffsetCommit, OffsetTracker};
use super::super::probation::AWAITED;
use super::*;
use crate::record::{NextOffset, Timestamp};

/// A partition's tracker after so many ends without warning.
fn after(ends: u32) -> OffsetTracker {
    taken_over(0, 4_096, ends)
}

/// A tracker that goes on from `next`, with so many bytes of metadata, after so many ends without warning.
pub(super) fn taken_over(next: i64, metadata: usize, ends: u32) -> OffsetTracker {
    let mut left = OffsetCommit { next: NextOffset::at(next), metadata: String::new() };
    for holder in 0..ends {
        let mut tracker = OffsetTracker::resume(Some(left.next), &left.metadata, &"key".into(), metadata).tracker;
        tracker.take_over(holder, NonZero::<u32>::MIN, Timestamp::now());
        // Where there is no room for it, nothing is told.
        left = tracker.commit().unwrap_or(left);
    }
    let mut tracker = OffsetTracker::resume(Some(left.next), &left.metadata, &"key".into(), metadata).tracker;
    tracker.take_over(ends, NonZero::<u32>::MIN, Timestamp::now());
    tracker
}

/// A tracker on probation, after another end in which this record ran alone.
fn accusing(offset: i64) -> OffsetTracker {
    let mut left = after(2);
    left.announce(Some(Offset(offset)));
    let commit = left.commit().expect("it has something to tell");
    let mut tracker = OffsetTracker::resume(Some(commit.next), &commit.metadata, &"key".into(), 4_096).tracker;
    tracker.take_over(3, NonZero::<u32>::MIN.saturating_add(2), Timestamp::now());
    tracker
}

/// Partitions after so many ends each, with four workers.
fn bench(ends: &[u32]) -> Bench {
    bench_of(ends.iter().map(|ends| after(*ends)))
}

fn bench_of(trackers: impl IntoIterator<Item = OffsetTracker>) -> Bench {
    let mut bench = Bench::keyed(0, 4, 10);
    for (partition, progress) in (0..).zip(trackers) {
        let topic_partition = TopicPartition::new("orders", partition);
        let epoch = Epoch(u64::try_from(partition).expect("few"));
        assert!(bench.lanes.assign(Assigned { epoch, topic_partition, progress }, route(bench.order)).room);
    }
    bench
}

impl Bench {
    /// Commits what there is.
    fn commit(&mut self) -> Told {
        let commits = self.lanes.commits();
        Told(self.lanes.acknowledge(&commits))
    }

    /// Where what is next is taken from, and which offsets.
    fn next(&mut self) -> Option<(Held, i32, Vec<i64>)> {
        let held = self.take()?;
        let partition = held.0.context.topic_partition.partition.0;
        let offsets = offsets(&held);
        Some((held, partition, offsets))
    }

    /// The same, where it is announced first.
    fn announced(&mut self) -> (Held, i32, Vec<i64>) {
        assert!(self.take().is_none());
        self.commit();
        self.next().expect("it is announced")
    }

    fn due(&self) -> bool {
        self.lanes.commit_due() == Some(CommitDue::Now)
    }
}

#[test]
fn nothing_starts_before_the_first_commit_was_answered() {
    for is_taken in [true, false] {
        let mut bench = bench(&[0]);
        assert!(bench.due());
        assert_eq!(bench.allowed(0), 0, "nor is anything read");
        bench.push(0, 0, "ab");
        assert!(bench.take().is_none());
        let commits = bench.lanes.commits();
        let effects = if is_taken { bench.lanes.acknowledge(&commits) } else { bench.lanes.refused(&commits) };
        assert!(effects.ready > 0 && effects.room);
        assert!(bench.take().is_some() && bench.take().is_some() && bench.allowed(0) > 0);
        assert!(!bench.lanes.places[0].is_unmarked());
    }
}

#[test]
fn a_partition_that_nobody_committed_asks_for_that_with_its_first_record() {
    let mut tracker = OffsetTracker::resume(None, "", &"key".into(), 4_096).tracker;
    tracker.take_over(0, NonZero::<u32>::MIN, Timestamp::now());
    let mut bench = bench_of([tracker]);
    assert!(!bench.due(), "it isn't known where it begins");
    assert!(bench.push(0, 7, "a").commit && bench.due());
}

#[test]
fn on_probation_one_record_at_a_time_starts_once_it_is_announced() {
    let mut bench = bench(&[2]);
    bench.push(0, 0, "aab");
    for offset in [0, 2, 1] {
        assert!(bench.take().is_none() && bench.due(), "it is announced first");
        let commits = bench.lanes.commits();
        assert_eq!(bench.lanes.refused(&commits).ready, 0);
        assert!(bench.take().is_none());
        assert!(bench.commit().ready > 0);
        let (held, _, offsets) = bench.next().expect("it is announced");
        assert_eq!(offsets, [offset]);
        assert!(bench.take().is_none(), "nothing runs beside it");
        bench.succeed(held);
    }
}

#[test]
fn what_has_been_accused_runs_before_all_others() {
    let mut bench = bench_of([after(2), accusing(1)]);
    bench.push(0, 0, "ab");
    bench.push(1, 0, "xyz");
    for expected in [(1, 1), (0, 0), (0, 1), (1, 0), (1, 2)] {
        let (held, partition, offsets) = bench.announced();
        assert_eq!((partition, offsets), (expected.0, vec![expected.1]));
        bench.succeed(held);
    }
}

#[test]
fn what_is_in_the_way_of_one_that_has_been_accused_comes_next() {
    let mut bench = bench_of([after(2), accusing(2), accusing(5)]);
    bench.push(0, 0, "ab");
    bench.push(1, 0, "zxx");
    bench.push(2, 0, "pq");
    let run = |bench: &mut Bench, expected: (i32, i64)| {
        let (held, partition, offsets) = bench.announced();
        assert_eq!((partition, offsets), (expected.0, vec![expected.1]));
        bench.succeed(held);
    };
    // Of its key one is before it; and of the next partition it isn't read yet, as what was read before it fills what it may have.
    [(1, 1), (1, 2)].into_iter().for_each(|expected| run(&mut bench, expected));
    assert!(bench.take().is_none());
    bench.wait(AWAITED);
    run(&mut bench, (2, 0));
    bench.push(2, 2, "rstu");
    [(2, 5), (0, 0), (0, 1), (1, 0), (2, 1)].into_iter().for_each(|expected| run(&mut bench, expected));
}

#[test]
fn one_that_has_been_accused_is_waited_for_before_anything_else_runs() {
    let mut bench = bench_of([after(2), accusing(1), after(0)]);
    bench.push(0, 0, "ab");
    bench.push(2, 0, "q");
    bench.commit();
    bench.push(1, 0, "x");
    assert!(bench.take().is_none() && !bench.due(), "nothing is announced in its place");
    assert!(bench.push(1, 1, "y").ready > 0);
    let (held, partition, offsets) = bench.announced();
    assert_eq!((partition, offsets), (1, vec![1]));
    bench.succeed(held);
    assert_eq!(bench.announced().1, 0, "nobody is waited for any more");
}

#[test]
fn one_that_has_been_accused_and_does_not_come_in_is_waited_for_no_longer_than_that() {
    let mut bench = bench_of([after(2), accusing(1)]);
    bench.push(0, 0, "a");
    let now = bench.now;
    let take = |bench: &mut Bench| bench.lanes.take(&mut Cargo::default(), || now);
    let (taken, told) = take(&mut bench);
    assert_eq!((taken.is_none(), told.timer), (true, true), "who has the clock is to look");
    assert_eq!(bench.lanes.next_due(bench.now), Some(bench.now + AWAITED));
    bench.push(1, 0, "x");
    assert!(bench.wait(AWAITED).ready > 0);
    assert_eq!(bench.lanes.next_due(bench.now), None);
    let (held, partition, _) = bench.announced();
    assert_eq!(partition, 1, "what is in its way");
    bench.succeed(held);
    assert_eq!(bench.announced().1, 0, "only once");
}

#[test]
fn who_looks_late_at_the_clock_waits_no_longer_either() {
    let mut bench = bench_of([after(2), accusing(1)]);
    bench.push(0, 0, "a");
    let now = bench.now;
    assert!(bench.lanes.take(&mut Cargo::default(), || now).0.is_none());
    assert_eq!(bench.wait(AWAITED / 2).ready, 0);
    assert!(bench.wait(AWAITED).ready > 0);
    assert_eq!(bench.lanes.next_due(bench.now), None);
}

#[test]
fn who_waits_for_one_that_has_been_accused_is_told_where_it_comes_in_behind_another_of_its_key() {
    let mut bench = bench_of([after(2), accusing(1)]);
    bench.push(0, 0, "a");
    bench.commit();
    bench.push(1, 0, "x");
    assert!(bench.take().is_none());
    assert!(bench.push(1, 1, "x").ready > 0);
}

#[test]
fn one_that_has_been_accused_is_not_waited_for_while_its_partition_is_paused() {
    let mut bench = bench_of([after(2), accusing(1)]);
    let is_second = |place: &TopicPartition| place.partition.0 == 1;
    assert_eq!(bench.lanes.set_paused(is_second).ready, 0);
    bench.push(0, 0, "a");
    assert_eq!(bench.announced().1, 0);
}

#[test]
fn others_wait_for_what_is_on_probation_and_go_on_while_it_waits() {
    let mut bench = bench(&[2, 0]);
    bench.commit();
    bench.push(1, 0, "xyz");
    let (healthy, partition, _) = bench.next().expect("nothing on probation is ready");
    assert_eq!(partition, 1);
    bench.push(0, 0, "a");
    assert!(bench.take().is_none());
    bench.commit();
    assert!(bench.take().is_none(), "what runs ends first");
    bench.succeed(healthy);
    let (suspect, partition, _) = bench.announced();
    assert_eq!(partition, 0);
    bench.fail(suspect, SECOND);
    assert!(bench.take().is_none(), "what was announced is taken back first");
    bench.commit();
    assert_eq!(bench.next().expect("the others").1, 1);
    assert_eq!(bench.next().expect("side by side").1, 1);
}

#[test]
fn probation_ends_with_as_many_records_as_the_queue_holds_or_at_the_partitions_end() {
    for end in [None, Some(2)] {
        let mut bench = bench(&[2]);
        if let Some(end) = end {
            assert!(!bench.lanes.note_ends(&[(Epoch(0), Offset(end))]).passed);
        }
        let tries = if end.is_some() { 2 } else { 10 };
        for offset in 0..tries {
            bench.push(0, offset, "a");
            let (held, _, _) = bench.announced();
            bench.succeed(held);
        }
        assert!(bench.take().is_none());
        assert!(bench.commit().passed);
        assert_eq!((bench.lanes.take_passed().len(), bench.lanes.on_probation), (1, 0));
        bench.push(0, 10, "bc");
        assert!(bench.take().is_some() && bench.take().is_some());
    }
}

#[test]
fn probation_of_a_partition_without_a_record_ends_once_that_is_known() {
    let mut bench = bench(&[2]);
    bench.commit();
    assert!(!bench.due());
    assert!(bench.lanes.note_ends(&[(Epoch(0), Offset(0))]).commit);
    assert!(!bench.lanes.note_ends(&[(Epoch(0), Offset(0))]).passed, "that isn't committed yet");
    assert!(bench.commit().passed);
}

#[test]
fn no_probation_ends_while_a_record_runs_alone_but_while_others_run_it_may() {
    let at_its_end = [(Epoch(0), Offset(0))];
    let mut bench = bench(&[2, 2]);
    bench.commit();
    bench.push(1, 0, "a");
    let (suspect, ..) = bench.announced();
    assert!(!bench.lanes.note_ends(&at_its_end).commit);
    bench.succeed(suspect);
    assert!(bench.lanes.note_ends(&at_its_end).commit);

    let mut bench = self::bench(&[2, 0]);
    bench.commit();
    bench.push(1, 0, "x");
    let _running = bench.next().expect("nothing on probation is ready");
    assert!(bench.lanes.note_ends(&at_its_end).commit);
}

#[test]
fn attempts_that_fail_do_not_end_probation() {
    let mut bench = bench(&[2]);
    bench.push(0, 0, "ab");
    for _ in 0..6 {
        for _ in 0..2 {
            let (held, ..) = bench.announced();
            bench.fail(held, Duration::ZERO);
        }
        bench.wait(SECOND);
    }
    bench.push(0, 2, "cdefghij");
    for _ in 0..10 {
        assert_eq!(bench.lanes.on_probation, 1);
        let (held, ..) = bench.announced();
        bench.succeed(held);
    }
    assert!(bench.take().is_none() && bench.commit().passed);
}

#[test]
fn what_a_breaker_tries_on_probation_is_announced_and_runs_alone() {
    let mut bench = Bench::keyed(0, 4, 10);
    let route = breaking(bench.order, CircuitBreaker::new().attempts(2).keys(2));
    for (partition, ends) in [(0, 2), (1, 0)] {
        let topic_partition = TopicPartition::new("orders", partition);
        let epoch = Epoch(u64::try_from(partition).expect("few"));
        assert!(
            bench.lanes.assign(Assigned { epoch, topic_partition, progress: after(ends) }, Arc::clone(&route)).room
        );
    }
    bench.commit();
    bench.push(1, 0, "abc");
    let (first, second) = (bench.taken(), bench.taken());
    bench.complain(first);
    assert!(bench.complain(second).breakers);
    bench.push(0, 0, "xy");
    assert!(bench.take().is_none() && !bench.due(), "there is nothing to announce");
    bench.wait(Duration::from_secs(5));
    let (trial, partition, offsets) = bench.next().expect("nothing on probation is tried");
    assert_eq!((partition, offsets), (1, vec![2]));
    bench.complain(trial);
    let announced = |bench: &mut Bench, offset: i64| {
        assert!(bench.take().is_none() && bench.due(), "it is announced first");
        assert!(bench.commit().ready > 0);
        let (held, partition, offsets) = bench.next().expect("it is announced");
        assert_eq!((partition, offsets), (0, vec![offset]));
        assert!(bench.take().is_none(), "nothing runs beside it");
        held
    };
    bench.wait(Duration::from_secs(10));
    let trial = announced(&mut bench, 0);
    bench.complain(trial);
    assert!(bench.take().is_none() && !bench.due(), "nothing is tried");
    bench.wait(Duration::from_secs(20));
    let trial = announced(&mut bench, 1);
    assert!(bench.succeed(trial).breakers);
    let suspect = announced(&mut bench, 0);
    bench.succeed(suspect);
    assert!(bench.take().is_none() && bench.due(), "what was announced is taken back");
    bench.commit();
    assert!(bench.take().is_some() && bench.take().is_some(), "the others, side by side");
}

#[test]
fn a_partition_that_is_not_committed_yet_is_not_tried_either() {
    let mut bench = Bench::keyed(0, 4, 10);
    let route = breaking(bench.order, CircuitBreaker::new().attempts(2).keys(2));
    let assign = |bench: &mut Bench, partition| {
        let topic_partition = TopicPartition::new("orders", partition);
        let epoch = Epoch(u64::try_from(partition).expect("few"));
        assert!(bench.lanes.assign(Assigned { epoch, topic_partition, progress: after(0) }, Arc::clone(&route)).room);
    };
    assign(&mut bench, 0);
    bench.commit();
    bench.push(0, 0, "ab");
    bench.open();
    assign(&mut bench, 1);
    bench.push(1, 0, "x");
    bench.wait(Duration::from_secs(5));
    let (trial, partition, _) = bench.next().expect("of the partition that is committed");
    assert_eq!(partition, 0);
    bench.complain(trial);
    bench.commit();
    assert!(bench.take().is_none());
    bench.wait(Duration::from_secs(10));
    let (trial, partition, _) = bench.next().expect("it has not failed");
    assert_eq!(partition, 1);
    bench.succeed(trial);
}

#[test]
fn a_partition_that_goes_takes_its_probation_with_it() {
    let mut bench = bench(&[2, 0]);
    bench.commit();
    bench.push(0, 0, "a");
    bench.push(1, 0, "x");
    assert!(bench.take().is_none());
    let _on_its_way = bench.lanes.commits();
    bench.release(0);
    assert!(bench.take().is_none(), "it isn't known whether that is taken back");
    assert!(bench.lose(0).ready > 0, "who was sent away is to look again");
    assert_eq!(bench.lanes.on_probation, 0);
    assert_eq!(bench.next().expect("nothing is in its way").1, 1);
}

#[test]
fn nothing_runs_beside_a_record_that_ran_alone_until_it_has_ended_though_its_partition_went() {
    let mut bench = bench(&[2, 0]);
    bench.commit();
    bench.push(0, 0, "a");
    bench.push(1, 0, "x");
    let (suspect, partition, _) = bench.announced();
    assert_eq!(partition, 0);
    bench.lose(0);
    assert!(bench.take().is_none());
    bench.succeed(suspect);
    assert_eq!(bench.next().expect("nothing is in its way").1, 1);
}

#[test]
fn who_was_sent_away_for_a_record_that_runs_alone_is_told_when_that_is_over() {
    let mut bench = bench(&[2, 0]);
    bench.commit();
    bench.push(0, 0, "ab");
    let (suspect, ..) = bench.announced();
    bench.push(1, 0, "xy");
    bench.succeed(suspect);
    let take = |bench: &mut Bench| bench.lanes.take(&mut Cargo::default(), Instant::now);
    let (taken, told) = take(&mut bench);
    assert_eq!((taken.is_none(), told.ready), (true, 3), "another one is to be announced");
    bench.commit();
    let (suspect, ..) = bench.next().expect("it is announced");
    bench.fail(suspect, SECOND);
    let (taken, _) = take(&mut bench);
    assert!(taken.is_none(), "that nothing runs alone is announced");
    bench.commit();
    let (taken, told) = take(&mut bench);
    assert_eq!((taken.is_some(), told.ready), (true, 2));
}

#[test]
fn a_condemned_record_comes_in_as_a_letter() {
    let mut tracker = after(2);
    tracker.announce(Some(Offset(1)));
    let left = tracker.commit().expect("it is announced");
    let mut tracker = OffsetTracker::resume(Some(left.next), &left.metadata, &"key".into(), 4_096).tracker;
    tracker.take_over(9, NonZero::<u32>::MIN, Timestamp::now());
    let mut bench = Bench::keyed(0, 4, 10);
    let topic_partition = TopicPartition::new("orders", 0);
    assert!(
        bench.lanes.assign(Assigned { epoch: Epoch(0), topic_partition, progress: tracker }, route(bench.order)).room
    );
    bench.push(0, 0, "ab");
    let reasons = bench.lanes.lanes.iter().flat_map(|lane| &lane.queue).map(|entry| {
        let reason = entry.failure.as_ref().map(|failure| (failure.reason, failure.attempts));
        (entry.record.offset().0, reason)
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [(0, None), (1, Some((Reason::Crash, 1)))]);
}
