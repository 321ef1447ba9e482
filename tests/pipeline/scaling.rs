//! Workers that follow what there is to do: when they become more and fewer, when they don't, and what is said of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use daemonry::handler::on;
use daemonry::metrics::{Label, MessageStatus, ScalingDirection, ScalingReason};
use daemonry::pipeline::control::Rate;
use daemonry::pipeline::{Scaling, ScalingMode, Stopped};
use daemonry::record::Record;
use tokio::time::{Instant, sleep};

use crate::scene::{Journal, Scene, millis, secs, sleeping, until};

/// A scene of 2 to `max` workers.
fn scene(partitions: i32, max: usize, mode: ScalingMode) -> Scene {
    Scene::with(partitions, |settings| {
        (settings.workers, settings.queue_records) = (max, max * 3);
        settings.scaling = Some(Scaling { mode, ..Scaling::by_queue() });
    })
}

/// How often that was decided.
fn decided(scene: &Scene, direction: ScalingDirection, reason: ScalingReason) -> u64 {
    scene.metrics.scaling.of(direction).of(reason).get()
}

fn changes(scene: &Scene) -> u64 {
    let of = |direction| ScalingReason::ALL.iter().map(|reason| decided(scene, direction, *reason)).sum::<u64>();
    of(ScalingDirection::Grow) + of(ScalingDirection::Shrink)
}

fn workers(scene: &Scene) -> i64 {
    scene.metrics.workers.get()
}

/// Writes a record each so often, each with a key of its own, for so long.
async fn write(scene: &Scene, each: std::time::Duration, time: std::time::Duration) {
    let (start, mut number) = (Instant::now(), 0);
    while start.elapsed() < time {
        scene.write(number % 4, &format!("key-{number}-"));
        number += 1;
        sleep(each).await;
    }
}

#[tokio::test(start_paused = true)]
async fn slow_handlers_under_load_get_all_the_workers_and_an_idle_daemon_keeps_the_fewest() {
    let scene = scene(4, 64, ScalingMode::Queue);
    (0..4).for_each(|partition| scene.fill(partition, 5_000));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(100)));
    assert_eq!(journal.most(), 0);
    sleep(millis(500)).await;
    assert_eq!((workers(&scene), journal.most()), (2, 2), "it begins with the fewest");
    until("all workers", || workers(&scene) == 64).await;
    assert!(journal.elapsed() < secs(15), "{:?}", journal.elapsed());
    until("the end", || scene.metrics.messages.of(MessageStatus::Success).get() == 20_000).await;
    // 20,000 records of 100 ms on 64 workers are 31 s of work, and less than ten are for the way up.
    assert!(journal.elapsed() < secs(41), "{:?}", journal.elapsed());
    assert_eq!(journal.most(), 64);
    let over = Instant::now();
    until("the fewest", || workers(&scene) == 2).await;
    assert!(over.elapsed() > secs(30 * 5 - 2), "five halves, each after half a minute: {:?}", over.elapsed());
    assert_eq!(decided(&scene, ScalingDirection::Grow, ScalingReason::HandlerBound), 5);
    assert_eq!(decided(&scene, ScalingDirection::Shrink, ScalingReason::SourceBound), 5);
    assert!(decided(&scene, ScalingDirection::Hold, ScalingReason::HandlerBound) > 0, "with the most it holds");
    assert_eq!((scene.metrics.workers_min.get(), scene.metrics.workers_max.get()), (2, 64));
    process.stop_cleanly().await;
    assert_eq!((workers(&scene), scene.metrics.workers_max.get()), (0, 0), "none is left");
}

#[tokio::test(start_paused = true)]
async fn queue_that_is_too_large_to_be_filled_is_no_reason_to_keep_few_workers() {
    let mut scene = scene(4, 64, ScalingMode::Queue);
    scene.settings.queue_records = 1_000_000;
    (0..4).for_each(|partition| scene.fill(partition, 20_000));
    let process = scene.start(on(|_: Record| async { sleep(millis(100)).await }));
    until("all workers", || workers(&scene) == 64).await;
    assert!(scene.metrics.messages.of(MessageStatus::Success).get() < 5_000, "soon");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn steady_load_finds_its_workers_and_keeps_them() {
    let scene = scene(4, 64, ScalingMode::Queue);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(200)));
    // 100 in a second, each for 200 ms: 20 workers.
    write(&scene, millis(10), secs(300)).await;
    let (found, before) = (workers(&scene), changes(&scene));
    assert!((20..=32).contains(&found), "{found} workers");
    write(&scene, millis(10), secs(1_200)).await;
    assert_eq!((workers(&scene), changes(&scene)), (found, before));
    process.stop_cleanly().await;
}

/// Records of three keys of one partition, which is a hot one.
fn write_three_keys(scene: &Scene) {
    for n in 0..6_000 {
        scene.write(0, ["a", "b", "c"][n % 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn few_keys_get_as_many_workers_as_they_are_and_are_called_ordering_bound() {
    let scene = scene(1, 64, ScalingMode::Queue);
    write_three_keys(&scene);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(100)));
    sleep(secs(120)).await;
    assert_eq!((workers(&scene), journal.most()), (3, 3));
    assert!(decided(&scene, ScalingDirection::Hold, ScalingReason::OrderingBound) > 100);
    assert_eq!(changes(&scene), 1);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn one_hot_partition_of_many_is_given_one_worker_more_than_its_keys() {
    let scene = scene(4, 64, ScalingMode::Queue);
    write_three_keys(&scene);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(100)));
    sleep(secs(120)).await;
    assert_eq!((workers(&scene), journal.most()), (4, 3), "one is kept free for the other partitions");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn records_that_come_slowly_are_source_bound_and_get_no_more_workers() {
    let scene = scene(4, 64, ScalingMode::Queue);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(100)));
    // Ten in a second, each for 100 ms.
    write(&scene, millis(100), secs(120)).await;
    assert_eq!((workers(&scene), changes(&scene)), (2, 0));
    assert!(decided(&scene, ScalingDirection::Hold, ScalingReason::SourceBound) > 100);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn limited_rate_gets_no_more_workers() {
    let scene = scene(4, 64, ScalingMode::Queue);
    (0..4).for_each(|partition| scene.fill(partition, 5_000));
    scene.control.limit(Rate::new(10, secs(1)));
    let process = scene.start(on(|_: Record| async { sleep(millis(1)).await }));
    sleep(secs(120)).await;
    assert_eq!((workers(&scene), changes(&scene)), (2, 0));
    assert!(decided(&scene, ScalingDirection::Hold, ScalingReason::RateBound) > 100);
    assert_eq!(process.stop().await, Ok(Stopped::default()));
}

#[tokio::test(start_paused = true)]
async fn latency_keeps_the_workers_that_what_they_ask_can_bear() {
    let scene = scene(4, 200, ScalingMode::Latency);
    (0..4).for_each(|partition| scene.fill(partition, 60_000));
    // A database that serves twelve side by side: more wait for one another.
    let asking = Arc::new(AtomicUsize::new(0));
    let route = on(move |_: Record| {
        let asking = Arc::clone(&asking);
        async move {
            let company = 1 + asking.fetch_add(1, Ordering::Relaxed);
            sleep(millis(20).mul_f64((company as f64 / 12.0).max(1.0))).await;
            asking.fetch_sub(1, Ordering::Relaxed);
        }
    });
    let process = scene.start(route);
    sleep(secs(60)).await;
    let (start, before) = (Instant::now(), scene.metrics.messages.of(MessageStatus::Success).get());
    while start.elapsed() < secs(120) {
        sleep(secs(1)).await;
        assert!((12..=24).contains(&workers(&scene)), "{} workers", workers(&scene));
    }
    let rate = (scene.metrics.messages.of(MessageStatus::Success).get() - before) / 120;
    assert!(rate >= 550, "{rate} in a second of 600");
    assert!(decided(&scene, ScalingDirection::Hold, ScalingReason::LatencyBound) > 0);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn handlers_that_run_when_the_workers_become_fewer_end_by_themselves() {
    let scene = scene(4, 64, ScalingMode::Latency);
    (0..4).for_each(|partition| scene.fill(partition, 20_000));
    let journal = Journal::new();
    let (seen, slow) = (journal.clone(), Instant::now() + secs(60));
    let process = scene.start(on(move |record: Record| {
        let attempt = seen.begin(&record);
        // From a minute on everything takes a hundred times as long.
        let time = if Instant::now() < slow { millis(20) } else { secs(2) };
        async move {
            sleep(time).await;
            drop(attempt);
        }
    }));
    sleep(secs(59)).await;
    assert_eq!(workers(&scene), 64);
    until("fewer workers", || workers(&scene) <= 32).await;
    until("fewer at work", || scene.metrics.in_flight.get() <= 32).await;
    let [failed, retried] =
        [MessageStatus::Failed, MessageStatus::Retried].map(|status| scene.metrics.messages.of(status).get());
    assert_eq!((failed, retried), (0, 0));
    let (began, ended) = (journal.began().len(), journal.ended().len());
    process.stop_cleanly().await;
    assert_eq!(journal.ended().len(), journal.began().len());
    assert!(began >= ended);
    let committed: i64 = (0..4).map(|partition| scene.committed(partition)).sum();
    assert_eq!(usize::try_from(committed), Ok(journal.ended().len()), "what ended is committed, each of it once");
}
