//! What the metrics tell of commits.

use std::sync::Arc;

use daemonry::handler::on;
use daemonry::pipeline::source::CommitError;
use daemonry::record::Record;
use daemonry::testing::CommitFault;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::scene::{Scene, millis, secs, text, until};

#[tokio::test(start_paused = true)]
async fn the_window_is_what_is_finished_above_the_oldest_unfinished_record() {
    let scene = Scene::new(1);
    scene.write(0, "slow");
    scene.fill(0, 40);
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let route = on(move |record: Record| {
        let go = Arc::clone(&wait);
        async move {
            if text(&record).starts_with("slow") {
                go.notified().await;
            }
        }
    });
    let process = scene.start(route.timeout(secs(1_000)));
    sleep(secs(5)).await;
    let metrics = &scene.metrics;
    assert_eq!((metrics.window.get(), metrics.uncommitted.get()), (40, 0));
    assert!(metrics.commit_metadata_bytes.get() > 0 && metrics.commit_duration.count() > 0);
    assert_eq!(metrics.partitions_assigned.get(), 1);
    go.notify_one();
    sleep(secs(5)).await;
    // What is left tells who reads the partition.
    let left = metrics.commit_metadata_bytes.get();
    assert!((16..=32).contains(&left), "{left}");
    assert_eq!((metrics.window.get(), metrics.uncommitted.get()), (0, 0));
    process.stop_cleanly().await;
    assert_eq!(metrics.partitions_assigned.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_no_commit_covers_is_counted_until_one_does() {
    let scene = Scene::new(1);
    scene.broker.fail_commits((0..10).map(|_| CommitFault::Refuse(CommitError::Retriable("busy".to_owned()))));
    scene.fill(0, 30);
    let process = scene.start(on(|_: Record| async { sleep(millis(1)).await }));
    sleep(secs(5)).await;
    assert_eq!((scene.metrics.uncommitted.get(), scene.committed(0)), (30, 0));
    until("a commit", || scene.committed(0) == 30).await;
    sleep(secs(2)).await;
    assert_eq!(scene.metrics.uncommitted.get(), 0);
    process.stop_cleanly().await;
}
