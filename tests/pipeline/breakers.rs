//! Circuit breakers: an outage is waited for, poison is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::handler::extract::Attempt;
use daemonry::handler::{HandlerError, ProcessingOrder, Route, on, on_batch};
use daemonry::metrics::{BreakerState, HoldReason, MessageStatus};
use daemonry::pipeline::Beat;
use daemonry::record::Record;
use daemonry::retry::RetryPolicy;
use tokio::time::sleep;

use crate::scene::{Journal, Scene, TOPIC, millis, secs, text, until};

const HOUR: Duration = secs(3_600);

/// What handlers need, and what they saw of it.
#[derive(Clone)]
struct Downstream {
    is_down: Arc<AtomicBool>,
    /// What succeeded, in order.
    handled: Journal,
    /// Every attempt.
    tried: Journal,
    /// The highest number of an attempt.
    attempts: Arc<AtomicU32>,
}

impl Downstream {
    fn down() -> Self {
        let is_down = Arc::new(AtomicBool::new(true));
        Self { is_down, handled: Journal::new(), tried: Journal::new(), attempts: Arc::default() }
    }

    fn up() -> Self {
        let downstream = Self::down();
        downstream.recovers();
        downstream
    }

    fn recovers(&self) {
        self.is_down.store(false, Ordering::Relaxed);
    }

    /// A handler that needs it; `fails` says how, while it is down.
    fn route<F, Fut>(&self, fails: F) -> Route
    where
        F: Fn() -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = HandlerError> + Send,
    {
        let seen = self.clone();
        on(move |record: Record, Attempt(attempt): Attempt| {
            let (seen, fails) = (seen.clone(), fails.clone());
            async move {
                drop(seen.tried.begin(&record));
                seen.attempts.fetch_max(attempt, Ordering::Relaxed);
                sleep(millis(5)).await;
                if seen.is_down.load(Ordering::Relaxed) || text(&record).starts_with("bad") {
                    return Err(fails().await);
                }
                drop(seen.handled.begin(&record));
                Ok(())
            }
        })
    }

    fn failing(&self) -> Route {
        self.route(|| async { anyhow!("connection refused").into() })
    }

    /// How many attempts began after this time.
    fn tried_after(&self, time: Duration) -> usize {
        self.tried.began().iter().filter(|one| one.at > time).count()
    }
}

/// So many records of so many keys, one after the other.
fn fill(scene: &Scene, partition: i32, keys: usize, records: usize) {
    (0..records).for_each(|n| scene.write(partition, &format!("key-{}-", n % keys)));
}

fn changes(scene: &Scene, state: BreakerState) -> u64 {
    scene.metrics.circuit_breaker(TOPIC).changes.of(state).get()
}

fn is_open(scene: &Scene) -> bool {
    scene.metrics.circuit_breaker(TOPIC).open.get() == 1
}

/// An hour of it, after which everything succeeds, in order and without a letter.
async fn sit_out_an_hour<K>(scene: Scene, downstream: Downstream, route: Route<(), K>, keys: usize) {
    let partitions = 2;
    (0..partitions).for_each(|partition| fill(&scene, partition, keys, 400));
    let process = scene.start(route);
    sleep(HOUR).await;
    assert!(is_open(&scene), "it is an outage");
    downstream.recovers();
    // More comes in meanwhile.
    (0..partitions).for_each(|partition| fill(&scene, partition, keys, 100));
    until("everything", || (0..partitions).all(|partition| scene.committed(partition) == 500)).await;
    assert!(!is_open(&scene) && changes(&scene, BreakerState::Closed) >= 1);
    for partition in 0..partitions {
        assert!(scene.letters(partition).is_empty(), "letters of an outage");
        let handled = downstream.handled.offsets(partition);
        for key in 0..i64::try_from(keys).unwrap() {
            let of_key = |offset: &&i64| *offset % 400 % i64::try_from(keys).unwrap() == key;
            let offsets: Vec<_> = handled.iter().filter(of_key).collect();
            assert!(offsets.is_sorted(), "{offsets:?} of key {key}");
        }
    }
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn outage_of_an_hour_leaves_no_letter_and_everything_succeeds_afterwards_in_order() {
    let downstream = Downstream::down();
    sit_out_an_hour(Scene::new(2), downstream.clone(), downstream.failing(), 40).await;
    // 20 attempts are enough for ten workers, then one each minute at most.
    let tried = downstream.tried.began().iter().filter(|one| one.at < HOUR).count();
    assert!((60..120).contains(&tried), "{tried} attempts in an hour");
    assert!(downstream.attempts.load(Ordering::Relaxed) <= 3, "trials use up no retry");
}

#[tokio::test(start_paused = true)]
async fn outage_that_shows_in_timeouts_leaves_no_letter() {
    let downstream = Downstream::down();
    let hanging = downstream.route(std::future::pending).timeout(secs(30));
    sit_out_an_hour(Scene::new(2), downstream, hanging, 40).await;
}

#[tokio::test(start_paused = true)]
async fn outage_leaves_no_letter_where_lanes_are_few() {
    for keys in [1, 2, 3] {
        let downstream = Downstream::down();
        sit_out_an_hour(Scene::new(2), downstream.clone(), downstream.failing(), keys).await;
    }
    let downstream = Downstream::down();
    let ordered = downstream.failing().order(ProcessingOrder::Partition);
    sit_out_an_hour(Scene::new(2), downstream, ordered, 1).await;
}

#[tokio::test(start_paused = true)]
async fn bad_records_at_the_head_of_all_lanes_become_letters_once_the_breaker_has_lost_its_patience() {
    let scene = Scene::new(2);
    (0..2).for_each(|partition| (0..2).for_each(|_| scene.write(partition, "bad")));
    (0..2).for_each(|partition| fill(&scene, partition, 9, 100));
    let downstream = Downstream::up();
    let process = scene.start(downstream.failing().order(ProcessingOrder::Partition));
    sleep(HOUR).await;
    assert!(is_open(&scene), "it could be an outage");
    assert!((0..2).all(|partition| scene.letters(partition).is_empty()));
    let trials = downstream.tried.began().len();
    // At most three attempts are left of either, and then four of each of the next ones: a minute each.
    sleep(secs(20 * 60)).await;
    assert_eq!([0, 1].map(|partition| scene.letters(partition).len()), [2, 2]);
    assert!(downstream.tried.began().len() - trials >= 4);
    until("everything", || (0..2).all(|partition| scene.committed(partition) == 102)).await;
    assert!(!is_open(&scene));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn patience_has_no_end_where_the_evidence_is_all_there() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (30, 100));
    fill(&scene, 0, 60, 60);
    let downstream = Downstream::down();
    let process = scene.start(downstream.failing());
    sleep(24 * HOUR).await;
    assert!(is_open(&scene) && scene.letters(0).is_empty());
    downstream.recovers();
    until("everything", || scene.committed(0) == 60).await;
    assert!(scene.letters(0).is_empty());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn outage_leaves_no_letter_of_batches() {
    for is_whole in [true, false] {
        let downstream = Downstream::down();
        let seen = downstream.clone();
        let route = on_batch(move |records: Vec<Record>| {
            let seen = seen.clone();
            async move {
                records.iter().for_each(|record| drop(seen.tried.begin(record)));
                sleep(millis(5)).await;
                if seen.is_down.load(Ordering::Relaxed) {
                    let failed = || HandlerError::from(anyhow!("connection refused"));
                    // Too few answers fail all of it.
                    let answers = if is_whole && records.len() > 1 { 1 } else { records.len() };
                    (0..answers).map(|_| Err(failed())).collect()
                } else {
                    records.iter().for_each(|record| drop(seen.handled.begin(record)));
                    records.iter().map(|_| Ok(())).collect::<Vec<_>>()
                }
            }
        });
        sit_out_an_hour(Scene::new(2), downstream, route.max(20).within(millis(50)), 40).await;
    }
}

#[tokio::test(start_paused = true)]
async fn poison_opens_nothing_whoever_has_it() {
    let scene = Scene::new(1);
    fill(&scene, 0, 200, 200);
    let downstream = Downstream::down();
    let process = scene.start(downstream.route(|| async { HandlerError::poison(anyhow!("not an order")) }));
    until("all letters", || scene.letters(0).len() == 200).await;
    assert_eq!(changes(&scene, BreakerState::Open), 0);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn panics_open_nothing() {
    let scene = Scene::new(1);
    fill(&scene, 0, 100, 100);
    let downstream = Downstream::down();
    let process = scene.start(downstream.route(|| async { panic!("a mistake") }));
    until("all letters", || scene.letters(0).len() == 100).await;
    assert_eq!(changes(&scene, BreakerState::Open), 0);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn key_that_fails_among_others_that_do_not_becomes_letters_and_opens_nothing() {
    let scene = Scene::new(1);
    for n in 0..1_000 {
        scene.write(0, &format!("key-{n}-"));
        if n % 100 == 0 {
            scene.write(0, "bad");
        }
    }
    let downstream = Downstream::up();
    let process = scene.start(downstream.failing());
    until("everything", || scene.committed(0) == 1_010).await;
    assert_eq!((scene.letters(0).len(), changes(&scene, BreakerState::Open)), (10, 0));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn hot_key_alone_opens_nothing_however_often_it_fails() {
    let scene = Scene::new(1);
    (0..60).for_each(|_| scene.write(0, "bad"));
    let downstream = Downstream::up();
    let process = scene.start(downstream.failing());
    until("all letters", || scene.letters(0).len() == 60).await;
    assert_eq!(changes(&scene, BreakerState::Open), 0);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn bad_keys_that_look_like_an_outage_are_found_out_by_the_good_ones_behind_them() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (10, 40));
    (0..60).for_each(|n| scene.write(0, &format!("bad-{n}-")));
    fill(&scene, 0, 500, 500);
    let downstream = Downstream::up();
    let process = scene.start(downstream.failing());
    until("everything", || scene.committed(0) == 560).await;
    assert!(changes(&scene, BreakerState::Open) > 0 && !is_open(&scene));
    assert_eq!(scene.letters(0).len(), 60);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn route_without_a_breaker_gives_up_on_each_record_by_itself() {
    let scene = Scene::new(1);
    fill(&scene, 0, 100, 100);
    let downstream = Downstream::down();
    let process = scene.start(downstream.failing().circuit_breaker(CircuitBreaker::off()));
    until("all letters", || scene.letters(0).len() == 100).await;
    assert_eq!(changes(&scene, BreakerState::Open), 0);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn another_route_goes_on_beside_one_that_is_held_back() {
    let scene = Scene::new(1);
    scene.broker.create_topic("bills", 1);
    fill(&scene, 0, 200, 200);
    let downstream = Downstream::down();
    let handled = Journal::new();
    let seen = handled.clone();
    let router = daemonry::handler::Router::new().topic(TOPIC, downstream.failing()).topic(
        "bills",
        on(move |record: Record| {
            drop(seen.begin(&record));
            async {}
        }),
    );
    let process = scene.start_router(router);
    until("it opens", || is_open(&scene)).await;
    let bill = |n: i64| daemonry::record::OwnedRecord::new(n.to_string()).with_key(n.to_string());
    for n in 0..1_000 {
        scene.broker.produce("bills", 0, bill(n));
    }
    let begun = handled.elapsed();
    until("the others", || handled.began().len() == 1_000).await;
    assert!(handled.elapsed() - begun < secs(1), "they had to wait");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn stop_while_it_is_open_waits_for_nothing_and_what_failed_runs_again_elsewhere() {
    let scene = Scene::new(1);
    fill(&scene, 0, 50, 200);
    let downstream = Downstream::down();
    let process = scene.start(downstream.failing());
    until("it opens", || is_open(&scene)).await;
    sleep(secs(100)).await;
    let begun = downstream.tried.elapsed();
    process.stop_cleanly().await;
    assert!(downstream.tried.elapsed() - begun < secs(1), "the stop waited");
    assert!(!is_open(&scene), "what doesn't run holds nothing back");
    downstream.recovers();
    let next = scene.start(downstream.failing());
    until("everything", || scene.committed(0) == 200).await;
    assert!(scene.letters(0).is_empty());
    next.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn rebalances_while_it_is_open_take_nothing_from_it_and_leave_nothing_behind() {
    let scene = Scene::new(4);
    (0..4).for_each(|partition| fill(&scene, partition, 30, 100));
    let downstream = Downstream::down();
    let process = scene.start(downstream.failing());
    until("it opens", || is_open(&scene)).await;
    for _ in 0..5 {
        sleep(secs(30)).await;
        let visitor = scene.start(downstream.failing());
        sleep(secs(30)).await;
        visitor.stop_cleanly().await;
    }
    sleep(secs(60)).await;
    assert!((0..4).all(|partition| scene.letters(partition).is_empty()), "letters of an outage");
    downstream.recovers();
    until("everything", || (0..4).all(|partition| scene.committed(partition) == 100)).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_is_open_says_so_reads_nothing_and_is_no_stall() {
    let mut scene = Scene::new(1);
    let stalled = Arc::new(AtomicBool::new(false));
    let heard = Arc::clone(&stalled);
    scene.beat = Arc::new(move |beat| heard.store(matches!(beat, Beat::Stalled(_)), Ordering::Relaxed));
    fill(&scene, 0, 1_000, 10_000);
    let downstream = Downstream::down();
    let process = scene.start(downstream.failing());
    sleep(HOUR).await;
    assert!(is_open(&scene) && !stalled.load(Ordering::Relaxed));
    assert_eq!(scene.metrics.partitions_held.of(HoldReason::CircuitBreaker).get(), 1);
    let waiting = scene.metrics.parked_records.get() + scene.metrics.queue_depth.get();
    assert!(waiting <= 200, "{waiting} records wait in memory");
    let of = |state| changes(&scene, state);
    assert!(of(BreakerState::HalfOpen) > 50 && of(BreakerState::Open) >= of(BreakerState::HalfOpen));
    assert_eq!(of(BreakerState::Closed), 0);
    assert_eq!(scene.metrics.messages.of(MessageStatus::DeadLettered).get(), 0);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn record_that_is_tried_and_turns_out_to_be_poison_becomes_a_letter_and_the_next_one_is_tried() {
    let scene = Scene::new(1);
    (0..30).for_each(|n| scene.write(0, &format!("key-{n}-")));
    let downstream = Downstream::down();
    let seen = downstream.clone();
    let process = scene.start(on(move |record: Record| {
        let seen = seen.clone();
        async move {
            drop(seen.tried.begin(&record));
            match seen.is_down.load(Ordering::Relaxed) {
                true => Err(HandlerError::from(anyhow!("connection refused"))),
                false if record.offset().0 < 29 => Err(HandlerError::poison(anyhow!("not an order"))),
                false => Ok(()),
            }
        }
    }));
    until("it opens", || is_open(&scene)).await;
    downstream.recovers();
    until("everything", || scene.committed(0) == 30).await;
    assert_eq!((scene.letters(0).len(), is_open(&scene)), (29, false));
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn what_runs_when_it_opens_uses_up_no_retry() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (60, 200));
    fill(&scene, 0, 60, 60);
    let downstream = Downstream::down();
    // Without a retry the first failure is the last; those that open it have theirs behind them.
    let route = downstream.failing().retry(RetryPolicy::none());
    let seen = downstream.clone();
    let process = scene.start(route);
    until("it opens", || is_open(&scene)).await;
    sleep(secs(600)).await;
    assert_eq!(scene.letters(0).len(), 50, "those that it took to open");
    seen.recovers();
    until("everything", || scene.committed(0) == 60).await;
    assert_eq!(scene.letters(0).len(), 50);
    assert!(downstream.tried_after(secs(1)) >= 10);
    process.stop_cleanly().await;
}
