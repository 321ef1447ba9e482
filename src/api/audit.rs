//! The audit log: who has changed what.
//!
//! Everything that is no mere question is in it, what was refused too: the gate writes it, so that no route can forget to. It goes to the
//! process's log, and the latest of it is kept to be asked for.

use std::collections::VecDeque;
use std::net::SocketAddr;

use axum::http::{Method, StatusCode};
use axum::response::Response;
use maud::{Markup, html};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use super::access::{Identity, Role};
use super::ui::time;
use crate::record::Timestamp;

/// Entries that are kept.
const KEPT: usize = 1_000;

/// What somebody did, or was kept from doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct AuditEntry {
    /// When, in milliseconds since 1970 UTC.
    at: u64,
    /// Who; the name of their token, or `local` where none is needed.
    who: String,
    /// As what.
    role: Role,
    /// From where.
    from: String,
    /// What was asked for: the request's method …
    method: String,
    /// … and path.
    path: String,
    /// What that came to, as the route says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The answer's status code.
    status: u16,
}

impl AuditEntry {
    /// As a row of a page.
    pub(super) fn row(&self) -> Markup {
        let ago = Timestamp::now().as_millis().saturating_sub(self.at);
        html! { tr class=[(self.status >= 400).then_some("warning")] {
            td { (time(ago)) " ago" } td { (self.who) " from " (self.from) } td { (self.role) }
            td { (self.method) " " (self.path) } td.wide { (self.detail.as_deref().unwrap_or_default()) } td.n { (self.status) }
        } }
    }
}

/// What a route says of what it did; goes with its answer.
#[derive(Clone, Debug)]
pub(super) struct Detail(pub(super) String);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Audit(Mutex<VecDeque<AuditEntry>>);

impl Audit {
    /// Writes down how a request was answered.
    pub(super) fn note(&self, who: &Identity, from: SocketAddr, method: &Method, path: &str, response: &Response) {
        let detail = response.extensions().get::<Detail>().map(|detail| detail.0.clone());
        let status: StatusCode = response.status();
        tracing::info!(
            target: "daemonry::audit",
            who = &*who.name,
            role = who.role.name(),
            %from,
            %method,
            path,
            detail,
            status = status.as_u16(),
            "asked to change something"
        );
        let entry = AuditEntry {
            at: Timestamp::now().as_millis(),
            who: who.name.to_string(),
            role: who.role,
            from: from.to_string(),
            method: method.to_string(),
            path: path.to_owned(),
            detail,
            status: status.as_u16(),
        };
        let mut entries = self.0.lock();
        if entries.len() == KEPT {
            entries.pop_front();
        }
        entries.push_back(entry);
    }

    /// The entries, the latest first.
    pub(super) fn entries(&self) -> Vec<AuditEntry> {
        self.0.lock().iter().rev().cloned().collect()
    }
}
