//! Errors: attempts that failed, of all daemons of the process, by what they have in common, the latest first.

use std::cmp::Reverse;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::live as live_of;
use super::page::{Page, ago, encoded, grouped, reasons, shell};
use crate::api::access::Identity;
use crate::api::daemons::shown::FailedAttempts;
use crate::api::state::Api;
use crate::pipeline::control::Control;

/// Which of them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Filter {
    /// Those alone that failed so.
    #[serde(default)]
    reason: String,
    /// Those alone that have this text in them.
    #[serde(default)]
    text: String,
}

pub(super) async fn errors(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Query(filter): Query<Filter>,
) -> Page {
    let query = serde_urlencoded::to_string(&filter).unwrap_or_default();
    let body = html! {
        h1 { "Errors" }
        form.steer method="get" aria-label="Which errors" {
            (reasons(Some(&filter.reason)))
            label { "With this text" input name="text" value=(filter.text); }
            button { "Filter" }
            a href="?" { "all" }
        }
        div data-live={ "/live/errors?" (query) } { (fragment(&api, &filter)) }
    };
    Page(shell(&api, &identity, "Errors", "/errors", body))
}

pub(super) async fn live(State(api): State<Api>, Query(filter): Query<Filter>) -> Response {
    live_of(api, move |api| Ok(fragment(api, &filter)))
}

fn fragment(api: &Api, filter: &Filter) -> Markup {
    let daemons = api.roster.inspect();
    let mut groups: Vec<(&str, FailedAttempts)> = daemons
        .iter()
        .flat_map(|daemon| failed(daemon.control.as_ref()).into_iter().map(|group| (&*daemon.status.name, group)))
        .filter(|(_, group)| filter.meets(group))
        .collect();
    groups.sort_by_key(|(_, group)| Reverse(group.last));
    table(&groups, true)
}

impl Filter {
    fn meets(&self, group: &FailedAttempts) -> bool {
        (self.reason.is_empty() || group.reason == self.reason)
            && (group.pattern.contains(&self.text) || group.example.error.contains(&self.text))
    }
}

/// What failed of a daemon, the latest first.
pub(super) fn failed(control: Option<&Control>) -> Vec<FailedAttempts> {
    control.map(Control::failed).unwrap_or_default().iter().map(FailedAttempts::of).collect()
}

/// Failed attempts in groups, each with its daemon.
pub(super) fn table(groups: &[(&str, FailedAttempts)], names_daemons: bool) -> Markup {
    html! {
        @if groups.is_empty() { p.empty { "No such attempt has failed since this process began." } } @else { div.scroll { table {
            thead { tr {
                @if names_daemons { th { "Daemon" } }
                th.n { "Count" } th { "Last" } th { "First" } th { "Reason" } th { "Topic" } th { "Error" } th { "One of the latest" } th { "Handler" }
            } }
            tbody { @for (daemon, one) in groups { tr {
                @if names_daemons { td { a href={ "/daemons/" (encoded(daemon)) } { (daemon) } } }
                td.n { (grouped(one.count)) } td { (ago(Some(one.last))) } td { (ago(Some(one.first))) }
                td { (one.reason) } td { (one.topic) } td.wide { (one.pattern) }
                td.wide { "[" (one.example.partition) "] " (one.example.offset) ", attempt " (one.example.attempt) ": " (one.example.error) }
                td { (one.handler) }
            } } }
        } } }
    }
}
