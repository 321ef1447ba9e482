//! The fleet: every process of the program, and every daemon over all of them.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};

use super::live as live_of;
use super::overview::tone;
use super::page::{Page, count, encoded, grouped, not_done, shell, time, with_time};
use crate::api::access::Identity;
use crate::api::daemons::shown::{Daemon, Now, State as At};
use crate::api::endpoint::Named;
use crate::api::fleet::{DaemonShown, FleetShown, InstanceName, InstanceShown, reported};
use crate::api::state::Api;
use crate::api::ui::{daemon, errors, workers};
use crate::fleet::{Report, Reported};

pub(super) async fn fleet(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    // The first look takes a moment.
    drop(api.fleet.look().await);
    let body = html! {
        h1 { "Fleet" }
        div data-live="/live/fleet" { (fragment(&api)) }
    };
    Page(shell(&api, &identity, "Fleet", "/fleet", body))
}

pub(super) async fn live(State(api): State<Api>) -> Response {
    live_of(api, |api| Ok(fragment(api)))
}

/// A daemon over all processes.
#[derive(Default)]
struct Total {
    instances: usize,
    at_work: usize,
    rate: f64,
    partitions: usize,
    held: usize,
    stalled: usize,
    lag: u64,
    behind: u64,
    queued: usize,
    parked: usize,
    busy: usize,
    workers: usize,
    letters: u64,
}

impl Total {
    fn add(&mut self, DaemonShown { daemon, rate }: &DaemonShown) {
        self.instances += 1;
        self.at_work += usize::from(is_at_work(daemon));
        self.rate += rate;
        self.letters += daemon.consumer.as_ref().map_or(0, |consumer| consumer.counts.dead_lettered);
        let Some(now) = now(daemon) else { return };
        self.partitions += now.partitions;
        self.held += now.held;
        self.stalled += now.stalled;
        self.lag += now.lag;
        self.behind = self.behind.max(now.behind);
        self.queued += now.queued;
        self.parked += now.parked;
        self.busy += now.busy;
        self.workers += now.workers;
    }
}

fn now(daemon: &Daemon) -> Option<Now> {
    daemon.consumer.as_ref()?.now
}

fn is_at_work(daemon: &Daemon) -> bool {
    daemon.state == At::Running && daemon.unready.is_none()
}

fn fragment(api: &Api) -> Markup {
    let FleetShown { trouble, instances } = FleetShown::now(api);
    let mut totals: BTreeMap<&str, Total> = BTreeMap::new();
    // What was heard of those that are silent may no longer be so: somebody else has their partitions.
    for shown in instances.iter().filter(|instance| !instance.is_silent).flat_map(|instance| &instance.daemons) {
        totals.entry(&shown.daemon.name).or_default().add(shown);
    }
    let silent = instances.iter().filter(|instance| instance.is_silent).count();
    html! {
        @if let Some(trouble) = &trouble { p.notice.warning { "Others may be missing here: " (trouble) } }
        p {
            (instances.len()) @if instances.len() == 1 { " process" } @else { " processes" }
            @if silent > 0 { ", " b.bad-text { (silent) " of which nothing is heard" } }
        }
        h2 { "Daemons, over all processes" }
        div.scroll { table {
            thead { tr {
                th { "Daemon" } th.n { "At work" } th.n { "Records/s" } th.n { "Lag" } th.n { "Behind" } th.n { "Partitions" } th.n { "Held" }
                th.n { "Stalled" } th.n { "Queued" } th.n { "Parked" } th.n { "Workers" } th.n { "Letters" }
            } }
            tbody { @for (name, total) in &totals { tr class=[(total.at_work < total.instances).then_some("warning")] {
                td { (name) }
                td.n { (total.at_work) "/" (total.instances) }
                td.n { (format!("{:.0}", total.rate)) }
                td.n { (grouped(total.lag)) } td.n { (time(total.behind)) }
                td.n { (total.partitions) } td.n { (count(total.held, "warning-text")) } td.n { (count(total.stalled, "bad-text")) }
                td.n { (total.queued) } td.n { (total.parked) } td.n { (total.busy) "/" (total.workers) } td.n { (grouped(total.letters)) }
            } } }
        } }
        h2 { "Processes" }
        div.scroll { table {
            thead { tr {
                th { "Process" } th { "Heard" } th { "Daemon" } th { "State" } th.n { "Records/s" } th.n { "Lag" } th.n { "Behind" } th.n { "Partitions" }
                th.n { "Stuck" } th.n { "Workers" } th { "Version" } th { "Started" } th { "Why" }
            } }
            tbody { @for instance in &instances {
                @if instance.daemons.is_empty() { (row(instance, None)) }
                @for daemon in &instance.daemons { (row(instance, Some(daemon))) }
            } }
        } }
    }
}

fn row(shown: &InstanceShown, of: Option<&DaemonShown>) -> Markup {
    let instance = &shown.instance;
    let tone = of.map_or("good", |of| tone(&of.daemon));
    let class = match (shown.is_silent, tone) {
        (true, _) | (_, "bad-text") => Some("bad"),
        (_, "warning-text") => Some("warning"),
        _ => None,
    };
    html! {
        tr class=[class] {
            td { a href={ "/fleet/" (encoded(&instance.id)) } { (instance.host) " · " (instance.pid) } @if shown.is_this { span.faint { " this one" } } }
            td { @if shown.is_silent { b.bad-text { "not for " (time(shown.heard)) } } @else if shown.is_this { "now" } @else { (time(shown.heard)) " ago" } }
            @match of {
                None => td.faint colspan="8" { "it has no daemons" },
                Some(DaemonShown { daemon, rate }) => {
                    td { (daemon.name) }
                    td { span class={ "state " (tone) } { (daemon.state.name()) } }
                    td.n { (format!("{rate:.0}")) }
                    @match now(daemon) {
                        Some(now) => {
                            td.n { (grouped(now.lag)) } td.n { (time(now.behind)) } td.n { (now.partitions) }
                            td.n { (count(now.held + now.stalled, "warning-text")) } td.n { (now.busy) "/" (now.workers) }
                        },
                        None => td.faint colspan="5" { "reads nothing now" },
                    }
                }
            }
            td { (instance.version) }
            td { (with_time(instance.started_at)) }
            td.wide { @if let Some(of) = of { (of.daemon.unready.as_deref().or(of.daemon.last_error.as_deref().filter(|_| tone == "bad-text")).unwrap_or_default()) } }
        }
    }
}

/// Each with the daemon that it is of.
fn named<'d, T: Clone>(daemon: &'d str, all: &[T]) -> Vec<(&'d str, T)> {
    all.iter().map(|one| (daemon, one.clone())).collect()
}

/// One process: all that it has told.
pub(super) async fn instance(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(InstanceName { instance }): Named<InstanceName>,
) -> Response {
    match reported(&api, &instance, &api.fleet.look().await) {
        Ok((report, ago)) => {
            let title = format!("{} · {}", report.instance.host, report.instance.pid);
            Page(shell(&api, &identity, &title, "/fleet", told(&report, ago))).into_response()
        }
        Err(problem) => not_done(&api, &identity, &problem, "/fleet", "the fleet"),
    }
}

fn told(Report { instance, daemons, .. }: &Report, ago: u64) -> Markup {
    html! {
        h1 { "Process " (instance.pid) " on " (instance.host) }
        p.faint { "As it was " (time(ago)) " ago. It runs " (instance.program) " with daemonry " (instance.version) " since " (with_time(instance.started_at)) "." }
        @for Reported { daemon, rate, partitions, partitions_left_out, attempts, failures } in daemons {
            h2 { (daemon.name) }
            p {
                span class={ "state " (tone(daemon)) } { (daemon.state.name()) } " for " (time(daemon.state_for)) ", " (format!("{rate:.0}")) " records a second"
                @if let Some(why) = &daemon.unready { ". It is not ready: " (why) }
            }
            @if daemon.consumer.is_some() {
                h3 { "Partitions" }
                @if partitions.is_empty() { p.empty { "None is assigned to it." } } @else { (daemon::table(partitions)) }
                @if *partitions_left_out > 0 { p.faint { (partitions_left_out) " more are not told of." } }
                h3 { "Handlers that run" }
                (workers::table(&named(&daemon.name, attempts), false))
                h3 { "Attempts that failed" }
                (errors::table(&named(&daemon.name, failures), false))
            }
        }
    }
}
