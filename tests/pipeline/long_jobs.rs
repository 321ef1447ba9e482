//! Handlers that take long: what they hear, what flows beside them, and what becomes of their record.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use daemonry::handler::extract::{Cancellation, Text};
use daemonry::handler::{HandlerError, Route, on, on_batch};
use daemonry::metrics::MessageStatus;
use daemonry::pipeline::Stopped;
use daemonry::record::Record;
use daemonry::retry::RetryPolicy;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::scene::{Journal, Scene, TOPIC, millis, secs, until};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What a handler heard, and when.
type Heard = Arc<Mutex<Vec<(Duration, &'static str)>>>;

/// A job that goes on for so long whatever it hears.
fn job(time: Duration, journal: &Journal, heard: &Heard) -> Route {
    let (journal, heard) = (journal.clone(), Arc::clone(heard));
    on(move |record: Record, cancellation: Cancellation| {
        let (attempt, journal, heard) = (journal.begin(&record), journal.clone(), Arc::clone(&heard));
        async move {
            let mut end = std::pin::pin!(sleep(time));
            let hears = async {
                cancellation.requested().await;
                heard.lock().push((journal.elapsed(), "requested"));
                cancellation.gone().await;
                heard.lock().push((journal.elapsed(), "gone"));
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = end.as_mut() => {}
                () = hears => {}
            }
            drop(attempt);
        }
    })
    .no_timeout()
}

#[tokio::test(start_paused = true)]
async fn job_of_days_is_committed_at_its_end_and_other_keys_flow_and_are_remembered_meanwhile() {
    let scene = Scene::new(1);
    scene.write(0, "job");
    scene.fill(0, 200);
    let (journal, heard) = (Journal::new(), Heard::default());
    let seen = journal.clone();
    let route = on(move |record: Record, Text(text): Text| {
        let attempt = seen.begin(&record);
        async move {
            if text.starts_with("job") {
                sleep(30 * DAY).await;
            }
            drop(attempt);
        }
    });
    let process = scene.start(route.no_timeout());
    until("the others", || journal.ended().len() == 200).await;
    sleep(DAY).await;
    let commit = scene.broker.committed(TOPIC, 0).expect("what is finished is committed");
    assert_eq!(commit.next.offset().0, 0);
    assert!(!commit.metadata.is_empty(), "the others are remembered");
    assert_eq!(scene.metrics.handlers_overdue.get(), 0);
    sleep(29 * DAY).await;
    assert_eq!((scene.committed(0), journal.times(0, 0).len()), (201, 1));
    assert!(heard.lock().is_empty());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn job_is_asked_to_end_when_its_partition_is_revoked_and_told_when_its_time_is_over() {
    let scene = Scene::new(1);
    scene.fill(0, 1);
    let (journal, heard) = (Journal::new(), Heard::default());
    let process = scene.start(job(secs(60), &journal, &heard));
    sleep(secs(5)).await;
    scene.broker.revoke(TOPIC, 0);
    sleep(secs(30)).await;
    let told = heard.lock().clone();
    assert_eq!(told.iter().map(|(_, what)| *what).collect::<Vec<_>>(), ["requested", "gone"]);
    let [(requested, _), (gone, _)] = told[..] else { unreachable!("two") };
    assert!(requested >= secs(5) && requested < millis(5_100), "{requested:?}");
    assert!(gone >= secs(15) && gone < millis(15_100), "the drain is 10 s: {gone:?}");
    // The partition is this member's again: its lane is closed until the job has ended.
    assert_eq!(journal.offsets(0), [0]);
    until("the second attempt", || journal.began().len() == 2).await;
    assert!(journal.elapsed() >= secs(60));
    assert_eq!(journal.most(), 1);
    until("its commit", || scene.committed(0) == 1).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn job_is_asked_to_end_when_the_daemon_stops_and_its_success_is_committed() {
    let scene = Scene::new(1);
    scene.fill(0, 1);
    let (journal, heard) = (Journal::new(), Heard::default());
    let process = scene.start(job(secs(20), &journal, &heard));
    sleep(secs(5)).await;
    process.stop_cleanly().await;
    assert_eq!(heard.lock().iter().map(|(_, what)| *what).collect::<Vec<_>>(), ["requested"]);
    assert_eq!((scene.committed(0), journal.elapsed().as_secs()), (1, 20));
}

#[tokio::test(start_paused = true)]
async fn job_that_goes_on_after_a_stop_is_counted_as_unfinished() {
    let scene = Scene::new(1);
    scene.fill(0, 1);
    let (journal, heard) = (Journal::new(), Heard::default());
    let process = scene.start(job(DAY, &journal, &heard));
    sleep(secs(5)).await;
    assert_eq!(process.stop().await, Ok(Stopped { unfinished: 1, uncommitted: false }));
    assert_eq!(scene.committed(0), 0);
}

#[tokio::test(start_paused = true)]
async fn job_that_ends_with_an_error_when_it_is_asked_to_is_given_back_and_begun_again_by_the_next_owner() {
    let scene = Scene::new(2);
    scene.fill(1, 1);
    let journal = Journal::new();
    let careful = |journal: &Journal| {
        let seen = journal.clone();
        on(move |record: Record, cancellation: Cancellation| {
            let attempt = seen.begin(&record);
            async move {
                let answer = tokio::select! {
                    () = sleep(secs(60)) => Ok(()),
                    () = cancellation.requested() => Err(HandlerError::retry(anyhow!("asked to end"))),
                };
                drop(attempt);
                answer
            }
        })
        // It is nobody's failure: there need be no retry left.
        .retry(RetryPolicy::exponential().max_retries(0))
    };
    let first = scene.start(careful(&journal));
    sleep(secs(5)).await;
    let others = Journal::new();
    let asked = Instant::now();
    let second = scene.start(careful(&others));
    until("the next owner", || others.began().len() == 1).await;
    assert!(asked.elapsed() < secs(1), "nobody waited for the drain: {:?}", asked.elapsed());
    assert_eq!((journal.ended().len(), scene.letters(1)), (1, vec![]));
    until("its end", || scene.committed(1) == 1).await;
    assert_eq!(scene.metrics.messages.of(MessageStatus::Success).get(), 1);
    first.stop_cleanly().await;
    second.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn batch_of_two_partitions_is_asked_to_end_as_soon_as_one_of_them_is_revoked() {
    let scene = Scene::new(2);
    (0..2).for_each(|partition| scene.fill(partition, 2));
    let heard = Heard::default();
    let (told, start) = (Arc::clone(&heard), Instant::now());
    let route = on_batch(move |cancellation: Cancellation, records: Vec<Record>| {
        let told = Arc::clone(&told);
        async move {
            if records.len() < 4 {
                return; // those of the revoked partition, again
            }
            told.lock().push((start.elapsed(), "all"));
            tokio::select! {
                () = cancellation.requested() => {}
                () = sleep(secs(300)) => return,
            }
            told.lock().push((start.elapsed(), "requested"));
            cancellation.gone().await;
            told.lock().push((start.elapsed(), "gone"));
        }
    });
    let process = scene.start(route.max(4).within(secs(1)).no_timeout());
    sleep(secs(5)).await;
    scene.broker.revoke(TOPIC, 1);
    sleep(secs(30)).await;
    let told: Vec<_> = heard.lock().iter().take(3).map(|(at, what)| (at.as_secs(), *what)).collect();
    assert_eq!(told, [(0, "all"), (5, "requested"), (15, "gone")]);
    process.stop_cleanly().await;
}
