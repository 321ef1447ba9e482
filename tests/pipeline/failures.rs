//! Failures: what is left of a pipeline that can't go on, when it has said so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use daemonry::handler::{HandlerError, Route, on, on_blocking};
use daemonry::pipeline::PipelineError;
use daemonry::record::Record;
use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;
use tracing::subscriber::set_default;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

use crate::gate::{Gate, Opens, within};
use crate::scene::{Journal, Scene, millis, secs, text, until};

/// Has the reading panic the next time after the flag that comes back is raised.
fn panics_when_told(scene: &mut Scene) -> Arc<AtomicBool> {
    let told = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&told);
    scene.beat = Arc::new(move |_| assert!(!raised.swap(false, Ordering::Relaxed), "no beat"));
    told
}

#[tokio::test(start_paused = true)]
async fn panic_while_reading_is_a_failure_that_leaves_nothing_behind() {
    let mut scene = Scene::new(1);
    let told = panics_when_told(&mut scene);
    ["a", "b"].iter().for_each(|key| scene.write(0, key));
    let journal = Journal::new();
    let route = |journal: &Journal, takes| {
        let seen = journal.clone();
        on(move |record: Record| {
            let attempt = seen.begin(&record);
            async move {
                sleep(takes).await;
                drop(attempt);
            }
        })
    };
    let process = scene.start(route(&journal, secs(1_000)));
    until("two handlers", || journal.began().len() == 2).await;
    sleep(secs(2)).await;
    assert_eq!((scene.metrics.workers.get(), scene.metrics.in_flight.get()), (10, 2));
    let member = process.member;
    told.store(true, Ordering::Relaxed);
    scene.write(0, "c");
    let error = process.ended().await.unwrap_err();

    assert_eq!(error, PipelineError::Failed("reading panicked: no beat".to_owned()));
    assert_eq!(journal.ended().len(), 2, "its handlers have been dropped");
    assert!(journal.elapsed() < secs(10), "nobody waited for them: {:?}", journal.elapsed());
    assert!(scene.broker.owned(member).is_empty(), "it has left the group");
    assert_eq!((scene.metrics.workers.get(), scene.metrics.in_flight.get()), (0, 0));

    // What had been started runs again in the next one, and what stopped the former one runs too.
    let journal = Journal::new();
    let next = scene.start(route(&journal, secs(1)));
    until("all of it", || journal.ended().len() == 3).await;
    next.stop_cleanly().await;
    assert_eq!((journal.offsets(0), scene.committed(0)), (vec![0, 1, 2], 3));
}

/// A failure while a handler of this route blocks.
async fn failure_beside<K>(route: impl FnOnce(Journal, Arc<Gate>) -> Route<(), K>, handlers: &Handle) -> PipelineError {
    let mut scene = Scene { stop_drain: millis(100), ..Scene::new(1) };
    let told = panics_when_told(&mut scene);
    scene.write(0, "blocks");
    let (journal, gate) = (Journal::new(), Arc::new(Gate::default()));
    // Opened before the handlers' runtime goes, which waits for it, where the test fails too.
    let opens = Opens(Arc::clone(&gate));
    let process = scene.start_on(route(journal.clone(), gate), handlers);
    within(secs(10), "a blocked handler", || journal.began().len() == 1).await;
    told.store(true, Ordering::Relaxed);
    scene.write(0, "c");
    let error = process.ended().await.unwrap_err();
    assert!(journal.ended().is_empty());
    drop(opens);
    within(secs(10), "its end", || journal.ended().len() == 1).await;
    error
}

#[test]
fn failure_is_fatal_where_a_handler_will_not_end() {
    let handlers = Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    // In real time: the handlers that do end have threads of their own to do it on.
    let pipelines = Builder::new_current_thread().enable_time().build().unwrap();
    let on_its_workers_thread = |journal: Journal, gate: Arc<Gate>| {
        on(move |record: Record| {
            let (attempt, gate) = (journal.begin(&record), Arc::clone(&gate));
            async move {
                gate.wait();
                drop(attempt);
            }
        })
    };
    let on_one_of_its_own = |journal: Journal, gate: Arc<Gate>| {
        on_blocking(move |record: Record| {
            let attempt = journal.begin(&record);
            gate.wait();
            drop(attempt);
        })
    };
    let errors = pipelines.block_on(async {
        let handlers = handlers.handle();
        tokio::join!(failure_beside(on_its_workers_thread, handlers), failure_beside(on_one_of_its_own, handlers))
    });
    for error in [errors.0, errors.1] {
        let PipelineError::Fatal(say) = &error else { panic!("{error:?}") };
        assert!(say.contains("reading panicked: no beat") && say.contains("have not ended: 1"), "{say}");
    }
}

/// A log that fails at a worker's line: of all that runs on its task the one thing that is neither ours nor caught.
struct NoLog;

impl<S: Subscriber> Layer<S> for NoLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        assert_ne!(event.metadata().target(), "daemonry::pipeline::outcome", "it goes off");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_a_worker_is_a_failure_after_which_the_others_end_and_are_committed() {
    let _log = set_default(registry().with(NoLog));
    let scene = Scene::with(1, |settings| settings.commit_interval = secs(1_000));
    ["a", "bad", "b"].iter().for_each(|key| scene.write(0, key));
    let handle = |record: Record| async move {
        sleep(millis(500)).await;
        if text(&record) == "bad1" {
            return Err(HandlerError::from(anyhow::anyhow!("down")));
        }
        sleep(secs(2)).await;
        Ok(())
    };
    let error = scene.start(on(handle)).ended().await.unwrap_err();

    let PipelineError::Failed(say) = &error else { panic!("{error:?}") };
    assert!(say.contains("it goes off"), "{say}");
    let commit = scene.broker.committed("orders", 0).unwrap();
    assert_eq!(commit.next.offset().0, 1, "what was running has ended and is committed");
    assert!(!commit.metadata.is_empty(), "the one behind the failure too");
}
