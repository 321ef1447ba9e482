//! The test kit, as a team uses it: a router in memory.

#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use daemonry::handler::extract::{Attempt, Json, Key, Producer, State};
use daemonry::handler::{HandlerError, Router, on};
use daemonry::pipeline::PipelineSettings;
use daemonry::pipeline::control::Scope;
use daemonry::pipeline::dead_letter::{PublishError, Reason};
use daemonry::record::OwnedRecord;
use daemonry::retry::RetryPolicy;
use daemonry::testing::{Counts, TestDaemon, TestOptions};
use tokio::time::{Instant, sleep};

#[derive(Clone, Default)]
struct Shop {
    stored: Arc<AtomicU64>,
}

#[derive(serde::Deserialize)]
struct Order {
    id: u64,
    fails: u32,
}

async fn create(
    State(shop): State<Shop>,
    Key(customer): Key,
    Json(order): Json<Order>,
    Attempt(attempt): Attempt,
    producer: Producer,
) -> Result<(), HandlerError> {
    if order.id == 0 {
        return Err(HandlerError::poison(anyhow::anyhow!("order id is zero")));
    }
    if attempt <= order.fails {
        return Err(anyhow::anyhow!("the shop is busy").into());
    }
    shop.stored.fetch_add(1, Ordering::Relaxed);
    let invoice = OwnedRecord::new(order.id.to_string()).with_key(customer.unwrap_or_default());
    producer.send("invoices", invoice).await?;
    Ok(())
}

fn order(id: u64, fails: u32) -> OwnedRecord {
    OwnedRecord::new(format!(r#"{{"id":{id},"fails":{fails}}}"#)).with_key("ada")
}

fn daemon(shop: &Shop, options: TestOptions) -> TestDaemon {
    let route = on(create).retry(RetryPolicy::exponential().max_retries(2)).dead_letter("failed");
    let daemon = TestDaemon::start_with(Router::new().topic("orders", route).with_state(shop.clone()), options);
    daemon.broker().create_topic("invoices", 1);
    daemon
}

#[tokio::test(start_paused = true)]
async fn outcomes_letters_and_what_was_produced_can_be_asserted() {
    let shop = Shop::default();
    let daemon = daemon(&shop, TestOptions::default());
    for record in [order(1, 0), order(0, 0), order(2, 2), order(3, 9), OwnedRecord::new("{").with_key("ada")] {
        daemon.send("orders", record);
    }
    let start = Instant::now();
    daemon.settled().await;

    assert!(start.elapsed() > Duration::from_secs(5), "the retries' time has passed, virtually");
    let expected = Counts { succeeded: 2, skipped: 0, dead_lettered: 3, failed_attempts: 7, retries: 4 };
    assert_eq!(daemon.counts(), expected);
    assert_eq!(shop.stored.load(Ordering::Relaxed), 2);
    let letters = daemon.letters("orders");
    let seen: Vec<_> = letters.iter().map(|letter| (letter.offset.0, letter.reason, letter.attempts)).collect();
    assert_eq!(seen, [(1, Reason::Poison, 1), (3, Reason::Error, 3), (4, Reason::Undecodable, 1)]);
    assert_eq!(letters[0].record, OwnedRecord { timestamp: letters[0].timestamp, ..order(0, 0) });
    let invoices: Vec<_> = daemon.sent("invoices").iter().map(|invoice| invoice.value.clone().unwrap()).collect();
    assert_eq!(invoices, [b"1", b"2"]);
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_broker_can_be_met() {
    let shop = Shop::default();
    let daemon = daemon(&shop, TestOptions::default());
    daemon.broker().refuse_letters(Some(PublishError::UnknownTopic("failed".into())));
    daemon.send("orders", order(0, 0));
    daemon.send("orders", order(1, 0));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(daemon.counts().succeeded, 0, "what is behind it in its lane waits");
    daemon.broker().heal();
    daemon.settled().await;
    assert_eq!((daemon.counts().succeeded, daemon.letters("orders").len()), (1, 1));
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_crash_repeats_what_was_not_committed_and_a_restart_nothing() {
    let shop = Shop::default();
    let settings =
        PipelineSettings { seed: Some(1), commit_interval: Duration::from_secs(3_600), ..Default::default() };
    let mut daemon = daemon(&shop, TestOptions { partitions: 2, settings });
    for id in 1..=10 {
        daemon.send("orders", order(id, 0));
    }
    while daemon.counts().succeeded < 10 {
        sleep(Duration::from_millis(1)).await;
    }
    daemon.crash().await;
    while daemon.counts().succeeded < 20 {
        sleep(Duration::from_millis(1)).await;
    }
    daemon.restart().await.unwrap();
    daemon.settled().await;
    assert_eq!(shop.stored.load(Ordering::Relaxed), 20);
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_daemon_can_be_steered() {
    let shop = Shop::default();
    let daemon = daemon(&shop, TestOptions::default());
    daemon.control().pause(Scope::All);
    daemon.send("orders", order(1, 0));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(daemon.counts(), Counts::default());
    daemon.control().resume(&Scope::All);
    daemon.settled().await;
    assert_eq!(daemon.counts().succeeded, 1);
    daemon.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "not all is finished: orders[0] from 0 on")]
async fn what_never_settles_is_named() {
    let daemon = daemon(&Shop::default(), TestOptions::default());
    daemon.control().pause(Scope::All);
    daemon.send("orders", order(1, 0));
    daemon.settled().await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the router has no topic")]
async fn a_router_that_cannot_be_served_is_refused_at_the_start() {
    TestDaemon::start(Router::new());
}
