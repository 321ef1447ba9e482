//! Where a group stands in a topic, as the brokers have it: asked from outside, without taking part in the group.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::admin::{AdminError, KafkaAdmin};
use super::client::list;
use super::config::KafkaConfig;
use super::native::committed;
use crate::pipeline::metadata;
use crate::record::{NextOffset, Offset, Partition, Topic, TopicPartition};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a group stands in one partition, as the brokers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// Which partition.
    pub partition: Partition,
    /// Where it ends: the offset that the next record written to it will get.
    pub end: Offset,
    /// What the group has committed, if it has.
    pub committed: Option<NextOffset>,
    /// Records above that which the commit's [metadata](crate::pipeline::metadata) remembers as finished. 0 where another program wrote it.
    pub finished_above: u64,
}

impl KafkaAdmin {
    /// Where the configured group stands in each partition of a topic; `None` where the topic does not exist. Takes 10 s a request at most.
    ///
    /// ```
    /// use daemonry::kafka::{EmbeddedCluster, KafkaAdmin, KafkaConfig};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let cluster = EmbeddedCluster::start(&[("orders", 2)])?;
    /// let admin = KafkaAdmin::new(&KafkaConfig::new(cluster.brokers(), "shop"))?;
    /// let standing = admin.standing(&"orders".into()).await?.expect("the topic is there");
    /// assert_eq!((standing.len(), standing[0].end.0, standing[0].committed), (2, 0, None));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the cluster does not say.
    pub async fn standing(&self, topic: &Topic) -> Result<Option<Vec<Standing>>, AdminError> {
        let Some(partitions) = self.partitions(topic).await? else { return Ok(None) };
        let (config, topic) = (self.config.clone(), topic.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&config, &topic, partitions));
        match asked.await {
            Ok(Ok(standing)) => Ok(Some(standing)),
            Ok(Err(error)) => Err(AdminError::Unavailable(error.to_string())),
            Err(error) => Err(AdminError::Unavailable(error.to_string())),
        }
    }
}

/// Asks with a consumer that never subscribes: it only names the group.
fn ask(config: &KafkaConfig, topic: &Topic, partitions: usize) -> Result<Vec<Standing>, KafkaError> {
    let mut client = config.other();
    let consumer: BaseConsumer = client.set("group.id", &config.group).create()?;
    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
    let places: Vec<_> = (0..partitions).map(|partition| TopicPartition::new(topic.clone(), partition)).collect();
    let question = list(places.iter().map(|place| (place, rdkafka::Offset::Invalid)))?;
    let answer = consumer.committed_offsets(question, PATIENCE)?;
    let mut standing = Vec::with_capacity(places.len());
    for committed in committed(&answer) {
        if let Some(code) = committed.error {
            return Err(KafkaError::OffsetFetch(code));
        }
        let (_, end) = consumer.fetch_watermarks(topic.as_str(), committed.place.partition.0, PATIENCE)?;
        let offset = committed.offset.map(Offset);
        standing.push(Standing {
            partition: committed.place.partition,
            end: Offset(end),
            committed: offset.map(|offset| NextOffset::at(offset.0)),
            finished_above: offset.map_or(0, |low| metadata::finished_above(&committed.metadata, low).unwrap_or(0)),
        });
    }
    Ok(standing)
}
