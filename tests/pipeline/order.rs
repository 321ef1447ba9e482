//! Which records wait for one another.

use daemonry::handler::{ProcessingOrder, Route, on};
use daemonry::record::{OwnedRecord, Record};
use tokio::time::sleep;

use crate::scene::{Journal, Process, Scene, TOPIC, millis, secs, text, until};

/// A handler that takes 10 ms and keeps a journal.
fn slow(journal: &Journal) -> Route {
    let seen = journal.clone();
    on(move |record: Record| {
        let attempt = seen.begin(&record);
        async move {
            sleep(millis(10)).await;
            drop(attempt);
        }
    })
}

async fn finish(process: Process, journal: &Journal, records: usize) {
    until("all of it", || journal.ended().len() == records).await;
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn partition_order_runs_one_record_of_a_partition_at_a_time() {
    let scene = Scene::new(3);
    (0..3).for_each(|partition| scene.fill(partition, 20));
    let journal = Journal::new();
    let process = scene.start(slow(&journal).order(ProcessingOrder::Partition));
    finish(process, &journal, 60).await;
    for partition in 0..3 {
        assert_eq!(journal.offsets(partition), (0..20).collect::<Vec<_>>());
    }
    assert_eq!(journal.most(), 3, "partitions run side by side");
}

#[tokio::test(start_paused = true)]
async fn key_order_runs_one_record_of_a_key_at_a_time() {
    let scene = Scene::new(1);
    (0..40).for_each(|n| scene.write(0, ["a", "b", "c", "d"][n % 4]));
    let journal = Journal::new();
    let process = scene.start(slow(&journal));
    finish(process, &journal, 40).await;
    assert_eq!(journal.most(), 4);
    for key in 0..4 {
        let of_key: Vec<_> = journal.offsets(0).into_iter().filter(|offset| offset % 4 == key).collect();
        assert!(of_key.is_sorted() && of_key.len() == 10, "{of_key:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn unordered_records_of_a_key_run_side_by_side() {
    let scene = Scene::new(1);
    (0..30).for_each(|_| scene.write(0, "a"));
    let journal = Journal::new();
    let process = scene.start(slow(&journal).order(ProcessingOrder::Unordered));
    finish(process, &journal, 30).await;
    assert_eq!(journal.most(), 10);
}

#[tokio::test(start_paused = true)]
async fn records_without_a_key_keep_the_order_of_their_partition() {
    let scene = Scene::new(2);
    for n in 0..20 {
        let record = OwnedRecord::new("x");
        scene.broker.produce(TOPIC, n % 2, if n % 4 < 2 { record } else { record.with_key("") });
    }
    let journal = Journal::new();
    let process = scene.start(slow(&journal));
    finish(process, &journal, 20).await;
    assert_eq!((journal.offsets(0), journal.offsets(1)), ((0..10).collect(), (0..10).collect()));
    assert_eq!(journal.most(), 2, "an empty key counts as none, each partition by itself");
}

#[tokio::test(start_paused = true)]
async fn key_may_come_from_the_payload() {
    let scene = Scene::new(1);
    (0..20).for_each(|n| scene.write(0, &format!("{}-{n}-", ["ada", "bob"][n % 2])));
    let journal = Journal::new();
    let customer = |record: &Record| Some(text(record).split('-').next()?.as_bytes().to_vec());
    let process = scene.start(slow(&journal).key_by("customer", customer));
    finish(process, &journal, 20).await;
    assert_eq!(journal.most(), 2, "twenty keys of two customers");
    for customer in 0..2 {
        let of_customer: Vec<_> = journal.offsets(0).into_iter().filter(|offset| offset % 2 == customer).collect();
        assert!(of_customer.is_sorted(), "{of_customer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn finished_records_behind_a_stuck_one_run_again_only_where_the_order_changed() {
    // The stuck one would be the only one to run after two crashes.
    let scene = Scene::with(1, |settings| settings.crash_quarantine = None);
    scene.fill(0, 20);
    let stuck_at_the_head = |journal: &Journal| {
        let seen = journal.clone();
        on(move |record: Record| {
            let attempt = seen.begin(&record);
            async move {
                if record.offset().0 == 0 {
                    std::future::pending::<()>().await;
                }
                drop(attempt);
            }
        })
    };
    let first = Journal::new();
    let process = scene.start(stuck_at_the_head(&first));
    until("the others", || first.ended().len() == 19).await;
    sleep(secs(2)).await;
    process.crash().await;
    assert_eq!(scene.committed(0), 0);

    let same = Journal::new();
    let process = scene.start(stuck_at_the_head(&same));
    sleep(secs(5)).await;
    process.crash().await;
    assert_eq!(same.offsets(0), [0], "what was finished is remembered");

    let changed = Journal::new();
    let process = scene.start(stuck_at_the_head(&changed).order(ProcessingOrder::Unordered));
    sleep(secs(5)).await;
    process.crash().await;
    assert_eq!(changed.offsets(0).len(), 20, "under another order it means nothing");
}
