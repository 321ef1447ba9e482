//! What is changed while a daemon runs: pauses and rates.

use daemonry::handler::extract::Attempt;
use daemonry::handler::{ProcessingOrder, on, on_batch};
use daemonry::pipeline::control::{Rate, Scope};
use daemonry::pipeline::seek::{SeekError, SeekTo};
use daemonry::record::{NextOffset, Offset, Record, TopicPartition};
use daemonry::retry::RetryPolicy;
use tokio::time::{Instant, sleep};

use crate::scene::{Journal, Scene, TOPIC, millis, secs, sleeping, until};

fn partition(partition: i32) -> Scope {
    Scope::Partition(TopicPartition::new(TOPIC, partition))
}

#[tokio::test(start_paused = true)]
async fn a_paused_partition_starts_nothing_and_stops_no_other() {
    let scene = Scene::with(2, |settings| (settings.workers, settings.queue_records) = (2, 10));
    (0..2).for_each(|partition| scene.fill(partition, 200));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(10)));
    until("some of both", || journal.offsets(0).len() > 20 && journal.offsets(1).len() > 20).await;
    scene.control.pause(partition(0));
    sleep(millis(30)).await;
    let before = journal.offsets(0).len();
    until("all of the other", || scene.committed(1) == 200).await;
    assert_eq!(journal.offsets(0).len(), before);
    // What ran when it was paused is committed.
    assert_eq!(scene.committed(0), i64::try_from(before).unwrap());

    scene.control.resume(&Scope::All);
    until("all of it", || scene.committed(0) == 200).await;
    assert_eq!(journal.offsets(0).len(), 200, "each once");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_outlives_rebalances_restarts_and_retries() {
    let scene = Scene::new(2);
    (0..2).for_each(|partition| scene.fill(partition, 5));
    scene.control.pause(Scope::Topic(TOPIC.into()));
    let journal = Journal::new();
    for _ in 0..2 {
        let process = scene.start(sleeping(&journal, millis(1)));
        sleep(secs(5)).await;
        scene.broker.revoke(TOPIC, 0);
        scene.broker.lose(TOPIC, 1);
        sleep(secs(5)).await;
        assert!(journal.began().is_empty());
        process.stop_cleanly().await;
    }
    scene.control.resume(&partition(0));
    assert!(scene.control.is_paused(&TopicPartition::new(TOPIC, 0)), "it is paused as a part of its topic");
    scene.control.resume(&Scope::Topic(TOPIC.into()));
    let seen = journal.clone();
    let fails_once = move |record: Record, attempt: daemonry::handler::extract::Attempt| {
        drop(seen.begin(&record));
        async move { if attempt.0 == 1 { Err(anyhow::anyhow!("not yet")) } else { Ok(()) } }
    };
    let process = scene.start(on(fails_once).retry(RetryPolicy::exponential()));
    until("first attempts", || journal.began().len() == 10).await;
    scene.control.pause(Scope::All);
    sleep(secs(60)).await;
    assert_eq!(journal.began().len(), 10, "retries wait too");
    scene.control.resume(&Scope::All);
    until("all of them", || scene.committed(0) == 5 && scene.committed(1) == 5).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_daemon_stops_cleanly_with_its_records_given_back() {
    let scene = Scene::new(1);
    scene.fill(0, 50);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(100)));
    until("some", || !journal.began().is_empty()).await;
    scene.control.pause(Scope::All);
    sleep(secs(1)).await;
    let started = journal.began().len();
    process.stop_cleanly().await;
    assert_eq!((journal.began().len(), journal.ended().len()), (started, started));
    assert!(started < 50);
}

#[tokio::test(start_paused = true)]
async fn batches_leave_paused_partitions_out() {
    let scene = Scene::with(2, |settings| settings.queue_records = 100);
    (0..2).for_each(|partition| scene.fill(partition, 40));
    scene.control.pause(partition(0));
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |records: Vec<Record>| {
        records.iter().for_each(|record| drop(seen.begin(record)));
        async {}
    };
    let process = scene.start(on_batch(handle).max(10).within(millis(50)));
    until("all of one", || scene.committed(1) == 40).await;
    assert!(journal.offsets(0).is_empty());
    scene.control.resume(&partition(0));
    until("all of the other", || scene.committed(0) == 40).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_bounds_the_attempts_that_begin_and_holds_no_worker() {
    for order in [ProcessingOrder::Key, ProcessingOrder::Partition] {
        let scene = Scene::new(1);
        scene.fill(0, 100);
        scene.control.limit(Rate::new(10, secs(1)));
        let journal = Journal::new();
        let start = Instant::now();
        let process = scene.start(sleeping(&journal, millis(1)).order(order));
        sleep(secs(5)).await;
        let begun = journal.began().len();
        assert!((55..=61).contains(&begun), "{begun} in 5 s after the 10 that were saved up");
        until("all of them", || scene.committed(0) == 100).await;
        assert!((secs(9)..secs(11)).contains(&start.elapsed()), "{:?}", start.elapsed());

        // Taken back, it binds nobody.
        scene.fill(0, 1_000);
        scene.control.limit(None);
        let start = Instant::now();
        until("all of them", || scene.committed(0) == 1_100).await;
        assert!(start.elapsed() < secs(5), "{:?}", start.elapsed());
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_changes_counts_from_then_on() {
    let scene = Scene::new(1);
    scene.fill(0, 1_000);
    let journal = Journal::new();
    scene.control.limit(Rate::new(1, secs(10)));
    let process = scene.start(sleeping(&journal, millis(1)));
    sleep(secs(25)).await;
    assert_eq!(journal.began().len(), 3);
    scene.control.limit(Rate::new(100, secs(1)));
    sleep(secs(5)).await;
    let begun = journal.began().len();
    assert!((590..=610).contains(&begun), "{begun}");
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_while_a_rate_lets_nothing_begin_begins_when_it_does() {
    for order in [ProcessingOrder::Key, ProcessingOrder::Partition, ProcessingOrder::Unordered] {
        let scene = Scene::new(3);
        scene.control.limit(Rate::new(1, secs(10)));
        let journal = Journal::new();
        let process = scene.start(sleeping(&journal, millis(1)).order(order));
        scene.fill(0, 1);
        until("the first", || scene.committed(0) == 1).await;
        (0..3).for_each(|partition| scene.fill(partition, 2));
        until("all of them", || (0..3).map(|partition| scene.committed(partition)).sum::<i64>() == 7).await;
        let times: Vec<_> = journal.began().iter().map(|attempt| attempt.at.as_secs()).collect();
        assert_eq!(times, [0, 10, 20, 30, 40, 50, 60]);
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_goes_on_elsewhere_once_what_was_started_has_ended() {
    let scene = Scene::new(2);
    (0..2).for_each(|partition| scene.fill(partition, 100));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(200)));
    until("some of it", || journal.offsets(0).len() >= 20).await;
    let asked = scene.control.seek(TopicPartition::new(TOPIC, 0), SeekTo::Offset(Offset(90)));
    assert_eq!(asked.await, Ok(NextOffset::at(90)));
    let begun = journal.offsets(0);
    assert_eq!(journal.ended().iter().filter(|one| one.partition == 0).count(), begun.len(), "all have ended");
    until("all", || scene.committed(0) == 100 && scene.committed(1) == 100).await;
    let rest: Vec<i64> = (90..100).collect();
    let mut since = journal.offsets(0)[begun.len()..].to_vec();
    since.sort_unstable();
    assert_eq!(since, rest, "those in between are left out");

    let again = scene.control.seek(TopicPartition::new(TOPIC, 0), SeekTo::Beginning).await;
    assert_eq!(again, Ok(NextOffset::at(0)));
    until("all of it once more", || journal.offsets(0).len() == begun.len() + 10 + 100).await;
    until("its commit", || scene.committed(0) == 100).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_place_is_committed_though_nothing_came_from_it() {
    let scene = Scene::new(1);
    scene.fill(0, 10);
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(1)));
    until("all", || scene.committed(0) == 10).await;
    scene.control.pause(Scope::All);
    assert_eq!(
        scene.control.seek(TopicPartition::new(TOPIC, 0), SeekTo::Offset(Offset(4))).await,
        Ok(NextOffset::at(4))
    );
    process.stop_cleanly().await;
    assert_eq!(scene.committed(0), 4);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_run_goes_nowhere() {
    let scene = Scene::new(1);
    let seek = |to| scene.control.seek(TopicPartition::new(TOPIC, 0), to);
    assert_eq!(seek(SeekTo::End).await, Err(SeekError::NotRunning));
    let process = scene.start(on(|| async {}));
    sleep(secs(1)).await;
    let other = scene.control.seek(TopicPartition::new("another", 0), SeekTo::End).await;
    assert_eq!(other, Err(SeekError::NotAssigned(TopicPartition::new("another", 0))));
    process.stop_cleanly().await;
    assert_eq!(seek(SeekTo::End).await, Err(SeekError::NotRunning));
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_each_key_holds_up_no_other_key_and_no_worker() {
    let scene = Scene::with(1, |settings| (settings.workers, settings.queue_records) = (2, 10));
    // Many more of one key than the queue holds, and others behind them.
    (0..40).for_each(|_| scene.write(0, "hot"));
    scene.fill(0, 100);
    scene.control.limit_keys(Rate::new(2, secs(1)));
    let journal = Journal::new();
    let process = scene.start(sleeping(&journal, millis(1)));
    let others = || journal.ended().iter().filter(|one| one.offset >= 40).count();
    until("all others", || others() == 100).await;
    assert!(journal.elapsed() < secs(2), "{:?}", journal.elapsed());
    let hot = || journal.offsets(0).into_iter().filter(|offset| *offset < 40).collect::<Vec<_>>();
    sleep(millis(9_250) - journal.elapsed()).await;
    assert_eq!(hot(), (0..20).collect::<Vec<_>>(), "two at once, then two a second, in their order");

    // Taken back, it binds nobody any more, whoever waits for it.
    scene.control.limit_keys(None);
    until("all of them", || scene.committed(0) == 140).await;
    assert!(journal.elapsed() < secs(11), "{:?}", journal.elapsed());
    assert_eq!(hot(), (0..40).collect::<Vec<_>>());
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_each_key_counts_retries_and_what_batches_take() {
    for in_batches in [false, true] {
        let scene = Scene::new(1);
        (0..3).for_each(|_| scene.write(0, "a"));
        scene.control.limit_keys(Rate::new(1, secs(10)));
        let journal = Journal::new();
        let seen = journal.clone();
        let once = move |record: &Record, attempt: u32| {
            drop(seen.begin(record));
            if attempt == 1 { Err(anyhow::anyhow!("not yet")) } else { Ok(()) }
        };
        let again = RetryPolicy::exponential().base(millis(100)).jitter(0.0);
        let process = if in_batches {
            let handle = move |records: Vec<(Record, Attempt)>| {
                let outcomes: Vec<_> = records.iter().map(|(record, attempt)| once(record, attempt.0)).collect();
                async move { outcomes }
            };
            scene.start(on_batch(handle).max(10).within(millis(1)).retry(again))
        } else {
            let handle = move |record: Record, attempt: Attempt| std::future::ready(once(&record, attempt.0));
            scene.start(on(handle).retry(again))
        };
        until("all of them", || scene.committed(0) == 3).await;
        let began: Vec<_> = journal.began().iter().map(|one| (one.offset, one.at.as_secs())).collect();
        assert_eq!(began, [(0, 0), (0, 10), (1, 20), (1, 30), (2, 40), (2, 50)], "in batches: {in_batches}");
        process.stop_cleanly().await;
    }
}

/// Two members come and go, partitions move and are lost, and somebody pauses and resumes at any moment of it: once nothing is paused any more,
/// each partition goes on.
#[tokio::test(start_paused = true)]
async fn pause_resume_across_rebalances() {
    const PARTITIONS: i32 = 4;
    const STEPS: usize = 10_000;
    let mut random = fastrand::Rng::with_seed(7);
    let scene = Scene::new(PARTITIONS);
    let journal = Journal::new();
    let start = || scene.start(sleeping(&journal, millis(1)));
    let (first, mut second) = (start(), None);
    for step in 1..=STEPS {
        let one = random.i32(0..PARTITIONS);
        scene.write(one, &format!("key-{}", random.u8(0..20)));
        let scope = match random.u8(0..8) {
            0 => Scope::All,
            1 => Scope::Topic(TOPIC.into()),
            _ => partition(one),
        };
        match random.u8(0..20) {
            0..8 => scene.control.pause(scope),
            8..16 => scene.control.resume(&scope),
            16 => scene.broker.revoke(TOPIC, one),
            17 => scene.broker.lose(TOPIC, one),
            _ => {
                second = match second.take() {
                    None => Some(start()),
                    Some(process) => {
                        process.stop_cleanly().await;
                        None
                    }
                }
            }
        }
        sleep(millis(random.u64(0..20))).await;
        if step % 100 == 0 {
            scene.control.paused().iter().for_each(|scope| scene.control.resume(scope));
            let ends = || (0..PARTITIONS).all(|one| scene.committed(one) == scene.broker.end(TOPIC, one).0);
            until(&format!("everything, after {step} steps"), ends).await;
        }
    }
    first.stop_cleanly().await;
    if let Some(second) = second {
        second.stop_cleanly().await;
    }
}
