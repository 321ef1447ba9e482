//! Overrides over HTTP: what operators have changed of the daemons, until when, and how it is taken back.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::{Identity, Role};
use super::audit::Detail;
use super::endpoint::{Endpoint, Named, Sent};
use super::problem::{Problem, asked_for, says_why};
use super::state::Api;
use crate::fleet::{Outcome, Reached, Standing};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<OverridesShown, _>(
            "/api/v1/overrides",
            Role::Viewer,
            "What operators have changed of the daemons and not taken back yet, the latest first",
            all,
        ),
        Endpoint::post::<Lifted, _>("/api/v1/overrides/{id}/lift", Role::Operator, "Takes one back", lift)
            .with::<OverrideId>()
            .takes::<LiftRequest>(),
    ]
}

/// One of them.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct OverrideId {
    /// Its `id`.
    pub(super) id: String,
}

/// What operators have changed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OverridesShown {
    /// Why it holds in this process alone, until its end; null where it holds in all of them.
    pub(crate) alone: Option<String>,
    /// Why some may be missing; null where none should be.
    pub(crate) trouble: Option<String>,
    /// They, the latest first.
    pub(crate) overrides: Vec<Standing>,
}

/// Why something is taken back.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LiftRequest {
    /// Why; for the audit log.
    #[schemars(regex(pattern = r"\S"))]
    pub(crate) reason: String,
}

/// What was taken back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Lifted {
    pub(crate) lifted: Standing,
    /// The processes that are heard of, and whether they are known to do so.
    pub(crate) reached: Vec<Reached>,
    /// Why it may not hold in all processes, or why that is not known; null where it does.
    pub(crate) trouble: Option<String>,
}

impl OverridesShown {
    pub(super) fn now(api: &Api) -> Self {
        let mut overrides = api.fleet.standing();
        overrides.reverse();
        let alone = api.fleet.is_alone().then(|| "no fleet is configured".to_owned());
        Self { alone, trouble: api.fleet.trouble(), overrides }
    }
}

impl Lifted {
    /// Takes this one back.
    pub(super) async fn one(api: &Api, identity: &Identity, id: &str, reason: &str) -> Result<Self, Problem> {
        asked_for(format!("lift {id}: {reason}"), async {
            says_why(reason)?;
            Self::taken_back(api, identity, id, reason).await
        })
        .await
    }

    async fn taken_back(api: &Api, identity: &Identity, id: &str, reason: &str) -> Result<Self, Problem> {
        let lifted = api.fleet.lift(id, &identity.name, reason).await;
        let (lifted, Outcome { reached, trouble, .. }) = lifted.ok_or_else(|| {
            Problem::not_found(format!("there is no override `{id}` any more: `/api/v1/overrides` lists them"))
        })?;
        Ok(Self { lifted, reached, trouble: trouble.map(|trouble| trouble.to_string()) })
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let Standing { of, .. } = &self.lifted;
        format!("lifted {} of {}, by {}", of.change, of.daemon, of.by)
    }
}

async fn all(State(api): State<Api>) -> Json<OverridesShown> {
    Json(OverridesShown::now(&api))
}

async fn lift(
    State(api): State<Api>,
    Extension(identity): Extension<Identity>,
    Named(OverrideId { id }): Named<OverrideId>,
    Sent(LiftRequest { reason }): Sent<LiftRequest>,
) -> Result<Response, Problem> {
    let lifted = Lifted::one(&api, &identity, &id, &reason).await?;
    let detail = Extension(Detail(format!("{}: {reason}", lifted.told())));
    Ok((detail, Json(lifted)).into_response())
}
