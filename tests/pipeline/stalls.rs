//! Records wait and nothing comes of it: when that is told, and when it is not.

use std::sync::Arc;
use std::time::Duration;

use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::handler::{HandlerError, Route, on, on_batch};
use daemonry::pipeline::control::Scope;
use daemonry::pipeline::dead_letter::PublishError;
use daemonry::pipeline::{Beat, PipelineError};
use daemonry::record::{Record, TopicPartition};
use daemonry::retry::RetryPolicy;
use daemonry::testing::PartitionFault;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::scene::{Journal, Scene, TOPIC, secs, sleeping, text, until};

const AFTER: Duration = Duration::from_secs(300);

/// When a stall was told, and when its end.
type Told = Arc<Mutex<Vec<(Duration, bool)>>>;

/// A scene that hears of stalls.
fn scene(partitions: i32) -> (Scene, Told) {
    let mut scene = Scene::new(partitions);
    let (told, start) = (Told::default(), Instant::now());
    let heard = Arc::clone(&told);
    scene.beat = Arc::new(move |beat| match beat {
        Beat::Stalled(_) => heard.lock().push((start.elapsed(), true)),
        Beat::Flowing => heard.lock().push((start.elapsed(), false)),
        _ => {}
    });
    (scene, told)
}

fn is_stalled(scene: &Scene, partition: i32) -> bool {
    scene.metrics.partition(&TopicPartition::new(TOPIC, partition)).stalled.get() == 1
}

fn poison() -> Route {
    on(|record: Record| async move {
        if text(&record).starts_with("bad") {
            return Err(HandlerError::poison(anyhow::anyhow!("bad")));
        }
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_waits_for_its_dead_letter_stalls_until_the_letter_is_written() {
    let (scene, told) = scene(1);
    scene.broker.refuse_letters(Some(PublishError::Unavailable("no broker".to_owned())));
    scene.write(0, "bad");
    scene.fill(0, 5);
    let process = scene.start(poison());
    sleep(AFTER - secs(10)).await;
    assert!(told.lock().is_empty(), "{:?}", told.lock());
    sleep(secs(20)).await;
    let (at, stalled) = told.lock()[0];
    assert!(stalled && at >= AFTER, "{at:?}");
    // However long: a restart would not write it either.
    sleep(AFTER * 5).await;
    assert!(is_stalled(&scene, 0));
    scene.broker.heal();
    until("its end", || told.lock().len() == 2).await;
    assert!(!told.lock()[1].1 && !is_stalled(&scene, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_its_time_within_its_timeout_is_no_stall() {
    let (scene, told) = scene(1);
    // One key: all of it waits for the first.
    (0..3).for_each(|_| scene.write(0, "a"));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, secs(1_800)).timeout(secs(3_600)));
    sleep(secs(1_800 * 3 + 10)).await;
    assert_eq!((scene.committed(0), told.lock().len()), (3, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_of_one_partition_is_no_excuse_for_another_one() {
    let (scene, told) = scene(2);
    scene.broker.refuse_letters(Some(PublishError::Unavailable("no broker".to_owned())));
    scene.write(0, "job");
    scene.write(1, "bad");
    let route = on(|record: Record| async move {
        if text(&record).starts_with("bad") {
            return Err(HandlerError::poison(anyhow::anyhow!("bad")));
        }
        sleep(secs(1_800)).await;
        Ok(())
    });
    let process = scene.start(route.timeout(secs(3_600)));
    sleep(AFTER + secs(10)).await;
    assert!(told.lock()[0].1);
    scene.broker.heal();
    sleep(secs(1_800)).await;
    assert_eq!((scene.committed(0), scene.committed(1)), (1, 1));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn retries_before_their_time_and_attempts_that_fail_are_no_stall() {
    let (scene, told) = scene(1);
    scene.fill(0, 3);
    let slow = RetryPolicy::exponential().base(secs(700)).cap(secs(700)).max_retries(3);
    let down = on(|_: Record| async { Err::<(), _>(anyhow::anyhow!("down")) });
    let process = scene.start(down.retry(slow).circuit_breaker(CircuitBreaker::off()));
    sleep(secs(700 * 3 + 10)).await;
    assert_eq!((scene.letters(0).len(), told.lock().len()), (3, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn what_somebody_has_paused_does_not_stall() {
    let (scene, told) = scene(1);
    scene.control.pause(Scope::All);
    scene.fill(0, 3);
    let process = scene.start(poison());
    sleep(AFTER * 3).await;
    assert_eq!(*told.lock(), []);
    scene.control.resume(&Scope::All);
    until("all of it", || scene.committed(0) == 3).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_gathered_for_long_is_no_stall() {
    let (scene, told) = scene(2);
    scene.fill(0, 2);
    scene.fill(1, 2);
    let process = scene.start(on_batch(|_: Vec<Record>| async {}).within(secs(900)).timeout(secs(10)));
    sleep(secs(910)).await;
    assert_eq!((scene.committed(0), scene.committed(1), told.lock().len()), (2, 2, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_with_nothing_to_do_does_not_stall() {
    let (scene, told) = scene(1);
    scene.fill(0, 3);
    let process = scene.start(poison());
    sleep(AFTER * 5).await;
    assert_eq!((scene.committed(0), told.lock().len()), (3, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn one_partition_that_gets_nothing_is_told_while_the_others_flow_and_then_ends_the_run() {
    let (scene, told) = scene(2);
    scene.fill(0, 3);
    let process = scene.start(poison());
    until("all of it", || scene.committed(0) == 3).await;
    scene.broker.fault(TOPIC, 0, Some(PartitionFault::Withheld));
    scene.write(0, "late");
    for _ in 0..31 {
        scene.write(1, "other");
        sleep(secs(10)).await;
    }
    assert!(told.lock()[0].1 && is_stalled(&scene, 0) && !is_stalled(&scene, 1));
    assert_eq!(scene.committed(1), 31);
    let ended = process.ended().await.unwrap_err();
    let PipelineError::Stalled { reason, moved } = &ended else { panic!("{ended:?}") };
    assert_eq!(reason, "nothing of orders[0] was processed for 600 s though 1 records wait");
    assert!(moved, "it had done something before");

    // The next one has it.
    scene.broker.heal();
    let process = scene.start(poison());
    until("the rest", || scene.committed(0) == 4).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_answers_for_does_not_stall() {
    let (scene, told) = scene(1);
    scene.broker.fault(TOPIC, 0, Some(PartitionFault::Silent));
    scene.fill(0, 3);
    let process = scene.start(poison());
    sleep(AFTER * 20).await;
    assert_eq!(*told.lock(), []);
    scene.broker.heal();
    scene.write(0, "d");
    until("all of it", || scene.committed(0) == 4).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_on_its_way_is_waited_for_as_is_one_that_cannot_be_written() {
    let (mut scene, _) = scene(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&told);
    scene.beat = Arc::new(move |beat| {
        if let Beat::Stalled(why) = beat {
            seen.lock().push(why);
        }
    });
    // Below what a first try may take where its broker has gone.
    scene.settings.stall_after = secs(6);
    scene.broker.delay_letters(secs(30));
    scene.write(0, "bad");
    let process = scene.start(poison());
    until("the letter", || scene.committed(0) == 1).await;
    let stalls = told.lock().clone();
    process.stop_cleanly().await;
    assert!(!stalls.is_empty() && stalls.iter().all(|why| why.contains("one for its dead letter")), "{stalls:?}");
}
