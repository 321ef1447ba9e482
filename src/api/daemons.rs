//! Daemons: what they are at, and how they are steered.

pub(crate) mod shown;
pub(super) mod steering;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::Role;
use super::endpoint::{Asked, Endpoint, Named};
use super::problem::Problem;
use super::state::Api;
use crate::pipeline::control::Control;
use crate::supervisor::{DaemonState, Inspected};
use shown::{Attempt, Daemon, FailedAttempts, HeldBack, Partition};

pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = vec![
        Endpoint::get::<Vec<Daemon>, _>("/api/v1/daemons", Role::Viewer, "The daemons of this process", all),
        Endpoint::get::<Daemon, _>("/api/v1/daemons/{daemon}", Role::Viewer, "One daemon", one).with::<DaemonName>(),
        Endpoint::get::<Vec<Partition>, _>(
            "/api/v1/daemons/{daemon}/partitions",
            Role::Viewer,
            "The partitions that are assigned to it here, those that are stuck first",
            partitions,
        )
        .with::<DaemonName>()
        .with::<Which>(),
        Endpoint::get::<Vec<Attempt>, _>(
            "/api/v1/daemons/{daemon}/attempts",
            Role::Viewer,
            "The handlers that run, the longest first",
            attempts,
        )
        .with::<DaemonName>(),
        Endpoint::get::<Vec<FailedAttempts>, _>(
            "/api/v1/daemons/{daemon}/failures",
            Role::Viewer,
            "Attempts that have failed, by what they have in common, the latest first",
            failures,
        )
        .with::<DaemonName>(),
    ];
    endpoints.extend(steering::endpoints());
    endpoints
}

/// A daemon of this process.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct DaemonName {
    /// The daemon's name.
    pub(super) daemon: String,
}

/// Which partitions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Those of this topic alone.
    topic: Option<String>,
    /// Those alone that are held back for this reason.
    held: Option<HeldBack>,
}

async fn all(State(api): State<Api>) -> Json<Vec<Daemon>> {
    Json(api.roster.inspect().iter().map(Daemon::of).collect())
}

async fn one(State(api): State<Api>, Named(DaemonName { daemon }): Named<DaemonName>) -> Result<Json<Daemon>, Problem> {
    Ok(Json(Daemon::of(&api.daemon(&daemon)?)))
}

async fn partitions(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
    Asked(which): Asked<Which>,
) -> Result<Json<Vec<Partition>>, Problem> {
    let view = control(&api, &daemon)?.view();
    let mut all = Partition::all(view.as_deref());
    all.retain(|partition| which.topic.as_ref().is_none_or(|topic| partition.is_of(topic)));
    all.retain(|partition| which.held.is_none_or(|held| partition.is_held(held)));
    Ok(Json(all))
}

async fn attempts(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
) -> Result<Json<Vec<Attempt>>, Problem> {
    let view = control(&api, &daemon)?.view();
    Ok(Json(Attempt::all(view.as_deref())))
}

async fn failures(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
) -> Result<Json<Vec<FailedAttempts>>, Problem> {
    Ok(Json(control(&api, &daemon)?.failed().iter().map(FailedAttempts::of).collect()))
}

/// What steers a daemon.
pub(super) fn control(api: &Api, daemon: &str) -> Result<Control, Problem> {
    let Inspected { status, control, .. } = api.daemon(daemon)?;
    control.ok_or_else(|| {
        Problem::conflict(match status.state {
            DaemonState::Starting | DaemonState::Restarting { .. } => {
                format!("`{daemon}` has not begun yet: look again in a moment, unless it reads no topics")
            }
            _ => format!("`{daemon}` reads no topics: it has no partitions and no dead letters, and can't be steered"),
        })
    })
}
