//! A daemon: its partitions, its handlers that run, what has failed, and how it is steered; in all processes.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::links::Links;
use super::page::{Page, encoded, grouped, not_shown, shell, time};
use super::rows::{Of, Origin, left_out, of_each, process};
use super::{Told, errors, live as live_of, overrides, overview, steering, workers};
use crate::api::access::{Identity, Role};
use crate::api::daemons::DaemonName;
use crate::api::daemons::shown::{Condition, Partition};
use crate::api::endpoint::{Asked, Named};
use crate::api::fleet::{Member, Members};
use crate::api::problem::Problem;
use crate::api::state::Api;
use crate::fleet::Reported;

/// Partitions that a page shows; the filters lead to the others.
const SHOWN: usize = 500;

/// Which partitions.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Filter {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    topic: String,
    /// Those alone that are held back, or stall.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    stuck: String,
}

/// The partition that the forms are about, as its row leads to it, or a record as its page does.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    at: Option<String>,
    /// A record of it.
    #[serde(default)]
    offset: Option<i64>,
}

/// What the forms are about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: Option<i64>,
}

impl Chosen {
    /// Where that is, if it is one.
    pub(super) fn place(&self) -> Option<Place<'_>> {
        let (topic, partition) = self.at.as_deref()?.rsplit_once('/')?;
        Some(Place { topic, partition: partition.parse().ok()?, offset: self.offset })
    }
}

pub(super) async fn daemon(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Asked(filter): Asked<Filter>,
    Asked(chosen): Asked<Chosen>,
    Asked(told): Asked<Told>,
) -> Response {
    match fragment(&api, &daemon, &filter, identity.role) {
        Ok(content) => {
            let query = serde_urlencoded::to_string(&filter).unwrap_or_default();
            let body = html! {
                h1 { (daemon) }
                (told.notice(&api, &identity))
                @if identity.role >= Role::Operator { (steering::forms(&api, &daemon, chosen.place())) }
                div data-live={ "/live/daemons/" (encoded(&daemon)) "?" (query) } { (content) }
            };
            Page(shell(&api, &identity, &daemon, "", body)).into_response()
        }
        Err(problem) => not_shown(&api, &identity, &problem, "/", "the overview"),
    }
}

pub(super) async fn live(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Asked(filter): Asked<Filter>,
) -> Response {
    let page = format!("daemon {} {daemon}", serde_urlencoded::to_string(&filter).unwrap_or_default());
    live_of(api, &identity, &page, move |api, role| fragment(api, &daemon, &filter, role))
}

fn fragment(api: &Api, name: &str, filter: &Filter, role: Role) -> Result<Markup, Problem> {
    let members = Members::now(api);
    let daemons: Vec<_> = members.of_daemon(name).collect();
    if daemons.is_empty() {
        api.daemon(name)?;
    }
    let of = || daemons.iter().copied();
    let mut partitions = of_each(of(), |reported| &reported.partitions);
    let topics = topics(&partitions);
    let all = partitions.len();
    partitions.retain(|of| filter.meets(of.one));
    partitions.sort_by_cached_key(|of| of.one.rank());
    let origin = Origin::one(&members);
    let attempts = of_each(of(), |reported| &reported.attempts);
    let failures = errors::of(of());
    let (links, may_steer) = (Links::of(api, role), role >= Role::Operator);
    Ok(html! {
        @for (member, reported) in &daemons { (state(member, reported, daemons.len() > 1)) }
        (overrides::of_daemon(api, name))
        h2 { "Partitions (" (partitions.len()) @if partitions.len() < all { " of " (all) } ")" }
        div.filters {
            a href="?" { "all" } a href="?stuck=yes" { "stuck alone" }
            @for topic in topics { a href={ "?topic=" (encoded(topic)) } { (topic) } }
        }
        @if partitions.is_empty() {
            p.empty { @if all > 0 { "None is as the filter asks." }
                @else if daemons.iter().all(|(_, reported)| reported.daemon.consumer.is_none()) {
                    "It has no partitions, or has not begun yet." }
                @else { "No partition is assigned to it: others of the group have them, or there are more processes than partitions." } }
        } @else { (table(&partitions, origin, &links, may_steer)) }
        (left_out(of(), "partitions", |of| (of.partitions.len(), of.partitions_left_out)))
        h2 { "Handlers that run (" (attempts.len()) ")" }
        (workers::table(&attempts, origin, &links))
        (left_out(of(), "handlers that run", |of| (of.attempts.len(), of.attempts_left_out)))
        h2 { "Failed attempts, by what they have in common (" (failures.len()) ")" }
        (errors::table(&failures, origin, &links))
        (left_out(of(), "groups of failed attempts", |of| (of.failures.len(), of.failures_left_out)))
    })
}

/// What it is at in one process; where there are several, that is told where something is wrong or somebody has changed it.
fn state(member: &Member, Reported { daemon, .. }: &Reported, are_several: bool) -> Markup {
    let tone = overview::tone(daemon);
    let paused: Vec<String> = daemon.consumer.iter().flat_map(|of| &of.paused).map(ToString::to_string).collect();
    html! {
        @if !are_several || member.is_this || daemon.condition() != Condition::Good {
            p {
                span class={ "state " (tone) } { (daemon.state.name()) } " for " (time(daemon.state_for))
                @if are_several { " in " (process(member)) @if member.is_this { ", this process" } }
                @if let Some(why) = &daemon.unready { ": " (why) }
            }
        }
        @if !paused.is_empty() && (!are_several || member.is_this) { p.notice { "Paused: " (paused.join(", ")) } }
    }
}

impl Filter {
    fn meets(&self, one: &Partition) -> bool {
        one.topic.contains(&self.topic) && (self.stuck.is_empty() || one.is_stuck())
    }
}

fn topics<'t>(all: &[Of<'t, Partition>]) -> Vec<&'t str> {
    let mut topics: Vec<&str> = all.iter().map(|of| of.one.topic.as_str()).collect();
    topics.sort_unstable();
    topics.dedup();
    topics.truncate(20);
    topics
}

/// Partitions, one a row; the address of a row's partition has the forms be about it.
pub(super) fn table(partitions: &[Of<'_, Partition>], origin: Origin, links: &Links, may_steer: bool) -> Markup {
    // A class for each number would be a third of a page of five hundred.
    let class = if origin.processes { "n4" } else { "n3" };
    html! {
        div.scroll { table class=(class) {
            thead { tr {
                th { "Partition" } (origin.head()) th { "Held back" } th { "Lag" } th { "Behind" } th { "Committed" } th { "Oldest unfinished" }
                th { "Read next" } th { "Done ahead" } th { "Queued" } th { "Parked" } th { "Lanes" } th { "Deepest" } th { "Busy" }
            } }
            tbody { @for of in partitions.iter().take(SHOWN) { (row(of, origin, links, may_steer)) } }
        } }
        @if partitions.len() > SHOWN { p.faint { "The " (SHOWN) " that are stuck most are shown: filter by topic to see others." } }
    }
}

fn row(of: &Of<'_, Partition>, origin: Origin, links: &Links, may_steer: bool) -> Markup {
    let one = of.one;
    html! {
        tr class=[one.stalled.map(|_| "bad").or(one.held.map(|_| "warning"))] {
            td {
                @if may_steer {
                    a href={ "?at=" (encoded(&one.topic)) "/" (one.partition) } { (one.topic) "[" (one.partition) "]" }
                } @else { (one.topic) "[" (one.partition) "]" }
            }
            (origin.cells(of))
            td { @if let Some(millis) = one.stalled { b.bad-text { "stalled for " (time(millis)) } }
                @else if let Some(held) = one.held { b.warning-text { (held.name().replace('_', " ")) } }
                @else if one.silent { "no broker answers" } @else if one.probation { "on probation" } @else { "–" } }
            td { (one.lag.map_or("?".to_owned(), grouped)) } td { (time(one.behind)) }
            td { (offset(one.committed)) } td { @match one.oldest_unfinished {
                Some(oldest) => (links.to((&one.topic, one.partition, oldest), &html! { (oldest) })),
                None => (offset(None)),
            } } td { (offset(one.position)) }
            td { (grouped(one.finished_ahead)) } td { (one.queued) } td { (one.parked) }
            td { (one.lanes) } td { (one.deepest_lane) } td { (one.busy) }
        }
    }
}

fn offset(offset: Option<i64>) -> String {
    offset.map_or("–".to_owned(), |offset| offset.to_string())
}
