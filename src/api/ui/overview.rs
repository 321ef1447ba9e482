//! The overview: all daemons of the process at one look.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};

use super::page::{Page, count, encoded, grouped, shell, spark, time};
use crate::api::access::Identity;
use crate::api::daemons::shown::{Daemon, State as At};
use crate::api::state::Api;

pub(super) async fn overview(State(api): State<Api>, Extension(identity): Extension<Identity>) -> Page {
    let body = html! {
        h1 { "Overview" }
        div data-live="/live/overview" { (fragment(&api)) }
    };
    Page(shell(&api, &identity, "Overview", "/", body))
}

pub(super) fn fragment(api: &Api) -> Markup {
    let daemons: Vec<Daemon> = api.roster.inspect().iter().map(Daemon::of).collect();
    let consumers = || daemons.iter().filter_map(|daemon| daemon.consumer.as_ref());
    let now = || consumers().filter_map(|consumer| consumer.now);
    let unready = daemons.iter().filter(|daemon| tone(daemon) != "good").count();
    let rate: f64 = daemons.iter().map(|daemon| api.history.rate(&daemon.name)).sum();
    html! {
        div.tiles {
            (tile(&format!("{rate:.0}/s"), "records handled"))
            (tile(&grouped(now().map(|now| now.lag).sum()), "records behind"))
            (tile(&time(now().map(|now| now.behind).max().unwrap_or(0)), "oldest record waits"))
            (tile(&grouped(now().map(|now| now.busy as u64).sum()), "handlers run"))
            (tile(&grouped(consumers().map(|consumer| consumer.counts.retries).sum()), "retries"))
            (tile(&grouped(consumers().map(|consumer| consumer.counts.dead_lettered).sum()), "dead letters"))
            (tile(&format!("{}/{}", daemons.len() - unready, daemons.len()), "daemons at work"))
        }
        div.scroll { table {
            thead { tr {
                th { "Daemon" } th { "State" } th.n { "Records/s" } th { "Last 5 min" } th.n { "Lag" } th.n { "Behind" }
                th.n { "Partitions" } th.n { "Held" } th.n { "Stalled" } th.n { "Queued" } th.n { "Parked" } th.n { "Workers" }
                th.n { "Letters" } th.n { "Restarts" } th { "Why" }
            } }
            tbody { @for daemon in &daemons { (row(api, daemon)) } }
        } }
    }
}

fn tile(value: &str, what: &str) -> Markup {
    html! { div.tile { b { (value) } span { (what) } } }
}

/// How a daemon is to be looked at.
pub(super) fn tone(daemon: &Daemon) -> &'static str {
    match (daemon.state, &daemon.unready) {
        (At::Running, None) => "good",
        (At::Running | At::Starting | At::Ended, _) => "warning-text",
        (At::Restarting | At::Misconfigured | At::Failed, _) => "bad-text",
    }
}

fn row(api: &Api, daemon: &Daemon) -> Markup {
    let now = daemon.consumer.as_ref().and_then(|consumer| consumer.now);
    let tone = tone(daemon);
    let why = daemon.unready.as_deref().or_else(|| daemon.last_error.as_deref().filter(|_| tone == "bad-text"));
    let letters = daemon.consumer.as_ref().map_or(0, |consumer| consumer.counts.dead_lettered);
    let class = match tone {
        "bad-text" => Some("bad"),
        "warning-text" => Some("warning"),
        _ => None,
    };
    html! {
        tr class=[class] {
            td { @if daemon.consumer.is_some() { a href={ "/daemons/" (encoded(&daemon.name)) } { (daemon.name) } } @else { (daemon.name) } }
            td { span class={ "state " (tone) } { (daemon.state.name()) } " " span.faint { (time(daemon.state_for)) } }
            @if let Some(now) = now {
                td.n { (format!("{:.0}", api.history.rate(&daemon.name))) }
                td { (spark(&api.history.rates(&daemon.name), "records a second")) }
                td.n { (grouped(now.lag)) }
                td.n { (time(now.behind)) }
                td.n { (now.partitions) }
                td.n { (count(now.held, "warning-text")) }
                td.n { (count(now.stalled, "bad-text")) }
                td.n { (now.queued) "/" (now.queue_capacity) }
                td.n { (now.parked) }
                td.n { (now.busy) "/" (now.workers) }
            } @else {
                td.faint colspan="10" { @if daemon.consumer.is_some() { "reads nothing now" } @else { "has no partitions" } }
            }
            td.n { (grouped(letters)) }
            td.n { (daemon.restarts) }
            td.wide { (why.unwrap_or_default()) }
        }
    }
}
