mod custody;
mod model;

use std::sync::Arc;

use super::*;
use crate::pipeline::source::Epoch;
use crate::pipeline::ticket::Ticket;
use crate::record::{OwnedRecord, OwnedRecords, TopicPartition};

fn record(offset: i64) -> Record {
    let records = vec![(Offset(offset), Arc::new(OwnedRecord::default()))];
    OwnedRecords::handles(TopicPartition::new("orders", 0), records).remove(0)
}

fn resume(commit: &OffsetCommit, limit: usize) -> OffsetTracker {
    let resumed = OffsetTracker::resume(Some(commit.next), &commit.metadata, &LaneTag::from("key"), limit);
    assert_eq!(resumed.warning, None);
    resumed.tracker
}

fn at(committed: i64) -> OffsetTracker {
    resume(&OffsetCommit { next: NextOffset::at(committed), metadata: String::new() }, 4096)
}

fn fresh(limit: usize) -> OffsetTracker {
    OffsetTracker::resume(None, "", &LaneTag::from("key"), limit).tracker
}

/// Receives these and expects all of them to be due.
fn receive(tracker: &mut OffsetTracker, offsets: impl IntoIterator<Item = i64>) {
    for offset in offsets {
        assert_eq!(tracker.receive(&record(offset)), Some(Offset(offset)));
    }
}

fn settle(tracker: &mut OffsetTracker, offsets: impl IntoIterator<Item = i64>) {
    for offset in offsets {
        tracker.settle(Ticket::new(Epoch(1), Offset(offset)).done());
    }
}

/// Commits, and says where.
fn commit(tracker: &mut OffsetTracker) -> Option<i64> {
    let commit = tracker.commit()?;
    tracker.acknowledge(&commit);
    Some(commit.next.offset().0)
}

fn due(tracker: &mut OffsetTracker, offsets: impl IntoIterator<Item = i64>) -> Vec<i64> {
    offsets.into_iter().filter(|offset| tracker.receive(&record(*offset)).is_some()).collect()
}

#[test]
fn commit_never_passes_the_lowest_unfinished_offset() {
    let mut tracker = at(10);
    receive(&mut tracker, 10..15);
    settle(&mut tracker, [11, 12]);
    assert_eq!(commit(&mut tracker), Some(10));
    settle(&mut tracker, [10]);
    assert_eq!(commit(&mut tracker), Some(13));
    settle(&mut tracker, [14, 13]);
    assert_eq!(commit(&mut tracker), Some(15));
    assert_eq!((tracker.unfinished(), tracker.pending.len()), (0, 0));
}

#[test]
fn nothing_is_committed_before_anything_came_in() {
    let mut tracker = fresh(4096);
    assert_eq!((tracker.commit(), tracker.commit_forgetting(), tracker.lag(Offset(9))), (None, None, None));
    assert!(tracker.room() > 0);
    receive(&mut tracker, [42]);
    assert_eq!(commit(&mut tracker), Some(42));
}

#[test]
fn what_was_acknowledged_is_not_committed_again() {
    let mut tracker = at(5);
    assert_eq!(tracker.commit(), None);
    receive(&mut tracker, 5..8);
    assert_eq!(tracker.commit(), None);
    settle(&mut tracker, [6]);
    assert!(tracker.commit().is_some());
    assert_eq!(commit(&mut tracker), Some(5));
    assert_eq!(tracker.commit(), None);
}

#[test]
fn a_place_that_was_moved_to_is_to_be_committed_before_anything_came_in() {
    let mut tracker = OffsetTracker::moved_to(NextOffset::at(7), &LaneTag::from("key"), 4096);
    assert_eq!((commit(&mut tracker), tracker.commit()), (Some(7), None));
}

#[test]
fn what_is_passed_without_a_record_counts_as_finished_and_only_forward() {
    let mut tracker = at(5);
    receive(&mut tracker, [5]);
    settle(&mut tracker, [5]);
    tracker.passed(NextOffset::at(9));
    assert_eq!(commit(&mut tracker), Some(9));
    tracker.passed(NextOffset::at(7));
    assert_eq!(tracker.commit(), None);
    let mut tracker = fresh(4096);
    tracker.passed(NextOffset::at(0));
    assert_eq!(tracker.commit(), None, "nothing was there to pass");
    tracker.passed(NextOffset::at(3));
    assert_eq!(commit(&mut tracker), Some(3));
}

#[test]
fn what_is_passed_over_has_no_run_in_it_any_more() {
    let mut tracker = at(5);
    receive(&mut tracker, 5..20);
    settle(&mut tracker, [6, 7, 10, 11, 18]);
    let left = tracker.commit().expect("some are finished");
    // All of it is removed from the log, or up to a part of the last run.
    for (passed, committed) in [(25, 25), (20, 20), (19, 19), (18, 19)] {
        let resumed = OffsetTracker::resume(Some(left.next), &left.metadata, &LaneTag::from("key"), 4096);
        let mut tracker = resumed.tracker;
        tracker.passed(NextOffset::at(passed));
        assert_eq!(commit(&mut tracker), Some(committed), "{passed}");
    }
}

#[test]
fn what_is_of_a_log_that_was_cut_is_not_finished_any_more() {
    let mut tracker = at(5);
    receive(&mut tracker, 5..20);
    settle(&mut tracker, [6, 7, 10, 11, 18]);
    let left = tracker.commit().expect("some are finished");
    let resumed = || OffsetTracker::resume(Some(left.next), &left.metadata, &LaneTag::from("key"), 4096).tracker;
    for (from, end) in [(19, 19), (18, 12), (11, 11), (10, 8), (6, 5)] {
        let mut tracker = resumed();
        tracker.rewritten(Offset(from));
        assert_eq!(tracker.restored_end().unwrap_or(Offset(5)), Offset(end), "cut at {from}");
    }
    let mut tracker = resumed();
    tracker.rewritten(Offset(11));
    assert_eq!(due(&mut tracker, 5..20), [5, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    settle(&mut tracker, [5, 8, 9]);
    assert_eq!(commit(&mut tracker), Some(11));
}

#[test]
fn finished_ones_are_dropped_at_once_when_they_are_too_many() {
    let most = SLACK + 2;
    let end = i64::try_from(most).expect("small");
    let mut tracker = at(0);
    receive(&mut tracker, 0..=end);
    settle(&mut tracker, 1..=end);
    assert_eq!(tracker.pending.len(), 1 + most, "to drop some each time would take as long as there are");
    receive(&mut tracker, [end + 1]);
    settle(&mut tracker, [end + 1]);
    assert_eq!(tracker.pending.len(), 1);
}

#[test]
fn room_leaves_what_may_become_holes_between_what_was_restored() {
    let run = Run { start: Offset(10), end: Offset(900) };
    let metadata = metadata::encode(LaneTag::from("key"), Offset(0), &[run], 4096).expect("short");
    let mut tracker = resume(&OffsetCommit { next: NextOffset::at(0), metadata }, 128);
    tracker.pace.step(300);
    let more = Budget::of(128).more(10, 900, 300).expect("it fits");
    assert!(more > 0);
    assert_eq!(tracker.room() as u64, more + 3, "three more come in again");
}

#[test]
fn window_and_reach_tell_what_is_finished_ahead_of_the_commit() {
    let runs = [(1, 5), (10, 20)].map(|(start, end)| Run { start: Offset(start), end: Offset(end) });
    let metadata = metadata::encode(LaneTag::from("key"), Offset(0), &runs, 4096).expect("short");
    let bytes = metadata.len();
    let mut tracker = resume(&OffsetCommit { next: NextOffset::at(0), metadata }, 4096);
    assert_eq!(due(&mut tracker, 0..10), [0, 5, 6, 7, 8, 9]);
    assert_eq!(tracker.window(), Window { records: 14, bytes });
    let reach = Reach {
        read: Some(NextOffset::at(10)),
        oldest_unfinished: Some(Offset(0)),
        committed: Some(NextOffset::at(0)),
    };
    assert_eq!(tracker.reach(), reach);
}

#[test]
fn a_step_is_from_one_record_to_the_next() {
    let mut tracker = at(0);
    receive(&mut tracker, [0, 300]);
    assert_eq!(tracker.pace.stride(), 300);
    // It is remembered for as long as the window after its own.
    receive(&mut tracker, 301..301 + 1_023 + 1_023);
    assert_eq!(tracker.pace.stride(), 300);
    receive(&mut tracker, [301 + 1_023 + 1_023, 302 + 1_023 + 1_023]);
    assert_eq!(tracker.pace.stride(), 2);
}

#[test]
fn gaps_count_as_finished() {
    let mut tracker = at(0);
    receive(&mut tracker, [3, 10, 20]);
    assert_eq!(commit(&mut tracker), Some(3));
    settle(&mut tracker, [3]);
    assert_eq!(commit(&mut tracker), Some(10));
    settle(&mut tracker, [10, 20]);
    assert_eq!(commit(&mut tracker), Some(21));
}

#[test]
fn restart_runs_only_what_was_unfinished() {
    let mut tracker = at(0);
    receive(&mut tracker, 0..10);
    settle(&mut tracker, [1, 2, 5, 9]);
    let commit = tracker.commit().expect("something to say");
    let mut tracker = resume(&commit, 4096);
    assert_eq!(tracker.commit(), None);
    assert_eq!(due(&mut tracker, 0..12), [0, 3, 4, 6, 7, 8, 10, 11]);
}

#[test]
fn commit_before_restored_runs_are_read_again_still_remembers_them() {
    let mut tracker = at(0);
    receive(&mut tracker, 0..100);
    settle(&mut tracker, (1..50).chain(60..70).chain(90..100));
    let mut tracker = resume(&tracker.commit().expect("something to say"), 4096);
    receive(&mut tracker, [0]);
    settle(&mut tracker, [0]);
    let commit = tracker.commit().expect("something to say");
    assert_eq!(commit.next, NextOffset::at(50));
    let mut tracker = resume(&commit, 4096);
    assert_eq!(due(&mut tracker, 50..101), (50..60).chain(70..90).chain([100]).collect::<Vec<_>>());
}

#[test]
fn other_lanes_or_a_foreign_commit_start_without_runs() {
    for (metadata, warning) in
        [("dm1:6815c86d:b:BgI", MetadataWarning::OtherLanes), ("checkpoint 7", MetadataWarning::Foreign)]
    {
        let resumed = OffsetTracker::resume(Some(NextOffset::at(100)), metadata, &LaneTag::from("key"), 4096);
        assert_eq!(resumed.warning, Some(warning));
        let mut tracker = resumed.tracker;
        assert_eq!(tracker.commit(), None);
        receive(&mut tracker, 100..112);
    }
}

#[test]
fn metadata_without_an_offset_means_nothing() {
    let Resumed { mut tracker, warning } =
        OffsetTracker::resume(None, "dm1:6815c86c:b:BgI", &LaneTag::from("key"), 4096);
    assert_eq!(warning, None);
    receive(&mut tracker, 0..5);
}

#[test]
fn five_million_finished_behind_a_stuck_one_still_flow_in_bounded_memory() {
    let mut tracker = at(0);
    receive(&mut tracker, [0]);
    let records = OwnedRecords::handles(
        TopicPartition::new("orders", 0),
        (1..5_000_001).map(|offset| (Offset(offset), Arc::new(OwnedRecord::default()))).collect(),
    );
    for records in records.chunks(100) {
        assert!(tracker.room() >= 100);
        for record in records {
            assert!(tracker.receive(record).is_some());
        }
        settle(&mut tracker, records.iter().rev().map(|record| record.offset().0));
    }
    assert!(tracker.pending.len() <= 3 * 101 + SLACK && tracker.pending.capacity() < 1024);
    let commit = tracker.commit().expect("something to say");
    assert_eq!((commit.next, commit.metadata.len()), (NextOffset::at(0), 22));
    assert_eq!(tracker.lag(Offset(5_000_001)), Some(5_000_001));
    assert!(tracker.room() > 900, "{}", tracker.room());
    settle(&mut tracker, [0]);
    assert_eq!(commit_and_metadata(&tracker), (5_000_001, String::new()));
}

fn commit_and_metadata(tracker: &OffsetTracker) -> (i64, String) {
    let commit = tracker.commit().expect("something to say");
    (commit.next.offset().0, commit.metadata)
}

#[test]
fn record_that_is_pending_is_not_handed_out_twice() {
    let mut tracker = at(0);
    receive(&mut tracker, 0..4);
    assert_eq!(due(&mut tracker, [1, 3]), [0_i64; 0]);
    assert_eq!(tracker.unfinished(), 4);
    settle(&mut tracker, 0..4);
    assert_eq!(commit(&mut tracker), Some(4));
}

#[test]
fn rewind_runs_again_what_was_finished_and_claims_none_of_it_until_then() {
    let mut tracker = at(1000);
    receive(&mut tracker, 1000..1010);
    settle(&mut tracker, (1000..1005).chain([1006]));
    assert_eq!(commit(&mut tracker), Some(1005));
    receive(&mut tracker, [0]);
    assert_eq!(commit_and_metadata(&tracker), (0, String::new()));
    settle(&mut tracker, [0, 1005]);
    assert_eq!(commit_and_metadata(&tracker), (1, String::new()));
    // 1007 to 1009 are still with their workers; 1005 and 1006 were finished once and run again.
    assert_eq!(due(&mut tracker, [1, 1005, 1006, 1007, 1008, 1009, 1010]), [1, 1005, 1006, 1010]);
    settle(&mut tracker, [1007, 1, 1005, 1006, 1008, 1009]);
    assert_eq!((commit(&mut tracker), tracker.unfinished()), (Some(1010), 1));
}

#[test]
fn log_that_was_made_anew_is_read_from_its_start() {
    let commit = OffsetCommit { next: NextOffset::at(100), metadata: "dm1:6815c86c:b:BgI".to_owned() };
    let mut tracker = resume(&commit, 4096);
    receive(&mut tracker, 0..3);
    settle(&mut tracker, [0]);
    assert_eq!(commit_and_metadata(&tracker), (1, String::new()));
    receive(&mut tracker, 3..120);
}

#[test]
#[cfg_attr(debug_assertions, should_panic(expected = "isn't pending"))]
fn settling_twice_is_an_error_that_moves_nothing() {
    let mut tracker = at(0);
    receive(&mut tracker, 0..3);
    settle(&mut tracker, [1, 1]);
    assert_eq!((tracker.unfinished(), commit(&mut tracker)), (2, Some(0)));
}

#[test]
fn runs_that_a_wide_gap_made_too_long_hold_the_commit_but_not_the_last_one() {
    let limit = 64;
    let mut tracker = resume(&OffsetCommit { next: NextOffset::at(0), metadata: String::new() }, limit);
    let room = i64::try_from(tracker.room()).expect("small");
    receive(&mut tracker, (0..room).map(|nth| nth * 1000));
    settle(&mut tracker, (0..room).filter(|nth| nth % 2 == 1).map(|nth| nth * 1000));
    assert_eq!((tracker.commit(), tracker.room()), (None, 0));
    let (commit, forgotten) = tracker.commit_forgetting().expect("something to say");
    assert!(commit.metadata.len() <= limit && forgotten > 0);
    let again = due(&mut resume(&commit, limit), (0..room).map(|nth| nth * 1000));
    assert!((room / 2..room).contains(&i64::try_from(again.len()).expect("small")), "{again:?}");
    tracker.acknowledge(&commit);
    settle(&mut tracker, (0..room).filter(|nth| nth % 2 == 0).map(|nth| nth * 1000));
    assert_eq!(commit_and_metadata(&tracker), ((room - 1) * 1000 + 1, String::new()));
}

#[test]
fn where_what_was_restored_ends_is_known_until_all_of_it_came_in_again() {
    let mut tracker = at(0);
    receive(&mut tracker, 0..6);
    settle(&mut tracker, [2, 3, 5]);
    assert_eq!(tracker.restored_end(), None);
    let mut tracker = resume(&tracker.commit().expect("something to say"), 4096);
    assert_eq!(tracker.restored_end(), Some(Offset(6)));
    assert_eq!(due(&mut tracker, 0..5), [0, 1, 4]);
    assert_eq!(tracker.restored_end(), Some(Offset(6)));
    assert_eq!(due(&mut tracker, 5..7), [6]);
    assert_eq!(tracker.restored_end(), None);
}

#[test]
fn refused_metadata_shrinks_the_limit_and_the_room_with_it() {
    let mut tracker = at(0);
    let mut before = tracker.room();
    for limit in [2048, 1024, 512, 256, 128, 64] {
        tracker.shrink();
        assert_eq!(tracker.limit, limit);
        assert!(tracker.room() < before);
        before = tracker.room();
    }
    tracker.shrink();
    // One by one, without anything to remember.
    for offset in 0..3 {
        assert_eq!(tracker.room(), 1);
        receive(&mut tracker, [offset]);
        assert_eq!((tracker.room(), tracker.current().expect("fits").metadata), (0, String::new()));
        settle(&mut tracker, [offset]);
        assert_eq!(commit(&mut tracker), Some(offset + 1));
    }
}

#[test]
fn runs_restored_from_a_larger_limit_do_not_stop_the_partition() {
    let mut tracker = at(0);
    receive(&mut tracker, 0..10_000);
    settle(&mut tracker, (0..10_000).filter(|offset| offset % 2 == 1));
    let commit = tracker.commit().expect("something to say");
    let mut tracker = resume(&commit, 128);
    let mut offset = 0;
    while offset < 10_000 {
        let to = offset + i64::try_from(tracker.room()).expect("small");
        assert!(offset < to);
        let again = due(&mut tracker, offset..to.min(10_000));
        assert!(again.iter().all(|offset| offset % 2 == 0));
        settle(&mut tracker, again);
        offset = to;
    }
    assert_eq!(commit_and_metadata(&tracker), (10_000, String::new()));
}

#[test]
fn last_offset_there_is_does_not_overflow() {
    let mut tracker = at(0);
    receive(&mut tracker, [0, i64::MAX - 1]);
    settle(&mut tracker, [i64::MAX - 1]);
    assert!(tracker.room() > 0);
    let mut tracker = resume(&tracker.commit().expect("something to say"), 4096);
    assert_eq!(due(&mut tracker, [0, 5, i64::MAX - 1]), [0]);
}
