//! Where assigned partitions start: what was committed for them, else what the policy says.
//!
//! Asked on a thread of its own. The invariant: a partition is assigned only with an answer; where it can't be had, it is
//! asked again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use tracing::{info, warn};

use super::client::{Client, list};
use super::config::{KafkaConfig, LossPolicy, StartPolicy};
use super::describe::ids;
use super::native::{Committed, LeaderEpoch, committed};
use crate::pipeline::source::SourceError;
use crate::record::{Topic, TopicPartition};

/// How long one request may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoStart {
    /// Ask again.
    Unknown(String),
    /// The policy is to fail.
    Refused(SourceError),
}

/// How many partitions the topics had when one of theirs was first given to us.
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

    /// Whether it was not there then.
    fn came_later(&self, place: &TopicPartition) -> bool {
        let number = usize::try_from(place.partition.0).unwrap_or(0);
        self.0.lock().get(&place.topic).is_some_and(|&partitions| number >= partitions)
    }
}

/// Asks the coordinator, and the partitions' leaders where they have to start at the end. `anew`: topics that were made anew while they were
/// read.
pub(super) fn look_up(
    client: &Arc<Client>,
    places: &[TopicPartition],
    config: &KafkaConfig,
    known: &Known,
    anew: &HashSet<Topic>,
) -> Result<Starts, NoStart> {
    let policy = config.start;
    // First: of a topic that is made anew from here on, nothing that follows is believed.
    let topics: BTreeSet<&Topic> = places.iter().map(|place| &place.topic).collect();
    let topics: Vec<Topic> = topics.into_iter().cloned().collect();
    let ids = ids(client.consumer().client(), &topics, PATIENCE);
    let question = list(places.iter().map(|place| (place, Offset::Invalid))).map_err(unknown)?;
    let answer = client.consumer().committed_offsets(question, PATIENCE).map_err(unknown)?;
    let mut starts = Vec::with_capacity(places.len());
    for committed in committed(&answer) {
        if let Some(error) = committed.error {
            return Err(unknown(error));
        }
        let Committed { place, offset, metadata, leader_epoch, .. } = committed;
        starts.push(Start { place, offset, metadata, leader_epoch });
    }
    for start in starts.iter_mut().filter(|start| start.offset.is_none() && anew.contains(&start.place.topic)) {
        let (first, end) = watermarks(client, &start.place).map_err(unknown)?;
        let offset = if config.recreated == LossPolicy::Latest { end } else { first };
        pin(client, &start.place, offset).map_err(unknown)?;
        start.offset = Some(offset);
    }
    if policy != StartPolicy::Earliest {
        for place in places {
            known.note(client, place).map_err(unknown)?;
        }
        // Nobody could have read them before, so what they hold is news, wherever the others were to start.
        for start in starts.iter_mut().filter(|start| start.offset.is_none() && known.came_later(&start.place)) {
            let (first, _) = watermarks(client, &start.place).map_err(unknown)?;
            info!(topic = %start.place.topic, partition = start.place.partition.0, "the partition is new, it is read from its start");
            pin(client, &start.place, first).map_err(unknown)?;
            start.offset = Some(first);
        }
    }
    let new: Vec<&mut Start> = starts.iter_mut().filter(|start| start.offset.is_none()).collect();
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
        (StartPolicy::Latest, Some(_)) => {
            for start in new {
                start.offset = Some(end_of(client, &start.place).map_err(unknown)?);
                // Without this, records that came in since and weren't finished would be behind the end of the next start.
                pin(client, &start.place, start.offset.unwrap_or_default()).map_err(unknown)?;
            }
        }
        _ => {}
    }
    Ok(Starts { starts, ids })
}

/// Where the partition ends now.
fn end_of(client: &Client, place: &TopicPartition) -> KafkaResult<i64> {
    watermarks(client, place).map(|(_, end)| end)
}

/// Its first offset, and the one behind its last.
pub(super) fn watermarks(client: &Client, place: &TopicPartition) -> KafkaResult<(i64, i64)> {
    client.consumer().fetch_watermarks(place.topic.as_str(), place.partition.0, PATIENCE)
}

/// Commits where the partition starts.
pub(super) fn pin(client: &Client, place: &TopicPartition, offset: i64) -> KafkaResult<()> {
    client.consumer().commit(&list([(place, Offset::Offset(offset))])?, CommitMode::Sync)
}

fn unknown(error: impl std::fmt::Display) -> NoStart {
    NoStart::Unknown(error.to_string())
}
