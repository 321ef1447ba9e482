//! Steering: what is changed of a daemon while it runs, in all processes of the program where they are a fleet, and until a time.

mod wish;

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use super::DaemonName;
use crate::api::access::{Identity, Role};
use crate::api::audit::Detail;
use crate::api::endpoint::{Endpoint, Named, Sent};
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::fleet::Reached;
use crate::pipeline::control::{self, Control, Rate};
use crate::pipeline::seek::SeekTo;
use crate::record::{Offset, Timestamp, Topic, TopicPartition};
pub(in crate::api) use wish::{Changed, Halt, Wish};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let operator = Role::Operator;
    vec![
        Endpoint::post::<Steered, _>(
            "/api/v1/daemons/{daemon}/pause",
            operator,
            "Starts nothing more of a daemon, a topic or a partition; what runs ends",
            pause,
        )
        .with::<DaemonName>()
        .takes::<ScopeChange>(),
        Endpoint::post::<Steered, _>(
            "/api/v1/daemons/{daemon}/resume",
            operator,
            "Lets a daemon, a topic or a partition go on, and all parts of it",
            resume,
        )
        .with::<DaemonName>()
        .takes::<ScopeChange>(),
        Endpoint::post::<Steered, _>(
            "/api/v1/daemons/{daemon}/limits",
            operator,
            "Lets attempts begin at these rates at most",
            limit,
        )
        .with::<DaemonName>()
        .takes::<LimitChange>(),
        Endpoint::post::<Steered, _>(
            "/api/v1/daemons/{daemon}/workers",
            operator,
            "Has so many workers at something at once, in each process",
            scale,
        )
        .with::<DaemonName>()
        .takes::<WorkersChange>(),
        Endpoint::post::<Steered, _>(
            "/api/v1/daemons/{daemon}/skip",
            operator,
            "Has a record passed over: before its next attempt, or in place of a letter that can't be written",
            skip,
        )
        .with::<DaemonName>()
        .takes::<SkipRequest>(),
        Endpoint::post::<Sought, _>(
            "/api/v1/daemons/{daemon}/seek",
            operator,
            "Has a partition go on elsewhere; waits until that is committed",
            seek,
        )
        .with::<DaemonName>()
        .takes::<SeekRequest>(),
    ]
}

/// A daemon, or a part of what it reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    /// This topic alone; all of them where there is none.
    #[serde(default)]
    pub(crate) topic: Option<String>,
    /// This partition of it alone.
    #[serde(default)]
    pub(crate) partition: Option<i32>,
    /// This key of it alone: what its route orders by, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
}

impl Scope {
    pub(super) fn of(scope: &control::Scope) -> Self {
        match scope {
            control::Scope::All => Self::default(),
            control::Scope::Topic(topic) => Self { topic: Some(topic.to_string()), ..Self::default() },
            control::Scope::Partition(place) => {
                Self { topic: Some(place.topic.to_string()), partition: Some(place.partition.0), key: None }
            }
            control::Scope::Key(topic, key) => {
                let key = Some(String::from_utf8_lossy(key).into_owned());
                Self { topic: Some(topic.to_string()), partition: None, key }
            }
        }
    }

    /// What it means, or why it means nothing.
    pub(crate) fn meant(self) -> Result<control::Scope, String> {
        match (self.topic, self.partition, self.key) {
            (None, None, None) => Ok(control::Scope::All),
            (Some(topic), None, None) => Ok(control::Scope::Topic(Topic::from(topic))),
            (Some(topic), None, Some(key)) => Ok(control::Scope::Key(Topic::from(topic), key.into_bytes())),
            (Some(topic), Some(partition @ 0..), None) => {
                Ok(control::Scope::Partition(TopicPartition::new(topic, partition)))
            }
            (Some(_), Some(partition), None) => Err(format!("there is no partition {partition}")),
            (Some(_), Some(_), Some(_)) => Err("a key and a partition can't be meant at once".to_owned()),
            (None, Some(_), _) => Err("a partition needs its `topic`".to_owned()),
            (None, None, Some(_)) => Err("a key needs its `topic`".to_owned()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.topic, self.partition, &self.key) {
            (None, ..) => f.write_str("all"),
            (Some(topic), None, None) => f.write_str(topic),
            (Some(topic), None, Some(key)) => write!(f, "{topic}, key {key}"),
            (Some(topic), Some(partition), _) => write!(f, "{topic}[{partition}]"),
        }
    }
}

/// What to pause, or to let go on.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScopeChange {
    /// This topic alone; all of them where there is none.
    #[serde(default)]
    pub(crate) topic: Option<String>,
    /// This partition of it alone.
    #[serde(default)]
    pub(crate) partition: Option<i32>,
    /// This key of the topic alone: what its route orders by, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Why; for the audit log.
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) reason: String,
    /// Milliseconds for which a pause holds; a day where none are said, 30 days at most.
    #[serde(default)]
    pub(crate) lasts: Option<u64>,
}

/// How many attempts may begin within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// So many …
    #[schemars(range(min = 1))]
    pub(crate) attempts: u32,
    /// … within so many milliseconds, on average.
    #[schemars(range(min = 1))]
    pub(crate) interval: u64,
}

/// The rates that attempts may begin at; null where there is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Of the whole daemon in this process.
    pub(crate) rate: Option<RateLimit>,
    /// Of each single key.
    pub(crate) key_rate: Option<RateLimit>,
}

impl RateLimit {
    pub(crate) fn of(rate: Rate) -> Self {
        let interval = u64::try_from(rate.interval().as_millis()).unwrap_or(u64::MAX);
        Self { attempts: rate.attempts(), interval }
    }

    /// `None` where nothing could ever begin.
    pub(crate) fn meant(self) -> Option<Rate> {
        Rate::new(self.attempts, Duration::from_millis(self.interval))
    }
}

impl RateLimit {
    /// As somebody would write it: a number of attempts a second, or as in `20/1min`.
    pub(in crate::api) fn written(self) -> String {
        let Self { attempts, interval } = self;
        if interval == 1_000 {
            return attempts.to_string();
        }
        let (unit, millis) = UNITS.into_iter().find(|(_, millis)| interval % millis == 0).unwrap_or(("ms", 1));
        format!("{attempts}/{}{unit}", interval / millis)
    }
}

/// Units of a time, the longest first, with their milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for RateLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (attempts, time) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
        let interval = || {
            let digits = time.trim_end_matches(|c: char| !c.is_ascii_digit());
            let count: u64 = if digits.is_empty() { 1 } else { digits.parse().ok()? };
            let (_, millis) = UNITS.into_iter().find(|(unit, _)| *unit == &time[digits.len()..])?;
            count.checked_mul(millis)
        };
        let read = attempts.parse().ok().zip(interval()).map(|(attempts, interval)| Self { attempts, interval });
        let read = read.filter(|limit| limit.meant().is_some());
        read.ok_or_else(|| format!("`{text}` is no rate, allowed: a number of attempts a second, or as in `20/1min`"))
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?}", self.attempts, Duration::from_millis(self.interval))
    }
}

impl Limits {
    pub(super) fn of(control: &Control) -> Self {
        Self { rate: control.rate().map(RateLimit::of), key_rate: control.key_rate().map(RateLimit::of) }
    }
}

/// What is to be changed of the limits: `None` where one stays as it is, `Some(None)` where it is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) struct Limiting {
    pub(in crate::api) rate: Option<Option<RateLimit>>,
    pub(in crate::api) key_rate: Option<Option<RateLimit>>,
}

impl Limiting {
    /// In words.
    fn told(self) -> String {
        let told = |limit: Option<RateLimit>| limit.map_or("none".to_owned(), |limit| limit.to_string());
        let rate = self.rate.map(|limit| format!("to {}", told(limit)));
        let key_rate = self.key_rate.map(|limit| format!("each key to {}", told(limit)));
        rate.into_iter().chain(key_rate).collect::<Vec<_>>().join(", ")
    }
}

/// The rates to limit to. One that is missing stays as it is; null takes back what operators have limited.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitChange {
    /// Of the whole daemon in each process. Left as it is where this is missing; null takes it back.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<RateLimit>")]
    pub(crate) rate: Option<Option<RateLimit>>,
    /// Of each single key. Left as it is where this is missing; null takes it back.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<RateLimit>")]
    pub(crate) key_rate: Option<Option<RateLimit>>,
    /// Why; for the audit log.
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) reason: String,
    /// Milliseconds for which they hold; a day where none are said, 30 days at most.
    #[serde(default)]
    pub(crate) lasts: Option<u64>,
}

/// What is there, be it null.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A record to pass over.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkipRequest {
    pub(crate) topic: String,
    #[schemars(range(min = 0))]
    pub(crate) partition: i32,
    #[schemars(range(min = 0))]
    pub(crate) offset: i64,
    /// Why; for the audit log.
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) reason: String,
    /// Milliseconds for which it holds; a day where none are said, 30 days at most.
    #[serde(default)]
    pub(crate) lasts: Option<u64>,
}

/// How many workers are to be at something.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkersChange {
    /// So many in each process, at most; as configured where it is missing or null.
    #[serde(default)]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Why; for the audit log.
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) reason: String,
    /// Milliseconds for which it holds; a day where none are said, 30 days at most.
    #[serde(default)]
    pub(crate) lasts: Option<u64>,
}

/// How a daemon is steered now.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Steered {
    /// What is paused.
    pub(crate) paused: Vec<Scope>,
    /// What is limited.
    pub(crate) limits: Limits,
    /// How many workers may be at something in a process, where somebody has said so.
    pub(crate) workers: Option<NonZeroUsize>,
    /// Until when what was changed holds, in milliseconds since 1970 UTC; null where something was taken back.
    pub(crate) until: Option<u64>,
    /// The processes that are heard of, and whether they are known to do so.
    pub(crate) reached: Vec<Reached>,
    /// Why it may not hold in all processes, or why that is not known; null where it does.
    pub(crate) trouble: Option<String>,
}

/// Where a partition is to go on.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeekRequest {
    pub(crate) topic: String,
    #[schemars(range(min = 0))]
    pub(crate) partition: i32,
    pub(crate) to: Destination,
    /// Why; for the audit log.
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) reason: String,
}

/// A place in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Destination {
    /// Its first record.
    Beginning,
    /// Behind its last one.
    End,
    /// This offset.
    Offset(#[schemars(range(min = 0))] i64),
    /// The first record of this time or later, in milliseconds since 1970 UTC.
    Time(#[schemars(range(min = 0))] i64),
}

/// Where a partition goes on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Sought {
    /// The offset that is read next; it is committed.
    pub(crate) next: i64,
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let time = || text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond);
        let found = match text {
            "beginning" => Some(Self::Beginning),
            "end" => Some(Self::End),
            _ => match text.strip_prefix('@') {
                Some(millis) => millis.parse().ok().map(Self::Time),
                None => text.parse().ok().map(Self::Offset).or_else(|| time().map(Self::Time)),
            },
        };
        found.ok_or_else(|| {
            let allowed = "allowed: beginning, end, an offset, a time as in 2026-11-26T18:00:00Z, or @ and milliseconds since 1970";
            format!("`{text}` is no place in a partition, {allowed}")
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beginning => f.write_str("beginning"),
            Self::End => f.write_str("end"),
            Self::Offset(offset) => write!(f, "offset {offset}"),
            Self::Time(millis) => match jiff::Timestamp::from_millisecond(*millis) {
                Ok(time) => write!(f, "{time}"),
                Err(_) => write!(f, "@{millis}"),
            },
        }
    }
}

impl Destination {
    /// What it means, or why it means nothing.
    pub(crate) fn meant(self) -> Result<SeekTo, String> {
        Ok(match self {
            Self::Beginning => SeekTo::Beginning,
            Self::End => SeekTo::End,
            Self::Offset(offset) => SeekTo::Offset(Offset(offset)),
            Self::Time(millis) => {
                SeekTo::Time(Timestamp::from_millis(millis).ok_or_else(|| "`time` is before 1970".to_owned())?)
            }
        })
    }
}

async fn halt(
    api: &Api,
    identity: &Identity,
    daemon: &str,
    halt: Halt,
    change: ScopeChange,
) -> Result<Response, Problem> {
    let ScopeChange { topic, partition, key, reason, lasts } = change;
    let wish = Wish::new(identity, reason.clone(), lasts);
    Ok(wish.halt(api, daemon, halt, Scope { topic, partition, key }).await?.answer(api, daemon, &reason))
}

async fn pause(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(change): Sent<ScopeChange>,
) -> Result<Response, Problem> {
    halt(&api, &identity, &daemon, Halt::Pause, change).await
}

async fn resume(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(change): Sent<ScopeChange>,
) -> Result<Response, Problem> {
    halt(&api, &identity, &daemon, Halt::Resume, change).await
}

async fn limit(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(LimitChange { rate, key_rate, reason, lasts }): Sent<LimitChange>,
) -> Result<Response, Problem> {
    let wish = Wish::new(&identity, reason.clone(), lasts);
    Ok(wish.limit(&api, &daemon, Limiting { rate, key_rate }).await?.answer(&api, &daemon, &reason))
}

async fn scale(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(WorkersChange { workers, reason, lasts }): Sent<WorkersChange>,
) -> Result<Response, Problem> {
    let wish = Wish::new(&identity, reason.clone(), lasts);
    Ok(wish.scale(&api, &daemon, workers).await?.answer(&api, &daemon, &reason))
}

async fn skip(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(SkipRequest { topic, partition, offset, reason, lasts }): Sent<SkipRequest>,
) -> Result<Response, Problem> {
    let wish = Wish::new(&identity, reason.clone(), lasts);
    Ok(wish.skip(&api, &daemon, (topic, partition), offset).await?.answer(&api, &daemon, &reason))
}

async fn seek(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(SeekRequest { topic, partition, to, reason }): Sent<SeekRequest>,
) -> Result<Response, Problem> {
    let wish = Wish::new(&identity, reason.clone(), None);
    let (place, next) = wish.seek(&api, &daemon, (topic, partition), to).await?;
    let told = format!("{place} goes on at {next}: {reason}");
    Ok((Extension(Detail(told)), Json(Sought { next })).into_response())
}
