//! A record's way through the lanes: from the batch that it came in to its commit, as reader, worker and committer take it there.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::arrival::arrivals;
use super::super::lanes::{BatchRun, Cargo, Effects, Entry, Haul, LaneId, Lanes, Queue, Taken};
use super::super::source::{Assigned, Batch, Epoch, Progress};
use super::super::ticket::{Settled, Ticket};
use super::super::tracker::OffsetTracker;
use super::super::{CrashQuarantine, PipelineSettings, limits};
use super::new_tracker;
use crate::handler::{ProcessingOrder, RouteSpec, Router, on, on_batch};
use crate::micro::{Benchmark, RECORDS, Round, Rounds, records};
use crate::record::{Offset, Record, Timestamp, TopicPartition};

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark::new("lanes/key", RECORDS, || Box::new(Passage::each(ProcessingOrder::Key, RECORDS))),
    Benchmark::new("lanes/partition", RECORDS, || Box::new(Passage::each(ProcessingOrder::Partition, 1))),
    Benchmark::new("lanes/unordered", RECORDS, || Box::new(Passage::each(ProcessingOrder::Unordered, RECORDS))),
    Benchmark::new("lanes/batches", RECORDS, || Box::new(Passage::of_batches(100))),
];

const EPOCH: Epoch = Epoch(1);
/// As a worker does.
const REPORT_AT: usize = 64;
/// What a handler takes here.
const QUICK: Duration = Duration::from_nanos(50);

struct Passage {
    lanes: Lanes<OffsetTracker>,
    route: Arc<RouteSpec>,
    keys: usize,
    next: i64,
    now: Instant,
    cargo: Cargo<Offset>,
    entries: Queue<Entry<Offset>>,
    settled: Vec<(Settled<Offset>, usize)>,
    done: Vec<LaneId>,
}

impl Passage {
    /// Through a route that takes one record after the other.
    fn each(order: ProcessingOrder, keys: usize) -> Self {
        async fn handle() {}
        Self::new(Router::new().topic("orders", on(handle).order(order)), keys)
    }

    /// Through one that takes `max` at once, of as many keys.
    fn of_batches(max: usize) -> Self {
        async fn handle(_: Vec<Record>) {}
        Self::new(Router::new().topic("orders", on_batch(handle).max(max).order(ProcessingOrder::Key)), RECORDS)
    }

    fn new(router: Router, keys: usize) -> Self {
        let settings = PipelineSettings { queue_records: 10 * RECORDS, seed: Some(1), ..PipelineSettings::default() };
        let topic_partition = TopicPartition::new("orders", 0);
        let route = Arc::clone(router.into_routes().of(&topic_partition.topic).expect("just made"));
        let mut lanes = Lanes::new(limits(&settings), Instant::now());
        let mut progress = new_tracker();
        progress.take_over(1, CrashQuarantine::default().limit, Timestamp::from_millis(0).expect("not before 1970"));
        let effects = lanes.assign(Assigned { epoch: EPOCH, topic_partition, progress }, Arc::clone(&route));
        assert!(effects.room, "a new partition is to be read");
        // Nothing is started before it is committed who reads it.
        let commits = lanes.commits();
        heed(lanes.acknowledge(&commits));
        Self {
            lanes,
            route,
            keys,
            next: 0,
            now: Instant::now(),
            cargo: Cargo::default(),
            entries: Queue::new(),
            settled: Vec::with_capacity(REPORT_AT),
            done: Vec::new(),
        }
    }

    fn pass(&mut self, batch: Batch) {
        black_box(self.lanes.demand());
        heed(self.lanes.push(arrivals(batch, &self.route.settings), self.now));
        let now = self.now;
        while let (Some(taken), _) = self.lanes.take(&mut self.cargo, || now) {
            match taken {
                Taken::Haul(haul) => self.run(haul),
                Taken::Batch(batch) => self.run_batch(batch),
            }
        }
        let commits = self.lanes.commits();
        heed(self.lanes.acknowledge(&commits));
        assert_eq!(commits[0].1.next.offset(), Offset(self.next), "all is finished");
    }

    /// Does what a worker does with what it took, but for the handler.
    fn run(&mut self, haul: Haul) {
        let Self { lanes, cargo, entries, settled, done, .. } = self;
        let (mut begun, mut ended): (Option<LaneId>, u32) = (None, 0);
        loop {
            let mut next = entries.pop_front();
            while next.is_none() {
                let Some((lane, first)) = cargo.next_lane(entries) else { break };
                done.extend(begun.replace(lane).filter(|before| *before != lane));
                next = first;
            }
            let Some(entry) = next else { break };
            settled.push(entry.settle(Ticket::done));
            ended += 1;
            if settled.len() >= REPORT_AT {
                heed(lanes.report(&haul, settled, done));
            }
        }
        heed(lanes.report(&haul, settled, done));
        let begun = begun.map(|lane| (lane, &mut *entries));
        heed(lanes.unload(haul, begun, cargo, None, (ended as usize, QUICK * ended)));
    }

    /// The same for a batch.
    fn run_batch(&mut self, mut batch: BatchRun) {
        let Self { lanes, cargo, entries, settled, .. } = self;
        cargo.take_batch(entries);
        for (run, count) in batch.parts.drain(..) {
            settled.extend(entries.drain(count).map(|entry| entry.settle(Ticket::done)));
            heed(lanes.settle(&run, settled));
            heed(lanes.finish(run, &mut Queue::new(), None));
        }
        heed(lanes.finish_batch(batch));
    }
}

/// Nobody is there to hear of it.
fn heed(effects: Effects) {
    black_box(&effects);
}

impl Rounds for Passage {
    fn prepare(&mut self) -> Round<'_> {
        let records = records(self.next, self.keys, b"0123456789abcdef");
        self.next += i64::try_from(records.len()).expect("few records");
        let batch = Batch { epoch: EPOCH, records, next: None, rewritten: None };
        Box::new(move || self.pass(batch))
    }
}
