//! Dead letters: where they are, which they are, and one of them; and what is done with them.

mod job;
mod kinds;
mod one;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

pub(super) use job::{execute, job, live_job, resume, stop};
pub(super) use kinds::kinds;
pub(super) use one::{edit, one};

use super::page::{Page, ago, encoded, grouped, not_done, not_shown, reasons, shell, with_time};
use crate::api::access::{Identity, Role};
use crate::api::endpoint::{Asked, Filled, Named};
use crate::api::jobs::shown::{Job, State as JobState};
use crate::api::jobs::{self, Work};
use crate::api::letters::shown::{DiscardRequest, LettersTopic, RedriveRequest};
use crate::api::letters::which::Which;
use crate::api::letters::{LettersName, Paging, kinds as counted, open, parted, read, start};
use crate::api::masks::Sight;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::dead_letters::{Content, Entry, MarkKind};
use crate::payload::inline;
use crate::record::Timestamp;

/// So much of a key, and of an error, stands in a row.
const KEY: usize = 40;
const ERROR: usize = 160;
/// How far back the times of the filter go, in milliseconds.
const TIMES: [(&str, &str, u64); 4] = [
    ("15min", "15 minutes", 900_000),
    ("1h", "hour", 3_600_000),
    ("24h", "24 hours", 86_400_000),
    ("7d", "7 days", 604_800_000),
];

type Pairs = Vec<(String, String)>;

/// Everything that letters go to, and the work on them.
pub(super) async fn all(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    let daemons = api.roster.inspect().into_iter();
    let daemons = daemons.filter_map(|daemon| Some((daemon.status.name.to_string(), daemon.control?)));
    let topics = counted::topics(&api, &daemons.collect::<Vec<_>>()).await;
    let sight = Sight::of(&api, &identity);
    let jobs: Vec<Job> = api.jobs.all().iter().map(|job| Job::of(job, sight)).collect();
    let body = html! {
        h1 { "Dead letters" }
        @if topics.is_empty() {
            p.empty { "No daemon of this process writes dead letters, or none has begun yet. A route's records go to a topic of them once their retries are used up." }
        } @else { div.scroll { table {
            thead { tr { th { "Topic" } th { "Daemon" } th.n { "Waiting" } th {} } }
            tbody { @for (daemon, LettersTopic { topic, is_readable, waiting }) in &topics { tr {
                td { @if *is_readable { a href=(address(daemon, topic)) { (topic) } } @else { (topic) span.faint { " – written by something that can't read them back" } } }
                td { (daemon) }
                td.n { @match waiting { Some(waiting) => (grouped(*waiting)), None => span.faint { "not known" } } }
                td { @if *is_readable { a href={ (address(daemon, topic)) "/kinds" } { "by kind" } } }
            } } }
        } } }
        h2 { "Work on them" }
        (listed(&jobs))
    };
    Page(shell(&api, &identity, "Dead letters", "/letters", body))
}

/// Jobs, one a row.
fn listed(jobs: &[Job]) -> Markup {
    html! {
        @if jobs.is_empty() { p.empty { "No job has run since this process began. What re-drives or discards letters is counted first, and stands here." } }
        @else { div.scroll { table {
            thead { tr { th.n { "Job" } th { "State" } th { "What" } th { "Topic" } th.n { "Letters" } th { "By" } th { "Why" } th { "Began" } } }
            tbody { @for job in jobs { tr class=[(job.state == JobState::Failed).then_some("bad")] {
                td.n { a href={ "/jobs/" (encoded(&job.job)) } { (job.job) } }
                td { span class={ "state " (job::tone(job)) } { (job.state.name()) } }
                td { (job::verb(job)) } td { (job.topic) } td.n { (job.counts.selected) }
                td { (job.by) } td.wide { (job.reason) } td { (ago(Some(job.began_at))) }
            } } }
        } } }
    }
}

/// Where the letters of a topic are shown.
fn address(daemon: &str, topic: &str) -> String {
    format!("/daemons/{}/letters/{}", encoded(daemon), encoded(topic))
}

/// The conditions of a page's address: those that are left empty are none, and a time back from now is one.
fn conditions(pairs: Pairs) -> Result<(Beside, Which), Problem> {
    let filled = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let (asked, mut which): (Beside, Which) = parted(filled, &["from", "within"])?;
    if let Some(within) = &asked.within {
        let time = TIMES.iter().find(|(name, ..)| name == within);
        let (.., millis) =
            time.ok_or_else(|| Problem::bad_request(format!("`within` is `{within}`, which is none of the times")))?;
        which.since = Some(Timestamp::now().as_millis().saturating_sub(*millis));
    }
    Ok((asked, which))
}

/// What an address has beside its conditions.
#[derive(Debug, Default, Deserialize)]
struct Beside {
    from: Option<String>,
    within: Option<String>,
}

/// The letters of a topic.
pub(super) async fn topic(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<LettersName>,
    Asked(pairs): Asked<Pairs>,
) -> Response {
    let LettersName { topic, .. } = &name;
    match listing(&api, &identity, &name, pairs).await {
        Ok(body) => Page(shell(&api, &identity, topic, "/letters", body)).into_response(),
        Err(problem) => not_shown(&api, &identity, &problem, "/letters", "dead letters"),
    }
}

async fn listing(api: &Api, identity: &Identity, name: &LettersName, pairs: Pairs) -> Result<Markup, Problem> {
    let (asked, which) = conditions(pairs)?;
    let paging = Paging { from: asked.from.clone(), limit: None };
    let page = read(api, identity, &open(api, &name.daemon, &name.topic)?, &which, &paging).await?;
    let (address, sight) = (address(&name.daemon, &name.topic), Sight::of(api, identity));
    let next = page.next.as_ref().map(|next| {
        let from = serde_urlencoded::to_string([("from", next.to_string())]).unwrap_or_default();
        format!("{address}?{}&{from}", which.query())
    });
    Ok(html! {
        h1 { "Dead letters in " (name.topic) }
        @if page.waiting.is_some() { (kinds::waiting(page.waiting, 0)) }
        p { a href={ (address) "/kinds?" (which.query()) } { "By their topics and reasons" } }
        (filter(&which, asked.within.as_deref(), identity.role >= Role::Operator))
        p.faint {
            (page.letters.len()) " shown, the oldest first; " (page.looked_at) " looked at"
            @if asked.from.is_some() { " · " a href={ (address) "?" (which.query()) } { "from the beginning" } }
        }
        @if page.letters.is_empty() {
            p.empty { @if page.marks_left > 0 { "Which letters are done with is being read: about " (page.marks_left) " marks are left." } @else if next.is_some() { "None of those is meant. There are more to look at." } @else if which == Which::default() { "No letter waits here: none was written, or all were re-driven or discarded." } @else { "No letter meets these conditions." } }
        } @else { div.scroll { table {
            thead { tr { th { "Failed" } th { "Letter" } th { "Error" } th { "Reason" } th { "Key" } th { "Record" } th.n { "Attempts" } th.n { "Re-drives" } th { "Mark" } } }
            tbody { @for entry in &page.letters { (row(entry, &address, sight)) } }
        } } }
        @if let Some(next) = &next { p { a href=(next) data-key="n" title="Key n" { "The next ones" } } }
        @if identity.role >= Role::Operator { (actions(&address, &which)) }
    })
}

fn row(entry: &Entry, address: &str, sight: Sight<'_>) -> Markup {
    let letter = entry.letter();
    let key = sight.see(entry.record()).map(|seen| seen.record.key.as_deref().map(|key| cut(&inline(key), KEY)));
    html! {
        tr {
            td { (ago(letter.map_or(entry.written_at, |letter| letter.failed_at).map(Timestamp::as_millis))) }
            td { a href={ (address) "/" (entry.partition) "/" (entry.offset) } { (entry.partition) ":" (entry.offset) } }
            @match &entry.content {
                Content::Letter(letter) => { td.wide { (cut(&letter.error, ERROR)) } td { (letter.reason.name()) } },
                Content::Foreign { why, .. } => { td.wide { (why.to_string()) } td.warning-text { "no letter" } },
            }
            td { @match key { Some(key) => (key.unwrap_or_else(|| "–".to_owned())), None => span.faint { "hidden" } } }
            @match letter {
                Some(letter) => { td { (letter.origin) "@" (letter.offset) } td.n { (letter.attempts) } td.n { (letter.redrives) } },
                None => { td.faint { "–" } td.n { "–" } td.n { "–" } },
            }
            td { (entry.mark.map_or("–", MarkKind::said)) }
        }
    }
}

fn cut(text: &str, most: usize) -> String {
    let mut chars = text.chars();
    let begin: String = chars.by_ref().take(most).collect();
    if chars.next().is_some() { begin + "…" } else { begin }
}

/// The conditions, to be changed.
fn filter(which: &Which, within: Option<&str>, sees_records: bool) -> Markup {
    let text = |name: &str, label: &str, value: Option<&str>| {
        html! { label { (label) input name=(name) value=[value]; } }
    };
    let number = |value: Option<i32>| value.map(|value| value.to_string());
    let time = |value: Option<u64>| value.map(|value| value.to_string());
    let others = [
        ("since", "Failed since (ms)", time(which.since.filter(|_| within.is_none()))),
        ("until", "Failed before (ms)", time(which.until)),
        ("origin_partition", "Record's partition", number(which.origin_partition)),
        ("partition", "Letter's partition", number(which.partition)),
        ("offset", "Letter's offset", which.offset.map(|offset| offset.to_string())),
        ("except", "But not (partition:offset, …)", which.except.clone()),
    ];
    html! {
        form.steer method="get" aria-label="Which letters" {
            label { "Failed within"
                select name="within" {
                    option value="" { "any time" }
                    @for (name, said, _) in TIMES { option value=(name) selected[within == Some(name)] { "the last " (said) } }
                }
            }
            // What no field is there for unless it is asked for stays as it is, too.
            @for (name, label, value) in &others { @if let Some(value) = value { (text(name, label, Some(value.as_str()))) } }
            (reasons(which.reason.as_deref()))
            (text("error", "Error contains", which.error.as_deref()))
            (text("origin", "Record's topic", which.origin.as_deref()))
            @if sees_records {
                (text("key", "Key", which.key.as_deref()))
                (text("header", "Header (name or name=value)", which.header.as_deref()))
            }
            label.check { input type="checkbox" name="with_redriven" value="true" checked[which.with_redriven]; "re-driven too" }
            label.check { input type="checkbox" name="with_discarded" value="true" checked[which.with_discarded]; "discarded too" }
            button { "Filter" }
            a href="?" { "all" }
        }
    }
}

/// The conditions, to go with what is done.
fn hidden(which: &Which) -> Markup {
    let pairs: Pairs = serde_urlencoded::from_str(&which.query()).unwrap_or_default();
    html! { @for (name, value) in &pairs { input type="hidden" name=(name) value=(value); } }
}

/// What can be done to all letters that are meant.
fn actions(address: &str, which: &Which) -> Markup {
    html! {
        details {
            summary { "Re-drive or discard what is meant" }
            p.faint { "It is counted first: nothing is changed before you have confirmed the count." }
            form.steer method="post" action={ (address) "/redrive" } {
                (hidden(which))
                label { "To topic (empty: their own)" input name="to"; }
                label { "Records a second (empty: no limit)" input.small name="per_second" inputmode="decimal"; }
                label { "Not if re-driven so often" input.small name="cap" inputmode="numeric" placeholder="3"; }
                label { "Why" input name="why" required; }
                button { "Count what to re-drive" }
            }
            form.steer method="post" action={ (address) "/discard" } {
                (hidden(which))
                label { "Why" input name="why" required; }
                button.danger { "Count what to discard" }
            }
        }
    }
}

/// What a form says beside the conditions.
#[derive(Debug, Default, Deserialize)]
struct Said {
    to: Option<String>,
    per_second: Option<f64>,
    cap: Option<u32>,
    why: Option<String>,
}

/// What is to be done, and why.
fn said(pairs: Pairs) -> Result<(Said, Which, String), Problem> {
    let filled = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let (mut said, which): (Said, Which) = parted(filled, &["to", "per_second", "cap", "why"])?;
    let why = said.why.take().ok_or_else(|| Problem::bad_request("say why"))?;
    Ok((said, which.until_now(), why))
}

pub(super) async fn redrive(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<LettersName>,
    Filled(pairs): Filled<Pairs>,
) -> Response {
    let counted = said(pairs).and_then(|(Said { to, per_second, cap, .. }, which, reason)| {
        let request =
            RedriveRequest { which, to, per_second, cap, reason: reason.clone(), ..RedriveRequest::default() };
        let wanted = request.wanted(&api, &name.topic);
        let job = request.work(&identity).and_then(|work| start(&api, &identity, &name, work, false, reason));
        job.map_err(|problem| problem.wanted(wanted))
    });
    begun(&api, &identity, &name, counted)
}

pub(super) async fn discard(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(name): Named<LettersName>,
    Filled(pairs): Filled<Pairs>,
) -> Response {
    let counted = said(pairs).and_then(|(_, which, reason)| {
        let request = DiscardRequest { which, execute: false, reason };
        let wanted = request.wanted(&api, &name.topic);
        let DiscardRequest { which, reason, .. } = request;
        let work = Work::discard(which, reason.clone());
        let job = work.and_then(|work| start(&api, &identity, &name, work, false, reason));
        job.map_err(|problem| problem.wanted(wanted))
    });
    begun(&api, &identity, &name, counted)
}

/// To the page of a job that has begun; what could not begin is told in its place.
fn begun(api: &Api, identity: &Identity, name: &LettersName, job: Result<Arc<jobs::Job>, Problem>) -> Response {
    match job {
        Ok(job) => (Extension(job.told(api)), Redirect::to(&format!("/jobs/{}", encoded(&job.name)))).into_response(),
        Err(problem) => not_done(api, identity, &problem, &address(&name.daemon, &name.topic), &name.topic),
    }
}

/// A time with how long ago it was.
fn when(millis: Option<u64>) -> Markup {
    html! { @match millis { Some(millis) => { (with_time(millis)) " (" (ago(Some(millis))) ")" }, None => "–" } }
}
