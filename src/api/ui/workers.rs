//! Workers: the handlers that run, of all daemons of the process, the longest first.

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};

use super::live as live_of;
use super::page::{Page, encoded, shell, time};
use crate::api::access::Identity;
use crate::api::daemons::shown::Attempt;
use crate::api::state::Api;

pub(super) async fn workers(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    let body = html! {
        h1 { "Workers" }
        div data-live="/live/workers" { (fragment(&api)) }
    };
    Page(shell(&api, &identity, "Workers", "/workers", body))
}

pub(super) async fn live(State(api): State<Api>) -> Response {
    live_of(api, |api| Ok(fragment(api)))
}

fn fragment(api: &Api) -> Markup {
    let daemons = api.roster.inspect();
    let views = daemons.iter().filter_map(|daemon| Some((&*daemon.status.name, daemon.control.as_ref()?.view()?)));
    let views: Vec<_> = views.collect();
    let (busy, all) = views.iter().fold((0, 0), |(busy, all), (_, view)| (busy + view.busy, all + view.workers));
    let mut attempts: Vec<(&str, Attempt)> = views
        .iter()
        .flat_map(|(name, view)| Attempt::all(Some(view)).into_iter().map(|attempt| (*name, attempt)))
        .collect();
    attempts.sort_by_key(|(_, attempt)| attempt.rank());
    let overdue = attempts.iter().filter(|(_, attempt)| attempt.overdue).count();
    html! {
        p {
            (busy) " of " (all) " workers are at something"
            @if overdue > 0 { ", " b.bad-text { (overdue) " overstay their timeout, and may block their threads" } }
        }
        (table(&attempts, true))
    }
}

/// Handlers that run, each with its daemon.
pub(super) fn table(attempts: &[(&str, Attempt)], names_daemons: bool) -> Markup {
    html! {
        @if attempts.is_empty() { p.empty { "No handler runs at this moment." } } @else { div.scroll { table {
            thead { tr {
                @if names_daemons { th { "Daemon" } }
                th.n { "Worker" } th.n { "For" } th.n { "Timeout" } th { "Record" } th { "Handler" }
            } }
            tbody { @for (daemon, one) in attempts { tr class=[one.overdue.then_some("bad")] {
                @if names_daemons { td { a href={ "/daemons/" (encoded(daemon)) } { (daemon) } } }
                td.n { (one.worker) } td.n { (time(one.runs)) } td.n { (one.timeout.map_or("none".to_owned(), time)) }
                td { (one.topic) "[" (one.partition) "] " (one.offset) } td.wide { (one.handler) }
            } } }
        } } }
    }
}
