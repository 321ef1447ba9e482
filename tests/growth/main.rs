//! What more workers, partitions and daemons cost: no more CPU for a record, and memory in proportion.
//!
//! The whole pipeline runs over the in-memory source, whose own time doesn't count, on one thread in virtual time. Its CPU time is the least
//! of some runs, since what else the machine does only ever adds to it. `make bench ROWS=growth` measures the same on a real Kafka.

mod counting;
#[path = "../allocations/source.rs"]
mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemonry::handler::extract::State;
use daemonry::handler::{ProcessingOrder, Router, on};
use daemonry::metrics::Metrics;
use daemonry::pipeline::control::Control;
use daemonry::pipeline::{Pipeline, PipelineSettings, Stopped};
use daemonry::record::{OwnedRecord, Record};
use daemonry::testing::{MemoryBroker, MemorySource};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use counting::Live;
use source::Uncounted;

#[global_allocator]
static ALLOCATOR: Live = Live;

/// A record may take so many times the CPU of the small case.
const CPU: f64 = 1.5;
/// So many runs of each.
const RUNS: usize = 3;

/// They share the processor's cores with nobody here.
static ALONE: Mutex<()> = Mutex::new(());

/// What is run.
#[derive(Clone, Copy, Debug)]
struct Case {
    workers: usize,
    partitions: i32,
    daemons: usize,
    /// How many records each daemon has.
    records: usize,
    /// How many of them are handled before any counts: to start a worker, or to take a partition, costs once what some records do. All count
    /// where this is none, and with them what is done at the start and at the end.
    first: usize,
    /// How long a handler waits.
    work: Option<Duration>,
}

const SMALL: Case = Case { workers: 8, partitions: 8, daemons: 1, records: 100_000, first: 0, work: None };

#[test]
fn a_thousand_times_the_workers() {
    let case = |workers| Case { workers, first: 20_000, work: Some(Duration::from_millis(5)), ..SMALL };
    assert_growth("workers", [10, 1_000, 10_000], case, 5 << 10);
}

#[test]
fn more_than_a_hundred_times_the_partitions() {
    assert_growth(
        "partitions",
        [8, 100, 1_000],
        |n| Case { partitions: i32::try_from(n).expect("few"), first: 20_000, ..SMALL },
        32 << 10,
    );
}

#[test]
fn fifty_times_the_daemons() {
    assert_growth("daemons", [1, 10, 50], |daemons| Case { daemons, records: 4_000, ..SMALL }, 2 << 20);
}

/// Runs each size, and fails where a record takes more CPU in the large case than it may, or one more of them more memory than `bytes`.
fn assert_growth(what: &str, sizes: [usize; 3], case: impl Fn(usize) -> Case, bytes: usize) {
    let _alone = ALONE.lock();
    // In turns: what the machine does meanwhile meets all of them.
    let mut cpu = [Duration::MAX; 3];
    let mut memory = [usize::MAX; 3];
    for _ in 0..RUNS {
        for (n, size) in sizes.into_iter().enumerate() {
            let (time, most) = run(case(size));
            cpu[n] = cpu[n].min(time);
            memory[n] = memory[n].min(most);
        }
    }
    let ratio = cpu[2].as_secs_f64() / cpu[0].as_secs_f64();
    let slope = |from: usize, to: usize| (memory[to].saturating_sub(memory[from])) / (sizes[to] - sizes[from]);
    let slopes = [slope(0, 1), slope(1, 2)];
    eprintln!("{what} {sizes:?}: CPU a record {cpu:?}, memory {memory:?} bytes, {slopes:?} each");
    assert!(ratio <= CPU, "{what} {sizes:?}: a record takes {ratio:.2} times the CPU, {cpu:?}, allowed: {CPU}");
    assert!(
        slopes.iter().all(|slope| *slope <= bytes),
        "{what} {sizes:?}: one more takes {slopes:?} bytes, allowed: {bytes}; in all {memory:?}"
    );
}

/// The CPU time that one record takes in this case, and the most memory that was in use at once.
fn run(case: Case) -> (Duration, usize) {
    let brokers: Vec<_> = (0..case.daemons).map(|_| filled(case)).collect();
    let (all, first) = (case.records * case.daemons, case.first);
    let handled = Arc::new(Handled { all, first, ..Handled::default() });
    let mut time = Duration::ZERO;
    let most = counting::most_during(|| {
        let runtime =
            Builder::new_current_thread().enable_time().start_paused(true).build().expect("it needs no more than this");
        let began = counting::counted();
        let ended = runtime.block_on(serve(case, &brokers, &handled));
        time = handled.time.lock().unwrap_or_else(|| counting::counted() - began);
        assert!(ended.iter().all(|stopped| *stopped == Stopped::default()), "{ended:?}");
    });
    (time / u32::try_from(all - first).expect("few"), most)
}

/// Runs the daemons until all is handled.
async fn serve(case: Case, brokers: &[MemoryBroker], handled: &Arc<Handled>) -> Vec<Stopped> {
    let stop = CancellationToken::new();
    let mut running = JoinSet::new();
    for broker in brokers {
        let (pipeline, stopped, handlers) = (pipeline(case, broker, handled), stop.clone(), Handle::current());
        running.spawn(async move { pipeline.run(stopped, &handlers).await });
    }
    timeout(Duration::from_secs(3_600), handled.done.cancelled()).await.expect("all are handled");
    stop.cancel();
    running.join_all().await.into_iter().map(|ended| ended.expect("it goes on until it is stopped")).collect()
}

fn pipeline(case: Case, broker: &MemoryBroker, handled: &Arc<Handled>) -> Pipeline<Uncounted<MemorySource>> {
    async fn handle(State((handled, work)): State<(Arc<Handled>, Option<Duration>)>, _: Record) {
        if let Some(work) = work {
            sleep(work).await;
        }
        handled.one();
    }
    let route = on(handle).order(ProcessingOrder::Key);
    let router = Router::new().topic("orders", route).with_state((Arc::clone(handled), case.work));
    Pipeline {
        source: Uncounted(broker.join(router.subscription())),
        router,
        dead_letters: Arc::new(broker.clone()),
        producer: None,
        settings: PipelineSettings {
            workers: case.workers,
            queue_records: 20_000,
            seed: Some(7),
            ..PipelineSettings::default()
        },
        metrics: Metrics::new().daemon("shop"),
        daemon: "shop".to_owned(),
        beat: Arc::new(|_| {}),
        stop_drain: Duration::from_secs(30),
        control: Control::new(),
    }
}

/// A topic with all records in it, each of a key of its own.
fn filled(case: Case) -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", case.partitions);
    for (n, partition) in (0..case.records).zip((0..case.partitions).cycle()) {
        broker.produce("orders", partition, OwnedRecord::new("paid").with_key(format!("customer-{n}")));
    }
    broker
}

/// What the handlers have seen.
#[derive(Default)]
struct Handled {
    all: usize,
    first: usize,
    count: AtomicUsize,
    began: Mutex<Option<Duration>>,
    /// What those behind the first have taken.
    time: Mutex<Option<Duration>>,
    done: CancellationToken,
}

impl Handled {
    fn one(&self) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count == self.first {
            *self.began.lock() = Some(counting::counted());
        }
        if count == self.all {
            *self.time.lock() = self.began.lock().map(|began| counting::counted() - began);
            self.done.cancel();
        }
    }
}
