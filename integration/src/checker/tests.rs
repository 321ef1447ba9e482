//! The checker against runs made up by hand: each way to break a promise is told by its invariant, and what only looks like one isn't.

use std::collections::BTreeMap;

use daemonry::record::{Offset, Partition};

use super::*;
use crate::ledger::Entry;
use crate::message::{Message, Stored};

/// A run that is written down event by event; each event takes ten milliseconds.
struct Run {
    evidence: Evidence,
    now: u64,
}

impl Run {
    /// Records 0, 1, 2… of partition 0 with these keys; `-` is none, and an upper-case one ought to become a letter.
    fn of(order: Order, keys: &str) -> Self {
        let produced = keys.chars().enumerate().map(|(offset, key)| {
            let fate = if key.is_uppercase() { Fate::Letter(Reason::Poison) } else { Fate::Success };
            let message =
                Message { key: (key != '-').then(|| key.to_lowercase().to_string().into_bytes()), ..Message::new("x") };
            let stored = Stored { partition: Partition(0), offset: Offset(offset as i64), unix_ms: None, message };
            Produced { stored, id: Some(offset as u64), fate, acknowledged_ms: 1_000_000 }
        });
        let evidence = Evidence {
            produced: produced.collect(),
            ends: [(Partition(0), Offset(keys.len() as i64))].into(),
            ..Evidence::none(order)
        };
        Self { evidence, now: 1_000_000 }
    }

    fn pass(mut self, ms: u64) -> Self {
        self.now += ms;
        self
    }

    fn succeed(mut self, offset: usize, pid: u32) -> Self {
        self.now += 10;
        let Produced { stored, id, .. } = &self.evidence.produced[offset];
        let key = stored.message.key.as_ref().map_or("-".into(), |key| String::from_utf8_lossy(key).into_owned());
        let id = id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let at = self.evidence.ledger.len() as u64 * 10;
        let (partition, offset) = (stored.partition, stored.offset);
        self.evidence.ledger.push(Entry { at, partition, offset, key, id, attempt: 1, pid, unix_ms: self.now });
        self
    }

    fn letter(self, offset: usize) -> Self {
        self.letter_for("poison", offset)
    }

    fn letter_for(mut self, reason: &str, offset: usize) -> Self {
        self.now += 10;
        let Stored { partition, offset, message, .. } = self.evidence.produced[offset].stored.clone();
        let message = message
            .header("daemonry-partition", partition.to_string())
            .header("daemonry-offset", offset.to_string())
            .header("daemonry-reason", reason);
        let (offset, unix_ms) = (Offset(self.evidence.letters.len() as i64), Some(self.now.cast_signed()));
        self.evidence.letters.push(Stored { partition: Partition(0), offset, unix_ms, message });
        self
    }

    fn commit(mut self, next: i64, runs: &[(i64, i64)]) -> Self {
        let sample = self.committed(next, runs);
        self.evidence.samples.push(sample);
        self
    }

    /// One that nobody looked at, and the brokers' log has.
    fn unseen_commit(mut self, next: i64, runs: &[(i64, i64)]) -> Self {
        let sample = self.committed(next, runs);
        self.evidence.commits.push(sample);
        self
    }

    fn committed(&mut self, next: i64, runs: &[(i64, i64)]) -> Sample {
        self.now += 10;
        let committed = [(Partition(0), Coverage { next, runs: runs.to_vec(), topic: None })].into();
        Sample {
            committed,
            leader_epochs: BTreeMap::new(),
            ledger_bytes: self.evidence.ledger.len() as u64 * 10,
            unix_ms: self.now,
        }
    }

    fn crash(self, pid: u32) -> Self {
        self.crash_for(15, pid)
    }

    /// What was in flight may end for so long.
    fn crash_for(mut self, ms: u64, pid: u32) -> Self {
        self.now += 10;
        self.evidence.crashes.push(Crash { pid, unix_ms: self.now, until_ms: self.now + ms });
        self
    }

    /// From here on a seek to this place is asked for.
    fn seek(mut self, place: i64) -> Self {
        self.now += 10;
        let sought = Sought { partition: Partition(0), place: Offset(place), asked: self.moment(), done: None };
        self.evidence.seeks.push(sought);
        self
    }

    /// The last seek is said to be done.
    fn sought(mut self) -> Self {
        self.now += 10;
        let moment = self.moment();
        self.evidence.seeks.last_mut().expect("one was asked for").done = Some(moment);
        self
    }

    fn moment(&self) -> Moment {
        Moment { ledger_bytes: self.evidence.ledger.len() as u64 * 10, unix_ms: self.now }
    }

    /// The verdict must be that exactly these promises were broken, each for one record, which is named.
    #[track_caller]
    fn breaks(self, expected: &[(Invariant, i64)]) {
        let verdict = judge(&self.evidence);
        let found: Vec<_> = verdict
            .violations
            .iter()
            .map(|found| (found.invariant, found.record.map_or(-1, |(_, offset)| offset.0)))
            .collect();
        assert_eq!(found, expected, "{verdict}");
    }

    #[track_caller]
    fn holds(self) {
        self.breaks(&[]);
    }
}

#[test]
fn an_honest_run_holds() {
    Run::of(Order::Key, "ab-Ba")
        .commit(0, &[])
        .succeed(1, 1)
        .succeed(0, 1)
        .commit(2, &[])
        .succeed(2, 1)
        .succeed(4, 1)
        .commit(3, &[(4, 5)])
        .letter(3)
        .commit(5, &[])
        .holds();
}

#[test]
fn a_record_that_never_ends_is_lost() {
    Run::of(Order::Key, "abc").succeed(0, 1).succeed(2, 1).breaks(&[(Invariant::I1, 1)]);
}

#[test]
fn a_success_in_place_of_a_letter_is_told_and_the_other_way_round() {
    Run::of(Order::Key, "aB").letter(0).succeed(1, 1).breaks(&[(Invariant::I1, 0), (Invariant::I1, 1)]);
}

#[test]
fn a_letter_must_have_its_bytes() {
    let changes: [fn(&mut Message); 5] = [
        |letter| letter.value = Some(b"y".to_vec()),
        |letter| letter.key = Some(Vec::new()),
        |letter| letter.headers[0].1 = Some(b"other".to_vec()),
        |letter| letter.headers.swap(0, 1),
        |letter| letter.headers.insert(2, (b"foreign".to_vec(), None)),
    ];
    for change in changes {
        let mut run = Run::of(Order::Key, "A");
        run.evidence.produced[0].stored.message.headers =
            vec![(b"\xff".to_vec(), None), (b"b".to_vec(), Some(Vec::new()))];
        let mut run = run.letter(0);
        change(&mut run.evidence.letters[0].message);
        run.breaks(&[(Invariant::I1, 0)]);
    }
}

#[test]
fn a_handler_that_saw_another_record_is_told() {
    let mut run = Run::of(Order::Key, "ab").succeed(0, 1).succeed(1, 1);
    run.evidence.ledger[0].id = "7".to_owned();
    run.evidence.ledger[1].key = "z".to_owned();
    run.breaks(&[(Invariant::I1, 0), (Invariant::I1, 1)]);
}

#[test]
fn a_success_that_nobody_produced_is_told() {
    let mut run = Run::of(Order::Key, "ab").succeed(0, 1).succeed(1, 1);
    run.evidence.produced.pop();
    run.breaks(&[(Invariant::I1, 1)]);
}

#[test]
fn a_committed_offset_must_not_pass_the_lowest_unfinished() {
    Run::of(Order::Key, "abc").succeed(0, 1).commit(2, &[]).succeed(1, 1).succeed(2, 1).breaks(&[(Invariant::I2, 1)]);
}

#[test]
fn a_run_in_the_metadata_must_not_cover_what_is_unfinished() {
    Run::of(Order::Key, "abcd")
        .succeed(2, 1)
        .commit(0, &[(2, 4)])
        .succeed(0, 1)
        .succeed(1, 1)
        .succeed(3, 1)
        .breaks(&[(Invariant::I2, 3)]);
}

#[test]
fn a_letter_that_was_not_there_yet_finishes_nothing() {
    Run::of(Order::Key, "A").commit(1, &[]).letter(0).breaks(&[(Invariant::I2, 0)]);
}

#[test]
fn an_offset_that_nobody_produced_may_be_committed() {
    // A gap, as compaction and transactions leave them.
    let mut run = Run::of(Order::Key, "abc");
    run.evidence.produced.remove(1);
    run.evidence.produced[1].stored.offset = Offset(2);
    run.succeed(0, 1).succeed(1, 1).commit(3, &[]).holds();
}

#[test]
fn the_records_of_a_key_must_succeed_in_order() {
    let swapped = |order| Run::of(order, "aab").succeed(1, 1).succeed(0, 1).succeed(2, 1);
    swapped(Order::Key).breaks(&[(Invariant::I3, 0)]);
    swapped(Order::Partition).breaks(&[(Invariant::I3, 0)]);
    swapped(Order::Unordered).holds();
}

#[test]
fn records_without_a_key_are_in_the_order_of_their_partition() {
    Run::of(Order::Key, "--a").succeed(1, 1).succeed(2, 1).succeed(0, 1).breaks(&[(Invariant::I3, 0)]);
}

#[test]
fn different_keys_may_pass_each_other_unless_the_partition_orders() {
    Run::of(Order::Key, "ab").succeed(1, 1).succeed(0, 1).holds();
    Run::of(Order::Partition, "ab").succeed(1, 1).succeed(0, 1).breaks(&[(Invariant::I3, 0)]);
}

#[test]
fn only_first_successes_are_in_order() {
    Run::of(Order::Key, "aa").succeed(0, 1).succeed(1, 1).crash(1).succeed(0, 2).succeed(1, 2).holds();
}

#[test]
fn the_letters_of_a_key_are_in_order() {
    Run::of(Order::Key, "ABA").letter(1).letter(2).letter(0).breaks(&[(Invariant::I3, 0)]);
}

#[test]
fn nothing_runs_twice_without_a_crash() {
    Run::of(Order::Key, "a").succeed(0, 1).succeed(0, 2).breaks(&[(Invariant::I4, 0)]);
    Run::of(Order::Key, "a").crash(3).succeed(0, 1).succeed(0, 2).breaks(&[(Invariant::I4, 0)]);
    Run::of(Order::Key, "A").letter(0).letter(0).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn what_a_crash_left_uncommitted_may_run_twice() {
    Run::of(Order::Key, "aB").commit(0, &[]).succeed(0, 1).letter(1).crash(1).letter(1).succeed(0, 2).holds();
}

#[test]
fn a_letter_that_was_on_its_way_at_the_crash_may_come_after_it() {
    Run::of(Order::Key, "A").crash(1).letter(0).letter(0).holds();
    Run::of(Order::Key, "A").crash(1).pass(10).letter(0).letter(0).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_letter_that_was_said_not_to_be_written_may_be_there_once_more_for_each_time() {
    let said =
        "2026-01-01T00:00:00Z  WARN dead letter can't be written, its partition waits partition=0 offset=1 attempt=1";
    let told = |letters: usize| {
        let mut run = Run::of(Order::Key, "AB").letter(0);
        run.evidence.logs.push(Log::of(1, said));
        (0..letters).fold(run, |run, _| run.letter(1))
    };
    told(1).holds();
    told(2).holds();
    told(3).breaks(&[(Invariant::I4, 1)]);
    told(1).letter(0).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn what_a_commit_covered_must_not_run_again_after_a_crash() {
    Run::of(Order::Key, "a").succeed(0, 1).commit(1, &[]).crash(1).succeed(0, 2).breaks(&[(Invariant::I4, 0)]);
    Run::of(Order::Key, "ab")
        .succeed(1, 1)
        .commit(0, &[(1, 2)])
        .crash(1)
        .succeed(0, 2)
        .succeed(1, 2)
        .breaks(&[(Invariant::I4, 1)]);
    Run::of(Order::Key, "A").letter(0).commit(1, &[]).crash(1).letter(0).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn what_was_finished_long_before_the_crash_ought_to_be_committed() {
    Run::of(Order::Key, "a").succeed(0, 1).pass(2_000).crash(1).succeed(0, 2).breaks(&[(Invariant::I4, 0)]);
    Run::of(Order::Key, "A").letter(0).pass(2_000).crash(1).letter(0).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_handler_in_flight_in_a_zombie_may_write_once_more() {
    Run::of(Order::Key, "a").crash_for(35, 1).succeed(0, 2).commit(1, &[]).succeed(0, 1).holds();
    Run::of(Order::Key, "a").succeed(0, 1).crash(1).commit(1, &[]).succeed(0, 2).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_letter_that_a_zombie_was_writing_may_come_behind_a_commit_too() {
    let again = |pid, said: &str| {
        let mut run = Run::of(Order::Key, "A").crash_for(35, 1).letter(0).commit(1, &[]);
        run.evidence.logs.push(Log::of(pid, said));
        run.letter(0)
    };
    let letter = |offset| format!("1970-01-01T00:16:40.1Z  WARN record is a dead letter partition=0 offset={offset}");
    again(1, &letter(0)).holds();
    // It was not this process, or not this record.
    again(2, &letter(0)).breaks(&[(Invariant::I4, 0)]);
    again(1, &letter(7)).breaks(&[(Invariant::I4, 0)]);
    again(1, "").breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_commit_must_not_go_back() {
    Run::of(Order::Key, "ab").succeed(0, 1).succeed(1, 1).commit(2, &[]).commit(1, &[]).breaks(&[(Invariant::I4, 1)]);
}

#[test]
fn a_verdict_names_the_record_and_shows_its_lines() {
    let verdict = judge(&Run::of(Order::Key, "a").succeed(0, 1).succeed(0, 2).evidence);
    let report = format!("{:#}", verdict.ensure_clean().expect_err("it ran twice"));
    assert!(report.contains("1 records: 2 successes, 0 letters, 1 duplicates"), "{report}");
    assert!(
        report.contains("I4 [0] offset 0: ran again although process 1 did not crash: `0 0 a 0 1 1 1000010`"),
        "{report}"
    );
}

#[test]
fn what_a_seek_takes_back_runs_again_and_nothing_else_does() {
    let back = || Run::of(Order::Key, "aaa").succeed(0, 1).succeed(1, 1).commit(2, &[]).seek(1).sought().commit(1, &[]);
    back().succeed(1, 1).succeed(2, 1).commit(3, &[]).holds();
    back().succeed(2, 1).breaks(&[(Invariant::I1, 1)]);
    back().succeed(0, 1).succeed(1, 1).succeed(2, 1).breaks(&[(Invariant::I4, 0), (Invariant::I4, 0)]);
    back().succeed(1, 1).succeed(2, 1).succeed(1, 1).breaks(&[(Invariant::I4, 1)]);
    // The order is that of each pass.
    back().succeed(2, 1).succeed(1, 1).breaks(&[(Invariant::I3, 1)]);
}

#[test]
fn what_a_seek_leaves_out_is_not_lost_and_nothing_else_is_excused() {
    let forward = || Run::of(Order::Key, "aaaa").succeed(0, 1).seek(2).sought().commit(2, &[]);
    forward().succeed(2, 1).succeed(3, 1).commit(4, &[]).holds();
    forward().succeed(3, 1).breaks(&[(Invariant::I1, 2)]);
    forward().succeed(1, 1).succeed(2, 1).succeed(3, 1).breaks(&[(Invariant::I4, 1)]);
    Run::of(Order::Key, "aaa")
        .succeed(0, 1)
        .commit(2, &[])
        .seek(2)
        .sought()
        .succeed(2, 1)
        .breaks(&[(Invariant::I2, 1)]);
}

#[test]
fn a_seek_that_was_done_is_not_forgotten() {
    // The group's commit shows that the next process would go on from 3.
    let run = Run::of(Order::Key, "aaa").succeed(0, 1).succeed(1, 1).succeed(2, 1).commit(3, &[]).seek(0).sought();
    run.commit(3, &[]).commit(3, &[]).breaks(&[
        (Invariant::I1, 0),
        (Invariant::I1, 1),
        (Invariant::I1, 2),
        (Invariant::I2, 0),
        (Invariant::I2, 1),
        (Invariant::I2, 2),
    ]);
}

#[test]
fn a_seek_that_nobody_answered_may_have_happened_or_not() {
    let asked = || Run::of(Order::Key, "aa").succeed(0, 1).succeed(1, 1).commit(2, &[]).seek(0).crash(1);
    asked().holds();
    asked().commit(0, &[]).succeed(0, 2).succeed(1, 2).commit(2, &[]).holds();
    asked().succeed(0, 2).succeed(1, 2).succeed(0, 2).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_commit_goes_back_once_for_a_seek() {
    let run = Run::of(Order::Key, "ab").succeed(0, 1).succeed(1, 1).commit(2, &[]).seek(0).sought();
    run.commit(0, &[]).succeed(0, 1).succeed(1, 1).commit(2, &[]).commit(1, &[]).breaks(&[(Invariant::I4, 1)]);
}

#[test]
fn a_commit_that_a_network_held_back_is_put_right_by_the_next() {
    let back = || {
        let mut run = Run::of(Order::Key, "ab").succeed(0, 1).succeed(1, 1).commit(2, &[]);
        run.evidence.late_commits.push((run.now, run.now + 15));
        run.commit(1, &[])
    };
    back().commit(2, &[]).holds();
    back().breaks(&[(Invariant::I4, 1)]);
    back().commit(2, &[]).commit(1, &[]).breaks(&[(Invariant::I4, 1)]);
}

#[test]
fn a_commit_that_was_waited_for_in_vain_may_land_on_a_newer_one_and_is_put_right_by_the_next() {
    let back = |said: &str| {
        let run = Run::of(Order::Key, "ab").succeed(0, 1).succeed(1, 1).commit(2, &[]);
        let mut run = run.pass(9_000);
        run.evidence.logs.push(Log::of(1, said));
        run.commit(1, &[])
    };
    // The run begins 1,000 s after 1970 did.
    let in_vain = "1970-01-01T00:16:40.1Z  WARN commit failed, the next one will cover it error=OperationTimedOut";
    back(in_vain).commit(2, &[]).holds();
    back(in_vain).breaks(&[(Invariant::I4, 1)]);
    back(in_vain).commit(2, &[]).pass(2_000).commit(1, &[]).commit(2, &[]).breaks(&[(Invariant::I4, 1)]);
    back(in_vain).commit(2, &[]).commit(1, &[]).commit(2, &[]).breaks(&[(Invariant::I4, 1)]);
    let left = "1970-01-01T00:16:40.1Z  WARN commit failed, the next one will cover it error=commit failed, it will be tried again: the coordinator did not answer in time";
    back(left).pass(20_000).commit(2, &[]).holds();
    let refused = "1970-01-01T00:16:40.1Z  WARN commit failed, the next one will cover it error=NotCoordinator";
    back(refused).commit(2, &[]).breaks(&[(Invariant::I4, 1)]);
}

#[test]
fn a_letter_that_a_seek_takes_back_is_written_again() {
    let back = || Run::of(Order::Key, "A").letter(0).commit(1, &[]).seek(0).sought().commit(0, &[]);
    back().letter(0).commit(1, &[]).holds();
    back().breaks(&[(Invariant::I1, 0)]);
    back().letter(0).letter(0).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_zombie_is_not_excused_for_ever() {
    // What was in flight has ended by then: this one has begun once more.
    Run::of(Order::Key, "a").crash(1).succeed(0, 2).commit(1, &[]).succeed(0, 1).breaks(&[(Invariant::I4, 0)]);
    Run::of(Order::Key, "a").crash(1).pass(10).succeed(0, 1).succeed(0, 2).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_crash_does_not_excuse_what_ran_twice_before_it() {
    Run::of(Order::Key, "a").succeed(0, 1).succeed(0, 1).crash(1).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn a_letter_must_say_the_reason_that_its_record_gave() {
    Run::of(Order::Key, "A").letter_for("poison", 0).holds();
    Run::of(Order::Key, "A").letter_for("timeout", 0).breaks(&[(Invariant::I1, 0)]);
    let mut outage = Run::of(Order::Key, "A");
    outage.evidence.other_reasons.push(Reason::Timeout);
    outage.letter_for("timeout", 0).holds();
}

#[test]
fn nothing_behind_the_end_of_a_partition_may_be_committed() {
    let all = || Run::of(Order::Key, "ab").succeed(0, 1).succeed(1, 1);
    all().commit(2, &[]).holds();
    all().commit(3, &[]).commit(4, &[]).breaks(&[(Invariant::I2, 2)]);
    all().commit(2, &[(3, 5)]).breaks(&[(Invariant::I2, 2)]);
}

#[test]
fn a_commit_that_nobody_saw_counts_as_well() {
    // Put right before anybody looked.
    Run::of(Order::Key, "ab")
        .unseen_commit(1, &[])
        .succeed(0, 1)
        .succeed(1, 1)
        .commit(1, &[])
        .breaks(&[(Invariant::I2, 0)]);
    Run::of(Order::Key, "ab")
        .succeed(0, 1)
        .succeed(1, 1)
        .unseen_commit(2, &[])
        .unseen_commit(1, &[])
        .unseen_commit(2, &[])
        .commit(2, &[])
        .breaks(&[(Invariant::I4, 1)]);
    // The last one before a crash.
    let crashed = |run: Run| run.crash(1).succeed(0, 2).commit(1, &[]);
    crashed(Run::of(Order::Key, "a").commit(0, &[]).succeed(0, 1)).holds();
    crashed(Run::of(Order::Key, "a").commit(0, &[]).succeed(0, 1).unseen_commit(1, &[])).breaks(&[(Invariant::I4, 0)]);
}

#[test]
fn what_two_views_show_is_told_once() {
    let run = Run::of(Order::Key, "ab").unseen_commit(1, &[]).commit(1, &[]).succeed(0, 1).succeed(1, 1);
    run.breaks(&[(Invariant::I2, 0)]);
}
