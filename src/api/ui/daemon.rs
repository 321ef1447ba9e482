//! A daemon: its partitions, its handlers that run, what has failed, and how it is steered.

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{Page, encoded, grouped, not_done, shell, time};
use super::{Told, errors, live as live_of, overrides, overview, steering, workers};
use crate::api::access::{Identity, Role};
use crate::api::daemons::shown::{Attempt, Daemon, Partition};
use crate::api::daemons::{DaemonName, control};
use crate::api::endpoint::Named;
use crate::api::problem::Problem;
use crate::api::state::Api;

/// Partitions that a page shows; the filters lead to the others.
const SHOWN: usize = 500;

/// Which partitions.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    topic: Option<String>,
    /// Those alone that are held back, or stall.
    #[serde(default)]
    stuck: Option<String>,
}

pub(super) async fn daemon(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Query(filter): Query<Filter>,
    Query(told): Query<Told>,
) -> Response {
    match fragment(&api, &daemon, &filter) {
        Ok(content) => {
            let query = serde_urlencoded::to_string([
                ("topic", filter.topic.as_deref().unwrap_or_default()),
                ("stuck", filter.stuck.as_deref().unwrap_or_default()),
            ]);
            let body = html! {
                h1 { (daemon) }
                @if let Some(done) = &told.done { p.notice.done role="status" { (done) } }
                @if identity.role >= Role::Operator { (steering::forms(&daemon)) }
                div data-live={ "/live/daemons/" (encoded(&daemon)) "?" (query.unwrap_or_default()) } { (content) }
            };
            Page(shell(&api, &identity, &daemon, "", body)).into_response()
        }
        Err(problem) => not_done(&api, &identity, &problem, "/", "the overview"),
    }
}

pub(super) async fn live(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Query(filter): Query<Filter>,
) -> Response {
    live_of(api, move |api| fragment(api, &daemon, &filter))
}

fn fragment(api: &Api, name: &str, filter: &Filter) -> Result<Markup, Problem> {
    let shown = Daemon::of(&api.daemon(name)?);
    let control = control(api, name)?;
    let view = control.view();
    let mut partitions = Partition::all(view.as_deref());
    let all = partitions.len();
    let topic = filter.topic.as_deref().filter(|topic| !topic.is_empty());
    let stuck = filter.stuck.as_deref().is_some_and(|stuck| !stuck.is_empty());
    partitions.retain(|one| topic.is_none_or(|topic| one.topic.contains(topic)) && (!stuck || one.is_stuck()));
    let attempts: Vec<_> = Attempt::all(view.as_deref()).into_iter().map(|attempt| (name, attempt)).collect();
    let failures: Vec<_> = errors::failed(Some(&control)).into_iter().map(|group| (name, group)).collect();
    let tone = overview::tone(&shown);
    let paused: Vec<String> = shown.consumer.iter().flat_map(|of| &of.paused).map(ToString::to_string).collect();
    Ok(html! {
        p { span class={ "state " (tone) } { (shown.state.name()) } " for " (time(shown.state_for))
            @if let Some(why) = &shown.unready { ": " (why) } }
        @if !paused.is_empty() { p.notice { "Paused: " (paused.join(", ")) } }
        (overrides::of_daemon(api, name))
        h2 { "Partitions (" (partitions.len()) @if partitions.len() < all { " of " (all) } ")" }
        div.filters {
            a href="?" { "all" } a href="?stuck=yes" { "stuck alone" }
            @for topic in topics(view.iter().flat_map(|view| &view.partitions).map(|one| one.topic_partition.topic.as_str())) {
                a href={ "?topic=" (encoded(topic)) } { (topic) }
            }
        }
        @if partitions.is_empty() {
            p.empty { @if all == 0 { "No partition is assigned to this process: others of the group have them, or there are more processes than partitions." }
                @else { "None is as the filter asks." } }
        } @else { (table(&partitions)) }
        h2 { "Handlers that run (" (attempts.len()) ")" }
        (workers::table(&attempts, false))
        h2 { "Failed attempts, by what they have in common (" (failures.len()) ")" }
        (errors::table(&failures, false))
    })
}

fn topics<'t>(all: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut topics: Vec<&str> = all.collect();
    topics.sort_unstable();
    topics.dedup();
    topics.truncate(20);
    topics
}

/// Partitions, one a row.
pub(super) fn table(partitions: &[Partition]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr {
                th { "Partition" } th { "Held back" } th.n { "Lag" } th.n { "Behind" } th.n { "Committed" } th.n { "Oldest unfinished" }
                th.n { "Read next" } th.n { "Done ahead" } th.n { "Queued" } th.n { "Parked" } th.n { "Lanes" } th.n { "Deepest" } th.n { "Busy" }
            } }
            tbody { @for one in partitions.iter().take(SHOWN) {
                tr class=[one.stalled.map(|_| "bad").or(one.held.map(|_| "warning"))] {
                    td { (one.topic) "[" (one.partition) "]" }
                    td { @if let Some(millis) = one.stalled { b.bad-text { "stalled for " (time(millis)) } }
                        @else if let Some(held) = one.held { b.warning-text { (held.name().replace('_', " ")) } }
                        @else if one.silent { "no broker answers" } @else if one.probation { "on probation" } @else { span.faint { "–" } } }
                    td.n { (one.lag.map_or("?".to_owned(), grouped)) } td.n { (time(one.behind)) }
                    td.n { (offset(one.committed)) } td.n { (offset(one.oldest_unfinished)) } td.n { (offset(one.position)) }
                    td.n { (grouped(one.finished_ahead)) } td.n { (one.queued) } td.n { (one.parked) }
                    td.n { (one.lanes) } td.n { (one.deepest_lane) } td.n { (one.busy) }
                }
            } }
        } }
        @if partitions.len() > SHOWN { p.faint { "The " (SHOWN) " that are stuck most are shown: filter by topic to see others." } }
    }
}

fn offset(offset: Option<i64>) -> String {
    offset.map_or("–".to_owned(), |offset| offset.to_string())
}
