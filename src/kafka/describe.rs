//! What the brokers say of topics: are they there, and what may we do with them. Blocks, so it is asked on a thread of its own.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;

use super::native::{Rights, Told, rights};
use crate::record::{Partition, Topic};

/// How long an answer about our rights may take; without one they are believed to be enough.
const RIGHTS: Duration = Duration::from_secs(3);

/// What is known of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Which topic.
    pub(super) topic: Topic,
    /// How many partitions it has; the broker's error where it doesn't say.
    pub(super) partitions: Result<usize, Code>,
    /// What we may do with it; `None` where the brokers don't tell.
    pub(super) rights: Option<Rights>,
    /// Its id, as [`Told`] has it; `None` where they don't tell.
    pub(super) id: Option<u128>,
}

/// A topic as the brokers see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicState {
    /// Which topic.
    pub topic: Topic,
    /// Its partitions, in order of their numbers.
    pub partitions: Vec<PartitionState>,
}

/// A partition as the brokers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionState {
    /// Its number.
    pub partition: Partition,
    /// Whether a broker leads it: without one it can be neither read nor written.
    pub has_leader: bool,
    /// How many replicas it is to have.
    pub replicas: usize,
    /// How many of them are in sync.
    pub in_sync: usize,
}

/// Asks for the state of all topics that we may see.
pub(super) fn states<C: ClientContext>(client: &Client<C>, patience: Duration) -> Result<Vec<TopicState>, Code> {
    let metadata = client.fetch_metadata(None, patience).map_err(|error| code(&error))?;
    let states = metadata.topics().iter().map(|found| {
        let mut partitions: Vec<PartitionState> = found
            .partitions()
            .iter()
            .map(|found| PartitionState {
                partition: Partition(found.id()),
                has_leader: found.leader() >= 0,
                replicas: found.replicas().len(),
                in_sync: found.isr().len(),
            })
            .collect();
        partitions.sort_by_key(|state| state.partition);
        TopicState { topic: Topic::from(found.name()), partitions }
    });
    Ok(states.collect())
}

/// All topics of the cluster that we may see.
#[derive(Debug)]
pub(super) struct Listed {
    /// Their names.
    pub(super) topics: Vec<Topic>,
    /// Who can be asked about them.
    broker: i32,
}

/// Asks for all topics.
pub(super) fn list<C: ClientContext>(client: &Client<C>, patience: Duration) -> Result<Listed, Code> {
    let metadata = client.fetch_metadata(None, patience).map_err(|error| code(&error))?;
    let is_there = |error: Option<Code>| error.is_none_or(|code| code == Code::LeaderNotAvailable);
    let there = metadata.topics().iter().filter(|found| is_there(found.error().map(Code::from)));
    Ok(Listed { topics: there.map(|found| Topic::from(found.name())).collect(), broker: answerer(&metadata) })
}

impl Listed {
    /// What we may do with some of them, as far as the brokers tell.
    pub(super) fn rights<C: ClientContext>(&self, client: &Client<C>, topics: &[Topic]) -> Vec<(Topic, Rights)> {
        let told = if topics.is_empty() { Vec::new() } else { rights(client, self.broker, topics, RIGHTS) };
        told.into_iter().filter_map(|told| Some((told.topic, told.rights?))).collect()
    }
}

fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Unknown)
}

/// The broker that has answered. One that was only named by its address has no number.
fn answerer(metadata: &Metadata) -> i32 {
    let (own, any) = (metadata.orig_broker_id(), metadata.brokers().first());
    any.filter(|_| own < 0).map_or(own, |any| any.id())
}

/// Whether a topic can be called so. Some of what it can't isn't even sent, and the error says nothing of the name then.
fn is_legal(topic: &Topic) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let name = topic.as_str();
    (1..=249).contains(&name.len()) && name.bytes().all(is_plain) && !matches!(name, "." | "..")
}

/// Asks for each topic by name, so that a broker never has to list them all; each may take `patience`.
pub(super) fn describe<C: ClientContext>(
    client: &Client<C>,
    topics: &[Topic],
    patience: Duration,
) -> Result<Vec<Described>, Code> {
    let mut all = Vec::with_capacity(topics.len());
    let mut broker = -1;
    for topic in topics {
        if !is_legal(topic) {
            let partitions = Err(Code::InvalidTopic);
            all.push(Described { topic: topic.clone(), partitions, rights: None, id: None });
            continue;
        }
        let metadata = client.fetch_metadata(Some(topic.as_str()), patience);
        let metadata = metadata.map_err(|error| code(&error))?;
        broker = answerer(&metadata);
        let found = metadata.topics().iter().find(|found| found.name() == topic.as_str());
        let partitions = found.map_or(Err(Code::UnknownTopic), |found| match found.error().map(Code::from) {
            // It is there, and has them.
            None | Some(Code::LeaderNotAvailable) => Ok(found.partitions().len()),
            Some(code) => Err(code),
        });
        all.push(Described { topic: topic.clone(), partitions, rights: None, id: None });
    }
    let seen: Vec<Topic> = all.iter().filter(|one| one.partitions.is_ok()).map(|one| one.topic.clone()).collect();
    if !seen.is_empty() {
        for Told { topic, id, rights } in rights(client, broker, &seen, RIGHTS) {
            all.iter_mut().filter(|one| one.topic == topic).for_each(|one| (one.rights, one.id) = (rights, Some(id)));
        }
    }
    Ok(all)
}

/// Asks for the ids of topics that are there, as [`Told`] has them. Those of which no broker tells are left out.
pub(super) fn ids<C: ClientContext>(client: &Client<C>, topics: &[Topic], patience: Duration) -> Vec<(Topic, u128)> {
    let Ok(metadata) = client.fetch_metadata(topics.first().map(Topic::as_str), patience) else { return Vec::new() };
    let told = rights(client, answerer(&metadata), topics, RIGHTS).into_iter();
    told.filter(|told| told.id != 0).map(|told| (told.topic, told.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_that_the_brokers_take() {
        let legal = |name: &str| is_legal(&Topic::from(name));
        assert!(["orders", "a", "A.b_c-1", "...", &"x".repeat(249)].into_iter().all(legal));
        assert!(!["", ".", "..", "a b", "a/b", "a\0", "ä", &"x".repeat(250)].into_iter().any(legal));
    }
}
