//! What a daemon shows of itself while it runs.

use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::handler::{HandlerError, ProcessingOrder, on};
use daemonry::pipeline::control::{Control, Scope};
use daemonry::pipeline::dead_letter::Reason;
use daemonry::pipeline::view::{HeldBack, PartitionView, View};
use daemonry::record::{NextOffset, Offset, Record, TopicPartition};
use daemonry::retry::RetryPolicy;
use std::future::pending;
use std::sync::Arc;
use tokio::time::sleep;

use crate::scene::{Scene, TOPIC, secs};

fn seen(control: &Control) -> Arc<View> {
    control.view().expect("it runs")
}

fn of(view: &View, partition: i32) -> &PartitionView {
    let place = TopicPartition::new(TOPIC, partition);
    view.partitions.iter().find(|seen| seen.topic_partition == place).expect("it is assigned")
}

#[tokio::test(start_paused = true)]
async fn running_daemon_shows_what_it_holds_and_what_it_is_at() {
    let scene = Scene::with(2, |settings| settings.workers = 3);
    assert!(scene.control.view().is_none(), "nothing runs yet");
    for _ in 0..4 {
        scene.write(0, "stuck");
    }
    scene.write(0, "quick");
    scene.write(1, "paused");
    scene.control.pause(Scope::Partition(TopicPartition::new(TOPIC, 1)));
    let stuck = async |record: Record| {
        if record.offset() == Offset(0) {
            pending::<()>().await;
        }
    };
    let process = scene.start(
        on(stuck)
            .order(ProcessingOrder::Key)
            .timeout(secs(60))
            .retry(RetryPolicy::exponential().base(secs(20)).jitter(0.0)),
    );
    sleep(secs(5)).await;

    let view = seen(&scene.control);
    assert_eq!((view.busy, view.workers, view.queue_capacity), (1, 3, scene.settings.queue_records));
    assert_eq!(view.queued.records, 4);
    let [attempt] = &view.attempts[..] else { panic!("one handler runs: {:?}", view.attempts) };
    assert_eq!((attempt.offset, attempt.timeout, attempt.overdue), (Offset(0), secs(60), false));
    assert!(attempt.runs >= secs(3), "{attempt:?}");
    let busy = of(&view, 0);
    assert_eq!((busy.lag, busy.unfinished, busy.finished, busy.finished_ahead), (Some(5), 4, 1, 1));
    assert_eq!((busy.lanes, busy.deepest_lane, busy.busy, busy.held), (1, 1, 1, None));
    assert_eq!(busy.reach.oldest_unfinished, Some(Offset(0)));
    assert_eq!(busy.reach.read, Some(NextOffset::at(5)));
    let paused = of(&view, 1);
    assert_eq!((paused.lag, paused.held, paused.queued.records), (None, Some(HeldBack::Paused), 0));

    sleep(secs(60)).await;
    let view = seen(&scene.control);
    let parked = of(&view, 0);
    assert_eq!(parked.parked.records, 4, "it timed out and waits for its retry, and so do those behind it");
    assert_eq!((parked.lanes, parked.deepest_lane, parked.waits.is_some()), (1, 4, true));
    process.stop_cleanly().await;
    assert!(scene.control.view().is_none(), "nothing runs any more");
}

#[tokio::test(start_paused = true)]
async fn failed_attempts_are_grouped_and_outlive_the_run() {
    let scene = Scene::new(1);
    scene.fill(0, 3);
    let fails = async |record: Record| Err::<(), _>(HandlerError::from(anyhow::anyhow!("no row {}", record.offset())));
    let process =
        scene.start(on(fails).retry(RetryPolicy::exponential().max_retries(1)).circuit_breaker(CircuitBreaker::off()));
    sleep(secs(30)).await;
    process.stop_cleanly().await;
    let groups = scene.control.failed();
    let [group] = &groups[..] else { panic!("one group: {groups:?}") };
    assert_eq!((group.count, group.reason, group.pattern.as_str()), (6, Reason::Error, "no row #"));
    assert!(group.example.error.starts_with("no row "), "{group:?}");
}
