//! Backpressure over the in-memory source, in virtual time: whoever is held back, the others flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemonry::handler::{ProcessingOrder, Router, on};
use daemonry::metrics::Metrics;
use daemonry::pipeline::control::Control;
use daemonry::pipeline::{Pipeline, PipelineSettings};
use daemonry::record::{OwnedRecord, Partition};
use daemonry::testing::MemoryBroker;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn partitions_flow_beside_one_that_is_stuck_with_the_queue_full() {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 8);
    // It fills the queue before anything comes for the others.
    (0..1_000).for_each(|_| {
        broker.produce("orders", 0, OwnedRecord::new("stuck"));
    });
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    let handler = move |partition: Partition| {
        let handled = Arc::clone(&counted);
        async move {
            if partition.0 == 0 {
                sleep(HOUR).await;
            }
            handled.fetch_add(1, Ordering::Relaxed);
        }
    };
    let route = on(handler).order(ProcessingOrder::Partition).timeout(2 * HOUR);
    let router = Router::new().topic("orders", route);
    let pipeline = Pipeline {
        daemon: "orders".to_owned(),
        source: broker.join(router.subscription()),
        router,
        dead_letters: Arc::new(broker.clone()),
        producer: None,
        settings: PipelineSettings { queue_records: 100, ..PipelineSettings::default() },
        metrics: Metrics::new().daemon("orders"),
        beat: Arc::new(|_| {}),
        stop_drain: Duration::ZERO,
        control: Control::new(),
    };
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let mut running = JoinSet::new();
    running.spawn(async move { pipeline.run(stopped, &Handle::current()).await });
    sleep(Duration::from_secs(1)).await;

    for partition in 1..8 {
        (0..500).for_each(|_| {
            broker.produce("orders", partition, OwnedRecord::new("flows"));
        });
    }
    let all = async {
        while handled.load(Ordering::Relaxed) < 7 * 500 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    let flowed = timeout(Duration::from_secs(2), all).await;

    assert!(flowed.is_ok(), "{} of {} were handled", handled.load(Ordering::Relaxed), 7 * 500);
    stop.cancel();
    running.join_all().await;
}
