//! Records on their way to a topic.

use std::collections::BTreeSet;

use daemonry::daemon::{Consumer, Daemon, DaemonContext, Ended, MissingDeadLetterTopic};
use daemonry::handler::extract::{Attempt, Key, Producer, Text};
use daemonry::handler::layer::TraceLayer;
use daemonry::handler::{HandlerError, Router, on};
use daemonry::kafka::{KafkaAdmin, KafkaProducer};
use daemonry::producer::SendError;
use daemonry::record::{OwnedRecord, Topic};
use daemonry::retry::RetryPolicy;
use daemonry::trace::{TRACEPARENT, TraceContext};

use crate::member::{Member, config, fill, topic, unique};

#[tokio::test]
async fn a_daemon_hands_records_on_and_commits_none_whose_copies_are_not_acknowledged() {
    const COUNT: usize = 2_000;
    let (from, to) = (topic("from", 4).await, topic("to", 2).await);
    fill(&from, COUNT).await;
    let onwards = to.clone();
    // Each tenth fails once after it has handed its first copy over.
    let hand_on = move |Text(number): Text, Key(key): Key, Attempt(attempt): Attempt, producer: Producer| {
        let to = onwards.clone();
        async move {
            let copy =
                |what: &str| OwnedRecord::new(format!("{what} {number}")).with_key(key.clone().unwrap_or_default());
            producer.enqueue(to.clone(), copy("first"));
            if attempt == 1 && number.ends_with('0') {
                return Err(HandlerError::from(anyhow::anyhow!("not yet")));
            }
            producer.send(to, copy("second")).await?;
            Ok(())
        }
    };
    let route = on(hand_on).retry(RetryPolicy::exponential().base(std::time::Duration::from_millis(10)));
    let group = unique("g");
    let daemon =
        Consumer::new("hand-on", config(&group), Router::new().topic(from.clone(), route.layer(TraceLayer::new())))
            .missing_dead_letter_topic(MissingDeadLetterTopic::Create);
    let context = DaemonContext::detached("hand-on");
    let stop = context.stop().clone();
    let running = Box::new(daemon).run(context);

    let watch = async {
        let mut reader = Member::join(&config(&unique("g")), &to);
        let seconds = |member: &Member| {
            let values = member.records.iter().filter_map(|record| record.value());
            values.filter(|value| value.starts_with(b"second")).map(<[u8]>::to_vec).collect::<BTreeSet<_>>().len()
        };
        reader.until("a second copy of each", |member| seconds(member) == COUNT).await;
        stop.cancel();
        let firsts =
            reader.records.iter().filter(|record| record.value().is_some_and(|value| value.starts_with(b"first")));
        assert!(firsts.count() >= COUNT);
        for record in &reader.records {
            assert!(record.header(TRACEPARENT).and_then(TraceContext::parse).is_some(), "no trace");
        }
        reader.close().await;
    };
    let (ended, ()) = tokio::join!(running, watch);
    assert_eq!(ended.expect("it ends well"), Ended::Drained);

    // All is committed: who comes next gets nothing.
    let mut next = Member::join(&config(&group), &from);
    next.until("all partitions", |member| member.assigned.len() == 4).await;
    next.linger(std::time::Duration::from_secs(1)).await;
    assert_eq!(next.records.len(), 0);
    next.close().await;
}

#[tokio::test]
async fn a_record_that_is_too_large_takes_no_other_with_it() {
    let topic = topic("large", 1).await;
    let producer = KafkaProducer::new(&config("-")).expect("valid");
    let large = vec![0; 2 << 20];
    let small = |n: usize| {
        let (producer, topic) = (&producer, &topic);
        async move { producer.send(topic, None, Some(&vec![0; n * 1000]), std::iter::empty(), None).await }
    };
    let (refused, taken) = tokio::join!(
        producer.send(&topic, None, Some(&large), std::iter::empty(), None),
        futures_util::future::join_all((0..100).map(|n| small(n * 5)))
    );
    assert_eq!(refused, Err(SendError::TooLarge(topic.clone())));
    let offsets: std::collections::BTreeSet<_> = taken.into_iter().map(|sent| sent.expect("written").1).collect();
    assert_eq!(offsets.len(), 100);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_told_apart() {
    let missing = Topic::from(unique("missing"));
    let producer = KafkaProducer::new(&config("-")).expect("valid");
    let sent = producer.send(&missing, None, Some(b"x"), std::iter::empty(), None).await;
    assert_eq!(sent, Err(SendError::UnknownTopic(missing.clone())));
    let admin = KafkaAdmin::new(&config("-")).expect("valid");
    assert_eq!(admin.partitions(&missing).await, Ok(None));
    // Created later: the same producer finds it.
    admin.create(&missing, 3).await.expect("created");
    admin.create(&missing, 3).await.expect("it is there already, which is as good");
    producer.send(&missing, None, Some(b"x"), std::iter::empty(), None).await.expect("written");
}

#[tokio::test]
async fn letters_of_a_topic_that_does_not_exist_get_no_topic() {
    let missing = Topic::from(unique("missing"));
    let router = Router::new().topic(missing.clone(), on(|| async {}));
    let daemon = Consumer::new("eager", config(&unique("g")), router);
    let daemon = daemon.missing_dead_letter_topic(MissingDeadLetterTopic::Create);
    let refused = Box::new(daemon).run(DaemonContext::detached("eager")).await.expect_err("it can't work");
    assert_eq!(
        refused.to_string(),
        format!("topic `{missing}` does not exist: create it, or correct the route's topic")
    );
    let admin = KafkaAdmin::new(&config("-")).expect("valid");
    assert_eq!(admin.partitions(&Topic::from(format!("{missing}.dlq"))).await, Ok(None));
}
