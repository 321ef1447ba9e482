//! The offset tracker: what comes in, what is finished, and the commits that follow.

use std::hint::black_box;

use super::super::source::{Epoch, Progress};
use super::super::ticket::Ticket;
use super::super::tracker::OffsetTracker;
use super::new_tracker;
use crate::micro::{Benchmark, RECORDS, Round, Rounds, records};
use crate::record::{Offset, Record};

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark::new("tracker/in_order", RECORDS, || {
        Box::new(Offsets { tracker: new_tracker(), next: 0, finished: (0..RECORDS).collect(), commit_after: RECORDS })
    }),
    Benchmark::new("tracker/out_of_order", RECORDS, || {
        Box::new(Offsets { tracker: new_tracker(), next: 0, finished: out_of_order(), commit_after: RECORDS / 10 })
    }),
];

/// As many handlers side by side finish their records, while the first of all takes until the end.
fn out_of_order() -> Vec<usize> {
    const SIDE_BY_SIDE: usize = 50;
    // Having no divisor in common with the number above, it leads to each of them once.
    const STRIDE: usize = 17;
    let mut order: Vec<usize> =
        (0..RECORDS).map(|n| n - n % SIDE_BY_SIDE + n * STRIDE % SIDE_BY_SIDE).filter(|&n| n != 0).collect();
    order.push(0);
    order
}

struct Offsets {
    tracker: OffsetTracker,
    next: i64,
    /// The records of a round, in the order in which they are finished.
    finished: Vec<usize>,
    commit_after: usize,
}

impl Offsets {
    fn pass(&mut self, records: &[Record]) {
        let mut tickets: Vec<Option<Ticket<Offset>>> = Vec::with_capacity(RECORDS);
        for record in records {
            tickets.push(self.tracker.receive(record).map(|position| Ticket::new(Epoch(1), position)));
        }
        black_box(self.tracker.room());
        for finished in self.finished.chunks(self.commit_after) {
            for &n in finished {
                self.tracker.settle(tickets[n].take().expect("each is finished once").done());
            }
            let commit = self.tracker.commit().expect("something is news");
            self.tracker.acknowledge(&commit);
        }
        assert_eq!(self.tracker.unfinished(), 0);
    }
}

impl Rounds for Offsets {
    fn prepare(&mut self) -> Round<'_> {
        let records = records(self.next, RECORDS, b"");
        self.next += i64::try_from(records.len()).expect("few records");
        Box::new(move || self.pass(&records))
    }
}
