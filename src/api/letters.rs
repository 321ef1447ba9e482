//! Dead letters of the daemons of this process: read back, re-driven, edited and discarded.
//!
//! What takes longer than an answer may is a [job](super::jobs). The invariant: reading never takes more than two clients of the cluster, nor
//! longer than a connection may last.

pub(super) mod kinds;
pub(super) mod shown;
pub(super) mod which;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::access::{Identity, Role};
use super::audit::Detail;
use super::daemons::{DaemonName, control};
use super::endpoint::{Asked, Endpoint, Named, Sent};
use super::jobs::shown::Job;
use super::jobs::{self, Order, Work};
use super::limit::Limit;
use super::masks::Sight;
use super::problem::{Problem, asked_for};
use super::state::Api;
use crate::dead_letters::{Cursor, DeadLetters, Edit, Entry, LettersError, LettersPage, Redrive, Shown};
use crate::record::{Offset, Partition, Timestamp, Topic};
use shown::{DiscardRequest, EditRequest, Edited, Letter, Letters, LettersTopic, RedriveRequest};
use which::Which;

/// Letters of a page where nothing is said of it, and at most.
const LIMIT: Limit = Limit { usual: 100, most: Some(1_000) };
/// How long a page is read for.
const READING: Duration = Duration::from_secs(5);
/// How long to wait until others have read theirs …
const TURN: Duration = Duration::from_millis(5_500);
/// … and when it ends then.
const READ: Duration = Duration::from_secs(7);
/// How long the cluster may take with all of it. A connection's time is longer.
const PATIENCE: Duration = Duration::from_secs(8);
/// What is said of a record that may have been written.
const UNSURE: &str = "the cluster takes too long, so it is not known whether the record was written: look at the letter before you ask again";
/// How many read at once.
pub(super) const READERS: usize = 2;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<Vec<LettersTopic>, _>(
            "/api/v1/daemons/{daemon}/letters",
            Role::Viewer,
            "The topics that its dead letters go to, and how many wait there",
            topics,
        )
        .with::<DaemonName>(),
        Endpoint::get::<Letters, _>(
            "/api/v1/daemons/{daemon}/letters/{topic}",
            Role::Viewer,
            "Dead letters, the oldest first; their records only for operators",
            page,
        )
        .with::<LettersName>()
        .with::<Which>()
        .with::<Paging>(),
        kinds::endpoint(),
        Endpoint::get::<Letter, _>(
            "/api/v1/daemons/{daemon}/letters/{topic}/{partition}/{offset}",
            Role::Viewer,
            "One dead letter, whatever became of it; its record only for operators",
            one,
        )
        .with::<LetterPlace>(),
        Endpoint::post::<Job, _>(
            "/api/v1/daemons/{daemon}/letters/{topic}/redrives",
            Role::Operator,
            "Begins to count, or to write again, the records of dead letters",
            redrive,
        )
        .with::<LettersName>()
        .takes::<RedriveRequest>(),
        Endpoint::post::<Job, _>(
            "/api/v1/daemons/{daemon}/letters/{topic}/discards",
            Role::Operator,
            "Begins to count, or to give up, dead letters",
            discard,
        )
        .with::<LettersName>()
        .takes::<DiscardRequest>(),
        Endpoint::post::<Edited, _>(
            "/api/v1/daemons/{daemon}/letters/{topic}/{partition}/{offset}/edits",
            Role::Admin,
            "Writes the changed record of one dead letter; the letter itself stays as it is",
            edit,
        )
        .with::<LetterPlace>()
        .takes::<EditRequest>()
        .large(),
    ]
}

/// The letters of a daemon in one topic.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct LettersName {
    /// The daemon's name.
    pub(super) daemon: String,
    /// The letters' topic.
    pub(super) topic: String,
}

/// One letter.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct LetterPlace {
    /// The daemon's name.
    pub(super) daemon: String,
    /// The letters' topic.
    pub(super) topic: String,
    /// Its partition of that topic.
    #[schemars(range(min = 0))]
    pub(super) partition: i32,
    /// Its offset there.
    #[schemars(range(min = 0))]
    pub(super) offset: i64,
}

impl LetterPlace {
    /// That its changed record is to be written, for the audit log.
    pub(super) fn wanted(&self, reason: &str) -> String {
        let Self { topic, partition, offset, .. } = self;
        format!("write letter {partition}:{offset} of {topic} changed: {reason}")
    }

    /// That its changed record was written, for the audit log.
    pub(super) fn changed(&self, reason: &str) -> Detail {
        let Self { topic, partition, offset, .. } = self;
        Detail(format!("wrote letter {partition}:{offset} of {topic} changed: {reason}"))
    }
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    /// Where the page begins: the `next` of another one. The oldest letters without it.
    pub(super) from: Option<String>,
    /// How many letters it may have: 100 where nothing is said.
    #[schemars(range(min = 1, max = 1000))]
    pub(super) limit: Option<usize>,
}

/// What stands behind a `?`.
type Pairs = Vec<(String, String)>;

/// Those with these names, and the others.
pub(super) fn parted<T: serde::de::DeserializeOwned, U: serde::de::DeserializeOwned>(
    pairs: Pairs,
    names: &[&str],
) -> Result<(T, U), Problem> {
    let (these, others): (Pairs, Pairs) = pairs.into_iter().partition(|(name, _)| names.contains(&name.as_str()));
    Ok((parsed(&these)?, parsed(&others)?))
}

fn parsed<T: serde::de::DeserializeOwned>(pairs: &Pairs) -> Result<T, Problem> {
    let text = serde_urlencoded::to_string(pairs).map_err(|error| Problem::bad_request(error.to_string()))?;
    serde_urlencoded::from_str(&text).map_err(|error| Problem::bad_request(error.to_string()))
}

/// A daemon's letters in a topic.
pub(super) fn open(api: &Api, daemon: &str, topic: &str) -> Result<DeadLetters, Problem> {
    let (control, topic) = (control(api, daemon)?, Topic::from(topic));
    control.dead_letters(&topic).ok_or_else(|| {
        let topics = control.letter_topics();
        if topics.contains(&topic) {
            return Problem::conflict(format!("what `{daemon}` writes letters to `{topic}` with can't read them back"));
        }
        let topics: Vec<&str> = topics.iter().map(Topic::as_str).collect();
        if topics.is_empty() && control.view().is_none() {
            return Problem::conflict(format!(
                "`{daemon}` has not begun yet, so it is not known where its dead letters go: look again in a moment"
            ));
        }
        Problem::not_found(format!(
            "`{daemon}` writes no dead letters to `{topic}` here, it does to: {}",
            if topics.is_empty() { "none".to_owned() } else { topics.join(", ") }
        ))
    })
}

/// Leave to read, for so long.
pub(super) struct Turn<'a> {
    pub(super) time: Duration,
    /// Of all of the answer.
    pub(super) end: Instant,
    _permit: SemaphorePermit<'a>,
}

/// Waits until few enough others read; `None` where that takes too long.
pub(super) async fn turn(api: &Api) -> Option<Turn<'_>> {
    let begun = Instant::now();
    let permit = timeout(TURN, api.readers.acquire()).await.ok()?.expect("it is never closed");
    let time = READING.min(READ.saturating_sub(begun.elapsed()));
    Some(Turn { time, end: begun + PATIENCE, _permit: permit })
}

/// Waits for it until then.
pub(super) async fn in_time<T>(
    end: Instant,
    read: impl Future<Output = Result<T, LettersError>>,
) -> Result<T, Problem> {
    timeout_at(end, read).await.map_err(|_| slow())?.map_err(refused)
}

pub(super) fn slow() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the cluster takes too long, ask again")
}

/// What an error means for whoever asked.
pub(super) fn refused(error: LettersError) -> Problem {
    let status = match &error {
        LettersError::UnknownTopic(_) | LettersError::NotFound { .. } => StatusCode::NOT_FOUND,
        LettersError::Unusable(_) => StatusCode::BAD_REQUEST,
        LettersError::NotLetIn(_) | LettersError::Unavailable(_) | LettersError::Stopped => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::CONFLICT,
    };
    Problem::new(status, error.to_string())
}

/// Reads a page for whoever asks.
pub(super) async fn read(
    api: &Api,
    identity: &Identity,
    letters: &DeadLetters,
    which: &Which,
    paging: &Paging,
) -> Result<LettersPage, Problem> {
    Sight::of(api, identity).allows(which)?;
    let from: Option<Cursor> = match &paging.from {
        Some(from) => Some(from.parse().map_err(|error| Problem::bad_request(format!("`from` is {error}")))?),
        None => None,
    };
    let size = LIMIT.of(paging.limit)?;
    let filter = which.filter()?;
    let Some(turn) = turn(api).await else { return Ok(LettersPage::put_off(from)) };
    in_time(turn.end, letters.page(filter, from, size, turn.time)).await
}

/// Reads one letter.
pub(super) async fn show(api: &Api, place: &LetterPlace) -> Result<Shown, Problem> {
    let letters = open(api, &place.daemon, &place.topic)?;
    let Some(turn) = turn(api).await else { return Err(slow()) };
    let shown = letters.show_within(Partition(place.partition), Offset(place.offset), turn.time);
    in_time(turn.end, shown).await
}

async fn topics(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
) -> Result<Json<Vec<LettersTopic>>, Problem> {
    let control = control(&api, &daemon)?;
    let counted = kinds::topics(&api, &[(daemon, control)]).await;
    Ok(Json(counted.into_iter().map(|(_, topic)| topic).collect()))
}

async fn page(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(LettersName { daemon, topic }): Named<LettersName>,
    Asked(pairs): Asked<Pairs>,
) -> Result<Json<Letters>, Problem> {
    let (paging, which): (Paging, Which) = parted(pairs, &["from", "limit"])?;
    let page = read(&api, &identity, &open(&api, &daemon, &topic)?, &which, &paging).await?;
    let letter = |entry: &Entry| Letter::of(entry, None, Sight::of(&api, &identity));
    Ok(Json(Letters {
        letters: page.letters.iter().map(letter).collect(),
        looked_at: page.looked_at,
        marks_left: page.marks_left,
        waiting: page.waiting,
        next: page.next.map(|next| next.to_string()),
    }))
}

async fn one(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(place): Named<LetterPlace>,
) -> Result<Json<Letter>, Problem> {
    let shown = show(&api, &place).await?;
    let letter = Letter::of(&shown.entry, shown.mark.as_ref(), Sight::of(&api, &identity));
    Ok(Json(Letter { marks_left: shown.marks_left, ..letter }))
}

async fn redrive(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<LettersName>,
    Sent(request): Sent<RedriveRequest>,
) -> Result<Response, Problem> {
    let (executes, reason) = (request.execute, request.reason.clone());
    let wanted = request.wanted(&api, &name.topic);
    let which = if executes { request.which } else { request.which.until_now() };
    let work = RedriveRequest { which, ..request }.work(&identity);
    let job = work.and_then(|work| start(&api, &identity, &name, work, executes, reason));
    Ok(begun(&api, &identity, &*job.map_err(|problem| problem.wanted(wanted))?))
}

async fn discard(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<LettersName>,
    Sent(request): Sent<DiscardRequest>,
) -> Result<Response, Problem> {
    // Also where it is gone on with later: what comes in from here on is not meant.
    let wanted = request.wanted(&api, &name.topic);
    let work = Work::discard(request.which.until_now(), request.reason.clone());
    let job = work.and_then(|work| start(&api, &identity, &name, work, request.execute, request.reason));
    Ok(begun(&api, &identity, &*job.map_err(|problem| problem.wanted(wanted))?))
}

/// Begins a job for whoever asks.
pub(super) fn start(
    api: &Api,
    identity: &Identity,
    name: &LettersName,
    work: Work,
    executes: bool,
    reason: String,
) -> Result<Arc<jobs::Job>, Problem> {
    // How many it counts tells as much as a list.
    Sight::of(api, identity).allows(work.which())?;
    let letters = open(api, &name.daemon, &name.topic)?;
    let order = Order { daemon: name.daemon.clone(), work, executes, by: identity.clone(), reason };
    api.jobs.begin(order, letters)
}

/// The answer about a job that has begun.
pub(super) fn begun(api: &Api, identity: &Identity, job: &jobs::Job) -> Response {
    (Extension(job.told(api)), Json(Job::of(job, Sight::of(api, identity)))).into_response()
}

/// A name for a request that no other one has.
pub(super) fn own_name() -> String {
    format!("api-{}-{:04x}", Timestamp::now().as_millis(), fastrand::u16(..))
}

async fn edit(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(place): Named<LetterPlace>,
    Sent(request): Sent<EditRequest>,
) -> Result<Response, Problem> {
    let reason = request.reason.clone();
    let edited = asked_for(place.wanted(&reason), async {
        let edit = request.edit(&identity)?;
        write(&api, &place, edit).await
    });
    let edited = edited.await?;
    Ok((Extension(place.changed(&reason)), Json(edited)).into_response())
}

/// Writes the changed record of a letter.
pub(super) async fn write(api: &Api, place: &LetterPlace, edit: Edit) -> Result<Edited, Problem> {
    let letters = open(api, &place.daemon, &place.topic)?;
    if let Some(job) = api.jobs.at_work_on(letters.topic()) {
        return Err(job.in_the_way());
    }
    let end = Instant::now() + PATIENCE;
    // Nothing is begun before.
    let _turn = timeout_at(end, api.readers.acquire()).await.map_err(|_| slow())?;
    let written = letters.redrive_edited(Partition(place.partition), Offset(place.offset), edit);
    match timeout_at(end, written).await {
        Ok(written) => Ok(Edited { written: written.map_err(|interrupted| refused(interrupted.error))?.selected > 0 }),
        Err(_) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, UNSURE).open()),
    }
}

impl DiscardRequest {
    /// What it asks for, for the audit log.
    pub(super) fn wanted(&self, api: &Api, topic: &str) -> String {
        let which = Sight::of_audit(api).conditions(&self.which).told();
        format!("discard of letters of {topic} ({which}): {}", self.reason)
    }
}

impl RedriveRequest {
    /// What it asks for, for the audit log.
    pub(super) fn wanted(&self, api: &Api, topic: &str) -> String {
        let which = Sight::of_audit(api).conditions(&self.which).told();
        format!("re-drive of letters of {topic} ({which}): {}", self.reason)
    }

    /// What it asks for.
    pub(super) fn work(self, identity: &Identity) -> Result<Work, Problem> {
        let Self { request, which, to, per_second, cap, .. } = self;
        let redrive = Redrive::new(request.unwrap_or_else(own_name), which.filter()?).by(&*identity.name);
        let redrive = to.iter().fold(redrive, |redrive, to| redrive.to_topic(to.as_str()));
        let redrive = per_second.into_iter().fold(redrive, Redrive::per_second);
        Work::redrive(which, to, cap.into_iter().fold(redrive, Redrive::cap))
    }
}
