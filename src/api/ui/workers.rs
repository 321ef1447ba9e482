//! Workers: the handlers that run, of all daemons and processes, the longest first.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::links::Links;
use super::live as live_of;
use super::overview::now;
use super::page::{Page, grouped, shell, time};
use super::rows::{Of, Origin, TextFilter, left_out, of_each, process};
use crate::api::access::{Identity, Role};
use crate::api::daemons::shown::Attempt;
use crate::api::endpoint::Asked;
use crate::api::fleet::Members;
use crate::api::state::Api;

pub(super) async fn workers(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Asked(filter): Asked<TextFilter>,
) -> Page {
    let body = html! {
        h1 { "Workers" }
        (filter.form("handlers"))
        div data-live={ "/live/workers?" (filter.query()) } { (fragment(&api, identity.role, &filter)) }
    };
    Page(shell(&api, &identity, "Workers", "/workers", body))
}

pub(super) async fn live(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Asked(filter): Asked<TextFilter>,
) -> Response {
    let page = format!("workers {}", filter.query());
    live_of(api, &identity, &page, move |api, role| Ok(fragment(api, role, &filter)))
}

fn fragment(api: &Api, role: Role, filter: &TextFilter) -> Markup {
    let members = Members::now(api);
    let (mut busy, mut all, mut overdue, mut overstayed) = (0, 0, 0, 0);
    for (_, reported) in members.daemons() {
        let now = now(&reported.daemon);
        busy += now.map_or(0, |now| now.busy);
        all += now.map_or(0, |now| now.workers);
        overdue += now.map_or(0, |now| now.overdue);
        overstayed += reported.daemon.consumer.as_ref().map_or(0, |consumer| consumer.counts.overdue);
    }
    let mut attempts = of_each(members.daemons(), |reported| &reported.attempts);
    attempts.retain(|of| {
        let own = [of.daemon, &of.one.topic, &of.one.handler];
        filter.meets(own.into_iter().chain([process(of.member).as_str()]))
    });
    attempts.sort_by_key(|of| of.one.rank());
    html! {
        p {
            (busy) " of " (all) " workers are at something"
            @if overdue > 0 { ", " b.bad-text { (overdue) " overstay their timeout, and may block their threads" } }
            @if overstayed > 0 { ". Handlers that have overstayed their timeout since their processes began: " b { (grouped(overstayed)) } }
        }
        (table(&attempts, Origin::any(&members), &Links::of(api, role)))
        (left_out(members.daemons(), "handlers that run", |of| (of.attempts.len(), of.attempts_left_out)))
    }
}

/// Handlers that run.
pub(super) fn table(attempts: &[Of<'_, Attempt>], origin: Origin, links: &Links) -> Markup {
    html! {
        @if attempts.is_empty() {
            p.empty { "No handler runs at this moment. One that does stands here with its record, and for how long it has run: first what takes longest." }
        } @else { div.scroll { table {
            thead { tr {
                (origin.head())
                th.n { "Worker" } th.n { "For" } th.n { "Timeout" } th { "Record" } th { "Handler" }
            } }
            tbody { @for of in attempts { tr class=[of.one.overdue.then_some("bad")] {
                (origin.cells(of))
                td.n { (of.one.worker) } td.n { (time(of.one.runs)) } td.n { (of.one.timeout.map_or("none".to_owned(), time)) }
                @let Attempt { topic, partition, offset, .. } = of.one;
                td { (links.to((topic, *partition, *offset), &html! { (topic) "[" (partition) "] " (offset) })) } td.wide { (of.one.handler) }
            } } }
        } } }
    }
}
