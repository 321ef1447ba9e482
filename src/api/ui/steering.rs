//! What can be done about a daemon: its forms, and what they do.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::daemon::Place;
use super::page::{encoded, not_done};
use crate::api::access::Identity;
use crate::api::audit::Detail;
use crate::api::daemons::DaemonName;
use crate::api::daemons::steering::{Changed, Halt, Limiting, Scope, Wish};
use crate::api::endpoint::{Filled, Named};
use crate::api::problem::{Problem, asked_for};
use crate::api::state::Api;
use crate::fleet::{Change, Standing};

/// For how long a change holds, in milliseconds; the first is what is chosen where nobody chooses.
const LASTS: [(u64, &str); 6] = [
    (86_400_000, "a day"),
    (1_800_000, "30 minutes"),
    (7_200_000, "2 hours"),
    (28_800_000, "8 hours"),
    (604_800_000, "7 days"),
    (2_592_000_000, "30 days"),
];

/// What a rate is written like.
const RATE: &str = "[0-9]+(/[0-9]*(ms|s|min|h))?";

/// The forms.
///
/// Where a partition is chosen they are about that one.
pub(super) fn forms(api: &Api, daemon: &str, chosen: Option<Place<'_>>) -> Markup {
    let (path, Holds { rate, key_rate, workers }) = (encoded(daemon), Holds::of(api, daemon));
    let (topic, partition) = (chosen.map(|place| place.topic), chosen.map(|place| place.partition));
    let offset = chosen.and_then(|place| place.offset);
    html! {
        details #steer open[chosen.is_some()] {
            summary { "Pause, resume, limit, scale, skip, seek" }
            form.steer method="post" action={ "/daemons/" (path) "/pause" } {
                label { "Topic (empty: all)" input name="topic" value=[topic]; }
                label { "Partition" input.small name="partition" value=[partition] inputmode="numeric" pattern="[0-9]*"; }
                label { "or key" input.small name="key"; }
                (why())
                (lasts())
                button { "Pause" }
                button formaction={ "/daemons/" (path) "/resume" } { "Resume" }
            }
            form.steer method="post" action={ "/daemons/" (path) "/limits" } {
                label { "Attempts a second, or as in 20/1min (empty: no limit)" input.small name="rate" value=(rate) pattern=(RATE); }
                label { "Of each key" input.small name="key_rate" value=(key_rate) pattern=(RATE); }
                input type="hidden" name="was_rate" value=(rate);
                input type="hidden" name="was_key_rate" value=(key_rate);
                (why())
                (lasts())
                button { "Limit" }
            }
            form.steer method="post" action={ "/daemons/" (path) "/workers" } {
                label { "Workers in each process (empty: as configured)" input.small name="workers" value=(workers) inputmode="numeric" pattern="[0-9]*"; }
                (why())
                (lasts())
                button { "Scale" }
            }
            form.steer method="post" action={ "/daemons/" (path) "/skip" } {
                label { "Topic" input name="topic" value=[topic] required; }
                label { "Partition" input.small name="partition" value=[partition] required inputmode="numeric" pattern="[0-9]+"; }
                label { "Offset" input.small name="offset" value=[offset] required inputmode="numeric" pattern="[0-9]+"; }
                (why())
                label { "It is never handled: type skip" input.small name="confirm" required pattern="skip" autocomplete="off"; }
                button.danger { "Skip" }
            }
            form.steer method="post" action={ "/daemons/" (path) "/seek" } {
                label { "Topic" input name="topic" value=[topic] required; }
                label { "Partition" input.small name="partition" value=[partition] required inputmode="numeric" pattern="[0-9]+"; }
                label { "To: beginning, end, an offset, or a time" input name="to" value=[offset] required placeholder="2026-11-26T18:00:00Z"; }
                (why())
                button.danger { "Seek …" }
            }
        }
    }
}

/// What operators have changed of a daemon, as the fields of the forms have it; empty where they have not.
#[derive(Default)]
struct Holds {
    rate: String,
    key_rate: String,
    workers: String,
}

impl Holds {
    fn of(api: &Api, daemon: &str) -> Self {
        let mut holds = Self::default();
        let standing = api.fleet.standing();
        // Of two the later one counts.
        for Standing { of, .. } in standing.iter().filter(|known| known.of.daemon == daemon) {
            match &of.change {
                Change::Rate(limit) => holds.rate = limit.written(),
                Change::KeyRate(limit) => holds.key_rate = limit.written(),
                Change::Workers(workers) => holds.workers = workers.to_string(),
                _ => {}
            }
        }
        holds
    }
}

fn why() -> Markup {
    html! { label { "Why" input name="reason" required; } }
}

fn lasts() -> Markup {
    html! { label { "For" select name="lasts" { @for (millis, name) in LASTS { option value=(millis) { (name) } } } } }
}

/// What to pause.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct PauseForm(ScopeForm);

impl Act for PauseForm {
    fn wanted(&self) -> String {
        self.0.wanted(Halt::Pause)
    }

    async fn act(self, api: &Api, identity: &Identity, daemon: &str) -> Result<Done, Problem> {
        self.0.make(api, identity, daemon, Halt::Pause).await
    }
}

/// What to let go on.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct ResumeForm(ScopeForm);

impl Act for ResumeForm {
    fn wanted(&self) -> String {
        self.0.wanted(Halt::Resume)
    }

    async fn act(self, api: &Api, identity: &Identity, daemon: &str) -> Result<Done, Problem> {
        self.0.make(api, identity, daemon, Halt::Resume).await
    }
}

#[derive(Debug, Deserialize)]
struct ScopeForm {
    topic: String,
    partition: String,
    #[serde(default)]
    key: String,
    reason: String,
    #[serde(default)]
    lasts: Option<u64>,
}

impl ScopeForm {
    fn wanted(&self, halt: Halt) -> String {
        let Self { topic, partition, key, reason, .. } = self;
        format!("{} {topic}[{partition}] {key}: {reason}", halt.name())
    }

    async fn make(self, api: &Api, identity: &Identity, daemon: &str, halt: Halt) -> Result<Done, Problem> {
        let topic = (!self.topic.is_empty()).then_some(self.topic);
        let key = (!self.key.is_empty()).then_some(self.key);
        let partition = (!self.partition.is_empty()).then(|| partition(&self.partition)).transpose()?;
        let wish = Wish::new(identity, self.reason.clone(), self.lasts);
        Ok(Done::of(&wish.halt(api, daemon, halt, Scope { topic, partition, key }).await?, self.reason))
    }
}

/// The rates to limit to. One that is as the form had it stays as it is by now; where both are, those that it had are ordered anew.
#[derive(Debug, Deserialize)]
pub(super) struct LimitForm {
    rate: String,
    key_rate: String,
    #[serde(default)]
    was_rate: String,
    #[serde(default)]
    was_key_rate: String,
    reason: String,
    #[serde(default)]
    lasts: Option<u64>,
}

impl Act for LimitForm {
    fn wanted(&self) -> String {
        let Self { rate, key_rate, reason, .. } = self;
        format!("limit to `{rate}`, each key to `{key_rate}`: {reason}")
    }

    async fn act(self, api: &Api, identity: &Identity, daemon: &str) -> Result<Done, Problem> {
        let [rate, key_rate] = [(&self.rate, &self.was_rate), (&self.key_rate, &self.was_key_rate)];
        let is_anew = rate.0 == rate.1 && key_rate.0 == key_rate.1;
        let limit = |(now, was): (&String, &String)| match now.as_str() {
            "" => Ok((now != was).then_some(None)),
            text if is_anew || now != was => text.parse().map(|limit| Some(Some(limit))).map_err(Problem::bad_request),
            _ => Ok(None),
        };
        let limits = Limiting { rate: limit(rate)?, key_rate: limit(key_rate)? };
        let wish = Wish::new(identity, self.reason.clone(), self.lasts);
        Ok(Done::of(&wish.limit(api, daemon, limits).await?, self.reason))
    }
}

/// How many workers there are to be.
#[derive(Debug, Deserialize)]
pub(super) struct WorkersForm {
    workers: String,
    reason: String,
    #[serde(default)]
    lasts: Option<u64>,
}

impl Act for WorkersForm {
    fn wanted(&self) -> String {
        format!("scale to {}: {}", self.workers, self.reason)
    }

    async fn act(self, api: &Api, identity: &Identity, daemon: &str) -> Result<Done, Problem> {
        let wish = Wish::new(identity, self.reason.clone(), self.lasts);
        Ok(Done::of(&wish.scale(api, daemon, number(&self.workers)?).await?, self.reason))
    }
}

/// A record to pass over.
#[derive(Debug, Deserialize)]
pub(super) struct SkipForm {
    topic: String,
    partition: String,
    offset: String,
    reason: String,
    confirm: String,
}

impl Act for SkipForm {
    fn wanted(&self) -> String {
        let Self { topic, partition, offset, reason, .. } = self;
        format!("skip {topic}[{partition}]@{offset}: {reason}")
    }

    async fn act(self, api: &Api, identity: &Identity, daemon: &str) -> Result<Done, Problem> {
        if self.confirm != "skip" {
            return Err(Problem::bad_request("it was not confirmed by typing `skip`"));
        }
        let offset =
            self.offset.parse().map_err(|_| Problem::bad_request(format!("`{}` is no offset", self.offset)))?;
        let wish = Wish::new(identity, self.reason.clone(), None);
        let changed = wish.skip(api, daemon, (self.topic, partition(&self.partition)?), offset).await?;
        Ok(Done::of(&changed, self.reason))
    }
}

pub(super) fn partition(text: &str) -> Result<i32, Problem> {
    text.parse().map_err(|_| Problem::bad_request(format!("`{text}` is no partition")))
}

/// A number above 0, where there is one.
fn number<T: std::str::FromStr>(text: &str) -> Result<Option<T>, Problem> {
    let read = || text.parse().map_err(|_| Problem::bad_request(format!("`{text}` is no number that it can be")));
    (!text.is_empty()).then(read).transpose()
}

/// What was done, and why.
pub(super) struct Done {
    done: String,
    reason: String,
}

impl Done {
    fn of(changed: &Changed, reason: String) -> Self {
        Self { done: changed.told(), reason }
    }

    /// Back to a page, which tells what was done; what could not be is told in its place.
    pub(super) fn back(
        did: Result<Self, Problem>,
        api: &Api,
        identity: &Identity,
        (path, name): (&str, &str),
    ) -> Response {
        match did {
            Ok(Self { done, reason }) => {
                let query = serde_urlencoded::to_string([("done", done.as_str())]).unwrap_or_default();
                let detail = Detail(format!("{done}: {reason}"));
                (Extension(detail), Redirect::to(&format!("{path}?{query}"))).into_response()
            }
            Err(problem) => not_done(api, identity, &problem, path, name),
        }
    }

    pub(super) fn new(done: String, reason: String) -> Self {
        Self { done, reason }
    }
}

/// What a form does.
pub(super) trait Act: DeserializeOwned + Send {
    /// What it is to do, as it was written, for the audit log.
    fn wanted(&self) -> String;

    /// Does it.
    fn act(self, api: &Api, identity: &Identity, daemon: &str) -> impl Future<Output = Result<Done, Problem>> + Send;
}

pub(super) async fn act<F: Act>(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Filled(form): Filled<F>,
) -> Response {
    let did = asked_for(form.wanted(), form.act(&api, &identity, &daemon)).await;
    Done::back(did, &api, &identity, (&format!("/daemons/{}", encoded(&daemon)), &daemon))
}
