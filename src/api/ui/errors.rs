//! Errors: attempts that failed, of all daemons and processes, by what they have in common, the latest first.

use std::cmp::Reverse;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::links::Links;
use super::live as live_of;
use super::page::{Page, ago, grouped, reasons, shell};
use super::rows::{Of, Origin, left_out, of_each, process};
use crate::api::access::{Identity, Role};
use crate::api::daemons::shown::FailedAttempts;
use crate::api::endpoint::Asked;
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
    Asked(filter): Asked<Filter>,
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
        div data-live={ "/live/errors?" (query) } { (fragment(&api, identity.role, &filter)) }
    };
    Page(shell(&api, &identity, "Errors", "/errors", body))
}

pub(super) async fn live(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Asked(filter): Asked<Filter>,
) -> Response {
    let page = format!("errors {}", serde_urlencoded::to_string(&filter).unwrap_or_default());
    live_of(api, &identity, &page, move |api, role| Ok(fragment(api, role, &filter)))
}

fn fragment(api: &Api, role: Role, filter: &Filter) -> Markup {
    let members = Members::now(api);
    let mut groups = of(members.daemons());
    groups.retain(|group| filter.meets(&group.failed));
    html! {
        (table(&groups, Origin::any(&members), &Links::of(api, role)))
        (left_out(members.daemons(), "groups of failed attempts", |of| (of.failures.len(), of.failures_left_out)))
    }
}

impl Filter {
    fn meets(&self, group: &FailedAttempts) -> bool {
        (self.reason.is_empty() || group.reason == self.reason)
            && (group.pattern.contains(&self.text) || group.example.error.contains(&self.text))
    }
}

/// Failed attempts of a daemon that have something in common, in however many processes.
pub(super) struct Group<'a> {
    daemon: &'a str,
    /// Where there are such.
    members: Vec<&'a Member>,
    /// All of them, with the latest example.
    failed: FailedAttempts,
}

impl<'a> Group<'a> {
    fn of(Of { member, daemon, one }: &Of<'a, FailedAttempts>) -> Self {
        Self { daemon, members: vec![member], failed: (*one).clone() }
    }

    /// Takes those of another process.
    fn join(&mut self, of: &Of<'a, FailedAttempts>) {
        let (all, one) = (&mut self.failed, of.one);
        if one.last > all.last {
            all.example = one.example.clone();
        }
        all.count = all.count.saturating_add(one.count);
        (all.first, all.last) = (all.first.min(one.first), all.last.max(one.last));
        self.members.push(of.member);
    }

    fn is_of(&self, of: &Of<'a, FailedAttempts>) -> bool {
        let (all, one) = (&self.failed, of.one);
        self.daemon == of.daemon && all.fingerprint == one.fingerprint && all.topic == one.topic
    }

    fn processes(&self) -> String {
        match &self.members[..] {
            [one] => process(one),
            all => format!("in {} processes", all.len()),
        }
    }
}

/// What failed of these daemons, the latest first.
pub(super) fn of<'a>(daemons: impl Iterator<Item = (&'a Member, &'a Reported)>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for of in &of_each(daemons, |reported| &reported.failures) {
        match groups.iter_mut().find(|group| group.is_of(of)) {
            Some(group) => group.join(of),
            None => groups.push(Group::of(of)),
        }
    }
    groups.sort_by_key(|group| Reverse(group.failed.last));
    groups
}

/// Failed attempts in groups.
pub(super) fn table(groups: &[Group<'_>], origin: Origin, links: &Links) -> Markup {
    html! {
        @if groups.is_empty() { p.empty { "No such attempt has failed since this process began." } } @else { div.scroll { table {
            thead { tr {
                (origin.head())
                th.n { "Count" } th { "Error" } th { "Last" } th { "First" } th { "Reason" } th { "Topic" } th { "One of the latest" } th { "Handler" }
            } }
            tbody { @for group in groups { tr {
                @let FailedAttempts { count, first, last, reason, topic, pattern, example, handler, .. } = &group.failed;
                (origin.named(group.daemon, &group.processes()))
                td.n { (grouped(*count)) } td.wide { (pattern) } td { (ago(Some(*last))) } td { (ago(Some(*first))) }
                td { (reason) } td { (topic) }
                @let place = html! { "[" (example.partition) "] " (example.offset) };
                td.wide { (links.to((topic, example.partition, example.offset), &place)) ", attempt " (example.attempt) ": " (example.error) }
                td { (handler) }
            } } }
        } } }
    }
}
