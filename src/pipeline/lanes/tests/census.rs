//! What the lanes say that they hold.

use super::*;
use crate::pipeline::control::Rate;
use crate::record::Timestamp;

/// Records with the time that each carries in milliseconds.
fn stamped(records: &[(i64, &[u8], i64)]) -> Arrivals {
    let record = |&(offset, key, stamp): &(i64, &[u8], i64)| {
        let timestamp = Timestamp::from_millis(stamp);
        (offset, OwnedRecord { key: Some(key.to_vec()), value: Some(vec![0]), timestamp, ..OwnedRecord::default() })
    };
    came_in(ProcessingOrder::Key, Epoch(0), 0, records.iter().map(record))
}

#[test]
fn census_counts_what_is_here_and_what_it_waits_for() {
    let mut bench = Bench::keyed(3, 5, 20);
    let began = bench.now;
    let _told = bench.lanes.push(stamped(&[(0, b"a", 500), (1, b"b", 700)]), bench.now);
    bench.now += SECOND;
    let _told = bench.lanes.push(stamped(&[(2, b"c", 900), (3, b"c", 950), (4, b"d", 990)]), bench.now);
    let [a, b, c, d] = bench.hold();
    assert_eq!(c.1.entries.len(), 2);
    bench.push(0, 5, "c");
    bench.succeed(a);
    bench.fail(b, SECOND * 5);
    bench.fail(d, SECOND * 3);
    let _told = bench.lanes.note_ends(&[(Epoch(0), Offset(10))]);
    bench.lanes.note_silent(&[Epoch(0)]);
    bench.push(1, 0, "x");

    let census = bench.lanes.census();
    assert_eq!((census.queued.records, census.parked.records), (4, 2));
    assert_eq!((census.busy, census.workers, census.may_start), (1, 5, true));
    assert_eq!(census.oldest, Some(began), "one that was tried keeps its age");
    assert_eq!(census.partitions.iter().map(|one| one.epoch).collect::<Vec<_>>(), [0, 1, 2].map(Epoch));
    assert_eq!(bench.lanes.epochs(), [0, 1, 2].map(Epoch));
    let (first, second) = (&census.partitions[0], &census.partitions[1]);
    assert_eq!((first.stands_still, first.probation, first.waits_for_letter), (false, false, false));
    assert_eq!(first.waits_until, Some(bench.now + SECOND * 5), "the last one");
    assert_eq!([first.is_silent, second.is_silent], [true, false]);
    assert_eq!([first.lag, second.lag], [Some(9), None]);
    assert_eq!((first.unfinished, first.queued.records, first.parked.records, first.busy), (5, 3, 2, 1));
    assert_eq!((first.lanes, first.deepest_lane), (3, 2), "what is out of a lane counts as one");
    assert_eq!((first.finished, first.uncommitted, first.oldest_timestamp), (1, 1, Some(500)));
    assert_eq!((first.reach.read.map(|next| next.offset()), first.window.records), (Some(Offset(6)), 0));
    assert_eq!(bench.lanes.largest().map(|(place, load)| (place.partition.0, load.records)), Some((0, 3)));

    let commits = bench.lanes.commits();
    let _told = bench.lanes.acknowledge(&commits);
    bench.succeed(c);
    let _told = bench.lanes.set_paused(|place| place.partition.0 == 0);
    bench.lanes.note_silent(&[]);
    let census = bench.lanes.census();
    let first = &census.partitions[0];
    assert_eq!((first.finished, first.uncommitted, first.stands_still, first.is_silent), (3, 2, true, false));
}

#[test]
fn letters_that_wait_are_late_and_nothing_else_is_waited_for() {
    let mut bench = Bench::keyed(1, 1, 10);
    assert_eq!(bench.lanes.census().oldest, None);
    bench.push(0, 0, "a");
    let held = bench.taken();
    bench.poison(held);
    assert!(bench.lanes.census().partitions[0].waits_for_letter, "it is to be written");
    let job = bench.lanes.take_letter().expect("there is one");
    assert!(bench.lanes.census().partitions[0].waits_for_letter, "it is on its way");
    let due = bench.now + SECOND;
    let _told = bench.lanes.letter_failed(job, due);
    let census = bench.lanes.census();
    assert_eq!((census.partitions[0].waits_until, census.partitions[0].waits_for_letter), (None, true));
    let _told = bench.lanes.set_rate(Rate::new(1, SECOND), bench.now);
    bench.push(0, 1, "b");
    let _running = bench.taken();
    assert!(!bench.lanes.census().may_start, "the rate lets nothing begin");
}

#[test]
fn partition_of_which_nothing_can_start_but_paused_keys_says_so() {
    let mut bench = Bench::keyed(1, 2, 10);
    let paused = |bench: &Bench| bench.lanes.census().partitions[0].keys_paused;
    bench.push(0, 0, "ab");
    let _told = bench.lanes.set_paused_keys(super::paused(b"a"));
    assert!(!paused(&bench), "the other one can start");
    let other = bench.taken();
    bench.succeed(other);
    assert!(paused(&bench));
    let _told = bench.lanes.set_paused_keys(Keys::new());
    let running = bench.taken();
    assert!(!paused(&bench), "it runs");
    bench.fail(running, SECOND);
    assert!(!paused(&bench), "it waits for its time");
}
