//! Records that run alone, each announced first.

use std::num::NonZero;

use super::super::super::tracker::{OffsetCommit, OffsetTracker};
use super::*;
use crate::record::{NextOffset, Timestamp};

/// A partition's tracker after so many ends without warning.
fn after(ends: u32) -> OffsetTracker {
    let mut left = OffsetCommit { next: NextOffset::at(0), metadata: String::new() };
    for holder in 0.. {
        let mut tracker = OffsetTracker::resume(Some(left.next), &left.metadata, &"key".into(), 4_096).tracker;
        tracker.take_over(holder, NonZero::<u32>::MIN, Timestamp::now());
        if holder == ends {
            return tracker;
        }
        left = tracker.commit().expect("it tells who reads it");
    }
    unreachable!("there are fewer ends than that")
}

/// Partitions after so many ends each, with four workers.
fn bench(ends: &[u32]) -> Bench {
    let mut bench = Bench::keyed(0, 4, 10);
    for (partition, ends) in (0..).zip(ends) {
        let topic_partition = TopicPartition::new("orders", partition);
        let epoch = Epoch(u64::try_from(partition).expect("few"));
        let _ = bench.lanes.assign(Assigned { epoch, topic_partition, progress: after(*ends) }, route(bench.order));
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
        assert_eq!(bench.lanes.tried, 0);
    }
}

#[test]
fn on_probation_one_record_at_a_time_starts_once_it_is_announced() {
    let mut bench = bench(&[2]);
    bench.push(0, 0, "aab");
    for offset in [0, 2, 1] {
        assert!(bench.take().is_none() && bench.due(), "it is announced first");
        let commits = bench.lanes.commits();
        let _ = bench.lanes.refused(&commits);
        assert!(bench.take().is_none());
        assert!(bench.commit().ready > 0);
        let (held, _, offsets) = bench.next().expect("it is announced");
        assert_eq!(offsets, [offset]);
        assert!(bench.take().is_none(), "nothing runs beside it");
        bench.succeed(held);
    }
}

#[test]
fn others_wait_for_what_is_on_probation_and_go_on_while_it_waits() {
    let mut bench = bench(&[2, 0]);
    bench.commit();
    bench.push(1, 0, "xyz");
    let (healthy, partition, _) = bench.next().expect("nothing on probation is ready");
    assert_eq!(partition, 1);
    bench.push(0, 0, "a");
    assert!(bench.take().is_none(), "what runs ends first");
    bench.succeed(healthy);
    assert!(bench.take().is_none());
    bench.commit();
    let (suspect, partition, _) = bench.next().expect("it is announced");
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
            let _ = bench.lanes.note_ends(&[(Epoch(0), Offset(end))]);
        }
        let tries = if end.is_some() { 2 } else { 10 };
        for offset in 0..tries {
            bench.push(0, offset, "a");
            assert!(bench.take().is_none());
            bench.commit();
            let (held, _, _) = bench.next().expect("it is announced");
            bench.succeed(held);
        }
        assert!(bench.take().is_none());
        assert!(bench.commit().passed);
        assert_eq!((bench.lanes.take_passed().len(), bench.lanes.tried), (1, 0));
        bench.push(0, 10, "bc");
        assert!(bench.take().is_some() && bench.take().is_some());
    }
}

#[test]
fn a_partition_that_goes_takes_its_probation_with_it() {
    let mut bench = bench(&[2, 0]);
    bench.commit();
    bench.push(0, 0, "a");
    bench.push(1, 0, "x");
    assert!(bench.take().is_none());
    bench.lose(0);
    assert_eq!(bench.lanes.tried, 0);
    assert_eq!(bench.next().expect("nothing is in its way").1, 1);
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
    let _ = bench.lanes.assign(Assigned { epoch: Epoch(0), topic_partition, progress: tracker }, route(bench.order));
    bench.push(0, 0, "ab");
    let reasons = bench.lanes.lanes.iter().flat_map(|lane| &lane.queue).map(|entry| {
        let reason = entry.failure.as_ref().map(|failure| (failure.reason, failure.attempts));
        (entry.record.offset().0, reason)
    });
    assert_eq!(reasons.collect::<Vec<_>>(), [(0, None), (1, Some((Reason::Crash, 1)))]);
}
