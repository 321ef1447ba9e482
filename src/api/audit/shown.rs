//! The audit log over HTTP: this process's, and what was done in the others.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::access::Role;
use super::super::endpoint::Endpoint;
use super::super::state::Api;
use crate::fleet::Deed;

/// What was done, refused and seen.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AuditShown {
    /// The process that was asked, by its `id`: what was refused and seen, and who signed in, is known of it alone.
    pub(crate) asked: String,
    /// Why some of what was done in the others may be missing; null where none should be.
    pub(crate) trouble: Option<String>,
    /// Each with the process that it is of, the latest first.
    pub(crate) entries: Vec<Deed>,
}

impl AuditShown {
    pub(in crate::api) fn endpoint() -> Endpoint {
        let summary = "The latest of what was done in all processes, and of who was turned away by this one and has seen records in it";
        Endpoint::get::<Self, _>("/api/v1/audit", Role::Operator, summary, audit)
    }

    /// As it is now.
    pub(in crate::api) async fn now(api: &Api) -> Self {
        let (others, trouble) = api.fleet.deeds().await;
        let own = api.audit.entries().into_iter().map(|entry| Deed { instance: api.instance.clone(), entry });
        let mut entries: Vec<_> = own.chain(others).collect();
        // Its own stay in the order in which they came.
        entries.sort_by_key(|deed| Reverse(deed.entry.latest()));
        Self { asked: api.instance.id.clone(), trouble, entries }
    }
}

async fn audit(State(api): State<Api>) -> Json<AuditShown> {
    Json(AuditShown::now(&api).await)
}
