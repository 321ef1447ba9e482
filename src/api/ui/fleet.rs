//! The fleet: every process of the program, with the versions that they run and the partitions that came to them and went.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::links::Links;
use super::live as live_of;
use super::overview::{class, now, reason, tone};
use super::page::{Page, count, encoded, grouped, not_shown, shell, spark, time, with_time};
use super::rows::{Origin, TextFilter, left_out, of_each, process};
use crate::api::access::Identity;
use crate::api::daemons::shown::RebalanceKind;
use crate::api::endpoint::{Asked, Named};
use crate::api::fleet::{InstanceName, Member, Members, unheard};
use crate::api::instance::Instance;
use crate::api::state::Api;
use crate::api::ui::{daemon, errors, workers};
use crate::fleet::Reported;

pub(super) async fn fleet(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Asked(filter): Asked<TextFilter>,
) -> Page {
    // The first look takes a moment.
    drop(api.fleet.look().await);
    let body = html! {
        h1 { "Fleet" }
        (filter.form("processes"))
        div data-live={ "/live/fleet?" (filter.query()) } { (fragment(&api, &filter)) }
    };
    Page(shell(&api, &identity, "Fleet", "/fleet", body))
}

pub(super) async fn live(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Asked(filter): Asked<TextFilter>,
) -> Response {
    live_of(api, &identity, &format!("fleet {}", filter.query()), move |api, _| Ok(fragment(api, &filter)))
}

/// How many rebalances the page shows.
const REBALANCES: usize = 30;

fn fragment(api: &Api, filter: &TextFilter) -> Markup {
    let members = Members::now(api);
    let silent = members.all.iter().filter(|member| member.is_silent).count();
    let rows: Vec<_> =
        members.all.iter().flat_map(rows).filter(|(member, daemon)| meets(filter, member, *daemon)).collect();
    html! {
        @if let Some(trouble) = &members.trouble { p.notice.warning { "Others may be missing here: " (trouble) } }
        p {
            (members.all.len()) @if members.are_several() { " processes" } @else { " process" }
            @if silent > 0 { ", " b.bad-text { (silent) " of which nothing is heard" } }
            @let versions = versions(&members);
            @if versions.len() > 1 {
                ". " b.warning-text { "They run " (versions.len()) " versions" } ": "
                @for (index, (version, count)) in versions.iter().enumerate() {
                    @if index > 0 { ", " } (version) " in " (count)
                }
            }
        }
        h2 { "Processes" }
        @if rows.is_empty() { p.empty { "None is as the filter asks." } } @else { div.scroll { table {
            thead { tr {
                th { "Process" } th { "Heard" } th { "Daemon" } th { "State" } th.n { "Records/s" } th.n { "Lag" } th.n { "Behind" } th.n { "Partitions" }
                th { "Partitions, last 5 min" } th.n { "Stuck" } th.n { "Workers" } th { "Version" } th { "Started" }
            } }
            tbody { @for (member, daemon) in rows { (row(member, daemon)) } }
        } } }
        (rebalances(&members))
    }
}

/// A process with each of its daemons, or without.
fn rows(member: &Member) -> Vec<(&Member, Option<&Reported>)> {
    let daemons = &member.report.daemons;
    if daemons.is_empty() {
        vec![(member, None)]
    } else {
        daemons.iter().map(|daemon| (member, Some(daemon))).collect()
    }
}

fn meets(filter: &TextFilter, member: &Member, daemon: Option<&Reported>) -> bool {
    let name = daemon.map_or("", |of| of.daemon.name.as_str());
    let state = if member.is_silent { "silent" } else { daemon.map_or("", |of| of.daemon.state.name()) };
    filter.meets([process(member).as_str(), name, state, version(&member.report.instance)])
}

/// What it runs: the program's version, or that of daemonry where the program does not say.
fn version(instance: &Instance) -> &str {
    instance.program_version.as_deref().unwrap_or(&instance.version)
}

/// The versions that processes run, and in how many.
fn versions(members: &Members) -> BTreeMap<&str, usize> {
    let mut versions = BTreeMap::new();
    for member in members.all.iter().filter(|member| !member.is_silent) {
        *versions.entry(version(&member.report.instance)).or_default() += 1;
    }
    versions
}

/// Of the table of processes.
const COLUMNS: usize = 13;

fn row(member: &Member, of: Option<&Reported>) -> Markup {
    let instance = &member.report.instance;
    let class = if member.is_silent { Some("bad") } else { of.and_then(|of| class(&of.daemon)) };
    html! {
        tr class=[class] {
            td { a href={ "/fleet/" (encoded(&instance.id)) } { (process(member)) } @if member.is_this { span.faint { " this one" } } }
            td { @if member.is_silent { b.bad-text { "not for " (time(member.heard)) } } @else if member.is_this { "now" } @else { (time(member.heard)) " ago" } }
            @match of {
                None => td.faint colspan="9" { "it has no daemons" },
                Some(Reported { daemon, rate, recent, .. }) => {
                    td { (daemon.name) }
                    td { span class={ "state " (tone(daemon)) } { (daemon.state.name()) } }
                    td.n { (format!("{rate:.0}")) }
                    @match now(daemon) {
                        Some(now) => {
                            td.n { (grouped(now.lag)) } td.n { (time(now.behind)) } td.n { (now.partitions) }
                            td { (spark(&recent.partitions, "partitions")) }
                            td.n { (count(now.held + now.stalled, "warning-text")) } td.n { (now.busy) "/" (now.workers) }
                        },
                        None => td.faint colspan="6" { "reads nothing now" },
                    }
                }
            }
            td { (version(instance)) }
            td { (with_time(instance.started_at)) }
        }
        @if let Some(why) = of.and_then(|of| of.daemon.why()) { (reason(class, COLUMNS, html! { (why) })) }
    }
}

/// Who was given partitions, and who lost some, the latest first.
fn rebalances(members: &Members) -> Markup {
    let mut all = of_each(members.all.iter().flat_map(Member::daemons), |reported| &reported.rebalances);
    all.sort_by_key(|of| Reverse(of.one.at));
    all.truncate(REBALANCES);
    let origin = Origin { daemons: true, processes: true };
    html! {
        h2 { "Rebalances" }
        @if all.is_empty() { p.empty { "No partition has come or gone yet. Each time one does stands here: many in a short time mean processes that come and go, or handlers that hold their group up." } }
        @else { div.scroll.narrow { table {
            thead { tr { th { "When" } (origin.head()) th.n { "Partitions" } th { "What" } } }
            tbody { @for of in &all { tr class=[(of.one.kind == RebalanceKind::Lost).then_some("bad")] {
                td { (with_time(of.one.at)) } (origin.cells(of))
                td.n { @if of.one.kind == RebalanceKind::Assigned { "+" } @else { "−" } (of.one.partitions) }
                td { @match of.one.kind {
                    RebalanceKind::Assigned => "assigned",
                    RebalanceKind::Revoked => "revoked",
                    RebalanceKind::Lost => { b.bad-text { "lost: what was unfinished runs elsewhere" } },
                } }
            } } }
        } } }
    }
}

/// One process: all that it has told.
pub(super) async fn instance(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(InstanceName { instance }): Named<InstanceName>,
) -> Response {
    let found = api.fleet.look().await;
    let member = Members::of(&api, found).all.into_iter().find(|member| member.report.instance.id == instance);
    match member {
        Some(member) => {
            let body = html! { div data-live={ "/live/fleet/" (encoded(&instance)) } { (told(&member, &Links::of(&api, identity.role))) } };
            Page(shell(&api, &identity, &process(&member), "/fleet", body)).into_response()
        }
        None => not_shown(&api, &identity, &unheard(&instance), "/fleet", "the fleet"),
    }
}

pub(super) async fn live_instance(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(InstanceName { instance }): Named<InstanceName>,
) -> Response {
    live_of(api, &identity, &format!("instance {instance}"), move |api, role| {
        let member = Members::now(api).all.into_iter().find(|member| member.report.instance.id == instance);
        member.map(|member| told(&member, &Links::of(api, role))).ok_or_else(|| unheard(&instance))
    })
}

fn told(member: &Member, links: &Links) -> Markup {
    let instance = &member.report.instance;
    html! {
        h1 { "Process " (instance.pid) " on " (instance.host) }
        p.faint {
            "As it was " (time(member.heard)) " ago. It runs " (instance.program) @if let Some(version) = &instance.program_version { " " (version) }
            " with daemonry " (instance.version) " since " (with_time(instance.started_at)) "."
        }
        @for reported in &member.report.daemons {
            @let here = || std::iter::once((member, reported));
            @let Reported { daemon, rate, partitions, .. } = reported;
            @let name = daemon.name.as_str();
            h2 { (name) }
            p {
                span class={ "state " (tone(daemon)) } { (daemon.state.name()) } " for " (time(daemon.state_for)) ", " (format!("{rate:.0}")) " records a second"
                @if let Some(why) = &daemon.unready { ". It is not ready: " (why) }
            }
            @if daemon.consumer.is_some() {
                p { "Steer it in all processes, or what it has alone: " a href={ "/daemons/" (encoded(name)) } { (name) } }
                h3 { "Partitions" }
                @if partitions.is_empty() { p.empty { "None is assigned to it." } } @else { (daemon::table(&of_each(here(), |reported| &reported.partitions), Origin::KNOWN, links, false)) }
                (left_out(here(), "partitions", |of| (of.partitions.len(), of.partitions_left_out)))
                h3 { "Handlers that run" }
                (workers::table(&of_each(here(), |reported| &reported.attempts), Origin::KNOWN, links))
                (left_out(here(), "handlers that run", |of| (of.attempts.len(), of.attempts_left_out)))
                h3 { "Attempts that failed" }
                (errors::table(&errors::of(here()), Origin::KNOWN, links))
                (left_out(here(), "groups of failed attempts", |of| (of.failures.len(), of.failures_left_out)))
            }
        }
    }
}
