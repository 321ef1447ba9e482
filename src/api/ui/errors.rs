//! Errors: attempts that failed, of all daemons and processes, by what they have in common, the latest first.

use std::cmp::Reverse;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::live as live_of;
use super::page::{Page, ago, grouped, reasons, shell};
use super::rows::{Of, Origin, left_out, of_each};
use crate::api::access::Identity;
use crate::api::daemons::shown::FailedAttempts;
use crate::api::fleet::{Member, Members};
use crate::api::state::Api;
use crate::fleet::Reported;

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
    let members = Members::now(api);
    let mut groups = of(members.daemons());
    groups.retain(|of| filter.meets(of.one));
    html! {
        (table(&groups, Origin::any(&members)))
        (left_out(members.daemons(), "groups of failed attempts", |of| (of.failures.len(), of.failures_left_out)))
    }
}

impl Filter {
    fn meets(&self, group: &FailedAttempts) -> bool {
        (self.reason.is_empty() || group.reason == self.reason)
            && (group.pattern.contains(&self.text) || group.example.error.contains(&self.text))
    }
}

/// What failed of these daemons, the latest first.
pub(super) fn of<'a>(daemons: impl Iterator<Item = (&'a Member, &'a Reported)>) -> Vec<Of<'a, FailedAttempts>> {
    let mut groups = of_each(daemons, |reported| &reported.failures);
    groups.sort_by_key(|of| Reverse(of.one.last));
    groups
}

/// Failed attempts in groups.
pub(super) fn table(groups: &[Of<'_, FailedAttempts>], origin: Origin) -> Markup {
    html! {
        @if groups.is_empty() { p.empty { "No such attempt has failed since this process began." } } @else { div.scroll { table {
            thead { tr {
                (origin.head())
                th.n { "Count" } th { "Last" } th { "First" } th { "Reason" } th { "Topic" } th { "Error" } th { "One of the latest" } th { "Handler" }
            } }
            tbody { @for of in groups { tr {
                (origin.cells(of))
                td.n { (grouped(of.one.count)) } td { (ago(Some(of.one.last))) } td { (ago(Some(of.one.first))) }
                td { (of.one.reason) } td { (of.one.topic) } td.wide { (of.one.pattern) }
                td.wide { "[" (of.one.example.partition) "] " (of.one.example.offset) ", attempt " (of.one.example.attempt) ": " (of.one.example.error) }
                td { (of.one.handler) }
            } } }
        } } }
    }
}
