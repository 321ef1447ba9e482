//! Steering: what is changed of a daemon while it runs, in all processes of the program where they are a fleet, and until a time.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DaemonName, control};
use crate::api::access::{Identity, Role};
use crate::api::audit::Detail;
use crate::api::endpoint::{Endpoint, Named, Sent};
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::fleet::{Change, LONGEST, Order, Outcome, Reached, Seek};
use crate::pipeline::control::{self, Control, Rate};
use crate::pipeline::seek::{SeekError, SeekTo};
use crate::record::{Offset, Timestamp, Topic, TopicPartition};

/// How long a seek may take until its answer is no longer waited for; a connection's time is longer.
const SEEK: Duration = Duration::from_secs(8);

/// How long a change holds where nothing is said of it.
const LASTS: Duration = Duration::from_secs(24 * 3600);

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Of the whole daemon in this process.
    pub(crate) rate: Option<RateLimit>,
    /// Of each single key.
    pub(crate) key_rate: Option<RateLimit>,
}

impl RateLimit {
    fn of(rate: Rate) -> Self {
        let interval = u64::try_from(rate.interval().as_millis()).unwrap_or(u64::MAX);
        Self { attempts: rate.attempts(), interval }
    }

    /// `None` where nothing could ever begin.
    pub(crate) fn meant(self) -> Option<Rate> {
        Rate::new(self.attempts, Duration::from_millis(self.interval))
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
    /// Milliseconds for which they hold; a day where none are said, 30 days at most.
    #[serde(default)]
    pub(crate) lasts: Option<u64>,
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
    pub(crate) reason: String,
    /// Milliseconds for which it holds; a day where none are said, 30 days at most.
    #[serde(default)]
    pub(crate) lasts: Option<u64>,
}

/// How a daemon is steered now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
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
    /// Why it may have reached this process alone, until its end.
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

/// Who wants something changed, why, and for how long.
pub(in crate::api) struct Wish {
    pub(in crate::api) by: String,
    pub(in crate::api) reason: String,
    /// Milliseconds.
    pub(in crate::api) lasts: Option<u64>,
}

/// What was changed, and who is known to do so.
pub(in crate::api) struct Changed {
    /// In words.
    pub(in crate::api) did: String,
    outcome: Outcome,
    until: Option<u64>,
}

impl Wish {
    pub(in crate::api) fn new(identity: &Identity, reason: String, lasts: Option<u64>) -> Self {
        Self { by: identity.name.to_string(), reason, lasts }
    }

    /// Has all processes change this of a daemon, in place of what is `replaced` by it.
    async fn order(
        self,
        api: &Api,
        daemon: &str,
        did: String,
        changes: Vec<Change>,
        replaced: impl Fn(&Change) -> bool,
    ) -> Result<Changed, Problem> {
        let lasts = self.lasts.map_or(LASTS, Duration::from_millis);
        if lasts.is_zero() || lasts > LONGEST {
            return Err(Problem::bad_request("`lasts` must be 1 at least and 30 days at most, in milliseconds"));
        }
        let until = Timestamp::now().as_millis() + u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let until = (!changes.is_empty()).then_some(until);
        let order = Order { daemon: daemon.to_owned(), changes, by: self.by, reason: self.reason, lasts };
        let outcome = api.fleet.order(order, replaced).await;
        Ok(Changed { did, outcome, until })
    }

    /// Has a daemon, or a part of it, stand still, or go on.
    pub(in crate::api) async fn halt(
        self,
        api: &Api,
        daemon: &str,
        halt: Halt,
        scope: Scope,
    ) -> Result<Changed, Problem> {
        control(api, daemon)?;
        let meant = scope.clone().meant().map_err(Problem::bad_request)?;
        let is_in = |change: &Change, within: &dyn Fn(&control::Scope) -> bool| match change {
            Change::Pause(paused) => paused.clone().meant().is_ok_and(|paused| within(&paused)),
            _ => false,
        };
        match halt {
            Halt::Pause => {
                let did = format!("paused {scope}");
                let replaced = |change: &Change| is_in(change, &|paused| *paused == meant);
                self.order(api, daemon, did, vec![Change::Pause(scope)], replaced).await
            }
            Halt::Resume => {
                let did = format!("resumed {scope}");
                let replaced = |change: &Change| is_in(change, &|paused| meant.contains(paused));
                self.order(api, daemon, did, Vec::new(), replaced).await
            }
        }
    }

    /// Has attempts begin at these rates at most.
    pub(in crate::api) async fn limit(self, api: &Api, daemon: &str, limits: Limits) -> Result<Changed, Problem> {
        control(api, daemon)?;
        let Limits { rate, key_rate } = limits;
        if rate.iter().chain(&key_rate).any(|limit| limit.meant().is_none()) {
            return Err(Problem::bad_request("`attempts` and `interval` must be 1 at least"));
        }
        let told = |limit: Option<RateLimit>| limit.map_or("none".to_owned(), |limit| limit.to_string());
        let did = format!("limited to {}, each key to {}", told(rate), told(key_rate));
        let changes = rate.map(Change::Rate).into_iter().chain(key_rate.map(Change::KeyRate)).collect();
        let replaced = |change: &Change| matches!(change, Change::Rate(_) | Change::KeyRate(_));
        self.order(api, daemon, did, changes, replaced).await
    }

    /// Has so many workers at something at once; as many as are configured where none are said.
    pub(in crate::api) async fn scale(
        self,
        api: &Api,
        daemon: &str,
        workers: Option<NonZeroUsize>,
    ) -> Result<Changed, Problem> {
        control(api, daemon)?;
        let most = usize::try_from(api.daemon(daemon)?.metrics.workers_max.get()).unwrap_or(0);
        if let Some(workers) = workers.filter(|workers| most > 0 && workers.get() > most) {
            let why =
                format!("`{daemon}` has {most} workers at most, not {workers}: raise `workers` in its configuration");
            return Err(Problem::bad_request(why));
        }
        let did = match workers {
            Some(workers) => format!("scaled to {workers} in each process"),
            None => "scaled as configured".to_owned(),
        };
        let changes = workers.map(Change::Workers).into_iter().collect();
        self.order(api, daemon, did, changes, |change| matches!(change, Change::Workers(_))).await
    }

    /// Has a record passed over.
    pub(in crate::api) async fn skip(
        self,
        api: &Api,
        daemon: &str,
        (topic, partition): (String, i32),
        offset: i64,
    ) -> Result<Changed, Problem> {
        control(api, daemon)?;
        if partition < 0 || offset < 0 {
            return Err(Problem::bad_request(format!("there is no record {topic}[{partition}]@{offset}")));
        }
        let change = Change::Skip { topic, partition, offset };
        let did = change.to_string();
        let replaced = {
            let change = change.clone();
            move |other: &Change| *other == change
        };
        self.order(api, daemon, did, vec![change], replaced).await
    }

    /// Has a partition go on elsewhere, by whichever process has it, and answers which, and where.
    pub(in crate::api) async fn seek(
        self,
        api: &Api,
        daemon: &str,
        (topic, partition): (String, i32),
        to: Destination,
    ) -> Result<(TopicPartition, i64), Problem> {
        let control = control(api, daemon)?;
        let place = TopicPartition::new(topic.clone(), partition);
        let meant = to.meant().map_err(Problem::bad_request)?;
        let is_here = control.view().is_some_and(|view| view.has(&place));
        if !is_here && !api.fleet.is_alone() {
            let seek = Seek { daemon: daemon.to_owned(), topic, partition, to, by: self.by, reason: self.reason };
            return api.fleet.seek(seek).await.map(|next| (place, next)).map_err(Problem::conflict);
        }
        let sought = tokio::time::timeout(SEEK, control.seek(place.clone(), meant)).await;
        let next = sought
            .map_err(|_| Problem::conflict(format!("not done within {SEEK:?}, it goes on: look at the partition")))?
            .map_err(refused)?;
        Ok((place, next.offset().0))
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

impl Changed {
    /// In words, with who does so where that is not this process alone.
    pub(in crate::api) fn told(&self) -> String {
        let Self { did, outcome: Outcome { reached, trouble }, .. } = self;
        let (all, obey) = (reached.len(), reached.iter().filter(|one| one.obeys).count());
        let who = if all > 1 { format!(", in {obey} of {all} processes") } else { String::new() };
        let trouble =
            trouble.as_ref().map_or(String::new(), |trouble| format!(", but in this process alone: {trouble}"));
        format!("{did}{who}{trouble}")
    }

    fn answer(self, api: &Api, daemon: &str, reason: &str) -> Result<Response, Problem> {
        let control = control(api, daemon)?;
        let detail = Extension(Detail(format!("{}: {reason}", self.told())));
        let steered = Steered {
            paused: control.paused().iter().map(Scope::of).collect(),
            limits: Limits::of(&control),
            workers: control.workers(),
            until: self.until,
            reached: self.outcome.reached,
            trouble: self.outcome.trouble,
        };
        Ok((detail, Json(steered)).into_response())
    }
}

/// Whether something is to stand still.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) enum Halt {
    Pause,
    Resume,
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
    wish.halt(api, daemon, halt, Scope { topic, partition, key }).await?.answer(api, daemon, &reason)
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
    wish.limit(&api, &daemon, Limits { rate, key_rate }).await?.answer(&api, &daemon, &reason)
}

async fn scale(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(WorkersChange { workers, reason, lasts }): Sent<WorkersChange>,
) -> Result<Response, Problem> {
    let wish = Wish::new(&identity, reason.clone(), lasts);
    wish.scale(&api, &daemon, workers).await?.answer(&api, &daemon, &reason)
}

async fn skip(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Sent(SkipRequest { topic, partition, offset, reason, lasts }): Sent<SkipRequest>,
) -> Result<Response, Problem> {
    let wish = Wish::new(&identity, reason.clone(), lasts);
    wish.skip(&api, &daemon, (topic, partition), offset).await?.answer(&api, &daemon, &reason)
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

fn refused(error: SeekError) -> Problem {
    match error {
        SeekError::OutOfRange { .. } => Problem::bad_request(error.to_string()),
        _ => Problem::conflict(error.to_string()),
    }
}
