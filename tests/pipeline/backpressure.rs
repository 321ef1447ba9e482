//! The queue: what it holds, when reading is held back, and who goes on meanwhile.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use daemonry::handler::{ProcessingOrder, on};
use daemonry::metrics::MessageStatus;
use daemonry::record::{OwnedRecord, Record};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::subscriber::set_default;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

use crate::scene::{Journal, Scene, TOPIC, millis, secs, until};

#[tokio::test(start_paused = true)]
async fn queue_stays_within_its_bound_and_nothing_is_dropped() {
    let scene = Scene::with(3, |settings| (settings.workers, settings.queue_records) = (4, 20));
    (0..3).for_each(|partition| scene.fill(partition, 200));
    let journal = Journal::new();
    let seen = journal.clone();
    let process = scene.start(on(move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            sleep(millis(300)).await;
            drop(attempt);
        }
    }));
    let mut deepest = 0;
    while journal.ended().len() < 600 {
        sleep(millis(100)).await;
        deepest = deepest.max(scene.metrics.queue_depth.get());
        assert!(scene.metrics.queue_depth.get() <= 20 && scene.metrics.in_flight.get() <= 4);
    }
    assert_eq!((deepest >= 16, journal.most()), (true, 4), "the queue is used, and so are the workers");
    let different: BTreeSet<_> = journal.began().iter().map(|one| (one.partition, one.offset)).collect();
    assert_eq!((journal.began().len(), different.len()), (600, 600), "each of them once");
    process.stop_cleanly().await;
    assert_eq!((scene.committed(0), scene.committed(1), scene.committed(2)), (200, 200, 200));
    assert_eq!(scene.metrics.messages.of(MessageStatus::Success).get(), 600);
}

#[tokio::test(start_paused = true)]
async fn queue_is_bounded_by_bytes_too() {
    const RECORD: usize = 1_000;
    let scene = Scene::with(2, |settings| settings.queue_bytes = 10 * RECORD);
    for n in 0..200 {
        let record = OwnedRecord::new(vec![b'x'; RECORD]).with_key(format!("{n}"));
        scene.broker.produce(TOPIC, n % 2, record);
    }
    let journal = Journal::new();
    let seen = journal.clone();
    let process = scene.start(on(move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            sleep(millis(300)).await;
            drop(attempt);
        }
    }));
    let mut most = 0;
    while journal.ended().len() < 200 {
        sleep(millis(100)).await;
        most = most.max(scene.metrics.queue_bytes.get());
    }
    // A record is read whole, and one of each partition may be whatever the others hold.
    let bound = i64::try_from(12 * (RECORD + 3)).unwrap();
    assert!((5_000..=bound).contains(&most), "{most} bytes were queued");
    process.stop_cleanly().await;
    assert_eq!((scene.committed(0), scene.committed(1)), (100, 100));
}

#[tokio::test(start_paused = true)]
async fn reading_is_held_back_at_four_fifths_and_goes_on_at_half() {
    let scene = Scene::new(1);
    let permits = Arc::new(Semaphore::new(0));
    let handler_permits = Arc::clone(&permits);
    let process = scene.start(
        on(move || {
            let permits = Arc::clone(&handler_permits);
            async move { permits.acquire().await.unwrap().forget() }
        })
        .order(ProcessingOrder::Unordered),
    );
    let state = || (scene.metrics.backpressure.get(), scene.metrics.backpressure_changes.get());
    scene.fill(0, 79);
    sleep(secs(2)).await;
    assert_eq!(state(), (0, 0), "79 of 100");
    scene.fill(0, 21);
    sleep(secs(2)).await;
    assert_eq!((state(), scene.metrics.queue_depth.get()), ((1, 1), 100));
    scene.fill(0, 500);
    sleep(secs(2)).await;
    permits.add_permits(49);
    sleep(secs(2)).await;
    assert_eq!((state(), scene.metrics.queue_depth.get()), ((1, 1), 51), "nothing is read down to the low mark");
    permits.add_permits(1);
    sleep(secs(2)).await;
    assert_eq!((state(), scene.metrics.queue_depth.get()), ((1, 3), 100), "it went on, and filled the queue again");
    permits.add_permits(1_000);
    sleep(secs(2)).await;
    assert_eq!((state().0, scene.metrics.queue_depth.get()), (0, 0));
    process.stop_cleanly().await;
}

/// The messages of the log, with their fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        struct Line(String);
        impl Visit for Line {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0 += &format!("{field}={value:?} ");
            }
        }
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().push(line.0);
    }
}

impl Lines {
    fn with(&self, text: &str) -> Vec<String> {
        self.0.lock().iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn backlog_that_is_worked_off_does_not_fill_the_log() {
    let lines = Lines::default();
    let _log = set_default(registry().with(lines.clone()));
    let scene = Scene::new(4);
    let backlog = || (0..4).for_each(|partition| scene.fill(partition, 5_000));
    backlog();
    let process = scene.start(on(|| sleep(millis(10))).order(ProcessingOrder::Unordered));
    let (began, ended) = ("queue nearly full", "queue has room again");
    until("the backlog", || scene.metrics.messages.of(MessageStatus::Success).get() == 20_000).await;

    let changes = scene.metrics.backpressure_changes.get();
    assert!(changes > 100, "backpressure went on and off {changes} times");
    let told = lines.with(began);
    assert!(told.len() == 1 && told[0].contains("times=1 "), "{told:?}");
    assert_eq!(lines.with(ended), Vec::<String>::new(), "it never lasted");

    sleep(secs(61)).await;
    backlog();
    until("another", || scene.metrics.messages.of(MessageStatus::Success).get() == 40_000).await;
    let told = lines.with(began);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[1].contains(&format!("times={} ", changes / 2)), "those that were not told: {told:?} of {changes}");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn backpressure_that_lasted_is_said_to_have_ended() {
    let lines = Lines::default();
    let _log = set_default(registry().with(lines.clone()));
    let scene = Scene::new(1);
    scene.fill(0, 90);
    let process = scene.start(on(|| sleep(secs(1))).order(ProcessingOrder::Unordered));
    until("all of them", || scene.metrics.messages.of(MessageStatus::Success).get() == 90).await;
    let ended = lines.with("queue has room again");
    assert!(ended.len() == 1 && ended[0].contains("after="), "{ended:?}");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn one_busy_partition_among_many_idle_ones_is_read_without_pauses() {
    // Each idle partition keeps a slot, so the busy one fills its part of the queue below the high mark.
    let scene = Scene::new(60);
    scene.fill(7, 2_000);
    let journal = Journal::new();
    let seen = journal.clone();
    let process = scene.start(on(move |record: Record| {
        drop(seen.begin(&record));
        async {}
    }));
    until("all of it", || journal.ended().len() == 2_000).await;
    assert!(journal.elapsed() < secs(1), "it took {:?}", journal.elapsed());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn partition_that_is_stuck_lets_the_seven_others_flow() {
    let scene = Scene::new(8);
    (0..8).for_each(|partition| scene.fill(partition, 300));
    let journal = Journal::new();
    let seen = journal.clone();
    let process = scene.start(on(move |record: Record| {
        let attempt = seen.begin(&record);
        let is_stuck = record.partition().0 == 0;
        async move {
            sleep(if is_stuck { secs(500) } else { millis(1) }).await;
            drop(attempt);
        }
    }));
    until("the others", || journal.ended().len() == 7 * 300).await;
    assert!(journal.elapsed() < secs(30), "it took {:?}", journal.elapsed());
    assert!((1..8).all(|partition| journal.offsets(partition).len() == 300));
    assert_eq!(journal.offsets(0).len(), 9, "a worker is left to the others");
    process.crash().await;
}
