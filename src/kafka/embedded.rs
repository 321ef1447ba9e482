//! An embedded cluster: librdkafka's mock brokers, inside this process, for quick starts and quick tests.
//!
//! Real clients talk to it over loopback, other processes too. It keeps everything in memory, at most 5 MiB a partition, knows no
//! authorisation and checks no limits: what must be true of Kafka is shown on Kafka.

use std::fmt;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

/// A cluster of one broker that lives as long as this value. Use [`GroupProtocol::Consumer`](super::GroupProtocol::Consumer) with it:
/// its classic groups wait for nearly a session timeout at each rebalance. It has a topic made when a producer or an admin client asks for
/// one: a dead-letter topic that is missing isn't told here as it is on Kafka.
///
/// ```
/// use daemonry::kafka::EmbeddedCluster;
///
/// let cluster = EmbeddedCluster::start(&[("orders", 4), ("orders.dlq", 4)])?;
/// println!("listening on {}", cluster.brokers());
/// # Ok::<(), daemonry::kafka::EmbeddedError>(())
/// ```
pub struct EmbeddedCluster {
    mock: MockCluster<'static, DefaultProducerContext>,
}

/// Why the embedded cluster could not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the embedded cluster can't be started, use a real one: {0}")]
pub struct EmbeddedError(String);

impl EmbeddedCluster {
    /// Starts a broker on a free port of loopback, with these topics and so many partitions of each.
    ///
    /// # Errors
    /// Where librdkafka can't, as when no port is free.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, EmbeddedError> {
        let failed = |error: KafkaError| EmbeddedError(error.to_string());
        let mock = MockCluster::new(1).map_err(failed)?;
        for (topic, partitions) in topics {
            mock.create_topic(topic, *partitions, 1).map_err(failed)?;
        }
        Ok(Self { mock })
    }

    /// Where it listens, `host:port`.
    pub fn brokers(&self) -> String {
        self.mock.bootstrap_servers()
    }
}

impl fmt::Debug for EmbeddedCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedCluster").field("brokers", &self.brokers()).finish()
    }
}
