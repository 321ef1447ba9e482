//! What handlers produce: acknowledged before their record is finished.

use std::time::Duration;

use daemonry::handler::extract::{Key, Producer};
use daemonry::handler::layer::TraceLayer;
use daemonry::handler::{HandlerError, on, on_batch, on_blocking};
use daemonry::producer::SendError;
use daemonry::record::{OwnedRecord, Record};
use daemonry::retry::RetryPolicy;
use daemonry::trace::{TRACEPARENT, TraceContext};
use tokio::time::{Instant, sleep};

use crate::scene::{LETTERS, Scene, TOPIC, header, millis, secs, text, until};

const OUT: &str = "invoices";

/// A scene with a topic to write to.
fn scene() -> Scene {
    let scene = Scene::new(1);
    scene.broker.create_topic(OUT, 1);
    scene
}

fn written(scene: &Scene) -> Vec<String> {
    let records = scene.broker.records(OUT, 0);
    records.iter().map(|(_, record)| String::from_utf8(record.value.clone().unwrap()).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_record_is_finished_only_when_what_it_enqueued_is_acknowledged() {
    for way in ["async", "blocking", "batch"] {
        let scene = scene();
        scene.write(0, "a");
        scene.broker.delay_sends(secs(7));
        let start = Instant::now();
        let enqueue = |record: &Record, producer: &Producer| {
            (0..3).for_each(|n| producer.enqueue(OUT, OwnedRecord::new(format!("{} {n}", text(record)))));
        };
        let each = move |record: Record, producer: Producer| async move { enqueue(&record, &producer) };
        let batch = move |producer: Producer, records: Vec<Record>| async move { enqueue(&records[0], &producer) };
        let process = match way {
            "async" => scene.start(on(each)),
            "blocking" => {
                scene.start(on_blocking(move |record: Record, producer: Producer| enqueue(&record, &producer)))
            }
            _ => scene.start(on_batch(batch).within(millis(1))),
        };
        sleep(secs(6)).await;
        assert_eq!(scene.committed(0), 0, "{way}");
        until("it is finished", || scene.committed(0) == 1).await;
        assert_eq!(written(&scene), ["a0 0", "a0 1", "a0 2"], "{way}");
        assert!(start.elapsed() < secs(10), "{way}: side by side, not one after the other");
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_sends_fail_is_retried() {
    for enqueued in [false, true] {
        let scene = scene();
        scene.write(0, "a");
        scene.broker.refuse_sends(Some(SendError::Unavailable("no broker".to_owned())));
        let handle = move |producer: Producer| async move {
            if enqueued {
                producer.enqueue(OUT, OwnedRecord::new("x"));
            } else {
                producer.send(OUT, OwnedRecord::new("x")).await?;
            }
            Ok::<(), HandlerError>(())
        };
        let process = scene.start(on(handle).retry(RetryPolicy::exponential()));
        sleep(secs(2)).await;
        assert_eq!(scene.committed(0), 0);
        scene.broker.heal();
        until("it is finished", || scene.committed(0) == 1).await;
        assert_eq!((written(&scene), scene.letters(0)), (vec!["x".to_owned()], vec![]));
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_does_not_exist_says_so_in_the_dead_letter() {
    let scene = Scene::new(1);
    scene.write(0, "a");
    let handle = |producer: Producer| async move { producer.send("nowhere", OwnedRecord::new("x")).await.map(drop) };
    let process = scene.start(on(handle).retry(RetryPolicy::none()));
    until("its letter", || scene.letters(0) == [0]).await;
    assert_eq!(
        header(&scene.broker.records(LETTERS, 0)[0].1, "daemonry-error"),
        "topic `nowhere` does not exist: create it"
    );
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_may_enqueue_more_than_there_is_room_for_and_then_wait_for_one() {
    let scene = scene();
    scene.write(0, "a");
    scene.broker.delay_sends(millis(10));
    let handle = |producer: Producer| async move {
        (0..3_000).for_each(|n| producer.enqueue(OUT, OwnedRecord::new(n.to_string())));
        producer.send(OUT, OwnedRecord::new("last")).await.map(drop)
    };
    let process = scene.start(on(handle).timeout(secs(30)));
    until("it is finished", || scene.committed(0) == 1).await;
    let written = written(&scene);
    let numbers: Vec<usize> = written.iter().filter_map(|value| value.parse().ok()).collect();
    assert!(numbers.is_sorted() && numbers.len() == 3_000, "not in the order in which they were handed over");
    assert_eq!(written.len(), 3_001);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn a_trace_goes_on_through_the_handler_to_what_it_produces() {
    for layered in [false, true] {
        let scene = scene();
        let sender = TraceContext::root();
        let record = OwnedRecord::new("x").with_key("a").with_header(TRACEPARENT, sender.to_string());
        scene.broker.produce(TOPIC, 0, record);
        let handle = |Key(key): Key, producer: Producer| async move {
            producer.send(OUT, OwnedRecord::new("y").with_key(key.unwrap_or_default())).await.map(drop)
        };
        let route = on(handle);
        let process = scene.start(if layered { route.layer(TraceLayer::new()) } else { route });
        until("it is finished", || scene.committed(0) == 1).await;
        let out = header(&scene.broker.records(OUT, 0)[0].1, TRACEPARENT);
        let ours = TraceContext::parse(out.as_bytes()).expect("the header is there");
        assert_eq!(ours.trace_id().to_string(), sender.trace_id().to_string());
        assert_ne!(ours.span_id().to_string(), sender.span_id().to_string());
        process.stop_cleanly().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_header_of_the_handlers_own_stays_as_it_is() {
    let scene = scene();
    scene.write(0, "a");
    let handle = |producer: Producer| async move {
        producer.send(OUT, OwnedRecord::new("y").with_header(TRACEPARENT, "mine")).await.map(drop)
    };
    let process = scene.start(on(handle).layer(TraceLayer::new()));
    until("it is finished", || scene.committed(0) == 1).await;
    assert_eq!(scene.broker.records(OUT, 0)[0].1.headers.len(), 1);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_enqueued_is_part_of_what_a_stop_waits_for() {
    let scene = scene();
    scene.write(0, "a");
    scene.broker.delay_sends(Duration::from_secs(20));
    let handle = |producer: Producer| async move { producer.enqueue(OUT, OwnedRecord::new("x")) };
    let process = scene.start(on(handle));
    sleep(secs(1)).await;
    process.stop_cleanly().await;
    assert_eq!((written(&scene), scene.committed(0)), (vec!["x".to_owned()], 1));
}
