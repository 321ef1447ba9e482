//! Partitions that come and go under running handlers.

use daemonry::handler::{Route, on};
use daemonry::metrics::RebalanceKind;
use daemonry::record::Record;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::scene::{Journal, Scene, TOPIC, millis, secs, until};

/// A handler that takes so long, and hands out its tokens.
fn taking(seconds: u64, journal: &Journal, tokens: &Arc<Mutex<Vec<CancellationToken>>>) -> Route {
    let (seen, tokens) = (journal.clone(), Arc::clone(tokens));
    on(move |record: Record, token: CancellationToken| {
        let attempt = seen.begin(&record);
        tokens.lock().push(token);
        async move {
            sleep(secs(seconds)).await;
            drop(attempt);
        }
    })
}

#[tokio::test(start_paused = true)]
async fn handler_of_a_lost_assignment_is_told_and_commits_nothing() {
    let scene = Scene::new(1);
    scene.fill(0, 1);
    let (journal, tokens) = (Journal::new(), Arc::default());
    let process = scene.start(taking(5, &journal, &tokens));
    sleep(secs(1)).await;
    assert!(!tokens.lock()[0].is_cancelled());
    scene.broker.lose(TOPIC, 0);
    sleep(millis(1)).await;
    assert!(tokens.lock()[0].is_cancelled());
    sleep(secs(5)).await;
    assert_eq!((journal.ended().len(), scene.committed(0)), (1, 0), "its success came too late");
    assert_eq!(journal.offsets(0), [0, 0], "the new assignment runs it once the old handler has ended");
    assert_eq!(journal.most(), 1);
    until("the commit", || scene.committed(0) == 1).await;
    assert_eq!(scene.metrics.rebalances.of(RebalanceKind::Lost).get(), 1);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn revoked_partition_is_given_up_once_its_started_handlers_have_ended() {
    let scene = Scene::with(2, |settings| (settings.workers, settings.queue_records) = (4, 100));
    scene.fill(1, 50);
    let (journal, tokens) = (Journal::new(), Arc::default());
    let first = scene.start(taking(5, &journal, &tokens));
    sleep(secs(1)).await;
    let started = journal.offsets(1);
    assert_eq!(started.len(), 3, "a worker is left to the other partition");

    let (others, other_tokens) = (Journal::new(), Arc::default());
    let second = scene.start(taking(0, &others, &other_tokens));
    sleep(secs(3)).await;
    assert_eq!((others.began().len(), scene.broker.owned(second.member).len()), (0, 0), "it is still drained");
    until("the rest", || others.ended().len() == 47).await;
    assert!(others.elapsed() < millis(4_200), "given up after {:?}", others.elapsed());
    assert_eq!(journal.offsets(1), started, "nothing was started after the revocation");
    let twice: Vec<_> = others.offsets(1).into_iter().filter(|offset| started.contains(offset)).collect();
    assert!(twice.is_empty(), "these ran twice: {twice:?}");
    assert!(tokens.lock().iter().all(|token: &CancellationToken| token.is_cancelled()), "gone now that it is drained");
    second.stop_cleanly().await;
    first.stop_cleanly().await;
    assert_eq!(scene.committed(1), 50);
}

#[tokio::test(start_paused = true)]
async fn handler_that_ends_within_the_drain_is_never_told_to() {
    let scene = Scene::new(1);
    scene.fill(0, 1);
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let process = scene.start(on(move |token: CancellationToken| {
        let tell = Arc::clone(&tell);
        async move {
            sleep(secs(9)).await;
            *tell.lock() = Some(token.is_cancelled());
        }
    }));
    sleep(secs(1)).await;
    scene.broker.revoke(TOPIC, 0);
    until("its end", || told.lock().is_some()).await;
    assert_eq!(*told.lock(), Some(false));
    sleep(millis(10)).await;
    assert_eq!(scene.committed(0), 1, "committed before the partition went");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn revoked_partition_is_given_up_at_the_deadline_whatever_runs() {
    let scene = Scene::new(1);
    scene.fill(0, 2);
    let (journal, tokens) = (Journal::new(), Arc::default());
    let process = scene.start(taking(100, &journal, &tokens));
    sleep(secs(1)).await;
    scene.broker.revoke(TOPIC, 0);
    sleep(millis(9_900)).await;
    assert!(!tokens.lock()[0].is_cancelled());
    sleep(millis(200)).await;
    assert!(tokens.lock()[0].is_cancelled(), "ten seconds are over");
    assert_eq!(scene.committed(0), 0);
    process.crash().await;
}
