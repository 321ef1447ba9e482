//! Dead letters: what they say, in which order they come, and what waits for them.

use std::time::Duration;

use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::handler::extract::Json;
use daemonry::handler::{ErrorClass, HandlerError, Route, Router, on};
use daemonry::metrics::{DeadLetterFailure, DeadLetterReason, HoldReason, MessageStatus};
use daemonry::pipeline::dead_letter::PublishError;
use daemonry::record::{OwnedRecord, Record, Timestamp, TopicPartition};
use daemonry::retry::RetryPolicy;
use tokio::time::sleep;

use crate::scene::{Journal, LETTERS, Scene, TOPIC, header, millis, secs, text, until};

/// The letter of one record that this route can't handle; it comes after this much virtual time.
async fn letter_of(route: Route, after: Duration) -> OwnedRecord {
    let scene = Scene::new(2);
    scene.write(1, "before");
    let mut record = OwnedRecord::new("not JSON").with_key("a").with_header("trace", "1").with_header("trace", "2");
    record.headers.push((vec![0xff], None));
    record.timestamp = Timestamp::from_millis(1_700_000_000_123);
    scene.broker.skip_offsets(TOPIC, 1, 5);
    scene.broker.produce(TOPIC, 1, record.clone());
    let journal = Journal::new();
    let process = scene.start(route.retry(RetryPolicy::exponential().max_retries(1).no_jitter()));
    until("the letter", || scene.letters(1).contains(&6)).await;
    assert_eq!(journal.elapsed().as_secs(), after.as_secs());
    process.stop_cleanly().await;
    assert_eq!(scene.committed(1), 7);

    let letters = scene.broker.records(LETTERS, 1);
    let (_, letter) = letters.iter().find(|(_, letter)| header(letter, "daemonry-offset") == "6").unwrap();
    assert_eq!((&letter.key, &letter.value), (&record.key, &record.value));
    assert_eq!(letter.headers[..3], record.headers, "its own headers come first, as they were");
    let names: Vec<_> = letter.headers[3..].iter().map(|(name, _)| String::from_utf8(name.clone()).unwrap()).collect();
    let table =
        ["topic", "partition", "offset", "timestamp", "reason", "error", "attempts", "daemon", "handler", "failed-at"];
    assert_eq!(names, table.map(|name| format!("daemonry-{name}")));
    let told =
        ["topic", "partition", "offset", "timestamp", "daemon"].map(|name| header(letter, &format!("daemonry-{name}")));
    assert_eq!(told, [TOPIC, "1", "6", "1700000000123", "shop"]);
    assert!(header(letter, "daemonry-handler").starts_with("letters::"), "{}", header(letter, "daemonry-handler"));
    assert!(header(letter, "daemonry-failed-at").parse::<u64>().unwrap() > 1_700_000_000_123);
    OwnedRecord::clone(letter)
}

fn why(letter: &OwnedRecord) -> [String; 3] {
    ["reason", "error", "attempts"].map(|name| header(letter, &format!("daemonry-{name}")))
}

async fn decode(Json(_): Json<u64>) {}

/// Whether this is the record that the letter is about, and not the one before it.
fn is_bad(record: &Record) -> bool {
    record.offset().0 == 6
}

#[tokio::test(start_paused = true)]
async fn poison_becomes_a_letter_at_once() {
    let handle = |record: Record| async move {
        if is_bad(&record) {
            return Err(HandlerError::poison(anyhow::anyhow!("inner").context("outer")));
        }
        Ok(())
    };
    assert_eq!(why(&letter_of(on(handle), secs(0)).await), ["poison", "outer: inner", "1"]);
}

#[tokio::test(start_paused = true)]
async fn error_becomes_a_letter_after_its_retries() {
    let handle = |record: Record| async move {
        if is_bad(&record) {
            return Err(HandlerError::from(anyhow::anyhow!("down")));
        }
        Ok(())
    };
    assert_eq!(why(&letter_of(on(handle), secs(1)).await), ["error", "down", "2"]);
}

#[tokio::test(start_paused = true)]
async fn panic_is_a_failed_attempt_with_a_reason_of_its_own() {
    let handle = |record: Record| async move { assert!(!is_bad(&record), "planned panic") };
    assert_eq!(why(&letter_of(on(handle), secs(1)).await), ["panic", "planned panic", "2"]);
}

#[tokio::test(start_paused = true)]
async fn timeout_is_a_failed_attempt_with_a_reason_of_its_own() {
    let handle = |record: Record| async move {
        if is_bad(&record) {
            std::future::pending::<()>().await;
        }
    };
    let letter = letter_of(on(handle).timeout(secs(20)), secs(41)).await;
    assert_eq!(why(&letter), ["timeout", "no result within 20s", "2"]);
}

#[tokio::test(start_paused = true)]
async fn value_that_cannot_be_decoded_becomes_a_letter_at_once_and_is_not_quoted() {
    let letter = letter_of(on(decode), secs(0)).await;
    let [reason, error, attempts] = why(&letter);
    assert_eq!((reason.as_str(), attempts.as_str()), ("undecodable", "1"));
    assert!(!error.contains("not JSON") && error.contains("line 1"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn error_that_the_route_does_not_retry_becomes_a_letter_at_once() {
    let handle = |record: Record| async move {
        if is_bad(&record) {
            return Err(HandlerError::from(anyhow::anyhow!("no such customer")));
        }
        Ok(())
    };
    let route = on(handle).retry_if(|error| !error.error().to_string().contains("no such"));
    assert_eq!(why(&letter_of(route, secs(0)).await), ["not_retryable", "no such customer", "1"]);
}

#[tokio::test(start_paused = true)]
async fn skipped_record_is_committed_without_a_letter() {
    let scene = Scene::new(1);
    scene.fill(0, 3);
    let handle = |record: Record| async move {
        if record.offset().0 == 1 { Err(HandlerError::skip("seen before")) } else { Ok(()) }
    };
    // Whatever the route retries: a skip is no error.
    let process = scene.start(on(handle).retry_if(|error| error.class() == ErrorClass::Retry));
    until("the commit", || scene.committed(0) == 3).await;
    process.stop_cleanly().await;
    assert!(scene.letters(0).is_empty());
    let count = |status| scene.metrics.messages.of(status).get();
    assert_eq!((count(MessageStatus::Skipped), count(MessageStatus::Success), count(MessageStatus::Failed)), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn letters_of_a_key_keep_their_order_through_an_outage() {
    let scene = Scene::new(1);
    for n in 0..60 {
        scene.write(0, ["a", "b", "c"][n % 3]);
    }
    scene.broker.delay_letters(millis(20));
    let handle = |record: Record| async move {
        // Some need retries, some don't: they overtake one another between keys, never within one.
        if record.offset().0 % 4 == 0 {
            Err(anyhow::anyhow!("down").into())
        } else {
            Err::<(), _>(HandlerError::poison(anyhow::anyhow!("bad")))
        }
    };
    // All keys fail again and again: that would be waited for.
    let process = scene.start(on(handle).circuit_breaker(CircuitBreaker::off()));
    for round in 0..5 {
        sleep(millis(700 + round * 130)).await;
        scene.broker.refuse_letters(Some(PublishError::Unavailable("no broker".to_owned())));
        sleep(secs(3)).await;
        scene.broker.refuse_letters(None);
    }
    until("all letters", || scene.letters(0).len() == 60).await;
    for key in 0..3 {
        let of_key: Vec<_> = scene.letters(0).into_iter().filter(|offset| offset % 3 == key).collect();
        assert_eq!(of_key, (0..20).map(|n| 3 * n + key).collect::<Vec<_>>());
    }
    process.stop_cleanly().await;
    assert_eq!(scene.committed(0), 60);
}

#[tokio::test(start_paused = true)]
async fn partition_whose_letter_cannot_be_written_waits_and_the_others_flow() {
    let scene = Scene::new(2);
    scene.write(0, "bad");
    scene.write(0, "bad");
    scene.broker.refuse_letters(Some(PublishError::NotAuthorized(LETTERS.into())));
    let journal = Journal::new();
    let seen = journal.clone();
    let handle = move |record: Record| {
        drop(seen.begin(&record));
        async move { if text(&record) == "bad0" { Err(HandlerError::poison(anyhow::anyhow!("bad"))) } else { Ok(()) } }
    };
    let process = scene.start(on(handle));
    let held = || scene.metrics.partitions_held.of(HoldReason::DeadLetter).get();
    sleep(secs(7)).await;
    assert_eq!(held(), 1);
    scene.fill(0, 500);
    scene.fill(1, 500);
    sleep(secs(60)).await;
    assert_eq!((journal.offsets(0), journal.offsets(1).len()), (vec![0], 500));
    assert_eq!((held(), scene.committed(0), scene.committed(1)), (1, 0, 500));
    assert!(scene.metrics.dead_letter_failures.of(DeadLetterFailure::NotAuthorized).get() >= 5);

    scene.broker.refuse_letters(None);
    until("the rest", || scene.committed(0) == 502).await;
    sleep(secs(2)).await;
    assert_eq!((held(), scene.letters(0), journal.offsets(0).len()), (0, vec![0], 502));
    assert_eq!(scene.metrics.dead_letters.of(DeadLetterReason::Poison).get(), 1);
    process.stop_cleanly().await;
}

#[tokio::test(start_paused = true)]
async fn letters_that_nobody_takes_keep_those_of_other_topics_from_nothing() {
    const OTHER: &str = "payments";
    let scene = Scene::new(1);
    scene.broker.create_topic(OTHER, 1);
    // As where the topic's partition has no leader: a send is given up after so long.
    scene.broker.strand_letters(LETTERS, secs(30), PublishError::Unavailable("no leader".to_owned()));
    scene.fill(0, 1_000);
    let poison = || on(|_: Record| async { Err::<(), _>(HandlerError::poison(anyhow::anyhow!("bad"))) });
    let process = scene.start_router(Router::new().topic(TOPIC, poison()).topic(OTHER, poison()));
    until("the letters", || scene.metrics.parked_records.get() == 1_000).await;
    scene.broker.produce(OTHER, 0, OwnedRecord::new("bad"));
    let journal = Journal::new();
    let written = || scene.broker.records("payments.dlq", 0).len();
    until("the other topic's letter", || written() == 1).await;
    assert!(journal.elapsed() < secs(1), "it waited for {:?}", journal.elapsed());

    let stalled = |topic| scene.metrics.partition(&TopicPartition::new(topic, 0)).stalled.get();
    for _ in 0..60 {
        sleep(secs(60)).await;
        assert_eq!(stalled(OTHER), 0);
        scene.broker.produce(OTHER, 0, OwnedRecord::new("bad"));
    }
    assert_eq!((stalled(TOPIC), written()), (1, 60));
    // While none gets through, one at a time is tried of the partition.
    let failures = || scene.metrics.dead_letter_failures.of(DeadLetterFailure::Unavailable).get();
    let before = failures();
    sleep(secs(300)).await;
    assert!((9..=10).contains(&(failures() - before)), "{} were tried", failures() - before);
    scene.broker.heal();
    until("the rest", || scene.committed(0) == 1_000).await;
    process.stop_cleanly().await;
}
