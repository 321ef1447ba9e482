//! Where assigned partitions start: what was committed for them, else what the policy says.
//!
//! Asked on a thread of its own. The invariant: a partition is assigned only with an answer; where it can't be had, it is
//! asked again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use tracing::{info, warn};

use super::client::{Client, list};
use super::commits::offsets;
use super::config::{KafkaConfig, LossPolicy, StartPolicy};
use super::describe::ids;
use super::losses::committed_of_former;
use super::native::{Committed, LeaderEpoch, committed};
use super::origin::{Origin, later_from};
use crate::pipeline::source::SourceError;
use crate::record::{NextOffset, Topic, TopicPartition};

/// How long one request may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long a broker may not have heard that a topic is another one.
const PROPAGATION: Duration = Duration::from_secs(3);

/// Where one partition starts.
#[derive(Debug)]
pub(super) struct Start {
    /// Which partition.
    pub(super) place: TopicPartition,
    /// The offset to read next; `None` at the beginning.
    pub(super) offset: Option<i64>,
    /// What was committed beside it.
    pub(super) metadata: String,
    /// Under which leader what is below was read, where that was committed too.
    pub(super) leader_epoch: Option<LeaderEpoch>,
}

impl Start {
    /// For librdkafka.
    pub(super) fn offset(&self) -> Offset {
        self.offset.map_or(Offset::Beginning, Offset::Offset)
    }
}

/// Where partitions start.
#[derive(Debug)]
pub(super) struct Starts {
    /// Each of them.
    pub(super) starts: Vec<Start>,
    /// The ids of their topics, as far as the brokers tell.
    pub(super) ids: Vec<(Topic, u128)>,
    /// Those of which a commit was found that is of a former topic, which nobody has told yet.
    pub(super) missed: Vec<TopicPartition>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoStart {
    /// Ask again.
    Unknown(String),
    /// The policy is to fail.
    Refused(SourceError),
}

/// How many partitions the topics had when one of theirs was first given to us, or before that to the group.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<Topic, usize>>);

impl Known {
    /// Looks how many a topic has, the first time.
    fn note(&self, client: &Client, place: &TopicPartition) -> KafkaResult<()> {
        if self.0.lock().contains_key(&place.topic) {
            return Ok(());
        }
        let metadata = client.consumer().fetch_metadata(Some(place.topic.as_str()), PATIENCE)?;
        let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        // Of one that is out of sight nothing is known.
        if partitions > 0 {
            self.0.lock().insert(place.topic.clone(), partitions);
        }
        Ok(())
    }

    /// How many a topic had, where that was to be known.
    pub(super) fn partitions(&self, topic: &Topic) -> Option<usize> {
        self.0.lock().get(topic).copied()
    }

    /// Nothing is known any more of topics that are gone.
    pub(super) fn forget(&self, is_gone: impl Fn(&Topic) -> bool) {
        self.0.lock().retain(|topic, _| !is_gone(topic));
    }

    /// The group began with so many already.
    fn began_with(&self, topic: &Topic, partitions: usize) {
        let mut known = self.0.lock();
        known.entry(topic.clone()).and_modify(|known| *known = partitions.min(*known)).or_insert(partitions);
    }

    /// Whether it was not there then.
    fn came_later(&self, place: &TopicPartition) -> bool {
        let number = usize::try_from(place.partition.0).unwrap_or(0);
        self.0.lock().get(&place.topic).is_some_and(|&partitions| number >= partitions)
    }
}

/// What is to start.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) places: Vec<TopicPartition>,
    /// Topics that were made anew while they were read.
    pub(super) anew: HashSet<Topic>,
    /// Those of them that patterns have found.
    pub(super) found: HashSet<Topic>,
}

/// Asks the coordinator, and the partitions' leaders where they have to start at the end.
pub(super) fn look_up(
    client: &Arc<Client>,
    asked: &Asked,
    config: &KafkaConfig,
    known: &Known,
) -> Result<Starts, NoStart> {
    let Asked { places, anew, found: patterns } = asked;
    let policy = config.start;
    // First: of a topic that is made anew from here on, nothing that follows is believed.
    let topics: BTreeSet<&Topic> = places.iter().map(|place| &place.topic).collect();
    let topics: Vec<Topic> = topics.into_iter().cloned().collect();
    let ids = ids_of(client, &topics);
    let found = commits(client, places.iter())?;
    let stale = stale(client, &topics, &ids, &found)?;
    if config.recreated == LossPolicy::Stop {
        // Those that patterns find come and go: who saw one go has told so, and what is there now is another one.
        if let Some(first) = stale.iter().find(|place| !patterns.contains(&place.topic)) {
            return Err(NoStart::Refused(SourceError::Fatal(committed_of_former(first))));
        }
        for place in &stale {
            info!(topic = %place.topic, partition = place.partition.0, "what is committed is of a former topic of this name, and doesn't count");
        }
    }
    let mut starts = Vec::with_capacity(found.len());
    for Commit { place, offset, metadata, leader_epoch, origin } in found {
        starts.push(if stale.contains(&place) {
            Start { place, offset: None, metadata: String::new(), leader_epoch: None }
        } else {
            if let Some(partitions) = origin.partitions() {
                known.began_with(&place.topic, partitions);
            }
            Start { place, offset, metadata, leader_epoch }
        });
    }
    let is_told = |place: &&TopicPartition| anew.contains(&place.topic) || config.recreated == LossPolicy::Stop;
    let missed: Vec<_> = stale.iter().filter(|place| !is_told(place)).cloned().collect();
    let anew: HashSet<&Topic> = anew.iter().chain(stale.iter().map(|place| &place.topic)).collect();
    let origin = |place: &TopicPartition| Origin::new(ids.get(&place.topic).copied(), known.partitions(&place.topic));
    let edge = if config.recreated == LossPolicy::Latest { Offset::End } else { Offset::Beginning };
    settle(client, &mut starts, edge, origin, |start| anew.contains(&start.place.topic))?;
    if policy != StartPolicy::Earliest {
        for place in places {
            known.note(client, place).map_err(unknown)?;
        }
        let open: BTreeSet<&Topic> =
            starts.iter().filter(|start| start.offset.is_none()).map(|start| &start.place.topic).collect();
        for topic in open {
            let seen = known.partitions(topic).unwrap_or_default();
            known.began_with(topic, later_from(&origins(client, topic, ids.get(topic).copied(), seen)?, seen));
        }
        // Nobody could have read them before, so what they hold is news, wherever the others were to start.
        for start in starts.iter().filter(|start| start.offset.is_none() && known.came_later(&start.place)) {
            info!(topic = %start.place.topic, partition = start.place.partition.0, "the partition is new, it is read from its start");
        }
        settle(client, &mut starts, Offset::Beginning, origin, |start| known.came_later(&start.place))?;
    }
    let new: Vec<&Start> = starts.iter().filter(|start| start.offset.is_none()).collect();
    if let Some(first) = new.first() {
        // Nobody can tell the two apart.
        warn!(partitions = new.len(), first = %first.place, start = ?policy,
            "the group has committed nothing for some partitions: it is new there, or its offsets have expired");
    }
    match (policy, new.first()) {
        (StartPolicy::Fail, Some(start)) => {
            return Err(NoStart::Refused(SourceError::Fatal(format!(
                "the group has committed nothing for {}, and `start` is `fail`: reset the group's offsets, or set `start`",
                start.place
            ))));
        }
        // Without a commit, records that came in since and weren't finished would be behind the end of the next start.
        (StartPolicy::Latest, Some(_)) => settle(client, &mut starts, Offset::End, origin, |_| true)?,
        _ => {}
    }
    Ok(Starts { starts, ids: ids.into_iter().collect(), missed })
}

/// What the group has committed of a partition.
struct Commit {
    place: TopicPartition,
    offset: Option<i64>,
    metadata: String,
    leader_epoch: Option<LeaderEpoch>,
    origin: Origin,
}

fn commits<'a>(client: &Client, places: impl Iterator<Item = &'a TopicPartition>) -> Result<Vec<Commit>, NoStart> {
    let question = list(places.map(|place| (place, Offset::Invalid))).map_err(unknown)?;
    let answer = client.consumer().committed_offsets(question, PATIENCE).map_err(unknown)?;
    let mut commits = Vec::new();
    for committed in committed(&answer) {
        if let Some(error) = committed.error {
            return Err(unknown(error));
        }
        let Committed { place, offset, metadata, leader_epoch, .. } = committed;
        let (origin, metadata) = Origin::of(&metadata);
        commits.push(Commit { place, offset, metadata: metadata.to_owned(), leader_epoch, origin });
    }
    Ok(commits)
}

/// What the group's commits in a topic tell of it, in so many partitions.
fn origins(
    client: &Client,
    topic: &Topic,
    id: Option<u128>,
    partitions: usize,
) -> Result<Vec<(TopicPartition, Origin)>, NoStart> {
    let numbers = 0..i32::try_from(partitions).unwrap_or(i32::MAX);
    let places: Vec<_> = numbers.map(|number| TopicPartition::new(topic.clone(), number)).collect();
    let commits = commits(client, places.iter())?.into_iter();
    let of_it = commits.filter(|commit| commit.offset.is_some() && !commit.origin.is_another(id));
    Ok(of_it.map(|commit| (commit.place, commit.origin)).collect())
}

/// Partitions of which a topic's namesake was committed.
fn stale(
    client: &Client,
    topics: &[Topic],
    ids: &HashMap<Topic, u128>,
    commits: &[Commit],
) -> Result<Vec<TopicPartition>, NoStart> {
    let id = |commit: &Commit| ids.get(&commit.place.topic).copied();
    let is_stale = |commit: &&Commit| commit.offset.is_some() && commit.origin.is_another(id(commit));
    let stale: Vec<_> = commits.iter().filter(is_stale).map(|commit| commit.place.clone()).collect();
    if !stale.is_empty() {
        // Or it is the broker that tells of the former one, as it has not heard yet.
        thread::park_timeout(PROPAGATION);
        if ids_of(client, topics) != *ids {
            return Err(unknown("the brokers don't agree on which topics there are"));
        }
    }
    Ok(stale)
}

fn ids_of(client: &Client, topics: &[Topic]) -> HashMap<Topic, u128> {
    ids(client.consumer().client(), topics, PATIENCE).into_iter().collect()
}

/// Has those of them that have no place yet start at this edge of their partitions, and commits that. All are asked at once, and committed at once:
/// there may be a thousand.
fn settle(
    client: &Client,
    starts: &mut [Start],
    edge: Offset,
    origin: impl Fn(&TopicPartition) -> Origin,
    which: impl Fn(&Start) -> bool,
) -> Result<(), NoStart> {
    let mut open: Vec<&mut Start> = starts.iter_mut().filter(|start| start.offset.is_none() && which(start)).collect();
    if open.is_empty() {
        return Ok(());
    }
    // Of an edge one asks as for a time.
    let asked = list(open.iter().map(|start| (&start.place, edge))).map_err(unknown)?;
    let answer = client.consumer().offsets_for_times(asked, PATIENCE).map_err(unknown)?;
    let mut places = HashMap::new();
    for element in answer.elements() {
        element.error().map_err(unknown)?;
        if let Offset::Offset(offset) = element.offset() {
            places.insert((Topic::from(element.topic()), element.partition()), offset);
        }
    }
    let mut pins = Vec::with_capacity(open.len());
    for start in &open {
        let place = &start.place;
        let offset = places.get(&(place.topic.clone(), place.partition.0));
        let offset = *offset.ok_or_else(|| NoStart::Unknown(format!("nobody says where {place} begins and ends")))?;
        pins.push((place.clone(), offset, origin(place)));
    }
    pin_all(client, &pins).map_err(unknown)?;
    for (start, (_, offset, _)) in open.iter_mut().zip(&pins) {
        start.offset = Some(*offset);
    }
    Ok(())
}

/// Its first offset, and the one behind its last.
pub(super) fn watermarks(client: &Client, place: &TopicPartition) -> KafkaResult<(i64, i64)> {
    client.consumer().fetch_watermarks(place.topic.as_str(), place.partition.0, PATIENCE)
}

/// Commits where the partition starts.
pub(super) fn pin(client: &Client, place: &TopicPartition, offset: i64, origin: Origin) -> KafkaResult<()> {
    pin_all(client, &[(place.clone(), offset, origin)])
}

/// The same of several, in one commit.
fn pin_all(client: &Client, pins: &[(TopicPartition, i64, Origin)]) -> KafkaResult<()> {
    let commit = |metadata: &dyn Fn(&Origin) -> String| {
        let pins = pins.iter().map(|(place, offset, origin)| (place, NextOffset::at(*offset), metadata(origin)));
        client.consumer().commit(&offsets(pins)?, CommitMode::Sync)
    };
    match commit(&|origin| origin.beside("", usize::MAX).unwrap_or_default()) {
        Err(KafkaError::ConsumerCommit(Code::OffsetMetadataTooLarge)) => commit(&|_| String::new()),
        outcome => outcome,
    }
}

fn unknown(error: impl std::fmt::Display) -> NoStart {
    NoStart::Unknown(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::kafka::wake::Wake;

    #[test]
    fn many_partitions_are_asked_for_and_committed_together() {
        const PARTITIONS: i32 = 300;
        const ROUND_TRIP: Duration = Duration::from_millis(40);
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("t", PARTITIONS, 1).expect("a topic");
        let mut config = KafkaConfig::new(cluster.bootstrap_servers(), "group");
        config.start = StartPolicy::Latest;
        let properties = config.consumer().expect("a configuration");
        let (client, _destroyed) = Client::new(&properties, &config, &Arc::new(Wake::default())).expect("a client");
        let places: Vec<TopicPartition> = (0..PARTITIONS).map(|number| TopicPartition::new("t", number)).collect();
        let asked = Asked { places, anew: HashSet::new(), found: HashSet::new() };
        client.consumer().fetch_metadata(Some("t"), PATIENCE).expect("the topic is there");
        cluster.broker_round_trip_time(1, ROUND_TRIP).expect("a slow broker");

        let before = Instant::now();
        let found = look_up(&client, &asked, &config, &Known::default()).expect("they are found");
        let took = before.elapsed();
        // One after the other, each would take two round trips.
        assert!(took < ROUND_TRIP * 100, "it took {took:?}");
        assert!(found.starts.iter().all(|start| start.offset == Some(0)), "{:?}", found.starts);
        let committed = commits(&client, asked.places.iter()).expect("an answer");
        assert!(committed.iter().all(|commit| commit.offset == Some(0)), "not all places are committed");
    }
}
