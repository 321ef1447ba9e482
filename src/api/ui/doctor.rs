//! The doctor: what usually goes wrong around the daemons, and what to do about it.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::live as live_of;
use super::page::{Page, ago, not_done, shell, time};
use crate::api::access::Identity;
use crate::api::doctor::{DoctorShown, Examination, Finding, Severity, asked, begin};
use crate::api::state::Api;
use crate::record::Timestamp;

const PATH: &str = "/doctor";

pub(super) async fn doctor(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    let shown = api.doctor.shown();
    let body = html! {
        h1 { "Doctor" }
        p.faint {
            "Asks the clusters that this program reads for what usually goes wrong: brokers that don't answer, topics that are missing or lose \
             records before they are read, rights, groups that are stuck. As " code { "doctor" } " does it on the command line, from here."
        }
        @if shown.unavailable.is_none() {
            form method="post" action=(PATH) { button { "Look now" } }
        }
        div data-live="/live/doctor" { (fragment(&shown)) }
    };
    Page(shell(&api, &identity, "Doctor", PATH, body))
}

pub(super) async fn live(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Response {
    live_of(api, &identity, "doctor", |api, _| Ok(fragment(&api.doctor.shown())))
}

pub(super) async fn look(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Response {
    match begin(&api) {
        Ok(()) => (Extension(asked()), Redirect::to(PATH)).into_response(),
        Err(problem) => not_done(&api, &identity, &problem.wanted(asked().0), PATH, "the doctor"),
    }
}

fn fragment(DoctorShown { unavailable, looks_since, last }: &DoctorShown) -> Markup {
    html! {
        @if let Some(why) = unavailable { p.empty { (why) } }
        @if let Some(since) = looks_since {
            p.notice role="status" {
                "It has been looking for " (time(Timestamp::now().as_millis().saturating_sub(*since))) ". "
                a href=(PATH) { "What it has found" } " is here when it is done."
            }
        }
        @match last {
            Some(last) => (examination(last)),
            None if unavailable.is_none() && looks_since.is_none() => { p.empty { "Nobody has asked yet: have it look." } },
            None => {},
        }
    }
}

fn examination(last: &Examination) -> Markup {
    let count = |severity| last.findings.iter().filter(|finding| finding.severity == severity).count();
    html! {
        p {
            b { (ago(Some(last.at))) } ", in " (time(last.took)) ": "
            (count(Severity::Error)) " errors, " (count(Severity::Warning)) " warnings, "
            (count(Severity::Unknown)) " that can't be known, " (count(Severity::Ok)) " as they should be"
        }
        @if let Some(trouble) = &last.trouble { p.notice.bad { "It could not look at all: " (trouble) } }
        @if !last.findings.is_empty() { div.scroll { table.wrapped {
            thead { tr { th { "Severity" } th { "Check" } th { "What, and what to do" } } }
            tbody { @for finding in &last.findings { (row(finding)) } }
        } } }
    }
}

fn row(finding: &Finding) -> Markup {
    let (class, row) = match finding.severity {
        Severity::Ok => ("good", None),
        Severity::Unknown => ("faint", None),
        Severity::Warning => ("warning-text", Some("warning")),
        Severity::Error => ("bad-text", Some("bad")),
    };
    html! {
        tr class=[row] {
            td { span class={ "state " (class) } { (finding.severity.name()) } }
            td.where { (finding.check) div.faint { (finding.at) } }
            td.wide {
                (finding.what)
                @if let Some(to_do) = &finding.to_do { div { b { "Do: " } (to_do) } }
            }
        }
    }
}
