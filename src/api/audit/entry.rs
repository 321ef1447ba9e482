//! An entry of the audit log.

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::access::Role;
use crate::api::ui::time;
use crate::payload;
use crate::record::Timestamp;

/// Characters of a text that are kept: what somebody sends must not be what is held.
const LENGTH: usize = 1_000;

/// What somebody did, was kept from doing, or has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::api) struct AuditEntry {
    /// When, in milliseconds since 1970 UTC.
    pub(super) at: u64,
    /// When it came last, where it came more than once within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<u64>,
    /// How often it came.
    pub(super) count: u64,
    /// Who; the name of their token, or `local` where none is needed. Null where nobody knows.
    pub(super) who: Option<String>,
    /// As what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Role>,
    /// From where.
    pub(super) from: String,
    /// What was asked for: the request's method …
    pub(super) method: String,
    /// … and path; those of the first, where it came more than once.
    pub(super) path: String,
    /// What that came to, as the route says it, or why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// The answer's status code.
    pub(super) status: u16,
}

impl AuditEntry {
    /// As a row of a page.
    pub(in crate::api) fn row(&self) -> Markup {
        let ago = Timestamp::now().as_millis().saturating_sub(self.last.unwrap_or(self.at));
        html! { tr class=[(self.status >= 400).then_some("warning")] {
            td { (time(ago)) " ago" }
            td { (self.who.as_deref().unwrap_or("somebody")) " from " (self.from) }
            td { @if let Some(role) = self.role { (role) } }
            td { (self.method) " " (self.path) }
            td.wide { (self.detail.as_deref().unwrap_or_default()) @if self.count > 1 { " (" (self.count) " times)" } }
            td.n { (self.status) }
        } }
    }

    /// The same without what there may be too many of.
    pub(super) fn vague(self) -> Self {
        let from = if self.who.is_some() { self.from } else { "others".to_owned() };
        Self { from, path: "…".to_owned(), ..self }
    }

    /// Writes it to the log.
    pub(super) fn tell(&self, event: &'static str) {
        let Self { from, method, path, detail, status, .. } = self;
        let (who, role) = (self.who.as_deref(), self.role.map(Role::name));
        tracing::info!(target: "daemonry::audit", who, role, %from, %method, path, detail, status, "{event}");
    }

    /// Writes to the log how often it came.
    pub(super) fn tell_again(&self) {
        let Self { from, method, path, detail, status, count, .. } = self;
        let (who, role) = (self.who.as_deref(), self.role.map(Role::name));
        let event = "came again within a minute";
        tracing::info!(target: "daemonry::audit", who, role, %from, %method, path, detail, status, count, "{event}");
    }
}

/// As much of it as is kept.
pub(super) fn shortened(text: &str) -> String {
    payload::shortened(text, LENGTH)
}
