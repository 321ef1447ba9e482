//! The fleet over HTTP: what all processes of the program are at, whichever is asked.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Role;
use super::daemons::DaemonName;
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
        Endpoint::get::<DaemonInFleet, _>(
            "/api/v1/daemons/{daemon}/fleet",
            Role::Viewer,
            "A daemon in all processes: partitions, handlers that run, attempts that failed, rebalances",
            daemon,
        )
        .with::<DaemonName>(),
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

/// A daemon in all processes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DaemonInFleet {
    /// Why some may be missing; null where none should be.
    pub(crate) trouble: Option<String>,
    /// It in each of the processes that have it, this one first.
    pub(crate) instances: Vec<DaemonInInstance>,
}

/// A daemon in one process.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct DaemonInInstance {
    pub(crate) instance: Instance,
    /// It is the one that was asked.
    pub(crate) is_this: bool,
    /// Milliseconds since it was heard of.
    pub(crate) heard: u64,
    /// It should have been heard of since: somebody else may have its partitions.
    pub(crate) is_silent: bool,
    /// What it has told of the daemon.
    pub(crate) reported: Reported,
}

/// A process, and all that is known of it.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) report: Arc<Report>,
    pub(super) is_this: bool,
    /// Milliseconds since it was heard of.
    pub(super) heard: u64,
    pub(super) is_silent: bool,
}

impl Member {
    /// Each of its daemons.
    pub(super) fn daemons(&self) -> impl Iterator<Item = (&Self, &Reported)> + Clone {
        self.report.daemons.iter().map(move |daemon| (self, daemon))
    }
}

/// All processes, this one first, and why some may be missing.
pub(super) struct Members {
    pub(super) trouble: Option<String>,
    pub(super) all: Vec<Member>,
}

impl Members {
    /// Those that are known by now.
    pub(super) fn now(api: &Api) -> Self {
        Self::of(api, api.fleet.seen())
    }

    pub(super) fn of(api: &Api, Sighting { others, trouble }: Sighting) -> Self {
        let this = Report::whole(&api.instance, &api.roster, api.fleet.steered());
        let this = Member { report: Arc::new(this), is_this: true, heard: 0, is_silent: false };
        let other = |heard: &Heard| Member {
            report: Arc::clone(&heard.report),
            is_this: false,
            heard: millis(heard.ago),
            is_silent: heard.is_silent(),
        };
        Self { trouble, all: std::iter::once(this).chain(others.iter().map(other)).collect() }
    }

    /// Whether there is more than this one.
    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Each daemon of each process, but for those of processes that are silent: somebody else may have their partitions.
    pub(super) fn daemons(&self) -> impl Iterator<Item = (&Member, &Reported)> + Clone {
        let heard = self.all.iter().filter(|member| !member.is_silent);
        heard.flat_map(Member::daemons)
    }

    /// The same of one daemon.
    pub(super) fn of_daemon<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a Member, &'a Reported)> {
        self.daemons().filter(move |(_, reported)| reported.daemon.name == name)
    }
}

impl From<Members> for FleetShown {
    fn from(Members { trouble, all }: Members) -> Self {
        Self { trouble, instances: all.into_iter().map(InstanceShown::from).collect() }
    }
}

impl From<Member> for InstanceShown {
    fn from(Member { report, is_this, heard, is_silent }: Member) -> Self {
        let daemon = |Reported { daemon, rate, .. }: &Reported| DaemonShown { daemon: daemon.clone(), rate: *rate };
        let daemons = report.daemons.iter().map(daemon).collect();
        Self { instance: report.instance.clone(), is_this, heard, is_silent, daemons }
    }
}

async fn fleet(State(api): State<Api>) -> Json<FleetShown> {
    Json(Members::of(&api, api.fleet.look().await).into())
}

/// That nothing is known of a process.
pub(super) fn unheard(id: &str) -> Problem {
    Problem::not_found(format!("nothing was heard of a process `{id}` within ten minutes: `/api/v1/fleet` lists them"))
}

async fn instance(
    State(api): State<Api>,
    Named(InstanceName { instance }): Named<InstanceName>,
) -> Result<Json<Report>, Problem> {
    if instance == api.instance.id {
        return Ok(Json(Report::now(&api.instance, &api.roster, api.fleet.steered())));
    }
    let Sighting { others, .. } = api.fleet.look().await;
    let heard = others.into_iter().find(|heard| heard.report.instance.id == instance);
    heard.map(|heard| Json(Report::clone(&heard.report))).ok_or_else(|| unheard(&instance))
}

async fn daemon(
    State(api): State<Api>,
    Named(DaemonName { daemon }): Named<DaemonName>,
) -> Result<Json<DaemonInFleet>, Problem> {
    let Members { trouble, all } = Members::of(&api, api.fleet.look().await);
    let of = |Member { report, is_this, heard, is_silent }: Member| {
        let reported = report.daemons.iter().find(|reported| reported.daemon.name == daemon)?.clone();
        Some(DaemonInInstance { instance: report.instance.clone(), is_this, heard, is_silent, reported })
    };
    let instances: Vec<_> = all.into_iter().filter_map(of).collect();
    if instances.is_empty() {
        api.daemon(&daemon)?;
    }
    Ok(Json(DaemonInFleet { trouble, instances }))
}
