//! Handlers that block their threads: the one thing that virtual time can't show.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use daemonry::handler::layer::TimeoutLayer;
use daemonry::handler::{Route, on, on_blocking};
use daemonry::record::Record;
use daemonry::retry::RetryPolicy;
use tokio::runtime::Builder;
use tokio::time::sleep;

use crate::gate::{Gate, Opens, within};
use crate::scene::{Journal, Scene, text};

/// A handler that keeps a journal, and blocks its thread at what begins with `blocks`.
pub(crate) fn blocks(journal: &Journal, gate: &Arc<Gate>) -> Route {
    let (seen, blocked) = (journal.clone(), Arc::clone(gate));
    on(move |record: Record| {
        let (attempt, gate) = (seen.begin(&record), Arc::clone(&blocked));
        async move {
            if text(&record).starts_with("blocks") {
                gate.wait();
            }
            drop(attempt);
        }
    })
}

#[test]
fn blocked_threads_are_named_and_stop_no_other_partition() {
    let pipeline = Builder::new_current_thread().enable_time().build().unwrap();
    let handlers = Builder::new_multi_thread().worker_threads(6).enable_time().build().unwrap();
    pipeline.block_on(async {
        let scene = Scene::with(2, |settings| (settings.workers, settings.queue_records) = (4, 40));
        (0..3).for_each(|n| scene.write(0, &format!("blocks-{n}-")));
        let (journal, gate) = (Journal::new(), Arc::new(Gate::default()));
        let _opens = Opens(Arc::clone(&gate));
        let route = blocks(&journal, &gate).timeout(Duration::from_millis(100));
        let process = scene.start_on(route, handlers.handle());
        within(Duration::from_secs(5), "three blocked workers", || journal.began().len() == 3).await;
        scene.fill(0, 30);
        scene.fill(1, 3_000);
        within(Duration::from_secs(10), "the other partition", || journal.offsets(1).len() == 3_000).await;
        assert_eq!(journal.offsets(0).len(), 3, "this one has all the workers that it may have");
        let overdue = || scene.metrics.handlers_overdue.get();
        within(Duration::from_secs(5), "the watchdog", || overdue() == 3).await;

        gate.open();
        within(Duration::from_secs(5), "the rest", || journal.offsets(0).len() == 33).await;
        within(Duration::from_secs(5), "the watchdog", || overdue() == 0).await;
        process.stop_cleanly().await;
        assert_eq!((scene.committed(0), scene.committed(1)), (33, 3_000));
    });
}

#[test]
fn a_lane_opens_only_when_a_blocking_handler_has_really_ended() {
    let pipeline = Builder::new_current_thread().enable_time().build().unwrap();
    let handlers = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    // Its own timeout, and that of a layer, which drops the attempt's future.
    for by_layer in [false, true] {
        pipeline.block_on(async {
            let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (4, 40));
            ["a", "a", "b"].iter().for_each(|key| scene.write(0, key));
            let (journal, gate) = (Journal::new(), Arc::new(Gate::default()));
            let _opens = Opens(Arc::clone(&gate));
            let (seen, blocked) = (journal.clone(), Arc::clone(&gate));
            let handle = move |record: Record| {
                let attempt = seen.begin(&record);
                if record.offset().0 == 0 {
                    blocked.wait();
                }
                drop(attempt);
            };
            let route = on_blocking(handle).retry(RetryPolicy::none());
            let short = Duration::from_millis(50);
            let route = if by_layer { route.layer(TimeoutLayer::new(short)) } else { route.timeout(short) };
            let process = scene.start_on(route, handlers.handle());
            within(Duration::from_secs(5), "the other key", || journal.offsets(0).contains(&2)).await;
            sleep(short * 6).await;
            // Of two keys either may be the first.
            let begun = || journal.offsets(0).into_iter().collect::<BTreeSet<_>>();
            assert_eq!(begun(), BTreeSet::from([0, 2]), "its successor must wait");
            assert!(scene.letters(0).is_empty());

            gate.open();
            within(Duration::from_secs(5), "all of them", || scene.committed(0) == 3).await;
            assert_eq!((journal.offsets(0).len(), journal.offsets(0).last(), scene.letters(0)), (3, Some(&1), vec![0]));
            process.stop_cleanly().await;
        });
    }
}

#[test]
fn a_blocking_handler_may_fail_and_panic_like_any_other() {
    let pipeline = Builder::new_current_thread().enable_time().build().unwrap();
    let handlers = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    pipeline.block_on(async {
        let scene = Scene::new(1);
        ["fails", "panics", "works"].iter().for_each(|key| scene.write(0, key));
        let handle = |record: Record| match record.offset().0 {
            0 => Err(anyhow::anyhow!("no")),
            1 => panic!("oh no"),
            _ => Ok(()),
        };
        let retry = RetryPolicy::exponential().max_retries(1).base(Duration::from_millis(10));
        let process = scene.start_on(on_blocking(handle).retry(retry), handlers.handle());
        within(Duration::from_secs(5), "all of them", || scene.committed(0) == 3).await;
        let mut letters = scene.letters(0);
        letters.sort_unstable();
        assert_eq!(letters, [0, 1]);
        process.stop_cleanly().await;
    });
}
