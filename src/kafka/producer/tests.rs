//! The producer against librdkafka's own mock cluster, which fails on demand.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
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
    let inner = producer.usable().expect("usable");
    inner.0.producer().client().fetch_watermarks(topic, 0, REPORT).expect("watermarks").1
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
