//! The overview: all daemons at one look, of all processes that are heard of.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use tokio::time::timeout;

use super::page::{Page, count, encoded, grouped, shell, spark, time};
use super::rows::process;
use crate::api::access::Identity;
use crate::api::daemons::shown::{Condition, Daemon, Now};
use crate::api::fleet::{Member, Members};
use crate::api::state::Api;
use crate::fleet::Reported;
use crate::supervisor::Recent;

/// How long the page may wait for the others: whoever is called at night wants to see at least this process.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn overview(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    // The next second's rendering has them.
    drop(timeout(PATIENCE, api.fleet.look()).await);
    let body = html! {
        h1 { "Overview" }
        div data-live="/live/overview" { (fragment(&api)) }
    };
    Page(shell(&api, &identity, "Overview", "/", body))
}

/// A daemon over all processes.
#[derive(Default)]
struct Total {
    instances: usize,
    at_work: usize,
    /// Where it is worst, and what it says there.
    worst: Option<(Daemon, String)>,
    rate: f64,
    recent: Recent,
    is_consumer: bool,
    /// Of those that read something now.
    reads: bool,
    partitions: usize,
    held: usize,
    stalled: usize,
    lag: u64,
    behind: u64,
    queued: usize,
    queue_capacity: usize,
    parked: usize,
    busy: usize,
    workers: usize,
    retries: u64,
    letters: u64,
    restarts: u64,
}

impl Total {
    fn add(&mut self, member: &Member, Reported { daemon, rate, recent, .. }: &Reported) {
        self.instances += 1;
        self.at_work += usize::from(daemon.condition() == Condition::Good);
        self.rate += rate;
        self.recent.add(recent);
        self.restarts += daemon.restarts;
        if self.worst.as_ref().is_none_or(|(worst, _)| daemon.condition() > worst.condition()) {
            self.worst = Some((daemon.clone(), process(member)));
        }
        let Some(consumer) = &daemon.consumer else { return };
        self.is_consumer = true;
        self.letters += consumer.counts.dead_lettered;
        self.retries += consumer.counts.retries;
        let Some(now) = consumer.now else { return };
        self.reads = true;
        self.partitions += now.partitions;
        self.held += now.held;
        self.stalled += now.stalled;
        self.lag += now.lag;
        self.behind = self.behind.max(now.behind);
        self.queued += now.queued;
        self.queue_capacity += now.queue_capacity;
        self.parked += now.parked;
        self.busy += now.busy;
        self.workers += now.workers;
    }
}

/// Of the table.
const COLUMNS: usize = 14;

pub(super) fn fragment(api: &Api) -> Markup {
    let members = Members::now(api);
    let (mut totals, mut all): (Vec<(&str, Total)>, _) = (Vec::new(), Total::default());
    for (member, reported) in members.daemons() {
        let name = reported.daemon.name.as_str();
        let index = totals.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            totals.push((name, Total::default()));
            totals.len() - 1
        });
        totals[index].1.add(member, reported);
        all.add(member, reported);
    }
    let silent = members.all.iter().filter(|member| member.is_silent).count();
    html! {
        @if let Some(trouble) = members.trouble.as_ref().filter(|_| !api.fleet.is_alone()) {
            p.notice.warning { "Others may be missing here: " (trouble) }
        }
        @if members.are_several() {
            p { "Of " a href="/fleet" { (members.all.len()) " processes" }
                @if silent > 0 { ", but for " b.bad-text { (silent) " of which nothing is heard" } } }
        }
        div.tiles {
            (tile(&format!("{:.0}/s", all.rate), "records handled", &all.recent.rate))
            (tile(&grouped(all.lag), "records behind", &all.recent.lag))
            (tile(&time(all.behind), "oldest record waits", &[]))
            (tile(&grouped(all.busy as u64), "handlers run", &all.recent.running))
            (tile(&grouped(all.retries), "retries", &all.recent.retries))
            (tile(&grouped(all.letters), "dead letters", &all.recent.letters))
            div.tile {
                b class=[(all.at_work < all.instances).then_some("bad-text")] { (all.at_work) "/" (all.instances) }
                span { "daemons at work" }
            }
        }
        div.scroll { table {
            thead { tr {
                th { "Daemon" } th { "State" } th.n { "Lag" } th.n { "Behind" } th.n { "Held" } th.n { "Stalled" }
                th.n { "Records/s" } th { "Last 5 min" } th.n { "Partitions" } th.n { "Queued" } th.n { "Parked" } th.n { "Workers" }
                th.n { "Letters" } th.n { "Restarts" }
            } }
            tbody { @for (name, total) in &totals { (row(name, total, members.are_several())) } }
        } }
    }
}

fn tile(value: &str, what: &str, recent: &[u64]) -> Markup {
    html! { div.tile { b { (value) } span { (what) } @if recent.len() > 1 { (spark(recent, what)) } } }
}

/// How a daemon is to be looked at, as a class.
pub(super) fn tone(daemon: &Daemon) -> &'static str {
    match daemon.condition() {
        Condition::Good => "good",
        Condition::Warning => "warning-text",
        Condition::Bad => "bad-text",
    }
}

/// How a row with it is to be looked at.
pub(super) fn class(daemon: &Daemon) -> Option<&'static str> {
    match daemon.condition() {
        Condition::Good => None,
        Condition::Warning => Some("warning"),
        Condition::Bad => Some("bad"),
    }
}

/// What a daemon of a process is at, if it reads something.
pub(super) fn now(daemon: &Daemon) -> Option<Now> {
    daemon.consumer.as_ref()?.now
}

fn row(name: &str, total: &Total, are_several: bool) -> Markup {
    let Some((worst, process)) = &total.worst else { return html! {} };
    let tone = tone(worst);
    html! {
        tr class=[class(worst)] {
            td { @if total.is_consumer { a href={ "/daemons/" (encoded(name)) } { (name) } } @else { (name) } }
            td {
                span class={ "state " (tone) } { (worst.state.name()) } " "
                span.faint { @if are_several { (total.at_work) "/" (total.instances) } @else { (time(worst.state_for)) } }
            }
            @if total.reads {
                td.n { (grouped(total.lag)) }
                td.n { (time(total.behind)) }
                td.n { (count(total.held, "warning-text")) }
                td.n { (count(total.stalled, "bad-text")) }
                td.n { (format!("{:.0}", total.rate)) }
                td { (spark(&total.recent.rate, "records a second")) }
                td.n { (total.partitions) }
                td.n { (total.queued) "/" (total.queue_capacity) }
                td.n { (total.parked) }
                td.n { (total.busy) "/" (total.workers) }
            } @else {
                td.faint colspan="10" { @if total.is_consumer { "reads nothing now" } @else { "has no partitions" } }
            }
            td.n { (grouped(total.letters)) }
            td.n { (total.restarts) }
        }
        @if let Some(why) = worst.why() {
            (reason(class(worst), COLUMNS, html! { @if are_several { (process) ": " } (why) }))
        }
    }
}

/// Why a daemon is as the row above says. Below that, so that it is seen in a narrow window too.
pub(super) fn reason(class: Option<&str>, columns: usize, why: Markup) -> Markup {
    html! { tr class={ "reason " (class.unwrap_or_default()) } { td colspan=(columns) { div { (why) } } } }
}
