//! The fleet over HTTP: what all processes of the program are at, whichever is asked.

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Role;
use super::daemons::shown::{Daemon, millis};
use super::endpoint::{Endpoint, Named};
use super::instance::Instance;
use super::problem::Problem;
use super::state::Api;
use crate::fleet::{Heard, Report, Reported, Sighting};

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<FleetShown, _>(
            "/api/v1/fleet",
            Role::Viewer,
            "The processes that run this program, and their daemons",
            fleet,
        ),
        Endpoint::get::<Report, _>(
            "/api/v1/fleet/{instance}",
            Role::Viewer,
            "What one of them has told of itself: partitions, handlers that run, attempts that failed",
            instance,
        )
        .with::<InstanceName>(),
    ]
}

/// One of the processes.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct InstanceName {
    /// Its `id`.
    pub(super) instance: String,
}

/// The processes that run the program.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct FleetShown {
    /// Why some may be missing; null where none should be.
    pub(crate) trouble: Option<String>,
    /// They, this one first.
    pub(crate) instances: Vec<InstanceShown>,
}

/// A process, and what its daemons are at.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InstanceShown {
    pub(crate) instance: Instance,
    /// It is the one that was asked.
    pub(crate) is_this: bool,
    /// Milliseconds since it was heard of.
    pub(crate) heard: u64,
    /// It should have been heard of since: it has ended without notice, or can't reach the brokers.
    pub(crate) is_silent: bool,
    pub(crate) daemons: Vec<DaemonShown>,
}

/// A daemon of a process.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DaemonShown {
    pub(crate) daemon: Daemon,
    /// Records that it is done with a second, lately.
    pub(crate) rate: f64,
}

impl FleetShown {
    /// What is known by now.
    pub(super) fn now(api: &Api) -> Self {
        Self::of(api, api.fleet.seen())
    }

    fn of(api: &Api, Sighting { others, trouble }: Sighting) -> Self {
        let this = InstanceShown {
            instance: api.instance.clone(),
            is_this: true,
            heard: 0,
            is_silent: false,
            daemons: here(api),
        };
        Self { trouble, instances: std::iter::once(this).chain(others.iter().map(InstanceShown::of)).collect() }
    }
}

impl InstanceShown {
    fn of(heard: &Heard) -> Self {
        let daemon = |Reported { daemon, rate, .. }: &Reported| DaemonShown { daemon: daemon.clone(), rate: *rate };
        Self {
            instance: heard.report.instance.clone(),
            is_this: false,
            heard: millis(heard.ago),
            is_silent: heard.is_silent(),
            daemons: heard.report.daemons.iter().map(daemon).collect(),
        }
    }
}

/// The daemons of this process.
fn here(api: &Api) -> Vec<DaemonShown> {
    let shown = api.roster.inspect();
    shown.iter().map(Daemon::of).map(|daemon| DaemonShown { rate: api.history.rate(&daemon.name), daemon }).collect()
}

async fn fleet(State(api): State<Api>) -> Json<FleetShown> {
    Json(FleetShown::of(&api, api.fleet.look().await))
}

/// What one of the processes has told of itself, this one just now.
pub(super) fn reported(api: &Api, id: &str, sighting: &Sighting) -> Result<(Report, u64), Problem> {
    if id == api.instance.id {
        return Ok((Report::now(&api.instance, &api.roster, api.fleet.steered()), 0));
    }
    let found = sighting.others.iter().find(|heard| heard.report.instance.id == id);
    let heard = found.ok_or_else(|| {
        Problem::not_found(format!(
            "nothing was heard of a process `{id}` within ten minutes: `/api/v1/fleet` lists them"
        ))
    })?;
    Ok((Report::clone(&heard.report), millis(heard.ago)))
}

async fn instance(
    State(api): State<Api>,
    Named(InstanceName { instance }): Named<InstanceName>,
) -> Result<Json<Report>, Problem> {
    Ok(Json(reported(&api, &instance, &api.fleet.look().await)?.0))
}
