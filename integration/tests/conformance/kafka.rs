//! Kafka's source, against a real broker, by each protocol that moves partitions one by one.

use std::time::Duration;

use daemonry::kafka::{GroupProtocol, KafkaConfig, KafkaSource};
use daemonry::pipeline::subscription::Subscription;
use daemonry::record::Partition;
use integration::topics::Committed;
use integration::{Message, Topics, brokers};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::fixture::Fixture;

/// For whatever a broker has to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A topic of the broker that all tests share, and a group named as it is.
struct Kafka {
    topics: Topics,
    topic: String,
    config: KafkaConfig,
}

impl Kafka {
    fn announce(protocol: GroupProtocol, drain: Duration) -> Self {
        let brokers = brokers().expect("KAFKA_BROKERS names a broker: start one, or run `make test`");
        let topics = Topics::connect(&brokers).expect("the broker's address is one");
        let suffix: String = (0..10).map(|_| fastrand::lowercase()).collect();
        let topic = format!("conformance.{suffix}");
        let mut config = KafkaConfig::new(brokers, &topic);
        (config.protocol, config.revoke_drain) = (protocol, drain);
        config.topic_refresh = Duration::from_secs(1);
        if protocol != GroupProtocol::Consumer {
            // Members hear of a rebalance with their next heartbeat, by default one in three seconds.
            config = config.property("heartbeat.interval.ms", "300");
        }
        Self { topics, topic, config }
    }

    fn join(&self, subscription: Subscription) -> KafkaSource {
        KafkaSource::new(&self.config, subscription).expect("a valid configuration")
    }

    /// An aborted transaction: its record is read by nobody, and its marker is none.
    fn leave_gap(&self, partition: i32) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.config.brokers)
            .set("transactional.id", &self.topic)
            .create()
            .expect("a valid configuration");
        producer.init_transactions(PATIENCE).expect("transactions can be had");
        producer.begin_transaction().expect("one begins");
        let record = BaseRecord::<(), str>::to(&self.topic).partition(partition).payload("aborted");
        producer.send(record).map_err(|(error, _)| error).expect("room for one record");
        producer.flush(PATIENCE).expect("it is written");
        producer.abort_transaction(PATIENCE).expect("it is aborted");
    }

    fn committed(&self, partition: i32) -> Option<Committed> {
        let group = self.topics.group(&self.topic).expect("a valid configuration");
        let committed = group.committed(&self.topic, &[Partition(partition)]).expect("the coordinator answers");
        let committed = committed.into_values().next()?;
        // Of which topic it is, the source tells beside what it is given.
        let given = committed.metadata.strip_prefix("dm3:").and_then(|rest| rest.split_once(':'));
        let (_, metadata) = given.expect("the source tells it");
        Some(Committed { metadata: metadata.to_owned(), next: committed.next })
    }
}

/// A fixture of one protocol, with its tests.
macro_rules! protocol {
    ($module:ident, $protocol:ident) => {
        mod $module {
            use super::*;

            pub(crate) struct OneProtocol(Kafka);

            impl Fixture for OneProtocol {
                type Source = KafkaSource;

                fn announce(drain: Duration) -> Self {
                    Self(Kafka::announce(GroupProtocol::$protocol, drain))
                }

                fn topic(&self) -> &str {
                    &self.0.topic
                }

                fn create(&self, topic: &str, partitions: u16) {
                    self.0.topics.create(topic, partitions, &[]).expect("the topic is made");
                }

                fn join_by(&self, subscription: Subscription) -> KafkaSource {
                    self.0.join(subscription)
                }

                fn produce(&self, partition: i32, messages: &[Message]) {
                    self.0
                        .topics
                        .produce_to(&self.0.topic, Partition(partition), messages)
                        .expect("all are acknowledged");
                }

                fn leave_gap(&self, partition: i32) {
                    self.0.leave_gap(partition);
                }

                fn end(&self, partition: i32) -> i64 {
                    self.0.topics.ends(&self.0.topic).expect("the broker answers")[&Partition(partition)].0
                }

                fn committed(&self, partition: i32) -> Option<Committed> {
                    self.0.committed(partition)
                }
            }

            conforms!(OneProtocol);
        }
    };
}

protocol!(cooperative, Cooperative);
protocol!(consumer, Consumer);
