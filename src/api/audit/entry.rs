//! An entry of the audit log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::access::{Identity, Role};
use crate::payload;
use crate::record::Timestamp;

/// Characters of a text that are kept: what somebody sends must not be what is held.
const LENGTH: usize = 1_000;

/// What somebody did, was kept from doing, or has seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AuditEntry {
    /// When, in milliseconds since 1970 UTC.
    pub(crate) at: u64,
    /// When it came last, where it came more than once within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<u64>,
    /// How often it came.
    pub(crate) count: u64,
    /// Who; the name of their token, or `local` where none is needed. Null where nobody knows.
    pub(crate) who: Option<String>,
    /// As what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<Role>,
    /// From where; `the job` where it is that which has ended.
    pub(crate) from: String,
    /// What was asked for: the request's method, `END` where work has ended that somebody had begun …
    pub(crate) method: String,
    /// … and path; those of the first, where it came more than once.
    pub(crate) path: String,
    /// What that came to, as the route says it, or why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// The answer's status code.
    pub(crate) status: u16,
    /// Whether it was done is not known, or it is under way still: neither done nor refused. Left out where it isn't so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_open: bool,
}

impl AuditEntry {
    /// When it came last, in milliseconds since 1970 UTC.
    pub(crate) fn latest(&self) -> u64 {
        self.last.unwrap_or(self.at)
    }

    /// Who, as people say it.
    pub(crate) fn who(&self) -> &str {
        self.who.as_deref().unwrap_or("somebody")
    }

    /// Of a job that has ended: who has begun it has done what it did.
    pub(in crate::api) fn of_job(by: &Identity, job: &str, status: u16, detail: String, at: Timestamp) -> Self {
        Self {
            at: at.as_millis(),
            last: None,
            count: 1,
            who: Some(by.name.to_string()),
            role: Some(by.role),
            from: "the job".to_owned(),
            method: "END".to_owned(),
            path: format!("/api/v1/jobs/{job}"),
            detail: Some(shortened(&detail)),
            status,
            is_open: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn sample(detail: &str) -> Self {
        Self {
            at: 0,
            last: None,
            count: 1,
            who: Some("ada".to_owned()),
            role: Some(Role::Operator),
            from: "10.0.0.1:4711".to_owned(),
            method: "POST".to_owned(),
            path: "/api/v1/daemons/orders/pause".to_owned(),
            detail: Some(detail.to_owned()),
            status: 200,
            is_open: false,
        }
    }

    /// The same without what there may be too many of.
    pub(super) fn vague(self) -> Self {
        // What whoever is known has asked for is another thing each time.
        let (from, detail) = if self.who.is_some() { (self.from, None) } else { ("others".to_owned(), self.detail) };
        Self { from, detail, path: "…".to_owned(), ..self }
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
