//! The audit log: what was done in all processes, and what this one has refused and shown.

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::page::{Page, shell, since};
use super::rows::{TextFilter, named};
use crate::api::access::Identity;
use crate::api::audit::AuditShown;
use crate::api::state::Api;
use crate::fleet::Deed;

pub(super) async fn audit(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Query(filter): Query<TextFilter>,
) -> Page {
    let AuditShown { asked, trouble, mut entries } = AuditShown::now(&api).await;
    let is_empty = entries.is_empty();
    entries.retain(|deed| meets(&filter, deed));
    let is_fleet = !api.fleet.is_alone();
    let body = html! {
        h1 { "Audit" }
        @if let Some(trouble) = &trouble { p.notice.warning { "What was done in other processes may be missing here: " (trouble) } }
        p.faint {
            @if is_fleet { "The latest of what was done in all processes, those that have ended too. What was refused and seen, and who signed in, is of this process alone." }
            @else { "Of this process since it began." }
            " The log has all of it for good, under " code { "daemonry::audit" } "."
        }
        (filter.form("entries"))
        @if is_empty {
            p.empty { "Nobody has changed anything" @if !is_fleet { " since this process began" } ". What is changed, or refused to be, stands here with who and why." }
        } @else if entries.is_empty() {
            p.empty { "None has this text." }
        } @else {
            div.scroll { table {
                thead { tr { th { "When" } th { "Who" } @if is_fleet { th { "Process" } } th { "Detail" } th.n { "Status" } th { "Request" } } }
                tbody { @for deed in &entries { (row(deed, &asked, is_fleet)) } }
            } }
        }
    };
    Page(shell(&api, &identity, "Audit", "/audit", body))
}

fn meets(filter: &TextFilter, Deed { instance, entry }: &Deed) -> bool {
    let detail = entry.detail.as_deref().unwrap_or_default();
    filter.meets([entry.who(), &entry.from, &named(instance), &entry.method, &entry.path, detail])
}

fn row(Deed { instance, entry }: &Deed, asked: &str, is_fleet: bool) -> Markup {
    html! { tr class=[(entry.status >= 400 || entry.is_open).then_some("warning")] {
        td { (since(entry.latest())) }
        td { (entry.who()) @if let Some(role) = entry.role { " (" (role) ")" } }
        @if is_fleet { td { (named(instance)) @if instance.id == asked { span.faint { " this one" } } } }
        td.wide { (entry.detail.as_deref().unwrap_or_default()) @if entry.count > 1 { " (" (entry.count) " times)" } }
        td.n { @if entry.is_open { b.warning-text { "not known" } } @else { (entry.status) } }
        td.wide { (entry.method) " " (entry.path) span.faint { " from " (entry.from) } }
    } }
}
