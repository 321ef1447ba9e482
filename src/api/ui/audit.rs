//! The audit log: what was done in all processes, and what this one has refused and shown.

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};
use serde::Deserialize;

use super::page::{Page, shell, since};
use super::rows::TextFilter;
use crate::api::access::Identity;
use crate::api::audit::AuditShown;
use crate::api::endpoint::Asked;
use crate::api::state::Api;
use crate::fleet::Deed;

/// Entries of a page, and bytes of their rows: they may be long.
const ROWS: usize = 200;
const BYTES: usize = 150_000;

pub(super) async fn audit(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Asked(filter): Asked<TextFilter>,
    Asked(Before { before }): Asked<Before>,
) -> Page {
    let AuditShown { asked, trouble, mut entries, .. } = AuditShown::now(&api).await;
    let is_empty = entries.is_empty();
    entries.retain(|deed| meets(&filter, deed));
    let is_fleet = !api.fleet.is_alone();
    let Part { rows, newer, older } = Part::of(&entries, before, |deed| row(deed, &asked, is_fleet));
    let address = |before: Option<u64>| {
        let before = before.map_or(String::new(), |before| format!("&before={before}"));
        format!("?{}{before}", filter.query())
    };
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
                thead { tr { th { "When" } th { "Detail" } th { "Who" } @if is_fleet { th { "Process" } } th.n { "Status" } th { "Request" } } }
                tbody { @for row in &rows { (row) } }
            } }
            p {
                @if let Some(newer) = newer { a href=(address(newer)) { "Newer" } " " }
                @if let Some(older) = older { a href=(address(Some(older))) data-key="n" title="Key n" { "Older" } }
            }
        }
    };
    Page(shell(&api, &identity, "Audit", "/audit", body))
}

/// Where a page begins.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Before {
    /// Entries alone that came before, in milliseconds since 1970 UTC.
    #[serde(default)]
    before: Option<u64>,
}

/// The entries of a page.
struct Part {
    rows: Vec<Markup>,
    /// Where the page of newer ones begins, if there are such: with the latest, or before a time.
    newer: Option<Option<u64>>,
    /// Where that of older ones does.
    older: Option<u64>,
}

impl Part {
    fn of(entries: &[Deed], before: Option<u64>, row: impl Fn(&Deed) -> Markup) -> Self {
        let at = |index: usize| entries.get(index).map(|deed| deed.entry.latest());
        let begin = before.map_or(0, |before| entries.partition_point(|deed| deed.entry.latest() >= before));
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for (index, deed) in entries.iter().enumerate().skip(begin) {
            let row = row(deed);
            bytes += row.0.len();
            // Those of one millisecond can't be told apart by an address, so they stay together.
            if (rows.len() >= ROWS || bytes > BYTES) && index > begin && at(index) != at(index - 1) {
                break;
            }
            rows.push(row);
        }
        let end = begin + rows.len();
        let newer = begin.saturating_sub(ROWS);
        Self {
            newer: (begin > 0).then(|| newer.checked_sub(1).and_then(at)),
            older: if end < entries.len() { at(end - 1) } else { None },
            rows,
        }
    }
}

fn meets(filter: &TextFilter, Deed { instance, entry }: &Deed) -> bool {
    let detail = entry.detail.as_deref().unwrap_or_default();
    filter.meets([entry.who(), &entry.from, &instance.called(), &entry.method, &entry.path, detail])
}

fn row(Deed { instance, entry }: &Deed, asked: &str, is_fleet: bool) -> Markup {
    html! { tr class=[(entry.status >= 400 || entry.is_open).then_some("warning")] {
        td { (since(entry.latest())) }
        td.wide { (entry.detail.as_deref().unwrap_or_default()) @if entry.count > 1 { " (" (entry.count) " times)" } }
        td { (entry.who()) @if let Some(role) = entry.role { " (" (role) ")" } }
        @if is_fleet { td { (instance.called()) @if instance.id == asked { span.faint { " this one" } } } }
        td.n { @if entry.is_open { b.warning-text { "not known" } } @else { (entry.status) } }
        td.wide { (entry.method) " " (entry.path) span.faint { " from " (entry.from) } }
    } }
}
