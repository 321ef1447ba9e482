//! How many letters wait, and of what kinds they are, over HTTP.

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::shown::LettersTopic;
use super::which::Which;
use super::{LettersName, in_time, open, slow, turn};
use crate::api::access::{Identity, Role};
use crate::api::endpoint::{Asked, Endpoint, Named};
use crate::api::masks::Sight;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::dead_letters::{Kind, Kinds};
use crate::pipeline::control::Control;
use crate::record::{Timestamp, Topic};

/// How long the letters of all topics of a list are counted.
const COUNTING: Duration = Duration::from_secs(3);
/// So many topics are counted for a list.
const TOPICS: usize = 20;

pub(super) fn endpoint() -> Endpoint {
    let summary = "How many letters there are of each origin and reason; five seconds of them, the oldest first";
    Endpoint::get::<KindsShown, _>("/api/v1/daemons/{daemon}/letters/{topic}/kinds", Role::Viewer, summary, kinds)
        .with::<LettersName>()
        .with::<Which>()
}

/// Letters by their kinds.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct KindsShown {
    /// They, the most first: two hundred kinds at most.
    pub(in crate::api) kinds: Vec<KindShown>,
    /// Letters of further kinds.
    pub(in crate::api) others: u64,
    /// Records that are no letters.
    pub(in crate::api) no_letters: u64,
    /// So many were not looked at in time; those that meet no condition count too.
    pub(in crate::api) left: u64,
    /// How many wait in all of the topic, whatever was asked for; null while marks are yet to be read.
    pub(in crate::api) waiting: Option<u64>,
    /// About so many marks are yet to be read before it is known which letters are done with: ask again.
    pub(in crate::api) marks_left: u64,
}

/// Letters of records of one topic that failed in one way.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::api) struct KindShown {
    /// Where their records were read.
    pub(in crate::api) origin: String,
    /// How they failed.
    pub(in crate::api) reason: &'static str,
    pub(in crate::api) letters: u64,
    /// When the first one of them failed, in milliseconds since 1970 UTC; null where none says it.
    pub(in crate::api) first: Option<u64>,
    /// When the last one did.
    pub(in crate::api) last: Option<u64>,
}

impl From<Kinds> for KindsShown {
    fn from(Kinds { kinds, others, foreign, left, waiting, .. }: Kinds) -> Self {
        let kind = |Kind { origin, reason, letters, first, last, .. }: Kind| KindShown {
            origin: origin.to_string(),
            reason: reason.name(),
            letters,
            first: first.map(Timestamp::as_millis),
            last: last.map(Timestamp::as_millis),
        };
        Self {
            kinds: kinds.into_iter().map(kind).collect(),
            others,
            no_letters: foreign,
            left,
            waiting: waiting.letters,
            marks_left: waiting.marks_left,
        }
    }
}

/// Counts the letters that are meant by their kinds.
pub(in crate::api) async fn count(
    api: &Api,
    identity: &Identity,
    name: &LettersName,
    which: &Which,
) -> Result<KindsShown, Problem> {
    // How many there are tells as much as a list.
    Sight::of(api, identity).allows(which)?;
    let (letters, filter) = (open(api, &name.daemon, &name.topic)?, which.filter()?);
    let Some(turn) = turn(api).await else { return Err(slow()) };
    in_time(turn.end, letters.kinds(filter, Some(turn.time))).await.map(KindsShown::from)
}

async fn kinds(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<LettersName>,
    Asked(which): Asked<Which>,
) -> Result<Json<KindsShown>, Problem> {
    Ok(Json(count(&api, &identity, &name, &which).await?))
}

/// The topics that a daemon's letters go to, uncounted.
fn topics_of(control: &Control) -> Vec<LettersTopic> {
    let topic = |topic: Topic| LettersTopic {
        is_readable: control.dead_letters(&topic).is_some(),
        topic: topic.to_string(),
        waiting: None,
    };
    control.letter_topics().into_iter().map(topic).collect()
}

/// The topics that the letters of these daemons go to, with how many wait, as far as that is known in time.
pub(in crate::api) async fn topics(api: &Api, daemons: &[(String, Control)]) -> Vec<(String, LettersTopic)> {
    let end = Instant::now() + COUNTING;
    let of = |(daemon, control): &(String, Control)| {
        let daemon = daemon.clone();
        topics_of(control).into_iter().map(move |topic| (daemon.clone(), topic))
    };
    let mut topics: Vec<_> = daemons.iter().flat_map(of).collect();
    let Ok(Ok(_permit)) = timeout_at(end, api.readers.acquire()).await else { return topics };
    for (daemon, topic) in topics.iter_mut().filter(|(_, topic)| topic.is_readable).take(TOPICS) {
        let Ok(letters) = open(api, daemon, &topic.topic) else { continue };
        let time = end.saturating_duration_since(Instant::now());
        let Ok(counted) = timeout_at(end, letters.waiting(time)).await else { break };
        topic.waiting = counted.ok().and_then(|waiting| waiting.letters);
    }
    topics
}
