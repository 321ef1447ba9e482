//! Quick records of many keys are taken together; one that turns out to be slow must not hold the others up.

use std::sync::Arc;
use std::time::Duration;

use daemonry::handler::{Route, on};
use daemonry::record::Record;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep};

use crate::gate::{Gate, Opens, within};
use crate::overdue::blocks;
use crate::scene::{Journal, Process, Scene, millis, secs, text, until};

/// Enough for it to be known that they are quick.
const QUICK: usize = 2_000;

/// Waits for a minute where the record says so.
fn waits(journal: &Journal) -> Route {
    let seen = journal.clone();
    let handle = move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            if text(&record).starts_with("slow") {
                sleep(secs(60)).await;
            }
            drop(attempt);
        }
    };
    on(handle).timeout(secs(120))
}

/// A process of such handlers whose records took no time so far.
async fn known_as_quick() -> (Scene, Journal, Process) {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (2, 100));
    let journal = Journal::new();
    let process = scene.start(waits(&journal));
    scene.fill(0, QUICK);
    until("the quick ones", || journal.ended().len() == QUICK).await;
    (scene, journal, process)
}

#[tokio::test(start_paused = true)]
async fn handler_that_waits_holds_no_other_key_up() {
    let (scene, journal, process) = known_as_quick().await;
    let start = Instant::now();
    scene.write(0, "slow");
    scene.fill(0, 50);
    until("those beside it", || journal.ended().len() == QUICK + 50).await;
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
    until("the slow one", || journal.ended().len() == QUICK + 51).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn key_that_is_done_waits_for_no_handler_behind_it() {
    let (scene, journal, process) = known_as_quick().await;
    let start = Instant::now();
    // In one delivery.
    scene.fill(0, 20);
    scene.write(0, "slow");
    until("the early ones", || journal.ended().len() == QUICK + 20).await;
    scene.fill(0, 20);
    until("those of the same keys", || journal.ended().len() == QUICK + 40).await;
    let finished = i64::try_from(QUICK + 20).unwrap();
    until("the commit of what is before the slow one", || scene.committed(0) == finished).await;
    assert!(start.elapsed() < secs(10), "{:?}", start.elapsed());
    until("the slow one", || journal.ended().len() == QUICK + 41).await;
    process.stop_cleanly().await;
}

#[test]
fn handler_that_blocks_its_thread_holds_no_other_key_up_for_long() {
    let pipeline = Builder::new_current_thread().enable_time().build().unwrap();
    let handlers = Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    pipeline.block_on(async {
        let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (2, 100));
        let (journal, gate) = (Journal::new(), Arc::new(Gate::default()));
        let _opens = Opens(Arc::clone(&gate));
        let process = scene.start_on(blocks(&journal, &gate), handlers.handle());
        scene.fill(0, QUICK);
        within(Duration::from_secs(20), "the quick ones", || journal.ended().len() == QUICK).await;
        // In one delivery.
        scene.fill(0, 20);
        scene.write(0, "blocks");
        scene.fill(0, 30);
        within(Duration::from_secs(5), "those beside it", || journal.ended().len() == QUICK + 50).await;
        scene.fill(0, 20);
        within(Duration::from_secs(5), "those of keys that were done", || journal.ended().len() == QUICK + 70).await;
        within(Duration::from_secs(15), "the commit of what is before it", || {
            scene.committed(0) == i64::try_from(QUICK + 20).unwrap()
        })
        .await;
        // The member's partition is still read.
        sleep(millis(50)).await;
        scene.fill(0, 50);
        within(Duration::from_secs(5), "those behind it", || journal.ended().len() == QUICK + 120).await;
        gate.open();
        within(Duration::from_secs(5), "the one that blocked", || journal.ended().len() == QUICK + 121).await;
        process.stop_cleanly().await;
        assert_eq!(scene.committed(0), i64::try_from(QUICK + 121).unwrap());
    });
}
