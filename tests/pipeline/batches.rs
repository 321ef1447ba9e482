//! Handlers of batches: what makes up a batch, and what becomes of its records.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use daemonry::handler::extract::{Attempt, Json};
use daemonry::handler::{Batched, HandlerError, ProcessingOrder, Route, on_batch};
use daemonry::metrics::MessageStatus;
use daemonry::record::{OwnedRecord, Record};
use daemonry::retry::RetryPolicy;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::scene::{LETTERS, Scene, TOPIC, header, millis, secs, until};

/// The batches that a handler got.
#[derive(Clone)]
struct Batches {
    begun: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// When a batch came, and its records' partitions and offsets.
type Seen = (Duration, Vec<(i32, i64)>);

impl Batches {
    fn new() -> Self {
        Self { begun: Instant::now(), seen: Arc::default() }
    }

    fn note(&self, records: &[Record]) {
        let places = records.iter().map(|record| (record.partition().0, record.offset().0)).collect();
        self.seen.lock().push((self.begun.elapsed(), places));
    }

    fn sizes(&self) -> Vec<usize> {
        self.seen.lock().iter().map(|(_, places)| places.len()).collect()
    }

    fn times(&self) -> Vec<Duration> {
        self.seen.lock().iter().map(|(at, _)| *at).collect()
    }

    /// The offsets of a partition in the order in which they came.
    fn offsets(&self, partition: i32) -> Vec<i64> {
        let seen = self.seen.lock();
        let places = seen.iter().flat_map(|(_, places)| places);
        places.filter(|(of, _)| *of == partition).map(|(_, offset)| *offset).collect()
    }
}

/// A route that takes so long for each batch, and succeeds.
fn sleeping(batches: &Batches, time: Duration) -> Route<(), Batched> {
    let seen = batches.clone();
    on_batch(move |records: Vec<Record>| {
        seen.note(&records);
        sleep(time)
    })
}

/// A route whose handler says of each record what `answer` does.
fn answering<A>(batches: &Batches, answer: A) -> Route<(), Batched>
where
    A: Fn(&Record, u32) -> Result<(), HandlerError> + Clone + Send + Sync + 'static,
{
    let seen = batches.clone();
    on_batch(move |items: Vec<(Record, Attempt)>| {
        seen.note(&items.iter().map(|(record, _)| record.clone()).collect::<Vec<_>>());
        let answers: Vec<_> = items.iter().map(|(record, attempt)| answer(record, attempt.0)).collect();
        async move { answers }
    })
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_or_has_waited_long_enough() {
    let scene = Scene::with(2, |settings| settings.queue_records = 1_000);
    scene.fill(0, 25);
    scene.fill(1, 10);
    let batches = Batches::new();
    let process = scene.start(sleeping(&batches, millis(1)).max(10).within(millis(300)));
    until("all of them finished", || scene.committed(0) == 25 && scene.committed(1) == 10).await;

    let mut sizes = batches.sizes();
    sizes.sort_unstable();
    assert_eq!(sizes, [5, 10, 10, 10], "records of both partitions together");
    let times = batches.times();
    assert!(times[..3].iter().all(|at| *at < millis(50)) && times[3] >= millis(300), "{times:?}");
    assert!(times[3] < millis(350), "{times:?}");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_the_queue_still_gets_full() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (2, 4));
    scene.fill(0, 1_000);
    let batches = Batches::new();
    let process = scene.start(sleeping(&batches, millis(10)).max(250).within(secs(60)));
    until("all of them finished", || scene.committed(0) == 1_000).await;

    assert_eq!(batches.sizes(), [250; 4]);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_and_what_waits_for_it_is_repeated() {
    let scene = Scene::new(1);
    // 0 to 7; the second of `b`, 3, fails at its first two attempts.
    ["a", "b", "a", "b", "b", "a", "c", "b"].iter().for_each(|key| scene.write(0, key));
    let batches = Batches::new();
    let route = answering(&batches, |record, attempt| {
        if record.offset().0 == 3 && attempt < 3 { Err(anyhow!("not yet").into()) } else { Ok(()) }
    });
    let process = scene.start(route.max(8).retry(RetryPolicy::exponential().no_jitter()));
    until("all of them finished", || scene.committed(0) == 8).await;

    assert_eq!(batches.sizes(), [8, 3, 3], "3 with 4 and 7, which must wait for it");
    let tail = &batches.offsets(0)[8..];
    assert_eq!(tail, [3, 4, 7, 3, 4, 7]);
    assert!(scene.letters(0).is_empty());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_that_fails_as_a_whole_only_the_one_at_fault_becomes_a_dead_letter() {
    for how in ["error", "panic", "timeout"] {
        let scene = Scene::new(1);
        ["a", "a", "a", "b"].iter().for_each(|key| scene.write(0, key));
        let batches = Batches::new();
        let seen = batches.clone();
        let handle = move |records: Vec<Record>| {
            seen.note(&records);
            async move {
                if records.iter().any(|record| record.offset().0 == 1) {
                    match how {
                        "error" => return Err(anyhow!("no")),
                        "panic" => panic!("oh no"),
                        _ => sleep(secs(60)).await,
                    }
                }
                Ok(())
            }
        };
        let route = on_batch(handle).max(4).timeout(secs(5)).retry(RetryPolicy::exponential().max_retries(1));
        let process = scene.start(route);
        until("all of them finished", || scene.committed(0) == 4).await;

        assert_eq!(scene.letters(0), [1], "{how}");
        let letter = &scene.broker.records(LETTERS, 0)[0].1;
        assert_eq!(header(letter, "daemonry-reason"), how);
        assert_eq!(header(letter, "daemonry-attempts"), "2", "{how}: by itself");
        assert_eq!(batches.sizes(), [4, 1, 1, 1, 1, 1], "{how}");
        let lane: Vec<_> = batches.offsets(0).into_iter().filter(|offset| *offset < 3).collect();
        assert_eq!(lane, [0, 1, 2, 0, 1, 1, 2], "{how}: in order");
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_decoded_is_not_part_of_the_batch_nor_what_waits_for_it() {
    let scene = Scene::new(1);
    let write = |key: &str, value: &str| scene.broker.produce(TOPIC, 0, OwnedRecord::new(value).with_key(key));
    for (key, value) in [("a", "0"), ("a", "x"), ("a", "2"), ("b", "3")] {
        write(key, value);
    }
    let seen: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
    let log = Arc::clone(&seen);
    let handle = move |numbers: Vec<Json<u32>>| {
        log.lock().push(numbers.into_iter().map(|Json(number)| number).collect());
        async {}
    };
    let process = scene.start(on_batch(handle).max(4).within(millis(50)));
    until("all of them finished", || scene.committed(0) == 4).await;

    assert_eq!(*seen.lock(), [vec![0, 3], vec![2]]);
    assert_eq!(scene.letters(0), [1]);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn batches_keep_the_order_of_partitions() {
    let scene = Scene::with(3, |settings| settings.queue_records = 200);
    (0..3).for_each(|partition| scene.fill(partition, 100));
    let batches = Batches::new();
    let flaky = answering(&batches, |record, attempt| {
        if record.offset().0 % 17 == 0 && attempt < 2 { Err(anyhow!("not yet").into()) } else { Ok(()) }
    });
    let process = scene.start(flaky.max(16).within(millis(20)).order(ProcessingOrder::Partition));
    until("all of them finished", || (0..3).all(|partition| scene.committed(partition) == 100)).await;

    for partition in 0..3 {
        // What came again came from where it had failed, and nothing was left out on the way.
        let offsets = batches.offsets(partition);
        assert!(offsets.windows(2).all(|two| two[1] <= two[0] + 1), "{offsets:?}");
    }
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_is_given_back_at_a_stop_and_one_that_runs_ends() {
    let scene = Scene::new(1);
    scene.fill(0, 7);
    let batches = Batches::new();
    let process = scene.start(sleeping(&batches, secs(3)).max(5).within(secs(600)));
    until("a batch", || !batches.sizes().is_empty()).await;
    process.stop_cleanly().await;

    assert_eq!((batches.sizes(), scene.committed(0)), (vec![5], 5));
}

#[tokio::test(start_paused = true)]
async fn a_batch_hears_that_one_of_its_partitions_is_lost() {
    let scene = Scene::new(2);
    (0..2).for_each(|partition| scene.write(partition, "a"));
    let told: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let (log, begun) = (Arc::clone(&told), Instant::now());
    let handle = move |gone: CancellationToken, records: Vec<Record>| {
        let log = Arc::clone(&log);
        async move {
            if records.len() == 2 {
                gone.cancelled().await;
                log.lock().push(begun.elapsed());
            }
        }
    };
    let process = scene.start(on_batch(handle).max(2).within(secs(10)));
    sleep(secs(5)).await;
    assert!(told.lock().is_empty());
    scene.broker.lose(TOPIC, 1);
    until("all of them finished", || scene.committed(0) == 1 && scene.committed(1) == 1).await;

    assert!((secs(5)..secs(6)).contains(&told.lock()[0]), "{:?}", told.lock());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_fit_the_batch_are_an_error_of_all_its_records() {
    let scene = Scene::new(1);
    scene.fill(0, 3);
    let handle = |_: Vec<Record>| async { vec![Ok::<(), HandlerError>(())] };
    let process = scene.start(on_batch(handle).max(3).retry(RetryPolicy::none()));
    // Of a batch of one, one answer is right.
    until("all of them finished", || scene.committed(0) == 3).await;
    assert_eq!(scene.metrics.messages.of(MessageStatus::Failed).get(), 3);
    assert!(scene.letters(0).is_empty());
    process.stop_cleanly().await;
}
