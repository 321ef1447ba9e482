//! Where assigned partitions start: what was committed for them, else what the policy says.
//!
//! Asked on a thread of its own. The invariant: a partition is assigned only with an answer; where it can't be had, it is
//! asked again.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::Offset;
use rdkafka::consumer::{CommitMode, Consumer};
use tracing::warn;

use super::client::{Client, list};
use super::config::StartPolicy;
use super::native::committed;
use crate::pipeline::source::SourceError;
use crate::record::TopicPartition;

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
}

impl Start {
    /// For librdkafka.
    pub(super) fn offset(&self) -> Offset {
        self.offset.map_or(Offset::Beginning, Offset::Offset)
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum NoStart {
    /// Ask again.
    Unknown(String),
    /// The policy is to fail.
    Refused(SourceError),
}

/// Asks the coordinator, and the partitions' leaders where they have to start at the end.
pub(super) fn look_up(
    client: &Arc<Client>,
    places: &[TopicPartition],
    policy: StartPolicy,
) -> Result<Vec<Start>, NoStart> {
    let question = list(places.iter().map(|place| (place, Offset::Invalid))).map_err(unknown)?;
    let answer = client.consumer().committed_offsets(question, PATIENCE).map_err(unknown)?;
    let mut starts = Vec::with_capacity(places.len());
    for committed in committed(&answer) {
        if let Some(error) = committed.error {
            return Err(unknown(error));
        }
        starts.push(Start { place: committed.place, offset: committed.offset, metadata: committed.metadata });
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
    Ok(starts)
}

/// Where the partition ends now.
fn end_of(client: &Client, place: &TopicPartition) -> rdkafka::error::KafkaResult<i64> {
    watermarks(client, place).map(|(_, end)| end)
}

/// Its first offset, and the one behind its last.
pub(super) fn watermarks(client: &Client, place: &TopicPartition) -> rdkafka::error::KafkaResult<(i64, i64)> {
    client.consumer().fetch_watermarks(place.topic.as_str(), place.partition.0, PATIENCE)
}

/// Commits where the partition starts.
pub(super) fn pin(client: &Client, place: &TopicPartition, offset: i64) -> rdkafka::error::KafkaResult<()> {
    client.consumer().commit(&list([(place, Offset::Offset(offset))])?, CommitMode::Sync)
}

fn unknown(error: impl std::fmt::Display) -> NoStart {
    NoStart::Unknown(error.to_string())
}
