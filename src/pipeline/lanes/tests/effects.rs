//! What calls tell.

use super::*;

#[test]
fn two_calls_in_a_row_tell_what_either_does() {
    let nothing = Effects::default();
    let all = Effects {
        ready: 2,
        room: true,
        letters: true,
        timer: true,
        drained: true,
        commit: true,
        pressure: Some(true),
        unwanted: 3,
        passed: true,
        breakers: true,
    };
    assert_eq!([nothing.and(all), all.and(nothing)], [all; 2]);
    let later = Effects { pressure: Some(false), ..all };
    assert_eq!(all.and(later), Effects { ready: 4, unwanted: 6, ..later }, "the pressure is as it was told last");
}

#[test]
fn what_its_route_does_not_want_is_finished_and_asks_for_a_commit_as_others_do() {
    let mut bench = Bench::keyed(1, 1, 10);
    bench.lanes.limits.commit_after = 3;
    let records = (0..3).map(|offset| (offset, None, 1)).collect();
    let mut arrivals = arriving(bench.order, Epoch(0), 0, records);
    for arrival in &mut arrivals.records {
        arrival.admittance = crate::pipeline::arrival::Admittance::Unwanted;
    }
    let told = bench.lanes.push(arrivals, bench.now);
    assert_eq!((told.unwanted, told.commit, told.ready), (3, true, 0));
    assert_eq!(bench.lanes.assignment(Epoch(0)).expect("assigned").finished, 3);
    assert_eq!(bench.lanes.commits()[0].1.next.offset(), Offset(3));
}

#[test]
fn a_place_that_nobody_committed_asks_for_that_once() {
    let mut bench = Bench::keyed(0, 1, 10);
    let assigned = |partition: i32, progress| Assigned {
        epoch: Epoch(u64::from(partition.unsigned_abs())),
        topic_partition: TopicPartition::new("orders", partition),
        progress,
    };
    let sought = || OffsetTracker::moved_to(crate::record::NextOffset::at(7), &"key".into(), 4_096);
    let mut asks =
        |partition, progress| bench.lanes.assign(assigned(partition, progress), route(ProcessingOrder::Key)).commit;
    assert_eq!([asks(0, resumed(0, 4_096)), asks(1, sought()), asks(2, sought())], [false, true, false]);
    assert!(!asks(3, resumed(0, 4_096)));
    assert_eq!(bench.lanes.commit_due(), Some(CommitDue::Now), "what came later needs none, and takes back nothing");
    assert_eq!(bench.lanes.commits().len(), 2);
}
