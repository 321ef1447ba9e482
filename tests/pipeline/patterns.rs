//! Topics that are read because their names match a pattern.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::anyhow;
use daemonry::handler::extract::State;
use daemonry::handler::layer::ConcurrencyLimitLayer;
use daemonry::handler::{HandlerError, Router, on, on_batch};
use daemonry::pipeline::PipelineError;
use daemonry::record::{OwnedRecord, Record, Topic};
use daemonry::testing::{TestDaemon, TestOptions};
use parking_lot::Mutex;

use crate::scene::{millis, text, until};

/// What was handled, as `route topic value`.
type Journal = Arc<Mutex<Vec<String>>>;

/// A handler that writes down what it gets; poison is none.
fn notes(
    journal: &Journal,
    route: &'static str,
) -> impl Fn(Topic, Record) -> std::future::Ready<Result<(), HandlerError>> + Clone + Send + Sync + 'static {
    let journal = Arc::clone(journal);
    move |topic, record| {
        let value = text(&record);
        if value == "poison" {
            return std::future::ready(Err(HandlerError::poison(anyhow!("bad"))));
        }
        journal.lock().push(format!("{route} {topic} {value}"));
        std::future::ready(Ok(()))
    }
}

fn record(value: &str) -> OwnedRecord {
    OwnedRecord::new(value).with_key("one")
}

/// Writes a record for each value, all of one key.
fn send(daemon: &TestDaemon, topic: &str, values: &[&str]) {
    for value in values {
        daemon.send(topic, record(value));
    }
}

#[tokio::test(start_paused = true)]
async fn topics_that_appear_are_read_from_their_beginning_and_have_their_own_letters() {
    let journal = Journal::default();
    let router = Router::new()
        .pattern(r"orders\..+", on(notes(&journal, "pattern")))
        .topic("orders.audit", on(notes(&journal, "name")));
    let mut daemon = TestDaemon::start_with(router, TestOptions { partitions: 2, ..TestOptions::default() });
    send(&daemon, "orders.audit", &["1", "2"]);
    daemon.settled().await;
    for topic in ["orders.eu", "orders.us", "bills.eu", "__orders.eu"] {
        daemon.broker().create_topic(topic, 3);
        send(&daemon, topic, &["1", "poison", "2"]);
    }
    daemon.settled().await;
    assert_eq!((daemon.counts().succeeded, daemon.counts().dead_lettered), (6, 2));
    for topic in ["orders.eu", "orders.us"] {
        let handled: Vec<_> = journal.lock().iter().filter(|line| line.contains(topic)).cloned().collect();
        assert_eq!(handled, ["1", "2"].map(|value| format!("pattern {topic} {value}")));
        let letters = daemon.letters(topic);
        assert_eq!((letters.len(), letters[0].origin.topic.as_str(), letters[0].offset.0), (1, topic, 1));
        assert_eq!(daemon.sent(&format!("{topic}.dlq")).len(), 1);
    }
    assert_eq!(journal.lock()[..2], ["name orders.audit 1", "name orders.audit 2"]);

    // What was finished is remembered as it is of any topic, and letters are not read as if they were orders.
    daemon.restart().await.unwrap();
    send(&daemon, "orders.eu", &["3"]);
    daemon.settled().await;
    assert_eq!((daemon.counts().succeeded, journal.lock().len()), (7, 7));
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_two_patterns_match_is_left_alone_and_refused_at_the_next_start() {
    let journal = Journal::default();
    let router = Router::new()
        .pattern(r"orders\..+", on(notes(&journal, "first")))
        .pattern(r".+\.eu", on(notes(&journal, "second")));
    let mut daemon = TestDaemon::start(router);
    for topic in ["orders.eu", "orders.us", "bills.eu"] {
        daemon.broker().create_topic(topic, 1);
        send(&daemon, topic, &["1"]);
    }
    daemon.settled().await;
    let mut handled = journal.lock().clone();
    handled.sort();
    assert_eq!(handled, ["first orders.us 1", "second bills.eu 1"]);
    assert_eq!(daemon.broker().committed("orders.eu", 0), None);

    daemon.restart().await.unwrap();
    let refused = daemon.stop().await;
    let expected = r"topic `orders.eu` matches both patterns `orders\..+` and `.+\.eu`: make them differ, or give the topic a route of its own";
    assert_eq!(refused, Err(PipelineError::Misconfigured(expected.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn routers_with_patterns_are_merged_nested_layered_and_given_their_state() {
    #[derive(Clone, Default)]
    struct Shop(Arc<AtomicUsize>);
    async fn count(State(shop): State<Shop>) {
        shop.0.fetch_add(1, Ordering::Relaxed);
    }
    let shop = Shop::default();
    let orders: Router<Shop> = Router::new().pattern(r"orders\.[a-z]+", on(count));
    let router = Router::new()
        .merge(Router::new().pattern("bills|payments", on(count)))
        .nest("eu.", orders)
        .layer(ConcurrencyLimitLayer::new(1));
    let daemon = TestDaemon::start(router.with_state(shop.clone()));
    for topic in ["bills", "payments", "eu.orders.a", "euxorders.a", "orders.a"] {
        daemon.broker().create_topic(topic, 1);
        send(&daemon, topic, &["1"]);
    }
    daemon.settled().await;
    assert_eq!(shop.0.load(Ordering::Relaxed), 3);
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_hold_records_of_several_topics_of_a_pattern() {
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let handle = move |records: Vec<Record>| {
        let mut topics: Vec<String> = records.iter().map(|record| record.topic().to_string()).collect();
        topics.sort();
        seen.lock().push(topics);
        std::future::ready(())
    };
    let daemon = TestDaemon::start(Router::new().pattern("orders.+", on_batch(handle).max(2).within(millis(500))));
    for topic in ["orders.a", "orders.b"] {
        daemon.broker().create_topic(topic, 1);
        send(&daemon, topic, &["1"]);
    }
    until("both topics' commits", || {
        ["orders.a", "orders.b"].iter().all(|topic| daemon.broker().committed(topic, 0).is_some())
    })
    .await;
    assert_eq!(*batches.lock(), [["orders.a", "orders.b"]]);
    daemon.stop().await.unwrap();
}
