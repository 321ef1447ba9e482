//! The audit log over HTTP: this process's, and what was done in the others.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::access::Role;
use super::super::endpoint::{Asked, Endpoint};
use super::super::limit::Limit;
use super::super::problem::Problem;
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
    /// What `before` has to be for those that follow; null where these are the last.
    #[serde(default)]
    pub(crate) next: Option<u64>,
}

/// Which part of the audit log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Paging {
    /// How many entries there may be, and those of the same millisecond as the last; all of them where nothing is said.
    #[schemars(range(min = 1))]
    limit: Option<usize>,
    /// Those alone that came before, in milliseconds since 1970 UTC: the `next` of another page.
    before: Option<u64>,
}

impl AuditShown {
    pub(in crate::api) fn endpoint() -> Endpoint {
        let summary = "The latest of what was done in all processes, and of who was turned away by this one and has seen records in it";
        Endpoint::get::<Self, _>("/api/v1/audit", Role::Operator, summary, audit).with::<Paging>()
    }

    /// As it is now.
    pub(in crate::api) async fn now(api: &Api) -> Self {
        let (others, trouble) = api.fleet.deeds().await;
        let own = api.audit.entries().into_iter().map(|entry| Deed { instance: api.instance.clone(), entry });
        let mut entries: Vec<_> = own.chain(others).collect();
        // Its own stay in the order in which they came.
        entries.sort_by_key(|deed| Reverse(deed.entry.latest()));
        Self { asked: api.instance.id.clone(), trouble, entries, next: None }
    }

    fn page(mut self, limit: usize, before: Option<u64>) -> Self {
        self.entries.retain(|deed| before.is_none_or(|before| deed.entry.latest() < before));
        // Those of one millisecond can't be told apart by it, so they stay together.
        let last = self.entries.iter().take(limit).next_back().map(|deed| deed.entry.latest());
        let end = self.entries.partition_point(|deed| last.is_none_or(|last| deed.entry.latest() >= last));
        self.next = last.filter(|_| end < self.entries.len());
        self.entries.truncate(end);
        self
    }
}

async fn audit(State(api): State<Api>, Asked(paging): Asked<Paging>) -> Result<Json<AuditShown>, Problem> {
    let limit = Limit { usual: usize::MAX, most: None }.of(paging.limit)?;
    Ok(Json(AuditShown::now(&api).await.page(limit, paging.before)))
}
