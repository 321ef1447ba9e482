//! When reading is held back, and when it goes on.

use super::Bench;

#[test]
fn reading_is_held_back_at_the_high_mark_and_goes_on_at_the_low_one() {
    let mut bench = Bench::keyed(1, 10, 10);
    assert_eq!(bench.push(0, 0, "abcdefg").pressure, None);
    assert_eq!(bench.push(0, 7, "h").pressure, Some(true));
    assert_eq!(bench.allowed(0), 0);
    let runs: Vec<_> = (0..8).map(|_| bench.taken()).collect();
    let effects: Vec<_> = runs.into_iter().map(|run| bench.succeed(run)).collect();
    let changes: Vec<_> = effects.iter().map(|effects| effects.pressure).collect();
    assert_eq!(changes, [None, None, Some(false), None, None, None, None, None]);
    assert!(effects[2].room);
}

#[test]
fn partition_that_is_pressed_out_by_another_keeps_its_share() {
    let mut bench = Bench::keyed(2, 4, 20);
    bench.push(0, 0, "abcdefghijklmnop");
    assert_eq!((bench.allowed(0), bench.allowed(1)), (0, 4));
    bench.push(1, 0, "a");
    assert_eq!(bench.allowed(1), 3);
}

#[test]
fn partition_that_others_slots_keep_out_is_read_on_when_half_of_it_is_done() {
    // Six slots are kept for six partitions without a record, so the seventh has four of ten: below the high mark.
    let mut bench = Bench::keyed(7, 10, 10);
    assert_eq!(bench.allowed(0), 4);
    bench.push(0, 0, "abcd");
    assert_eq!(bench.allowed(0), 0);
    let runs: Vec<_> = (0..4).map(|_| bench.taken()).collect();
    let room: Vec<_> = runs.into_iter().map(|run| bench.succeed(run).room).collect();
    assert_eq!(room, [false, true, false, false]);
    assert_eq!(bench.allowed(0), 4);
}
