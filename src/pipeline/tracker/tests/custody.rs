//! What commits tell of who reads a partition, and what the next one makes of it.

use super::*;

const NOW: i64 = 1_800_000_000_000;

fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(NOW + seconds * 1_000).expect("after 1970")
}

fn limit(limit: u32) -> NonZero<u32> {
    NonZero::new(limit).expect("above 0")
}

/// What one process after the other finds and leaves behind in a partition.
struct Life {
    tracker: OffsetTracker,
    handover: Handover<Offset>,
}

/// The next process, which is named so.
fn next(left: &OffsetCommit, holder: u32, now: i64) -> Life {
    let mut tracker = resume(left, 4096);
    let handover = tracker.take_over(holder, limit(3), seconds(now));
    Life { tracker, handover }
}

fn first() -> OffsetCommit {
    OffsetCommit { next: NextOffset::at(10), metadata: String::new() }
}

impl Life {
    /// What stands in the source after a commit.
    fn commit(&mut self) -> OffsetCommit {
        if let Some(commit) = self.tracker.commit() {
            self.tracker.acknowledge(&commit);
        }
        assert!(self.tracker.is_announced());
        self.tracker.acknowledged.clone().expect("something was committed")
    }
}

/// Two ends without warning, five seconds apart.
fn after_two_ends() -> OffsetCommit {
    let left = next(&first(), 1, 0).commit();
    let left = next(&left, 2, 5).commit();
    next(&left, 3, 10).commit()
}

#[test]
fn an_end_in_order_leaves_nothing_to_tell() {
    let mut life = next(&first(), 1, 0);
    assert!(!life.tracker.is_announced(), "that it is read isn't known yet");
    let used = life.commit();
    assert!(used.metadata.starts_with("dm2:") && used.next == NextOffset::at(10));
    life.tracker.hand_over();
    assert_eq!(life.commit(), first());
    assert_eq!(next(&first(), 2, 1).handover, Handover::default());
}

#[test]
fn one_end_without_warning_changes_nothing_and_two_bring_probation() {
    let left = next(&first(), 1, 0).commit();
    let mut life = next(&left, 2, 1);
    assert_eq!(life.handover, Handover { unclean: true, ..Handover::default() });
    let mut life = next(&life.commit(), 3, 301);
    assert_eq!((life.handover.probation, life.tracker.is_on_probation()), (true, true));
    life.tracker.end_probation();
    assert!(!life.tracker.is_announced());
    life.tracker.hand_over();
    assert!(!next(&life.commit(), 4, 302).handover.probation);
}

#[test]
fn two_ends_that_lie_further_apart_bring_none() {
    let left = next(&first(), 1, 0).commit();
    let left = next(&left, 2, 1).commit();
    assert!(!next(&left, 3, 302).handover.probation);
}

#[test]
fn one_that_gets_back_what_it_lost_has_not_ended() {
    let left = next(&first(), 1, 0).commit();
    let life = next(&left, 1, 1);
    assert_eq!(life.handover, Handover::default());
    assert!(life.tracker.is_announced() && life.tracker.commit().is_none(), "all that stands there already");
}

#[test]
fn an_end_in_order_within_a_probation_accuses_nobody_and_leaves_it_to_the_next() {
    let mut life = next(&after_two_ends(), 4, 15);
    receive(&mut life.tracker, 10..12);
    life.tracker.announce(Some(Offset(11)));
    life.commit();
    life.tracker.hand_over();
    let life = next(&life.commit(), 5, 10_000);
    let probation = Handover { probation: true, ..Handover::default() };
    assert_eq!((life.handover, life.tracker.condemns(Offset(11))), (probation, None));
}

#[test]
fn only_what_is_announced_is_accused_and_condemned_at_the_limit() {
    let mut left = after_two_ends();
    for (round, holder) in (1..=3).zip(10..) {
        let mut life = next(&left, holder, i64::from(holder) * 10);
        assert!(life.handover.probation && life.handover.condemned.is_empty(), "round {round}");
        receive(&mut life.tracker, 10..14);
        life.tracker.announce(Some(Offset(12)));
        assert!(!life.tracker.is_announced());
        life.commit();
        // It fails, and another one is tried before it is again.
        life.tracker.announce(Some(Offset(11)));
        life.commit();
        life.tracker.announce(Some(Offset(12)));
        left = life.commit();
    }
    let life = next(&left, 20, 1_000);
    assert_eq!(life.handover.condemned, [(Offset(12), 3)]);
    assert_eq!([11, 12].map(|offset| life.tracker.condemns(Offset(offset))), [None, Some(3)]);
}

#[test]
fn nothing_speaks_against_what_is_finished() {
    let mut life = next(&after_two_ends(), 4, 15);
    receive(&mut life.tracker, 10..14);
    life.tracker.announce(Some(Offset(12)));
    let left = life.commit();
    let mut life = next(&left, 5, 20);
    receive(&mut life.tracker, 10..14);
    settle(&mut life.tracker, [12]);
    life.tracker.announce(Some(Offset(13)));
    let left = life.commit();
    let usage = metadata::decode_usage(&left.metadata, Offset(10)).expect("ours");
    assert_eq!((usage.running, usage.accused), (Some(Offset(13)), Vec::new()));
}

#[test]
fn a_record_that_is_finished_is_not_announced_any_more() {
    let mut life = next(&after_two_ends(), 4, 15);
    receive(&mut life.tracker, 10..14);
    life.tracker.announce(Some(Offset(12)));
    settle(&mut life.tracker, [12]);
    let left = life.tracker.commit().expect("it is finished");
    assert_eq!(metadata::decode_usage(&left.metadata, Offset(10)).expect("ours").running, None);
}

#[test]
fn what_was_finished_before_is_not_accused_though_it_was_not_read_again() {
    let (tag, low) = (LaneTag::from("key"), Offset(10));
    let runs = metadata::encode(tag, low, &[Run { start: Offset(11), end: Offset(13) }], 4096).expect("short");
    let accused = [10, 12, 13, 15].map(|offset| (Offset(offset), 1)).to_vec();
    let usage = Usage { holder: Some(4), probation: true, accused, ..Usage::default() }.encode(low);
    let left = OffsetCommit { next: NextOffset::at(10), metadata: metadata::with_usage(tag, &runs, &usage) };
    let mut life = next(&left, 4, 0);
    let usage = metadata::decode_usage(&life.commit().metadata, low).expect("ours");
    assert_eq!(usage.accused, [10, 13, 15].map(|offset| (Offset(offset), 1)));
}

#[test]
fn ends_outside_of_probation_accuse_nobody_however_many() {
    let mut left = first();
    for holder in 1..200 {
        // Ten minutes apart.
        let mut life = next(&left, holder, i64::from(holder) * 600);
        assert!(!life.handover.probation && life.handover.condemned.is_empty());
        receive(&mut life.tracker, 10..14);
        left = life.commit();
    }
}

#[test]
fn other_lanes_lose_the_runs_and_not_the_usage() {
    let left = next(&next(&first(), 1, 0).commit(), 2, 1).commit();
    let resumed = OffsetTracker::resume(Some(left.next), &left.metadata, &LaneTag::from("partition"), 4096);
    let mut tracker = resumed.tracker;
    assert!(tracker.take_over(3, limit(3), seconds(2)).probation);
}

#[test]
fn commits_stay_within_the_limit_and_a_small_one_has_no_custody() {
    let mut tracker = OffsetTracker::resume(Some(NextOffset::at(0)), "", &LaneTag::from("key"), 160).tracker;
    tracker.take_over(1, limit(3), seconds(0));
    assert_eq!(tracker.commit(), None, "too little is left for what is finished");
    let mut tracker = OffsetTracker::resume(Some(NextOffset::at(0)), "", &LaneTag::from("key"), 200).tracker;
    tracker.take_over(1, limit(3), seconds(0));
    let mut next = 0..;
    while tracker.room() > 0 {
        receive(&mut tracker, next.next());
    }
    settle(&mut tracker, (0..next.start).filter(|offset| offset % 2 == 1));
    let commit = tracker.commit().expect("it was let in, so it fits");
    assert!(commit.metadata.len() <= 200 && commit.metadata.starts_with("dm2:"));
    tracker.shrink();
    assert!(tracker.custody.is_some(), "what it tells goes last");
    for _ in 0..2 {
        tracker.shrink();
    }
    settle(&mut tracker, [0]);
    assert!(!tracker.commit_forgetting().expect("there is something").0.metadata.starts_with("dm2:"));
}

#[test]
fn without_a_quarantine_what_was_told_is_taken_back() {
    let left = after_two_ends();
    let tracker = resume(&left, 4096);
    assert_eq!(tracker.commit(), Some(first()));
}

#[test]
fn what_is_on_its_way_or_was_refused_counts_as_told_to_nobody() {
    let mut life = next(&after_two_ends(), 4, 15);
    receive(&mut life.tracker, 10..12);
    let left = life.commit();
    life.tracker.announce(Some(Offset(11)));
    let refused = life.tracker.commit().expect("it is announced");
    life.tracker.sent();
    // The source may have taken it, though nobody said so.
    life.tracker.announce(None);
    assert!(!life.tracker.is_announced());
    assert_ne!(refused, left);
    assert_eq!(life.tracker.commit(), Some(left.clone()), "it takes back what may stand there");
    life.tracker.sent();
    life.tracker.acknowledge(&left);
    assert!(life.tracker.is_announced() && life.tracker.commit().is_none());
}
