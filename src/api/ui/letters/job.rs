//! A job: what it counts or does, how far it is, and whether it is meant.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::{address, begun, when};
use crate::api::access::{Identity, Role};
use crate::api::endpoint::{Filled, Named};
use crate::api::jobs::shown::{Job, State as At, What};
use crate::api::jobs::{JobName, wanted};
use crate::api::letters::LettersName;
use crate::api::masks::Sight;
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::api::ui::live as live_of;
use crate::api::ui::page::{Page, dated, encoded, grouped, not_done, not_shown, shell};

/// How a job is to be looked at.
pub(super) fn tone(job: &Job) -> &'static str {
    match job.state {
        At::Running => "warning-text",
        At::Done => "good",
        At::Stopped => "faint",
        At::Failed => "bad-text",
    }
}

pub(super) fn verb(job: &Job) -> &'static str {
    match (job.what, job.executes) {
        (What::Redrive, true) => "re-drives",
        (What::Redrive, false) => "counts for a re-drive",
        (What::Discard, true) => "discards",
        (What::Discard, false) => "counts for a discard",
    }
}

pub(in crate::api::ui) async fn job(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job: name }): Named<JobName>,
) -> Response {
    let shown = match api.jobs.of(&name) {
        Ok(job) => Job::of(&job, Sight::of(&api, &identity)),
        Err(problem) => return not_shown(&api, &identity, &problem, "/letters", "dead letters"),
    };
    let title = format!("Job {name}");
    let may_act = identity.role >= Role::Operator;
    let live = (shown.state == At::Running).then(|| format!("/live/jobs/{}", encoded(&name)));
    let body = html! {
        h1 { (title) ": " (verb(&shown)) " of " a href=(address(&shown.daemon, &shown.topic)) { (shown.topic) } }
        div data-live=[live] { (fragment(&shown, may_act)) }
    };
    Page(shell(&api, &identity, &title, "/letters", body)).into_response()
}

pub(in crate::api::ui) async fn live_job(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job: name }): Named<JobName>,
) -> Response {
    live_of(api, &identity, &format!("job {name}"), move |api, role| {
        let job = Job::of(&*api.jobs.of(&name)?, Sight::of_role(api, role));
        Ok(fragment(&job, role >= Role::Operator))
    })
}

/// Conditions, with their times as people read them.
fn with_times(query: &str) -> String {
    let shown = |pair: &str| match pair.split_once('=') {
        Some((name @ ("since" | "until"), millis)) => match millis.parse() {
            Ok(millis) => format!("{name}={}", dated(millis)),
            Err(_) => pair.to_owned(),
        },
        _ => pair.to_owned(),
    };
    query.split('&').map(shown).collect::<Vec<_>>().join("&")
}

fn fragment(job: &Job, may_act: bool) -> Markup {
    let counts = job.counts;
    let conditions = with_times(&job.which.query());
    let selected = match (job.what, job.executes) {
        (What::Redrive, true) => "re-driven",
        (What::Redrive, false) => "would be re-driven",
        (What::Discard, true) => "discarded",
        (What::Discard, false) => "would be discarded",
    };
    let rows = [
        (selected, counts.selected),
        ("re-driven too often already", counts.at_cap),
        ("re-driven before", counts.already_redriven),
        ("discarded before", counts.already_discarded),
        ("no letters", counts.no_letter),
        ("left, since they can't be written", counts.not_written),
        ("not meant", counts.not_meant),
    ];
    html! {
        p data-ended[job.ended_at.is_some()] {
            span class={ "state " (tone(job)) } { (job.state.name()) }
            @if let Some(error) = &job.error { ": " (error) }
        }
        dl {
            dt { "Which" } dd { @if conditions.is_empty() { "all that wait" } @else { code { (conditions) } } }
            @if let Some(request) = &job.request { dt { "Request" } dd { code { (request) } } }
            @if let Some(to) = &job.to { dt { "To" } dd { (to) } }
            dt { "By" } dd { (job.by) ": " (job.reason) }
            dt { "Began" } dd { (when(Some(job.began_at))) }
            @if job.ended_at.is_some() { dt { "Ended" } dd { (when(job.ended_at)) } }
        }
        div.scroll.narrow { table {
            thead { tr { th { "Letters" } th.n { "Count" } } }
            tbody { @for (what, count) in rows { tr { td { (what) } td.n { (grouped(count)) } } } }
        } }
        @if !job.left.is_empty() { (left(job)) }
        @if !job.ways.is_empty() {
            h2 { "Where they are from" }
            div.scroll.narrow { table {
                thead { tr { th { "Read from" } th { "Go to" } th.n { "Letters" } } }
                tbody { @for way in &job.ways { tr { td { (way.origin) } td { (way.target.as_deref().unwrap_or("nowhere")) } td.n { (grouped(way.letters)) } } } }
            } }
        }
        @if may_act { (actions(job)) }
    }
}

/// What was left where it is, and why.
fn left(job: &Job) -> Markup {
    let all = job.counts.not_written + job.counts.no_letter;
    let address = address(&job.daemon, &job.topic);
    html! {
        h2 { "Left where they are" }
        p.faint {
            "Nothing could be done with these, so they wait still. "
            @if all > job.left.len() as u64 { "The first " (job.left.len()) " of " (grouped(all)) " are named. " }
            @match job.which.but_for(job.left.iter().map(|left| (left.partition, left.offset))) {
                Some(others) => a href={ (address) "?" (others.query()) } { "The others" },
                None => { "With these, more are left out than an address has room for: discard them, or choose the others by their topic, reason or time." },
            }
        }
        div.scroll { table {
            thead { tr { th { "Letter" } th { "Why" } } }
            tbody { @for left in &job.left { tr {
                td { a href={ (address) "/" (left.partition) "/" (left.offset) } { (left.partition) ":" (left.offset) } }
                td.wide { (left.why) }
            } } }
        } }
    }
}

fn actions(job: &Job) -> Markup {
    let (name, selected) = (encoded(&job.job), job.counts.selected);
    let verb = match job.what {
        What::Redrive => "Re-drive",
        What::Discard => "Discard",
    };
    html! {
        @match (job.state, job.executes) {
            (At::Running, _) => {
                form.steer method="post" action={ "/jobs/" (name) "/stop" } {
                    label { "Why" input name="why" required; }
                    button { "Stop it" }
                }
            },
            (At::Done, false) if selected == 0 => { p.empty { "There is nothing to do." } },
            (At::Done, false) => {
                form.steer method="post" action={ "/jobs/" (name) "/execute" } {
                    label { "Type how many: " (selected) input.small name="confirm" required pattern=(selected) inputmode="numeric" autocomplete="off"; }
                    label { "Why" input name="why" required value=(job.reason); }
                    button.danger { (verb) " them" }
                }
            },
            (At::Stopped | At::Failed, true) => {
                p.faint { "What was done stands. The same goes on behind it: no letter is done twice." }
                form.steer method="post" action={ "/jobs/" (name) "/resume" } {
                    label { "Why" input name="why" required value=(job.reason); }
                    button.danger { "Go on with it" }
                }
                @if let Some(request) = &job.request {
                    p.faint { "From a shell: " code { "dlq redrive --request " (request) } }
                }
            },
            _ => {},
        }
    }
}

/// Whether it is meant, and why.
#[derive(Debug, Deserialize)]
pub(in crate::api::ui) struct Confirmation {
    confirm: String,
    why: String,
}

pub(in crate::api::ui) async fn execute(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job: name }): Named<JobName>,
    Filled(Confirmation { confirm, why }): Filled<Confirmation>,
) -> Response {
    let wanted = wanted("execute", &name, &why);
    let selected = confirm.trim().parse().map_err(|_| Problem::bad_request("it was not confirmed by typing the count"));
    let job = selected.and_then(|selected| api.jobs.execute(&api, &name, selected, &identity, why));
    let job = job.map_err(|problem| problem.wanted(&wanted));
    match api.jobs.of(&name) {
        Ok(counted) => {
            let name = LettersName { daemon: counted.order.daemon.clone(), topic: counted.topic.to_string() };
            begun(&api, &identity, &name, job)
        }
        Err(problem) => not_done(&api, &identity, &problem.wanted(wanted), "/letters", "dead letters"),
    }
}

/// Why a job is stopped.
#[derive(Debug, Deserialize)]
pub(in crate::api::ui) struct Why {
    why: String,
}

pub(in crate::api::ui) async fn stop(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job: name }): Named<JobName>,
    Filled(Why { why }): Filled<Why>,
) -> Response {
    match api.jobs.stop(&name) {
        Ok(job) => (Extension(job.stopped(&why)), Redirect::to(&format!("/jobs/{}", encoded(&name)))).into_response(),
        Err(problem) => {
            let problem = problem.wanted(wanted("stop", &name, &why));
            not_done(&api, &identity, &problem, "/letters", "dead letters")
        }
    }
}

pub(in crate::api::ui) async fn resume(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(JobName { job: name }): Named<JobName>,
    Filled(Why { why }): Filled<Why>,
) -> Response {
    let wanted = wanted("resume", &name, &why);
    match api.jobs.of(&name) {
        Ok(left) => {
            let letters = LettersName { daemon: left.order.daemon.clone(), topic: left.topic.to_string() };
            let job = api.jobs.resume(&api, &name, &identity, why).map_err(|problem| problem.wanted(wanted));
            begun(&api, &identity, &letters, job)
        }
        Err(problem) => not_done(&api, &identity, &problem.wanted(wanted), "/letters", "dead letters"),
    }
}
