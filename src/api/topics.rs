//! Topics and their records: those that the daemons of this process read, looked at beside them.
//!
//! The invariant: whoever looks is in no group and leaves nothing behind; a page is read by the same few at once, and in the same time, as one of dead letters.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Identity, Role};
use super::endpoint::{Asked, Endpoint, Named};
use super::letters::shown::RecordShown;
use super::letters::{in_time, slow, turn};
use super::limit::Limit;
use super::masks::Sight;
use super::problem::Problem;
use super::state::Api;
use crate::dead_letters::LettersError;
use crate::pipeline::control::Reading;
use crate::record::{Offset, Partition, Timestamp, Topic};
use crate::records::{Extent, Found, Records, RecordsPage, Start};

/// Records of a page where nothing is said of it, and at most.
const LIMIT: Limit = Limit { usual: 50, most: Some(500) };

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operator = Role::Operator;
    vec![
        Endpoint::get::<Vec<TopicShown>, _>("/api/v1/topics", operator, "The topics that the daemons here read", all),
        Endpoint::get::<Vec<PartitionShown>, _>(
            "/api/v1/topics/{topic}",
            operator,
            "The partitions of a topic that is read here, and what they hold",
            partitions,
        )
        .with::<TopicName>(),
        Endpoint::get::<RecordsShown, _>(
            "/api/v1/topics/{topic}/{partition}/records",
            operator,
            "Records of a partition, in their order: from an offset, a time, or up to the end",
            records,
        )
        .with::<PartitionName>()
        .with::<Place>(),
    ]
}

/// A topic.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TopicName {
    /// Its name.
    pub(super) topic: String,
}

/// A partition.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct PartitionName {
    /// The topic's name.
    pub(super) topic: String,
    #[schemars(range(min = 0))]
    pub(super) partition: i32,
}

/// A record.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct RecordPlace {
    /// The topic's name.
    pub(super) topic: String,
    #[schemars(range(min = 0))]
    pub(super) partition: i32,
    #[schemars(range(min = 0))]
    pub(super) offset: i64,
}

/// Which part of a partition: one of these; its end where none is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// From this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(super) offset: Option<i64>,
    /// Those before this offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(super) before: Option<i64>,
    /// From this time, in milliseconds since 1970 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub(super) time: Option<i64>,
    /// How many at most; 50 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 500))]
    pub(super) limit: Option<usize>,
}

/// A topic that is read.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct TopicShown {
    pub(super) topic: String,
    /// The daemons of this process that read it.
    pub(super) daemons: Vec<String>,
}

/// A partition.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PartitionShown {
    pub(super) partition: i32,
    /// Its first offset; null where no broker leads it now, or the one that does says nothing.
    pub(super) first: Option<i64>,
    /// The offset that its next record will get; null where no broker leads it now, or the one that does says nothing.
    pub(super) end: Option<i64>,
}

/// Records of a partition.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RecordsShown {
    /// Perhaps none, though there are some: not every offset has one, and the time may be over.
    pub(super) records: Vec<RecordAt>,
    /// The partition's first offset.
    pub(super) first: i64,
    /// The offset that its next record will get.
    pub(super) end: i64,
    /// What comes next begins at this `offset`; at the end with what comes in yet.
    pub(super) next: i64,
    /// What comes before ends `before` this offset; null where nothing is.
    pub(super) before: Option<i64>,
    /// The time was over before all was read that there is room for.
    pub(super) is_late: bool,
}

/// A record, and where it lies.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RecordAt {
    pub(super) offset: i64,
    /// Its time, in milliseconds since 1970 UTC.
    pub(super) timestamp: Option<u64>,
    pub(super) record: Option<RecordShown>,
}

impl Place {
    /// The page that it begins.
    fn start(&self) -> Result<Start, Problem> {
        match (self.offset, self.before, self.time) {
            (None, None, None) => Ok(Start::End),
            (Some(offset @ 0..), None, None) => Ok(Start::Offset(Offset(offset))),
            (None, Some(before @ 0..), None) => Ok(Start::Before(Offset(before))),
            (None, None, Some(millis)) => {
                let time = Timestamp::from_millis(millis);
                Ok(Start::Time(time.ok_or_else(|| Problem::bad_request("`time` is before 1970"))?))
            }
            (Some(_), None, None) | (None, Some(_), None) => Err(Problem::bad_request("there is no offset below 0")),
            _ => Err(Problem::bad_request("say one of `offset`, `before` and `time`")),
        }
    }
}

/// What the daemons here read.
pub(super) struct Readable(Vec<Arc<Reading>>);

impl Readable {
    pub(super) fn now(api: &Api) -> Self {
        let daemons = api.roster.inspect().into_iter();
        Self(daemons.filter_map(|daemon| daemon.control?.reading()).collect())
    }

    /// Whether a topic's records can be shown.
    pub(super) fn has(&self, topic: &str) -> bool {
        self.records(&topic.into()).is_some()
    }

    /// What reads a topic's records.
    fn records(&self, topic: &Topic) -> Option<&Records> {
        self.0.iter().find_map(|reading| reading.records(topic))
    }
}

/// The topics that can be looked at: those of routes, and those that are assigned because a pattern has found them.
pub(super) fn shown(api: &Api) -> Vec<TopicShown> {
    let mut topics: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for daemon in api.roster.inspect() {
        let Some(control) = daemon.control else { continue };
        let Some(reading) = control.reading() else { continue };
        let view = control.view();
        let assigned = view.iter().flat_map(|view| &view.partitions).map(|one| &one.topic_partition.topic);
        for topic in reading.topics().chain(assigned).filter(|topic| reading.records(topic).is_some()) {
            let daemons = topics.entry(topic.to_string()).or_default();
            if !daemons.iter().any(|name| **name == *daemon.status.name) {
                daemons.push(daemon.status.name.to_string());
            }
        }
    }
    topics.into_iter().map(|(topic, daemons)| TopicShown { topic, daemons }).collect()
}

/// What reads a topic's records.
fn open(api: &Api, topic: &Topic) -> Result<Records, Problem> {
    Readable::now(api).records(topic).cloned().ok_or_else(|| {
        let topics: Vec<String> = shown(api).into_iter().map(|shown| shown.topic).collect();
        Problem::not_found(format!(
            "no daemon of this process reads `{topic}`, or by something that can't show its records; there are: {}",
            if topics.is_empty() { "none".to_owned() } else { topics.join(", ") }
        ))
    })
}

/// The partitions of a topic.
pub(super) async fn extents(api: &Api, topic: &str) -> Result<Vec<Extent>, Problem> {
    let records = open(api, &topic.into())?;
    let Some(turn) = turn(api).await else { return Err(slow()) };
    in_time(turn.end, records.partitions(topic)).await
}

/// The offset of a partition's first record of this time or later, its end where there is none; `None` where that can't be found out in time.
pub(super) async fn offset_at(api: &Api, topic: &str, partition: i32, time: Timestamp) -> Option<Offset> {
    let records = open(api, &topic.into()).ok()?;
    let turn = turn(api).await?;
    in_time(turn.end, records.offset_at(topic, Partition(partition), time)).await.ok()
}

/// Reads a page.
pub(super) async fn page(api: &Api, name: &PartitionName, place: &Place) -> Result<RecordsPage, Problem> {
    let PartitionName { topic, partition } = name;
    let size = LIMIT.of(place.limit)?;
    let (start, records) = (place.start()?, open(api, &topic.as_str().into())?);
    let Some(turn) = turn(api).await else { return Err(slow()) };
    in_time(turn.end, records.page(topic.as_str(), Partition(*partition), start, size, turn.time)).await
}

/// Reads one record.
pub(super) async fn record(api: &Api, place: &RecordPlace) -> Result<Found, Problem> {
    let RecordPlace { topic, partition, offset } = place;
    let (name, at) = (
        PartitionName { topic: topic.clone(), partition: *partition },
        Place { offset: Some(*offset), limit: Some(1), ..Place::default() },
    );
    let RecordsPage { records, first, end, is_late, .. } = page(api, &name, &at).await?;
    let found = records.into_iter().find(|found| found.offset.0 == *offset);
    found.ok_or_else(|| {
        if is_late {
            return slow();
        }
        let why = match *offset {
            offset if offset < first.0 => format!("the partition begins at {first} by now"),
            offset if offset >= end.0 => format!("the partition ends before {end}"),
            _ => "it was compacted away, or is none of a record's".to_owned(),
        };
        let (topic, partition, offset) = (Topic::from(topic.as_str()), Partition(*partition), Offset(*offset));
        super::letters::refused(LettersError::NotFound { topic, partition, offset, why })
    })
}

async fn all(State(api): State<Api>) -> Json<Vec<TopicShown>> {
    Json(shown(&api))
}

async fn partitions(
    State(api): State<Api>,
    Named(TopicName { topic }): Named<TopicName>,
) -> Result<Json<Vec<PartitionShown>>, Problem> {
    let extents = extents(&api, &topic).await?;
    let partition = |extent: &Extent| PartitionShown {
        partition: extent.partition.0,
        first: extent.offsets.map(|(first, _)| first.0),
        end: extent.offsets.map(|(_, end)| end.0),
    };
    Ok(Json(extents.iter().map(partition).collect()))
}

async fn records(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<PartitionName>,
    Asked(place): Asked<Place>,
) -> Result<Json<RecordsShown>, Problem> {
    let RecordsPage { records, first, end, next, before, is_late, .. } = page(&api, &name, &place).await?;
    let sight = Sight::of(&api, &identity);
    let record = |found: &Found| RecordAt {
        offset: found.offset.0,
        timestamp: found.record.timestamp.map(Timestamp::as_millis),
        record: sight.see(&found.record).map(RecordShown::of),
    };
    Ok(Json(RecordsShown {
        records: records.iter().map(record).collect(),
        first: first.0,
        end: end.0,
        next: next.0,
        before: before.map(|before| before.0),
        is_late,
    }))
}
