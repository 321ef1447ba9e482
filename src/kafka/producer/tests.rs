//! The producer against librdkafka's own mock cluster, which fails on demand.

use std::sync::Arc;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, Producer as _};
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as Err};
use tokio::time::sleep;

use super::*;

/// Longer than it takes to hand two requests to a connection.
const ROUND_TRIP: Duration = Duration::from_millis(400);

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 1, 1).expect("a topic");
    cluster.create_topic("other", 1, 1).expect("a topic");
    cluster
}

fn producer(cluster: &MockCluster<'static, DefaultProducerContext>) -> KafkaProducer {
    KafkaProducer::new(&KafkaConfig::new(cluster.bootstrap_servers(), "-")).expect("valid")
}

async fn send(producer: &KafkaProducer, topic: &str, value: &str) -> Result<(Partition, Offset), SendError> {
    producer.send(&Topic::from(topic), None, Some(value.as_bytes()), std::iter::empty(), None).await
}

/// Where the next record would stand.
fn end(producer: &KafkaProducer, topic: &str) -> i64 {
    let inner = producer.together.usable().expect("usable");
    inner.producer().client().fetch_watermarks(topic, 0, REPORT).expect("watermarks").1
}

/// A partition that has no memory of a producer takes any sequence number for its first (as brokers do since KIP-360). librdkafka infers
/// from the second batch's acknowledgement that the first one, refused and about to go again, was written before it.
#[tokio::test]
async fn a_record_that_was_overtaken_by_the_next_is_not_taken_for_written() {
    let cluster = cluster();
    let producer = producer(&cluster);
    // Both need the connection, not its making.
    send(&producer, "other", "to know the cluster").await.expect("written");
    let _metadata = end(&producer, "t");
    cluster.broker_round_trip_time(1, ROUND_TRIP).expect("slow");
    cluster.request_errors(Api::Produce, &[Err::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION]);

    let (first, second) = tokio::join!(send(&producer, "t", "first"), async {
        sleep(ROUND_TRIP / 4).await;
        send(&producer, "t", "second").await
    });

    second.expect("written");
    assert_eq!(end(&producer, "t"), 1, "the broker has refused the first one");
    let error = first.expect_err("it is not in the topic");
    assert!(matches!(&error, SendError::Unavailable(say) if say.contains("not this one")), "{error}");
    send(&producer, "t", "first").await.expect("written");
}

/// One with which a record's time is over soon; its first one waits half a second for a producer id.
fn impatient_producer(cluster: &MockCluster<'static, DefaultProducerContext>) -> KafkaProducer {
    let mut producer = producer(cluster);
    producer.together.properties.client.set("delivery.timeout.ms", "1500");
    *producer.together.current.lock() = None;
    producer
}

/// As brokers do that led the partition before its topic was deleted and made anew.
fn refuse_everything(cluster: &MockCluster<'static, DefaultProducerContext>) {
    cluster.request_errors(Api::Produce, &[Err::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 1_000]);
}

#[tokio::test]
async fn one_that_does_not_deliver_though_the_leader_answers_is_made_anew() {
    let cluster = cluster();
    let producer = impatient_producer(&cluster);
    send(&producer, "t", "first").await.expect("written");
    for _again in 0..2 {
        let former = producer.together.usable().expect("usable");
        refuse_everything(&cluster);
        send(&producer, "t", "second").await.expect_err("its time is over");
        cluster.clear_request_errors(Api::Produce);

        assert!(!Arc::ptr_eq(&former, &producer.together.usable().expect("usable")), "it is the same one");
        send(&producer, "t", "second").await.expect("written");
    }
}

#[tokio::test]
async fn one_is_not_made_anew_again_where_that_has_not_helped() {
    let cluster = cluster();
    let producer = impatient_producer(&cluster);
    refuse_everything(&cluster);
    send(&producer, "t", "first").await.expect_err("its time is over");
    let second = producer.together.usable().expect("usable");

    send(&producer, "other", "first").await.expect_err("its time is over");
    send(&producer, "t", "first").await.expect_err("its time is over");

    assert!(Arc::ptr_eq(&second, &producer.together.usable().expect("usable")), "it is another one");
}

#[tokio::test]
async fn one_is_not_made_anew_while_no_broker_answers() {
    let cluster = cluster();
    let producer = impatient_producer(&cluster);
    send(&producer, "t", "first").await.expect("written");
    let former = producer.together.usable().expect("usable");

    cluster.broker_down(1).expect("down");
    send(&producer, "t", "second").await.expect_err("its time is over");

    assert!(Arc::ptr_eq(&former, &producer.together.usable().expect("usable")), "it is another one");
}

#[tokio::test]
async fn what_was_handed_to_the_former_one_is_still_told() {
    let cluster = cluster();
    let producer = impatient_producer(&cluster);
    send(&producer, "t", "first").await.expect("written");
    let former = producer.together.usable().expect("usable");
    cluster.broker_round_trip_time(1, ROUND_TRIP).expect("slow");

    let (sent, ()) = tokio::join!(send(&producer, "t", "second"), async {
        sleep(ROUND_TRIP / 4).await;
        producer.together.replace(&mut producer.together.current.lock()).expect("valid");
        drop(former);
    });

    sent.expect("written");
}

/// What a broker refuses as too large goes again by itself, in case it was the batch that was. Nothing else waits for that, nor does it wait for
/// what is under way to a broker that doesn't answer.
#[tokio::test]
async fn what_goes_again_by_itself_keeps_nothing_waiting_while_a_leader_does_not_answer() {
    let cluster = MockCluster::new(2).expect("a mock cluster");
    for (topic, leader) in [("silent", 2), ("large", 1), ("small", 1)] {
        cluster.create_topic(topic, 1, 1).expect("a topic");
        cluster.partition_leader(topic, 0, Some(leader)).expect("a leader");
    }
    let producer = producer(&cluster);
    for topic in ["silent", "large", "small"] {
        send(&producer, topic, "to know the cluster").await.expect("written");
    }
    cluster.broker_down(2).expect("down");
    let answered = async {
        sleep(ROUND_TRIP).await;
        cluster.request_errors(Api::Produce, &[Err::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
        let large = send(&producer, "large", "as part of a batch");
        let small = async {
            sleep(ROUND_TRIP).await;
            send(&producer, "small", "at once").await
        };
        tokio::join!(large, small)
    };
    let (large, small) = tokio::select! {
        answers = tokio::time::timeout(Duration::from_secs(5), answered) => answers.expect("they are not waited for"),
        _ = send(&producer, "silent", "to nobody") => panic!("its leader is down"),
    };
    large.expect("written, the second time");
    small.expect("written");
}
