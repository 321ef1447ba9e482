//! What the pipeline allocates in its steady state: nothing for a record, and little for a batch or a commit.
//!
//! The whole pipeline runs over the in-memory source, with its handlers on a runtime of their own. Counted is what its threads allocate
//! once it has come into its stride, but for the source itself.

mod counting;
mod source;

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daemonry::handler::extract::{Bytes, Json, State};
use daemonry::handler::layer::TimeoutLayer;
use daemonry::handler::{ProcessingOrder, Router, on};
use daemonry::metrics::Metrics;
use daemonry::pipeline::control::Control;
use daemonry::pipeline::{Pipeline, PipelineSettings, Stopped};
use daemonry::record::{OwnedRecord, Record};
use daemonry::testing::MemoryBroker;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use counting::Counting;
use source::Uncounted;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Records until the pipeline is in its stride, those that count then, and some more, so that it is still there when they have gone.
const FIRST: u64 = 20_000;
const COUNTED: u64 = 40_000;
const LAST: u64 = 4_000;
const PARTITIONS: i32 = 4;
const KEYS: u64 = 1_000;

/// What demands, batches, hauls and commits may allocate, shared out among their records. The in-memory source's batches are of 50, so three
/// for each of them.
const AMORTISED: f64 = 0.06;

/// What the counter counts is everybody's: one run at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn record_costs_a_handler_of_raw_bytes_no_allocation() {
    async fn handle(State(seen): State<Arc<Seen>>, record: Record) {
        black_box(record.value());
        seen.one();
    }
    assert_allocations(0.0, |order, seen| Router::new().topic("orders", on(handle).order(order)).with_state(seen));
}

/// What says how to free them.
#[test]
fn record_costs_a_handler_that_keeps_its_bytes_one_allocation() {
    async fn handle(State(seen): State<Arc<Seen>>, Bytes(bytes): Bytes) {
        black_box(bytes);
        seen.one();
    }
    assert_allocations(1.0, |order, seen| Router::new().topic("orders", on(handle).order(order)).with_state(seen));
}

/// The future that the layer goes around, whose type is erased.
#[test]
fn record_costs_a_handler_of_json_in_a_layer_one_allocation() {
    /// Of numbers alone: what a payload's texts take is the payload's.
    #[derive(Deserialize)]
    struct Order {
        id: u64,
        cents: u64,
        paid: bool,
    }
    async fn handle(State(seen): State<Arc<Seen>>, Json(order): Json<Order>) {
        black_box((order.id, order.cents, order.paid));
        seen.one();
    }
    assert_allocations(1.0, |order, seen| {
        let route = on(handle).order(order).layer(TimeoutLayer::new(Duration::from_secs(30)));
        Router::new().topic("orders", route).with_state(seen)
    });
}

/// Runs this router in each order, and fails where a record costs more allocations than this.
fn assert_allocations(most: f64, router: impl Fn(ProcessingOrder, Arc<Seen>) -> Router) {
    let _alone = ALONE.lock();
    counting::take_part();
    let mut told = String::new();
    for order in [ProcessingOrder::Key, ProcessingOrder::Partition, ProcessingOrder::Unordered] {
        let each = allocations(false, |seen| router(order, seen));
        if each <= most + AMORTISED {
            continue;
        }
        allocations(true, |seen| router(order, seen));
        writeln!(told, "{order:?}: {each:.3} allocations a record. Of those traced are").expect("into a string");
        for (count, origin) in counting::traces().iter().take(12) {
            writeln!(told, "  {count:4} of {origin}").expect("into a string");
        }
    }
    assert!(told.is_empty(), "more than {most} allocations a record, and {AMORTISED} for what many share:\n{told}");
}

/// What the pipeline allocates for a record while this router handles those that count.
fn allocations(traced: bool, router: impl FnOnce(Arc<Seen>) -> Router) -> f64 {
    let seen = Arc::new(Seen { traced, ..Seen::default() });
    let router = router(Arc::clone(&seen));
    let broker = filled();
    let pipeline = Pipeline {
        daemon: "shop".to_owned(),
        source: Uncounted(broker.join(router.subscription())),
        router,
        dead_letters: Arc::new(broker.clone()),
        producer: None,
        settings: PipelineSettings { queue_records: 1_000, seed: Some(7), ..PipelineSettings::default() },
        metrics: Metrics::new().daemon("shop"),
        beat: Arc::new(|_| {}),
        stop_drain: Duration::from_secs(30),
        control: Control::new(),
    };
    // One thread in virtual time: how much a worker takes at once follows from how long handlers take, and here they take no time.
    let runtime =
        Builder::new_current_thread().enable_time().start_paused(true).build().expect("it needs no more than this");
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        let (stopped, handlers) = (stop.clone(), Handle::current());
        let mut running = JoinSet::new();
        running.spawn(async move { pipeline.run(stopped, &handlers).await });
        timeout(Duration::from_secs(3_600), seen.all.cancelled()).await.expect("all are handled");
        stop.cancel();
        running.join_next().await.expect("it runs").expect("it doesn't panic")
    });
    assert_eq!(ended, Ok(Stopped::default()));
    let counted = seen.end.load(Ordering::SeqCst) - seen.begin.load(Ordering::SeqCst);
    f64::from(u32::try_from(counted).expect("few")) / f64::from(u32::try_from(COUNTED).expect("few"))
}

/// A topic with all records in it.
fn filled() -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", PARTITIONS);
    for (n, partition) in (0..FIRST + COUNTED + LAST).zip((0..PARTITIONS).cycle()) {
        let value = format!(r#"{{"id": {n}, "cents": 1999, "paid": true}}"#);
        broker.produce("orders", partition, OwnedRecord::new(value).with_key(format!("customer-{}", n % KEYS)));
    }
    broker
}

/// What the handlers have seen.
#[derive(Default)]
struct Seen {
    records: AtomicU64,
    /// What was counted when those that count began, and when they had ended.
    begin: AtomicU64,
    end: AtomicU64,
    all: CancellationToken,
    /// Whether it is noted where they come from.
    traced: bool,
}

impl Seen {
    fn one(&self) {
        match self.records.fetch_add(1, Ordering::SeqCst) + 1 {
            FIRST => {
                counting::trace(self.traced);
                self.begin.store(counting::counted(), Ordering::SeqCst);
            }
            n if n == FIRST + COUNTED => {
                self.end.store(counting::counted(), Ordering::SeqCst);
                counting::trace(false);
            }
            n if n == FIRST + COUNTED + LAST => self.all.cancel(),
            _ => {}
        }
    }
}
