//! The supervisor: runs the daemons of a process side by side, restarts the ones that fail, and ends the process as they deserve.
//!
//! It owns the main runtime, the request to stop, the deadline of the stop and the admin server. The invariants: a daemon's
//! failure or panic touches the others only through the request to stop, and only where it is final; once a stop is asked for
//! the process ends within the drain's time and the grace, whatever its threads do; and it ends with one line that says how.

mod child;
mod deadline;
mod failure;
#[cfg(feature = "api")]
mod history;
mod restart;
mod roster;
mod start;

use std::fmt;
use std::net::SocketAddr;
#[cfg(feature = "api")]
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinSet;

use crate::admin::{self, Health, HealthBoard};
#[cfg(feature = "api")]
use crate::api::{ApiConfig, ApiServer, Instance};
use crate::daemon::{Daemon, DaemonContext};
#[cfg(feature = "api")]
use crate::fleet::{Fleet, FleetConfig};
use crate::metrics::Metrics;
use crate::shutdown::{Exit, Shutdown};
use deadline::Deadline;
use failure::chain;
use start::{Common, Registered, StartError};

#[cfg(feature = "api")]
pub(crate) use history::Recent;
pub use restart::RestartPolicy;
#[cfg(test)]
pub(crate) use roster::Entry;
#[cfg(feature = "api")]
pub(crate) use roster::Inspected;
pub use roster::{DaemonState, DaemonStatus, Roster};

/// How often the main runtime shows that it lives.
const PULSE: Duration = Duration::from_secs(1);

/// Runs daemons until a signal, or until they have all ended.
///
/// A daemon that fails or panics is restarted by its [`RestartPolicy`] while the others go on. Where that comes too often, or a
/// failure must not be repeated ([`DaemonError::Fatal`](crate::daemon::DaemonError::Fatal)), the others drain and the process ends.
///
/// ```no_run
/// use daemonry::admin;
/// use daemonry::shutdown::Exit;
/// use daemonry::supervisor::Supervisor;
/// # use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
/// # #[derive(Default)] struct Ticker;
/// # #[async_trait::async_trait]
/// # impl Daemon for Ticker {
/// #     fn name(&self) -> &str { "ticker" }
/// #     async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
/// #         context.stopped().await;
/// #         Ok(Ended::Drained)
/// #     }
/// # }
///
/// fn main() -> Exit {
///     Supervisor::new().daemon(Ticker::default).admin(admin::DEFAULT_ADDRESS).run()
/// }
/// ```
pub struct Supervisor {
    daemons: Vec<Registered>,
    restart: RestartPolicy,
    drain: Duration,
    grace: Duration,
    admin: Option<SocketAddr>,
    #[cfg(feature = "api")]
    api: Option<ApiConfig>,
    #[cfg(feature = "api")]
    fleet: Option<FleetConfig>,
    /// The program's name.
    #[cfg(feature = "api")]
    program: String,
    /// The program's version, where it says.
    #[cfg(feature = "api")]
    version: Option<String>,
    metrics: Metrics,
    shutdown: Shutdown,
    roster: Roster,
}

impl Supervisor {
    /// A supervisor of no daemons yet: five restarts within 10 min, drain 30 s, grace 12 s, no admin server.
    pub fn new() -> Self {
        Self {
            daemons: Vec::new(),
            restart: RestartPolicy::default(),
            drain: DaemonContext::DEFAULT_DRAIN,
            grace: Duration::from_secs(12),
            admin: None,
            #[cfg(feature = "api")]
            api: None,
            #[cfg(feature = "api")]
            fleet: None,
            #[cfg(feature = "api")]
            program: "daemonry".to_owned(),
            #[cfg(feature = "api")]
            version: None,
            metrics: Metrics::new(),
            shutdown: Shutdown::new(),
            roster: Roster::default(),
        }
    }

    /// Runs this daemon too. `make` is called for each start of the daemon, on a thread that it may block: what a run uses up
    /// is made anew in there. A panic of it counts as the daemon's failure, except at the first start, which it prevents.
    #[must_use]
    pub fn daemon<D: Daemon>(self, make: impl FnMut() -> D + Send + 'static) -> Self {
        self.register(None, make)
    }

    /// Runs this daemon too, and restarts it by a policy of its own.
    ///
    /// ```
    /// use daemonry::supervisor::{RestartPolicy, Supervisor};
    /// # use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
    /// # #[derive(Default)] struct Orders;
    /// # #[derive(Default)] struct Import;
    /// # #[async_trait::async_trait]
    /// # impl Daemon for Orders {
    /// #     fn name(&self) -> &str { "orders" }
    /// #     async fn run(self: Box<Self>, _: DaemonContext) -> Result<Ended, DaemonError> { Ok(Ended::Drained) }
    /// # }
    /// # #[async_trait::async_trait]
    /// # impl Daemon for Import {
    /// #     fn name(&self) -> &str { "import" }
    /// #     async fn run(self: Box<Self>, _: DaemonContext) -> Result<Ended, DaemonError> { Ok(Ended::Drained) }
    /// # }
    ///
    /// let supervisor = Supervisor::new()
    ///     .restart(RestartPolicy::exponential().max_restarts(10))
    ///     .daemon(Orders::default)
    ///     .daemon_with(RestartPolicy::never(), Import::default);
    /// # drop(supervisor);
    /// ```
    #[must_use]
    pub fn daemon_with<D: Daemon>(self, restart: RestartPolicy, make: impl FnMut() -> D + Send + 'static) -> Self {
        self.register(Some(restart), make)
    }

    fn register<D: Daemon>(
        mut self,
        restart: Option<RestartPolicy>,
        mut make: impl FnMut() -> D + Send + 'static,
    ) -> Self {
        self.daemons.push(Registered { make: Box::new(move || Box::new(make())), restart });
        self
    }

    /// When a daemon that failed is started again (default: [`RestartPolicy::exponential`]). For all daemons that have no policy of
    /// their own, whether they were added before or after.
    #[must_use]
    pub fn restart(self, restart: RestartPolicy) -> Self {
        Self { restart, ..self }
    }

    /// How long a daemon may end what it started once the process is to stop (default: 30 s).
    #[must_use]
    pub fn drain(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// How much longer than the drain the whole stop may take, for the last commits and for leaving groups (default: 12 s). Then the
    /// process ends, blocked threads or not. Drain and grace together must be shorter than the pod's grace period.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Serves probes and metrics on this address; see [`admin`].
    #[must_use]
    pub fn admin(self, address: SocketAddr) -> Self {
        Self { admin: Some(address), ..self }
    }

    /// Serves the [API](crate::api) too.
    #[cfg(feature = "api")]
    #[must_use]
    pub fn api(self, config: ApiConfig) -> Self {
        Self { api: Some(config), ..self }
    }

    /// Tells the other processes of the program what this one is at, and shows what they tell in the API.
    #[cfg(feature = "api")]
    #[must_use]
    pub fn fleet(self, config: FleetConfig) -> Self {
        Self { fleet: Some(config), ..self }
    }

    /// What the program is called (default: `daemonry`).
    #[cfg(feature = "api")]
    #[must_use]
    pub fn program(self, name: impl Into<String>) -> Self {
        Self { program: name.into(), ..self }
    }

    /// The program's version: the API and the fleet tell it, so that a rollout is seen.
    #[cfg(feature = "api")]
    #[must_use]
    pub fn version(self, version: impl Into<String>) -> Self {
        Self { version: Some(version.into()), ..self }
    }

    /// The process's metrics, for what counts outside of a daemon.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The request to stop, for a program that stops on something else than a signal.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// What each daemon is at, to look at while the supervisor runs.
    pub fn roster(&self) -> Roster {
        self.roster.clone()
    }

    /// Runs the daemons, and returns how the process is to end. Not to be called within an async runtime: it brings its own.
    ///
    /// The first SIGINT or SIGTERM stops the daemons, the second ends the process at once (130, 143). A daemon that fails for
    /// good stops the others, which drain. Where the stop doesn't end in time this function does not return: it ends the process.
    pub fn run(self) -> Exit {
        let (roster, shutdown) = (self.roster(), self.shutdown());
        // Kept until the last line is written, so that a log that blocks can't hold the process up either.
        let (exit, deadline) = match self.supervise() {
            Ok(deadline) => (roster.exit(), Some(deadline)),
            Err(error) => {
                tracing::error!(error = chain(&error), "process can't start");
                (error.exit(), None)
            }
        };
        let exit_code = exit.code();
        let daemons = deadline.is_some().then(|| tracing::field::display(&roster));
        let signal = shutdown.signal().map(tracing::field::display);
        match exit {
            Exit::Drained => tracing::info!(exit_code, %exit, signal, daemons, "process ends"),
            _ => tracing::error!(exit_code, %exit, signal, daemons, "process ends"),
        }
        drop(deadline);
        exit
    }

    fn supervise(self) -> Result<Deadline, StartError> {
        self.shutdown.listen_to_signals().map_err(StartError::System)?;
        let deadline = Deadline::arm(self.shutdown.clone(), self.drain + self.grace, self.roster.clone())
            .map_err(StartError::System)?;
        let runtime = runtime::Builder::new_multi_thread().thread_name("daemonry-main").enable_all().build();
        let runtime = runtime.map_err(StartError::System)?;
        let children = {
            // A daemon is made within a runtime here, as it is at its restarts.
            let _inside = runtime.enter();
            let common = Common {
                restart: self.restart,
                drain: self.drain,
                metrics: &self.metrics,
                roster: &self.roster,
                shutdown: &self.shutdown,
            };
            common.make(self.daemons)?
        };

        let pulse = Health::new("supervisor");
        pulse.ready();
        let board = HealthBoard::new(self.roster.clone(), pulse.clone(), self.shutdown.token());
        let admin = match self.admin {
            Some(address) => Some(admin::serve(address, board, self.metrics.clone())?),
            None => None,
        };
        if let Some(admin) = &admin {
            self.roster.serves(admin.address());
            tracing::info!(address = %admin.address(), "admin server listens");
        }
        #[cfg(feature = "api")]
        let shown = show(self.api, self.fleet, Instance::this(&self.program, self.version.as_deref()), &self.roster)?;

        let shutdown = self.shutdown;
        #[cfg(feature = "api")]
        let stop = shutdown.token();
        runtime.block_on(async {
            let mut background = JoinSet::new();
            background.spawn(beat(pulse));
            #[cfg(feature = "api")]
            if let Some(fleet) = &shown.fleet {
                // Not a record is handled that operators have paused.
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = fleet.settled() => {}
                }
            }
            let mut running = JoinSet::new();
            for (child, first) in children {
                running.spawn(child.run(first));
            }
            while let Some(joined) = running.join_next().await {
                if let Err(error) = joined {
                    tracing::error!(error = chain(&error), "supervision of a daemon broke off, process stops");
                    shutdown.request();
                }
            }
        });
        // From here on the deadline bounds what is left, also where the daemons ended by themselves.
        shutdown.request();
        // Not waited for: threads that are still blocked must not hold the process up.
        runtime.shutdown_background();
        #[cfg(feature = "api")]
        drop(shown);
        drop(admin);
        Ok(deadline)
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("daemons", &self.daemons.len())
            .field("restart", &self.restart)
            .field("drain", &self.drain)
            .field("grace", &self.grace)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// What shows the daemons to others, in the order in which it ends.
#[cfg(feature = "api")]
struct ShownTo {
    _api: Option<ApiServer>,
    fleet: Option<Arc<Fleet>>,
}

/// Serves the API, and tells the fleet, where that is to be.
#[cfg(feature = "api")]
fn show(
    api: Option<ApiConfig>,
    fleet: Option<FleetConfig>,
    instance: Instance,
    roster: &Roster,
) -> Result<ShownTo, StartError> {
    if let Some(config) = &api {
        config.check().map_err(StartError::Api)?;
    }
    let fleet = match fleet {
        Some(config) => Some(Fleet::start(config, &instance, roster.clone())),
        None if api.is_some() => Some(Fleet::alone(&instance, roster.clone())),
        None => None,
    };
    let fleet = fleet.transpose().map_err(StartError::System)?.map(Arc::new);
    let api = match (api, &fleet) {
        (Some(config), Some(fleet)) => Some(ApiServer::start(config, instance, roster.clone(), Arc::clone(fleet))?),
        _ => None,
    };
    if let Some(server) = &api {
        roster.serves_api(server.address());
        tracing::info!(address = %server.address(), "API listens");
    }
    Ok(ShownTo { _api: api, fleet })
}

/// Shows the liveness probe that the main runtime still runs tasks.
async fn beat(pulse: Health) {
    let mut beats = tokio::time::interval(PULSE);
    loop {
        beats.tick().await;
        pulse.heartbeat();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use tokio::time::{sleep, timeout};

    use super::*;

    /// Waits until the heart has beaten after `last`.
    async fn beaten(pulse: &Health, last: Option<tokio::time::Instant>) {
        let beats = async {
            while pulse.last_heartbeat() <= last {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PULSE * 20, beats).await.expect("it beats");
    }

    #[tokio::test]
    async fn blocked_main_runtime_is_named_by_the_liveness_probe_and_answers_again_when_it_goes_on() {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (pulse, shutdown) = (Health::new("supervisor"), Shutdown::new());
        let board = HealthBoard::new(Roster::default(), pulse.clone(), shutdown.token());
        let mut tasks = JoinSet::new();
        tasks.spawn_on(beat(pulse.clone()), runtime.handle());
        beaten(&pulse, None).await;

        let (blocks, is_blocked) = channel();
        let (release, released) = channel::<()>();
        let block = async move {
            blocks.send(()).expect("the test waits for it");
            released.recv().expect("the test releases it");
        };
        tasks.spawn_on(block, runtime.handle());
        is_blocked.recv().expect("it begins");
        let last = pulse.last_heartbeat().expect("there was one");
        sleep(PULSE * 2).await;
        assert_eq!(pulse.last_heartbeat(), Some(last), "no heart beats on a runtime that is blocked");
        let later = last + Duration::from_secs(61);
        assert_eq!(board.liveness(later), ["supervisor: no heartbeat for 61 s"]);

        release.send(()).expect("it is still blocked");
        beaten(&pulse, Some(last)).await;
        assert!(board.liveness(later).is_empty());
        runtime.shutdown_background();
    }
}
