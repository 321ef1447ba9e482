//! Daemons: what they are at, and how they are steered.

mod held;
mod reads;
pub(crate) mod shown;
pub(super) mod stake;
pub(super) mod steering;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::Role;
use super::endpoint::{Asked, Endpoint, Named};
use super::fleet::{Member, Members};
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
    endpoints.push(stake::endpoint());
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

/// What steers a daemon that may be steered from here; `None` where another process of the fleet is known to run it, or some may begin to.
pub(super) async fn steered(api: &Api, daemon: &str) -> Result<Option<Control>, Problem> {
    let here = control(api, daemon);
    if here.is_ok() || api.fleet.is_alone() {
        return here.map(Some);
    }
    let members = Members::of(api, api.fleet.look().await);
    // Also those that are silent: what is ordered stands, and they read it when they are back.
    let mut of_daemon = members.all.iter().flat_map(Member::daemons).filter(|(_, of)| of.daemon.name == daemon);
    let may_be = of_daemon.any(|(_, of)| {
        of.daemon.consumer.is_some() || matches!(of.daemon.state, shown::State::Starting | shown::State::Restarting)
    });
    if may_be { Ok(None) } else { here.map(Some) }
}

/// What steers a daemon of this process.
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
