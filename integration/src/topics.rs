//! Hands on a Kafka cluster, for tests: make topics, fill them, read them back, ask what a group committed.
//!
//! Everything blocks, with a deadline: tests watch processes, and a blocking call works inside and outside a runtime.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use daemonry::record::{NextOffset, Offset, Partition};
use futures_executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::message::{Message, Stored};
use crate::patience::{until, until_true};
use crate::wire;
use crate::writer::Writer;

/// How long one request may take, a broker's restart in between included.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// What the protocol calls the brokers' own default.
const DEFAULT_REPLICAS: i32 = -1;

/// A connection to the cluster. Cheap enough to make one a test.
pub struct Topics {
    bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    // Asks for metadata and watermarks; never subscribes.
    client: BaseConsumer,
}

impl std::fmt::Debug for Topics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Topics").field("bootstrap", &self.bootstrap).finish_non_exhaustive()
    }
}

impl Topics {
    /// Connects to the brokers at `bootstrap`.
    ///
    /// # Errors
    /// When the address isn't one; whether anything answers shows at the first request.
    pub fn connect(bootstrap: impl Into<String>) -> Result<Self> {
        let bootstrap = bootstrap.into();
        let admin = config(&bootstrap).create().context("cannot make an admin client")?;
        let client = config(&bootstrap).create().context("cannot make a client")?;
        Ok(Self { bootstrap, admin, client })
    }

    /// Another one for the same brokers.
    pub(crate) fn again(&self) -> Result<Self> {
        Self::connect(&self.bootstrap)
    }

    /// Creates a topic with `partitions` partitions, with as many replicas as the brokers have by default, and the topic settings `settings`, and waits
    /// until the brokers show it.
    ///
    /// # Errors
    /// When the topic exists, or a setting is refused.
    pub fn create(&self, topic: &str, partitions: u16, settings: &[(&str, &str)]) -> Result<()> {
        let new = NewTopic::new(topic, partitions.into(), TopicReplication::Fixed(DEFAULT_REPLICAS));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let results = block_on(self.admin.create_topics([&new], &options())).context("cannot ask for a topic")?;
        for result in results {
            result.map_err(|(topic, code)| anyhow!("cannot create the topic `{topic}`: {code}"))?;
        }
        // The controller answers before the broker knows.
        until_true(DEADLINE, &format!("the new topic `{topic}`"), || {
            let metadata = self.client.fetch_metadata(Some(topic), DEADLINE).context("cannot fetch metadata")?;
            let led = metadata.topics().iter().flat_map(|found| found.partitions());
            Ok(led.filter(|partition| partition.error().is_none() && partition.leader() >= 0).count()
                == usize::from(partitions))
        })?;
        // Of several brokers each learns of it in its own time, and a process under test may ask any of them.
        let mut several = self.bootstrap.split(',').filter(|address| *address != self.bootstrap);
        several.try_for_each(|address| {
            until_true(DEADLINE, &format!("the new topic `{topic}` at {address}"), || {
                // A client that has just been made knows this one only.
                let client: BaseConsumer = config(address).create().context("cannot make a client")?;
                let metadata = client.fetch_metadata(Some(topic), DEADLINE).context("cannot fetch metadata")?;
                let knows = |count: usize| count == usize::from(partitions);
                // By the time that it is asked it may know the others as well, and ask one of them.
                let is_its_answer = metadata.orig_broker_name().starts_with(&format!("{address}/"));
                let shows =
                    metadata.topics().iter().all(|found| found.error().is_none() && knows(found.partitions().len()));
                Ok(is_its_answer && shows)
            })
        })
    }

    /// Creates a topic of `partitions` partitions whose name starts with `prefix` and was never used before.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_fresh(&self, prefix: &str, partitions: u16) -> Result<String> {
        let suffix: String = (0..10).map(|_| fastrand::lowercase()).collect();
        let topic = format!("{prefix}.{suffix}");
        self.create(&topic, partitions, &[])?;
        Ok(topic)
    }

    /// Gives a topic these settings and no others.
    ///
    /// # Errors
    /// When there is no such topic, or a setting is refused.
    pub fn set(&self, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let change = settings.iter().fold(change, |change, (name, value)| change.set(name, value));
        let results = block_on(self.admin.alter_configs([&change], &options())).context("cannot ask for settings")?;
        for result in results {
            result.map_err(|(_, code)| anyhow!("cannot set what was asked for the topic `{topic}`: {code}"))?;
        }
        Ok(())
    }

    /// Has a topic have so many partitions, more than before.
    ///
    /// # Errors
    /// When it has as many already.
    pub fn grow(&self, topic: &str, partitions: u16) -> Result<()> {
        let more = NewPartitions::new(topic, partitions.into());
        let results = block_on(self.admin.create_partitions([&more], &options())).context("cannot add partitions")?;
        for result in results {
            result.map_err(|(topic, code)| anyhow!("cannot add partitions to the topic `{topic}`: {code}"))?;
        }
        until_true(DEADLINE, &format!("the new partitions of `{topic}`"), || {
            Ok(self.partitions(topic)?.len() == usize::from(partitions))
        })
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn delete(&self, topic: &str) -> Result<()> {
        let results = block_on(self.admin.delete_topics(&[topic], &options())).context("cannot delete a topic")?;
        for result in results {
            result.map_err(|(topic, code)| anyhow!("cannot delete the topic `{topic}`: {code}"))?;
        }
        Ok(())
    }

    /// Removes the records below these offsets, as retention does. Who leads a partition may be another one than the client knows, or nobody yet:
    /// it is asked for anew before each try, or the client would go by what it knows.
    ///
    /// # Errors
    /// When one is refused, or has no leader for half a minute.
    pub fn remove_records(&self, topic: &str, below: &[(Partition, Offset)]) -> Result<()> {
        let mut left = below.to_vec();
        until_true(Duration::from_secs(30), &format!("the leaders of `{topic}`"), || {
            self.admin
                .inner()
                .fetch_metadata(Some(topic), Duration::from_secs(10))
                .context("cannot ask for leaders")?;
            let mut list = TopicPartitionList::new();
            for (partition, offset) in &left {
                list.add_partition_offset(topic, partition.0, rdkafka::Offset::Offset(offset.0))?;
            }
            let removed = block_on(self.admin.delete_records(&list, &options())).context("cannot remove records")?;
            let refused: Vec<_> =
                removed.elements().iter().filter_map(|one| Some((one.partition(), one.error().err()?))).collect();
            left.retain(|(partition, _)| refused.iter().any(|(refused, _)| *refused == partition.0));
            let moved = |error: &KafkaError| {
                use RDKafkaErrorCode::{LeaderNotAvailable, NotLeaderForPartition};
                matches!(error.rdkafka_error_code(), Some(NotLeaderForPartition | LeaderNotAvailable))
            };
            match refused.into_iter().find(|(_, error)| !moved(error)) {
                Some((partition, error)) => {
                    Err(error).with_context(|| format!("cannot remove records of {topic}[{partition}]"))
                }
                None => Ok(left.is_empty()),
            }
        })
    }

    /// Deletes a group with all its commits, as their expiry does.
    ///
    /// # Errors
    /// When it has members.
    pub fn delete_group(&self, group: &str) -> Result<()> {
        let results = block_on(self.admin.delete_groups(&[group], &options())).context("cannot delete a group")?;
        for result in results {
            result.map_err(|(group, code)| anyhow!("cannot delete the group `{group}`: {code}"))?;
        }
        Ok(())
    }

    /// The partitions of a topic, in order.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn partitions(&self, topic: &str) -> Result<Vec<Partition>> {
        self.partitions_within(topic, DEADLINE)
    }

    /// As [`partitions`](Self::partitions), where the answer may take so long.
    pub(crate) fn partitions_within(&self, topic: &str, deadline: Duration) -> Result<Vec<Partition>> {
        let metadata = self.client.fetch_metadata(Some(topic), deadline).context("cannot fetch metadata")?;
        let found = metadata.topics().iter().find(|found| found.name() == topic).context("the topic is not listed")?;
        if let Some(error) = found.error() {
            bail!("no metadata of the topic `{topic}`: {}", RDKafkaErrorCode::from(error));
        }
        let mut partitions: Vec<_> = found.partitions().iter().map(|partition| Partition(partition.id())).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    /// Who leads each partition of a topic, and who has it, as the brokers list them. A leader of -1 is none.
    ///
    /// # Errors
    /// When no broker answers.
    pub(crate) fn replicas(&self, topic: &str) -> Result<BTreeMap<Partition, (i32, Vec<i32>)>> {
        let metadata = self.client.fetch_metadata(Some(topic), DEADLINE).context("cannot fetch metadata")?;
        let partitions =
            metadata.topics().iter().filter(|found| found.name() == topic).flat_map(|found| found.partitions());
        Ok(partitions.map(|found| (Partition(found.id()), (found.leader(), found.replicas().to_vec()))).collect())
    }

    /// Whether there are so many brokers, and each has all that it is to have.
    pub(crate) fn is_whole(&self, brokers: usize) -> Result<bool> {
        let metadata = self.client.fetch_metadata(None, DEADLINE).context("cannot fetch metadata")?;
        let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        Ok(metadata.brokers().len() == brokers
            && partitions.all(|found| found.leader() >= 0 && found.isr().len() == found.replicas().len()))
    }

    /// Whether there is such a topic.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn exists(&self, topic: &str) -> Result<bool> {
        let metadata = self.client.fetch_metadata(None, DEADLINE).context("cannot fetch metadata")?;
        Ok(metadata.topics().iter().any(|found| found.name() == topic))
    }

    /// Where each partition of a topic ends: the offset that the next record will get.
    ///
    /// # Errors
    /// When there is no such topic.
    pub fn ends(&self, topic: &str) -> Result<BTreeMap<Partition, Offset>> {
        self.ends_within(topic, DEADLINE)
    }

    /// As [`ends`](Self::ends), where each answer may take so long.
    pub(crate) fn ends_within(&self, topic: &str, deadline: Duration) -> Result<BTreeMap<Partition, Offset>> {
        let end = |partition: Partition| {
            let watermarks = self.client.fetch_watermarks(topic, partition.0, deadline);
            let (_, high) = watermarks.with_context(|| format!("cannot ask where {topic}[{partition}] ends"))?;
            Ok((partition, Offset(high)))
        };
        self.partitions_within(topic, deadline)?.into_iter().map(end).collect()
    }

    /// Produces messages in order, each to the partition of its key (a random one for a null key), and returns where
    /// each stands once all are acknowledged by all replicas.
    ///
    /// # Errors
    /// When one is refused or not acknowledged in time.
    pub fn produce(&self, topic: &str, messages: &[Message]) -> Result<Vec<(Partition, Offset)>> {
        Writer::connect(&self.bootstrap)?.write(topic, None, messages)
    }

    /// As [`produce`](Self::produce), all to one partition.
    ///
    /// # Errors
    /// As [`produce`](Self::produce).
    pub fn produce_to(&self, topic: &str, partition: Partition, messages: &[Message]) -> Result<Vec<Offset>> {
        let places = Writer::connect(&self.bootstrap)?.write(topic, Some(partition), messages)?;
        Ok(places.into_iter().map(|(_, offset)| offset).collect())
    }

    /// Reads a topic whole, as it stands at the time of the call: partition by partition, in the order of offsets.
    /// Records of open or aborted transactions are left out.
    ///
    /// # Errors
    /// When there is no such topic, or nothing comes for 30 s.
    pub fn read(&self, topic: &str) -> Result<Vec<Stored>> {
        let partitions = self.partitions(topic)?.into_iter();
        self.read_from(topic, &partitions.map(|partition| (partition, rdkafka::Offset::Beginning)).collect::<Vec<_>>())
    }

    /// As [`read`](Self::read), of one partition what was written from this time on, milliseconds since 1970.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn read_since(&self, topic: &str, partition: Partition, unix_ms: u64) -> Result<Vec<Stored>> {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(topic, partition.0, rdkafka::Offset::Offset(i64::try_from(unix_ms)?))?;
        let found = self.client.offsets_for_times(asked, DEADLINE).context("cannot ask for a time")?;
        let first = found.elements().first().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset);
        self.read_from(topic, &[(partition, first.context("an answer")?)])
    }

    fn read_from(&self, topic: &str, starts: &[(Partition, rdkafka::Offset)]) -> Result<Vec<Stored>> {
        let consumer: BaseConsumer = config(&self.bootstrap)
            .set("group.id", "unused-but-required")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            // The end is told by a fetch that finds nothing, and such a fetch waits.
            .set("fetch.wait.max.ms", "10")
            .set("fetch.error.backoff.ms", "20")
            .create()
            .context("cannot make a consumer")?;
        let mut assignment = TopicPartitionList::new();
        for (partition, start) in starts {
            assignment.add_partition_offset(topic, partition.0, *start)?;
        }
        consumer.assign(&assignment).context("cannot assign the partitions")?;
        let mut read = Vec::new();
        let mut unfinished: Vec<Partition> = starts.iter().map(|(partition, _)| *partition).collect();
        // A partition's end is told by an event of its own: behind the last record there may be offsets without one.
        while !unfinished.is_empty() {
            match consumer.poll(DEADLINE) {
                Some(Ok(message)) => read.push(Stored {
                    partition: Partition(message.partition()),
                    offset: Offset(message.offset()),
                    unix_ms: message.timestamp().to_millis(),
                    message: Message {
                        key: message.key().map(Vec::from),
                        value: message.payload().map(Vec::from),
                        headers: wire::headers(&message),
                    },
                }),
                Some(Err(KafkaError::PartitionEOF(ended))) => unfinished.retain(|partition| partition.0 != ended),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(error).with_context(|| format!("cannot read `{topic}`")),
                None => bail!("nothing came from `{topic}` for {DEADLINE:?}, partitions {unfinished:?} not read whole"),
            }
        }
        read.sort_by_key(|stored| (stored.partition, stored.offset));
        Ok(read)
    }

    /// A view of what the consumer group `group` commits. It doesn't join.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn group(&self, group: &str) -> Result<Group> {
        let client = config(&self.bootstrap)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()
            .context("cannot make a client for the group")?;
        Ok(Group { name: group.to_owned(), client })
    }
}

/// A consumer group seen from outside. Keep it when asking often: it holds a connection.
pub struct Group {
    name: String,
    client: BaseConsumer,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a group committed for one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// The offset that is to be read next.
    pub next: NextOffset,
    /// The text that was committed with it.
    pub metadata: String,
}

impl Group {
    /// What is committed of these partitions of `topic`; a partition without a commit is left out.
    ///
    /// # Errors
    /// When the group's coordinator doesn't answer in time.
    pub fn committed(&self, topic: &str, partitions: &[Partition]) -> Result<BTreeMap<Partition, Committed>> {
        self.committed_within(topic, partitions, DEADLINE)
    }

    /// As [`committed`](Self::committed), where the answer may take so long.
    pub(crate) fn committed_within(
        &self,
        topic: &str,
        partitions: &[Partition],
        deadline: Duration,
    ) -> Result<BTreeMap<Partition, Committed>> {
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(topic, partition.0);
        }
        let question = format!("what the group `{}` committed", self.name);
        let answer = until(deadline, &question, || match self.client.committed_offsets(asked.clone(), deadline) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if is_moving(&error) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot ask {question}")),
        })?;
        let mut committed = BTreeMap::new();
        for element in answer.elements() {
            element.error().with_context(|| format!("no commit of {topic}[{}]", element.partition()))?;
            if let rdkafka::Offset::Offset(next) = element.offset() {
                let metadata = element.metadata().to_owned();
                committed.insert(Partition(element.partition()), Committed { next: NextOffset::at(next), metadata });
            }
        }
        Ok(committed)
    }

    /// Commits `next` for one partition, as an operator would who resets the group.
    ///
    /// # Errors
    /// When the broker refuses, as it does while the group has members.
    pub fn commit(&self, topic: &str, partition: Partition, committed: &Committed) -> Result<()> {
        let mut list = TopicPartitionList::new();
        let next = rdkafka::Offset::Offset(committed.next.offset().0);
        list.add_partition_offset(topic, partition.0, next)?;
        list.find_partition(topic, partition.0)
            .context("the partition was just added")?
            .set_metadata(&committed.metadata);
        self.client
            .commit(&list, rdkafka::consumer::CommitMode::Sync)
            .with_context(|| format!("cannot commit {topic}[{partition}] for the group `{}`", self.name))
    }
}

/// librdkafka reports a lost connection and then connects again: no reason to give up before the deadline.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Resolve)
    )
}

/// A new cluster makes the topic of the commits when it is first asked for one, and until a broker leads its partition
/// nobody coordinates the group.
fn is_moving(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(DEADLINE)).operation_timeout(Some(DEADLINE))
}

pub(crate) fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.ms", "50").set("reconnect.backoff.max.ms", "500");
    config
}
