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
