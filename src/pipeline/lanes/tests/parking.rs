//! What waits for its time.

use super::*;

#[test]
fn only_what_is_due_earlier_than_all_others_is_told_to_who_has_the_clock() {
    let mut bench = Bench::keyed(1, 4, 10);
    bench.push(0, 0, "abcd");
    let held: Vec<_> = (0..4).map(|_| bench.taken()).collect();
    let delays = [2, 3, 2, 1].map(|seconds| SECOND * seconds);
    let told: Vec<_> = held.into_iter().zip(delays).map(|(held, delay)| bench.fail(held, delay).timer).collect();
    assert_eq!(told, [true, false, false, true]);
}

#[test]
fn letter_that_fails_is_no_longer_out_and_waits_unless_its_partition_goes() {
    let mut bench = Bench::keyed(1, 4, 10);
    bench.push(0, 0, "ab");
    let mut letter = || {
        let held = bench.taken();
        bench.poison(held);
        bench.lanes.take_letter().expect("there is one")
    };
    let (first, second) = (letter(), letter());
    assert_eq!(bench.lanes.out(&[Epoch(0)]), 2);
    let due = bench.now + SECOND;
    let _told = bench.lanes.letter_failed(first, due);
    assert_eq!((bench.lanes.out(&[Epoch(0)]), bench.lanes.next_retry()), (1, Some(due)));
    bench.release(0);
    assert!(bench.lanes.letter_failed(second, due).drained);
    assert_eq!((bench.lanes.out(&[Epoch(0)]), bench.lanes.next_retry()), (0, None));
}

#[test]
fn a_letter_that_is_written_finishes_its_record_and_counts_for_the_next_commit() {
    let mut bench = Bench::keyed(1, 4, 10);
    bench.lanes.limits.commit_after = 1;
    bench.push(0, 0, "a");
    let held = bench.taken();
    bench.poison(held);
    let job = bench.lanes.take_letter().expect("there is one");
    assert!(bench.acknowledge(job).commit);
    assert_eq!(bench.lanes.assignment(Epoch(0)).expect("assigned").finished, 1);
    assert_eq!(bench.lanes.commits()[0].1.next.offset(), Offset(1));
}

#[test]
fn a_letter_that_waits_is_written_though_its_partition_goes_and_not_once_it_is_lost() {
    let mut bench = Bench::keyed(1, 4, 10);
    bench.push(0, 0, "ab");
    for _ in 0..2 {
        let held = bench.taken();
        bench.poison(held);
    }
    bench.release(0);
    let job = bench.lanes.take_letter().expect("it was started");
    bench.acknowledge(job);
    bench.lose(0);
    assert!(bench.lanes.take_letter().is_none());
    assert_eq!(bench.lanes.loads, Loads::default());
}

/// Two partitions with a retry that is due each, in a full queue.
fn two_due() -> Bench {
    let mut bench = Bench::keyed(2, 4, 4);
    for partition in 0..2 {
        bench.push(partition, 0, "a");
        let held = bench.taken();
        bench.fail(held, SECOND);
    }
    bench.push(0, 1, "bc");
    bench.push(1, 1, "bc");
    bench.wait(SECOND);
    assert_eq!(bench.lanes.due.len(), 2, "no slot is free");
    bench
}

#[test]
fn a_partition_that_is_paused_takes_only_its_own_from_those_that_are_due() {
    let mut bench = two_due();
    let _told = bench.lanes.set_paused(|place| place.partition.0 == 0);
    let states: Vec<_> = bench.lanes.lanes.iter().map(|lane| (lane.place(), lane.state)).collect();
    assert!(bench.lanes.due.is_empty(), "its records have left their slots for the other one");
    assert_eq!(states[..2], [(0, State::Paused), (1, State::Ready)]);
}

#[test]
fn a_letter_that_fails_takes_back_what_its_partition_was_allowed() {
    let mut bench = Bench::keyed(1, 4, 10);
    bench.push(0, 0, "a");
    let run = bench.taken();
    bench.poison(run);
    let job = bench.lanes.take_letter().expect("there is one");
    assert!(bench.allowed(0) > 0);
    let due = bench.now + SECOND;
    assert!(bench.lanes.letter_failed(job, due).room, "the reader must ask again");
    assert_eq!(bench.allowed(0), 0);
}

#[test]
fn letter_that_cannot_be_written_holds_its_partition_until_it_can() {
    let mut bench = Bench::keyed(2, 3, 10);
    bench.push(0, 0, "aab");
    let run = bench.taken();
    assert!(bench.poison(run).letters);
    let job = bench.lanes.take_letter().expect("there is one");
    assert!(bench.allowed(0) > 0, "a letter on its way holds nothing");
    let due = bench.now + SECOND;
    assert!(bench.lanes.letter_failed(job, due).timer);
    assert_eq!((bench.allowed(0), bench.allowed(1)), (0, 9));
    assert_eq!(bench.lanes.census().partitions[0].hold, Some(Hold::DeadLetter));
    let other = bench.taken();
    assert_eq!(offsets(&other), [2], "other keys of what was read go on");

    assert!(bench.wait(SECOND).letters);
    let job = bench.lanes.take_letter().expect("it is tried again");
    let effects = bench.acknowledge(job);
    assert!(effects.room && effects.ready == 1);
    assert!(bench.allowed(0) > 0);
    assert_eq!(offsets(&bench.taken()), [1]);
}

#[test]
fn a_slot_that_a_retry_gives_up_when_it_has_to_wait_on_is_told_of() {
    let mut bench = Bench::new(ProcessingOrder::Key, 3, 4, 3, 1);
    bench.push(0, 0, "a");
    let held = bench.taken();
    bench.fail(held, HOUR);
    bench.push(1, 0, "bbb");
    let held = bench.taken();
    bench.fail(held, SECOND);
    let _told = bench.lanes.set_paused(|place| place.partition.0 == 1);
    bench.lose(0);
    assert_eq!((bench.lanes.loads.queued.records, bench.allowed(2)), (3, 0));
    // Its partition is paused, and among the parked there is room now.
    assert!(bench.wait(SECOND).room);
    assert_eq!((bench.lanes.loads.queued.records, bench.allowed(2)), (2, 1));
}

#[test]
fn letters_that_wait_behind_one_that_is_not_written_go_with_a_partition_that_leaves() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 1, 4, 10, 10);
    bench.push(0, 0, "abc");
    for _ in 0..3 {
        let held = bench.taken();
        bench.poison(held);
    }
    let due = bench.now + HOUR;
    let first = bench.lanes.take_letter().expect("there are three");
    bench.release(0);
    assert_eq!(bench.lanes.out(&[Epoch(0)]), 3, "all were to be written");
    assert!(bench.lanes.letter_failed(first, due).drained);
    assert_eq!((bench.lanes.out(&[Epoch(0)]), bench.lanes.loads), (0, Loads::default()));
    assert!(bench.lanes.take_letter().is_none());
}

#[test]
fn letters_of_one_partition_keep_none_of_another_from_their_way() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 2, 4, 400, 300);
    bench.push(0, 0, &" ".repeat(200));
    for _ in 0..200 {
        let held = bench.taken();
        bench.poison(held);
    }
    let mut out: Vec<_> = std::iter::from_fn(|| bench.lanes.take_letter()).collect();
    assert_eq!(out.len(), 128);
    bench.push(1, 0, "a");
    let held = bench.taken();
    bench.poison(held);
    let other = bench.lanes.take_letter().expect("it has its own way");
    assert_eq!(other.entry.record.partition().0, 1);

    // None gets through: from then on one at a time is tried.
    let due = bench.now + HOUR;
    let last = out.pop().expect("there are many");
    for job in out {
        let _told = bench.lanes.letter_failed(job, due);
        assert!(bench.lanes.take_letter().is_none());
    }
    assert!(bench.lanes.letter_failed(last, due).letters);
    let job = bench.lanes.take_letter().expect("one is tried");
    assert!(bench.lanes.take_letter().is_none());
    assert!(bench.acknowledge(job).letters, "and once it is written, all are");
    assert_eq!(std::iter::from_fn(|| bench.lanes.take_letter()).count(), 71);
}

#[test]
fn partitions_take_turns_with_their_letters() {
    let mut bench = Bench::keyed(2, 8, 10);
    for (epoch, keys) in [(0, "abc"), (1, "a")] {
        bench.push(epoch, 0, keys);
        while let Some(held) = bench.take() {
            bench.poison(held);
        }
    }
    let partitions = std::iter::from_fn(|| bench.lanes.take_letter()).map(|job| job.run.context.epoch.0);
    assert_eq!(partitions.collect::<Vec<_>>(), [0, 1, 0, 0]);
}

#[test]
fn what_is_to_be_hurried_is_that_record_of_that_partition() {
    let mut bench = Bench::keyed(2, 4, 10);
    for partition in 0..2 {
        bench.push(partition, 0, "ab");
        for _ in 0..2 {
            let held = bench.taken();
            bench.fail(held, SECOND);
        }
    }
    let hurried = [(TopicPartition::new("orders", 1), Offset(1))];
    assert!(bench.lanes.hurry(&hurried, bench.now).timer);
    assert_eq!(bench.wait(Duration::ZERO).ready, 1);
    let held = bench.taken();
    assert_eq!((held.0.context.epoch, offsets(&held)), (Epoch(1), vec![1]));
}

#[test]
fn a_partition_that_goes_takes_only_its_own_from_those_that_are_due() {
    let mut bench = two_due();
    bench.lose(0);
    assert_eq!(
        (bench.lanes.due.len(), bench.lanes.lanes[1].state),
        (0, State::Ready),
        "it has a slot that is free now"
    );
}
