//! Steering: what is changed of a daemon while it runs. It holds for this process, until its end.

use std::fmt;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DaemonName, control};
use crate::api::access::Role;
use crate::api::audit::Detail;
use crate::api::endpoint::{Endpoint, Named, Sent};
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::pipeline::control::{self, Control, Rate};
use crate::pipeline::seek::{SeekError, SeekTo};
use crate::record::{Offset, Timestamp, Topic, TopicPartition};

/// How long a seek may take until its answer is no longer waited for; a connection's time is longer.
const SEEK: Duration = Duration::from_secs(8);

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    /// This topic alone; all of them where there is none.
    #[serde(default)]
    pub(crate) topic: Option<String>,
    /// This partition of it alone.
    #[serde(default)]
    pub(crate) partition: Option<i32>,
}

impl Scope {
    pub(super) fn of(scope: &control::Scope) -> Self {
        match scope {
            control::Scope::All => Self { topic: None, partition: None },
            control::Scope::Topic(topic) => Self { topic: Some(topic.to_string()), partition: None },
            control::Scope::Partition(place) => {
                Self { topic: Some(place.topic.to_string()), partition: Some(place.partition.0) }
            }
        }
    }

    fn meant(self) -> Result<control::Scope, Problem> {
        match (self.topic, self.partition) {
            (None, None) => Ok(control::Scope::All),
            (Some(topic), None) => Ok(control::Scope::Topic(Topic::from(topic))),
            (Some(topic), Some(partition @ 0..)) => {
                Ok(control::Scope::Partition(TopicPartition::new(topic, partition)))
            }
            (Some(_), Some(partition)) => Err(Problem::bad_request(format!("there is no partition {partition}"))),
            (None, Some(_)) => Err(Problem::bad_request("a partition needs its `topic`")),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.topic, self.partition) {
            (None, _) => f.write_str("all"),
            (Some(topic), None) => f.write_str(topic),
            (Some(topic), Some(partition)) => write!(f, "{topic}[{partition}]"),
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
    /// Why; for the audit log.
    pub(crate) reason: String,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Of the whole daemon in this process.
    pub(crate) rate: Option<RateLimit>,
    /// Of each single key.
    pub(crate) key_rate: Option<RateLimit>,
}

impl Limits {
    pub(super) fn of(control: &Control) -> Self {
        let shown = |rate: Rate| RateLimit {
            attempts: rate.attempts(),
            interval: u64::try_from(rate.interval().as_millis()).unwrap_or(u64::MAX),
        };
        Self { rate: control.rate().map(shown), key_rate: control.key_rate().map(shown) }
    }
}

/// The rates to limit to; each that is missing or null is no limit.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitChange {
    /// Of the whole daemon in this process.
    #[serde(default)]
    pub(crate) rate: Option<RateLimit>,
    /// Of each single key.
    #[serde(default)]
    pub(crate) key_rate: Option<RateLimit>,
    /// Why; for the audit log.
    pub(crate) reason: String,
}

/// How a daemon is steered now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Steered {
    /// What is paused.
    pub(crate) paused: Vec<Scope>,
    /// What is limited.
    pub(crate) limits: Limits,
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

fn steered(control: &Control, did: &str, reason: &str) -> Response {
    let paused = control.paused().iter().map(Scope::of).collect();
    let answer = Json(Steered { paused, limits: Limits::of(control) });
    (Extension(Detail(format!("{did}: {reason}"))), answer).into_response()
}

async fn pause(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(change): Sent<ScopeChange>,
) -> Result<Response, Problem> {
    change.make(&control(&api, &daemon)?, Halt::Pause)
}

async fn resume(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(change): Sent<ScopeChange>,
) -> Result<Response, Problem> {
    change.make(&control(&api, &daemon)?, Halt::Resume)
}

/// Whether something is to stand still.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) enum Halt {
    Pause,
    Resume,
}

impl Halt {
    /// Does it, and says what was done.
    pub(in crate::api) fn of(self, control: &Control, scope: Scope) -> Result<String, Problem> {
        match self {
            Self::Pause => {
                let did = format!("paused {scope}");
                control.pause(scope.meant()?);
                Ok(did)
            }
            Self::Resume => {
                let did = format!("resumed {scope}");
                control.resume(&scope.meant()?);
                Ok(did)
            }
        }
    }
}

impl ScopeChange {
    fn make(self, control: &Control, halt: Halt) -> Result<Response, Problem> {
        let did = halt.of(control, Scope { topic: self.topic, partition: self.partition })?;
        Ok(steered(control, &did, &self.reason))
    }
}

async fn limit(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(LimitChange { rate, key_rate, reason }): Sent<LimitChange>,
) -> Result<Response, Problem> {
    let control = control(&api, &daemon)?;
    let meant = |limit: Option<RateLimit>| {
        let rate = limit.map(|limit| Rate::new(limit.attempts, Duration::from_millis(limit.interval)));
        match rate {
            None => Ok(None),
            Some(Some(rate)) => Ok(Some(rate)),
            Some(None) => Err(Problem::bad_request("`attempts` and `interval` must be 1 at least")),
        }
    };
    let (rate, key_rate) = (meant(rate)?, meant(key_rate)?);
    control.limit(rate);
    control.limit_keys(key_rate);
    let told = |rate: Option<Rate>| match rate {
        Some(rate) => format!("{} in {:?}", rate.attempts(), rate.interval()),
        None => "none".to_owned(),
    };
    let did = format!("limited to {}, each key to {}", told(rate), told(key_rate));
    Ok(steered(&control, &did, &reason))
}

async fn seek(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(SeekRequest { topic, partition, to, reason }): Sent<SeekRequest>,
) -> Result<Response, Problem> {
    let (place, next) = seek_to(&control(&api, &daemon)?, topic, partition, to).await?;
    let told = format!("{place} goes on at {next}: {reason}");
    Ok((Extension(Detail(told)), Json(Sought { next })).into_response())
}

/// Has a partition go on elsewhere, and answers which, and where.
pub(in crate::api) async fn seek_to(
    control: &Control,
    topic: String,
    partition: i32,
    to: Destination,
) -> Result<(TopicPartition, i64), Problem> {
    let place = TopicPartition::new(topic, partition);
    let to = match to {
        Destination::Beginning => SeekTo::Beginning,
        Destination::End => SeekTo::End,
        Destination::Offset(offset) => SeekTo::Offset(Offset(offset)),
        Destination::Time(millis) => {
            SeekTo::Time(Timestamp::from_millis(millis).ok_or_else(|| Problem::bad_request("`time` is before 1970"))?)
        }
    };
    let sought = tokio::time::timeout(SEEK, control.seek(place.clone(), to)).await;
    let next = sought
        .map_err(|_| Problem::conflict(format!("not done within {SEEK:?}, it goes on: look at the partition")))?
        .map_err(refused)?;
    Ok((place, next.offset().0))
}

fn refused(error: SeekError) -> Problem {
    match error {
        SeekError::OutOfRange { .. } => Problem::bad_request(error.to_string()),
        _ => Problem::conflict(error.to_string()),
    }
}
