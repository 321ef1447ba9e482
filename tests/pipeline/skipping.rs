//! What is changed while a daemon runs of single records, single keys, and the number of workers.

use std::num::NonZeroUsize;

use anyhow::anyhow;
use daemonry::handler::{HandlerError, Route, on, on_batch};
use daemonry::metrics::{BreakerState, MessageStatus};
use daemonry::pipeline::control::Scope;
use daemonry::pipeline::dead_letter::PublishError;
use daemonry::record::{Offset, Record, TopicPartition};
use daemonry::retry::RetryPolicy;
use tokio::time::{Instant, sleep};

use crate::scene::{Journal, LONG, Scene, TOPIC, millis, secs, sleeping, until};

/// Has record 3 of partition 0 passed over.
fn skip(scene: &Scene) {
    scene.control.skip(TopicPartition::new(TOPIC, 0), Offset(3));
}

/// Fails at record 3, every time.
fn failing(journal: &Journal, error: fn() -> HandlerError) -> Route {
    let seen = journal.clone();
    on(move |record: Record| {
        drop(seen.begin(&record));
        async move { if record.offset().0 == 3 { Err(error()) } else { Ok(()) } }
    })
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_not_read_yet_is_never_handled() {
    let scene = Scene::new(1);
    skip(&scene);
    scene.fill(0, 6);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(1)));
    until("all of them", || scene.committed(0) == 6).await;
    let mut handled = journal.offsets(0);
    handled.sort_unstable();
    assert_eq!(handled, [0, 1, 2, 4, 5]);
    assert_eq!(scene.metrics.messages.of(MessageStatus::Skipped).get(), 1);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_waits_for_its_retry_is_passed_over_at_once() {
    let scene = Scene::new(1);
    scene.fill(0, 6);
    let journal = Journal::new();
    let hourly = RetryPolicy::exponential().base(LONG).cap(LONG).max_retries(9).no_jitter();
    let process = scene.start(failing(&journal, || HandlerError::from(anyhow!("down"))).retry(hourly));
    until("it waits", || journal.times(0, 3).len() == 1 && scene.committed(0) == 3).await;
    let begun = Instant::now();
    skip(&scene);
    until("all of them", || scene.committed(0) == 6).await;
    assert!(begun.elapsed() < secs(10), "{:?}", begun.elapsed());
    assert_eq!(journal.times(0, 3).len(), 1, "it was not tried again");
    assert!(scene.letters(0).is_empty());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_letter_can_not_be_written_is_passed_over_at_once() {
    let scene = Scene::new(1);
    scene.fill(0, 6);
    scene.broker.refuse_letters(Some(PublishError::Unavailable("no broker".to_owned())));
    let journal = Journal::new();
    let process = scene.start(failing(&journal, || HandlerError::poison(anyhow!("bad"))));
    until("its letter waits", || journal.times(0, 3).len() == 1 && scene.committed(0) == 3).await;
    sleep(secs(300)).await;
    assert_eq!(scene.committed(0), 3);
    let begun = Instant::now();
    skip(&scene);
    until("all of them", || scene.committed(0) == 6).await;
    // The next try of the letter would come half a minute later.
    assert!(begun.elapsed() < secs(10), "{:?}", begun.elapsed());
    scene.broker.refuse_letters(None);
    sleep(secs(60)).await;
    assert!(scene.letters(0).is_empty());
    let status = |status| scene.metrics.messages.of(status).get();
    assert_eq!((status(MessageStatus::Skipped), status(MessageStatus::DeadLettered)), (1, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn batches_leave_out_what_is_passed_over() {
    let scene = Scene::new(1);
    skip(&scene);
    scene.fill(0, 6);
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |records: Vec<Record>| {
        records.iter().for_each(|record| drop(seen.begin(record)));
        async {}
    };
    let process = scene.start(on_batch(handle).max(6).within(millis(50)));
    until("all of them", || scene.committed(0) == 6).await;
    let mut handled = journal.offsets(0);
    handled.sort_unstable();
    assert_eq!(handled, [0, 1, 2, 4, 5]);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_key_waits_through_rebalances_and_stops_no_other() {
    let scene = Scene::new(1);
    (0..30).for_each(|number| scene.write(0, ["a", "b", "c"][number % 3]));
    let key = Scope::Key(TOPIC.into(), b"b".to_vec());
    scene.control.pause(key.clone());
    assert!(!scene.control.is_paused(&TopicPartition::new(TOPIC, 0)));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(1)));
    let of = |key: i64| journal.offsets(0).into_iter().filter(|offset| offset % 3 == key).count();
    until("all others", || of(0) == 10 && of(2) == 10).await;
    scene.broker.revoke(TOPIC, 0);
    sleep(secs(60)).await;
    assert_eq!((of(1), scene.committed(0)), (0, 1));
    // What was finished above it is remembered.
    assert_eq!((of(0), of(2)), (10, 10));
    scene.control.resume(&Scope::Topic(TOPIC.into()));
    until("all of them", || scene.committed(0) == 30).await;
    let handled: Vec<i64> = journal.offsets(0).into_iter().filter(|offset| offset % 3 == 1).collect();
    assert_eq!(handled, (0..10).map(|number| 3 * number + 1).collect::<Vec<_>>(), "in their order");

    // One that runs, and one that waits for its retry, wait too.
    let process = {
        process.stop_cleanly().await;
        (0..3).for_each(|_| scene.write(0, "b"));
        let fails = failing(&journal, || HandlerError::from(anyhow!("never"))).retry(RetryPolicy::exponential());
        scene.control.pause(key.clone());
        scene.start(fails)
    };
    sleep(secs(60)).await;
    assert_eq!(scene.committed(0), 30);
    scene.control.resume(&key);
    until("all of them", || scene.committed(0) == 33).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn as_many_workers_as_are_wanted_are_at_something() {
    let scene = Scene::with(2, |settings| (settings.workers, settings.queue_records) = (8, 100));
    (0..2).for_each(|partition| scene.fill(partition, 200));
    let (journal, workers) = (Journal::new(), |number| scene.control.scale(NonZeroUsize::new(number)));
    workers(2);
    let process = scene.start(sleeping(&journal, millis(10)));
    let rate = async |expected: std::ops::RangeInclusive<usize>| {
        let before = journal.ended().len();
        sleep(millis(200)).await;
        let handled = journal.ended().len() - before;
        assert!(expected.contains(&handled), "{handled} in 200 ms");
    };
    sleep(millis(50)).await;
    rate(36..=40).await;
    // More than there are is as many as there are.
    workers(100);
    sleep(millis(20)).await;
    rate(120..=160).await;
    workers(1);
    sleep(millis(20)).await;
    rate(17..=20).await;
    until("it is shown", || scene.control.view().is_some_and(|view| view.workers == 1)).await;
    assert_eq!(scene.metrics.workers.get(), 1);
    scene.control.scale(None);
    until("all of them", || scene.committed(0) == 200 && scene.committed(1) == 200).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_key_is_no_stall() {
    let scene = Scene::with(1, |settings| settings.stall_after = secs(60));
    (0..3).for_each(|_| scene.write(0, "a"));
    scene.control.pause(Scope::Key(TOPIC.into(), b"a".to_vec()));
    let process = scene.start(on(|| async {}));
    sleep(secs(1_000)).await;
    let view = scene.control.view().expect("it runs still");
    assert_eq!((view.partitions[0].stalled, scene.committed(0)), (None, 0));
    scene.control.resume(&Scope::All);
    until("all of them", || scene.committed(0) == 3).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_passed_over_closes_no_circuit_breaker() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (4, 400));
    let keys: Vec<String> = (0..100).map(|number| format!("key {number}")).collect();
    keys.iter().for_each(|key| scene.write(0, key));
    let journal = Journal::new();
    let seen = journal.clone();
    let down = on(move |record: Record| {
        drop(seen.begin(&record));
        async { Err::<(), _>(anyhow!("the database is down")) }
    });
    let process = scene.start(down.retry(RetryPolicy::exponential().max_retries(1_000)));
    let breaker = scene.metrics.circuit_breaker(TOPIC);
    until("it opens", || breaker.open.get() == 1).await;
    sleep(secs(5)).await;
    // Whatever is tried next is passed over.
    (0..100).for_each(|offset| scene.control.skip(TopicPartition::new(TOPIC, 0), Offset(offset)));
    let tried = journal.began().len();
    until("all of them", || scene.committed(0) == 100).await;
    assert_eq!(journal.began().len(), tried, "nobody was asked");
    assert_eq!(breaker.changes.of(BreakerState::Closed).get(), 0);
    process.stop_cleanly().await;
}
