//! What the routes work on.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::ApiConfig;
use super::access::Admitted;
use super::audit::Audit;
use super::doctor::Doctor;
use super::gate::Hosts;
use super::instance::Instance;
use super::jobs::{Books, Jobs};
use super::letters::READERS;
use super::masks::Masks;
use super::problem::Problem;
use super::proxies::Proxies;
use super::rate::RateLimit;
use super::streams::Streams;
use super::ui::Rendered;
use crate::fleet::Fleet;
use crate::supervisor::{Inspected, Roster};

/// See the module. Cloning gives another handle of the same.
#[derive(Clone)]
pub(super) struct Api(Arc<Inner>);

pub(super) struct Inner {
    pub(super) instance: Instance,
    pub(super) roster: Roster,
    /// This process among those that run the program.
    pub(super) fleet: Arc<Fleet>,
    pub(super) admitted: Admitted,
    pub(super) hosts: Hosts,
    pub(super) rate: RateLimit,
    /// Those that are believed whom they ask for.
    pub(super) proxies: Proxies,
    /// The live pages that are open.
    pub(super) streams: Streams,
    /// What was rendered of them.
    pub(super) rendered: Rendered,
    pub(super) audit: Arc<Audit>,
    /// Work on dead letters.
    pub(super) jobs: Jobs,
    /// What operators don't see of records.
    pub(super) masks: Masks,
    pub(super) doctor: Doctor,
    /// What goes on without whoever asked for it.
    begun: Mutex<JoinSet<()>>,
    /// Has few at once read dead letters.
    pub(super) readers: Semaphore,
    /// It is reached by TLS alone.
    pub(super) is_secure: bool,
    /// What the program was configured with, without secrets.
    pub(super) configuration: Option<String>,
    /// What there is to ask for.
    pub(super) document: Value,
}

impl Api {
    pub(super) fn new(
        config: ApiConfig,
        instance: Instance,
        roster: Roster,
        fleet: Arc<Fleet>,
        document: Value,
    ) -> Self {
        let ApiConfig { tokens, hosts, proxies, configuration, masked, tls, doctor, .. } = config;
        let (admitted, hosts) = (Admitted::holders(tokens), Hosts::new(hosts));
        let audit = Arc::new(Audit::default());
        let books = Books { audit: Arc::clone(&audit), fleet: Arc::clone(&fleet) };
        Self(Arc::new(Inner {
            roster,
            fleet,
            admitted,
            hosts,
            rate: RateLimit::default(),
            proxies: Proxies::new(proxies),
            streams: Streams::default(),
            rendered: Rendered::default(),
            audit,
            jobs: Jobs::of_process(&instance, books),
            instance,
            masks: Masks::new(masked),
            doctor: Doctor::new(doctor),
            begun: Mutex::default(),
            readers: Semaphore::new(READERS),
            is_secure: tls.is_some(),
            configuration,
            document,
        }))
    }

    /// Does this to its end, whether somebody still waits for it or not.
    pub(super) async fn carry_out(&self, work: impl Future<Output = Response> + Send + 'static) -> Response {
        let (done, response) = oneshot::channel();
        self.begin(async move { drop(done.send(work.await)) });
        response.await.unwrap_or_else(|_| {
            let detail = "it broke off: look at the log, and at what it has done";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        })
    }

    /// Begins something that nobody waits for.
    pub(super) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut begun = self.begun.lock();
        while begun.try_join_next().is_some() {}
        begun.spawn(work);
    }

    /// A daemon of this process.
    pub(super) fn daemon(&self, name: &str) -> Result<Inspected, Problem> {
        let mut all = self.roster.inspect();
        let found = all.iter().position(|daemon| &*daemon.status.name == name);
        found.map(|index| all.swap_remove(index)).ok_or_else(|| {
            let names: Vec<&str> = all.iter().map(|daemon| &*daemon.status.name).collect();
            Problem::not_found(format!("there is no daemon `{name}` here, there are: {}", names.join(", ")))
        })
    }
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}
