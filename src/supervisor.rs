//! The supervisor: runs the daemons of a process side by side, and ends the process as they deserve.
//!
//! It owns the main runtime, the request to stop, the deadline of the stop and the admin server. The invariants: a daemon's
//! failure or panic touches the others only through the request to stop; once a stop is asked for the process ends within
//! the drain's time and the grace, whatever its threads do; and it ends with one line that says how.

mod deadline;
mod roster;

use std::any::Any;
use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime;
use tokio::task::JoinSet;

use crate::admin::{AdminError, AdminServer, Health, HealthBoard};
use crate::daemon::{Daemon, DaemonContext, DaemonError, Ended};
use crate::metrics::Metrics;
use crate::shutdown::{Exit, Shutdown};
use deadline::Deadline;
use roster::{Entry, Roster, State};

/// How often the main runtime shows that it lives.
const PULSE: Duration = Duration::from_secs(1);

/// Makes a daemon; once for each of its starts.
type Make = Box<dyn FnMut() -> Box<dyn Daemon> + Send>;

/// Runs daemons until a signal, or until they have all ended.
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
    daemons: Vec<Make>,
    drain: Duration,
    grace: Duration,
    admin: Option<SocketAddr>,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl Supervisor {
    /// A supervisor of no daemons yet: drain 30 s, grace 12 s, no admin server.
    pub fn new() -> Self {
        Self {
            daemons: Vec::new(),
            drain: DaemonContext::DEFAULT_DRAIN,
            grace: Duration::from_secs(12),
            admin: None,
            metrics: Metrics::new(),
            shutdown: Shutdown::new(),
        }
    }

    /// Runs this daemon too. `make` is called for each start of the daemon: what a run uses up is made anew in there.
    #[must_use]
    pub fn daemon<D: Daemon>(mut self, mut make: impl FnMut() -> D + Send + 'static) -> Self {
        self.daemons.push(Box::new(move || Box::new(make())));
        self
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

    /// Serves probes and metrics on this address; see [`admin`](crate::admin).
    #[must_use]
    pub fn admin(self, address: SocketAddr) -> Self {
        Self { admin: Some(address), ..self }
    }

    /// The process's metrics, for what counts outside of a daemon.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// The request to stop, for a program that stops on something else than a signal.
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Runs the daemons, and returns how the process is to end. Not to be called within an async runtime: it brings its own.
    ///
    /// The first SIGINT or SIGTERM stops the daemons, the second ends the process at once (130, 143). A daemon that fails for
    /// good stops the others, which drain. Where the stop doesn't end in time this function does not return: it ends the process.
    pub fn run(self) -> Exit {
        let roster = Roster::default();
        let shutdown = self.shutdown();
        // Kept until the last line is written, so that a log that blocks can't hold the process up either.
        let (exit, deadline) = match self.supervise(&roster) {
            Ok(deadline) => (roster.exit(), Some(deadline)),
            Err(error) => {
                tracing::error!(error = chain(&error), "process can't start");
                (error.exit(), None)
            }
        };
        let (exit_code, daemons) = (exit.code(), roster.to_string());
        let signal = shutdown.signal().map(tracing::field::display);
        match exit {
            Exit::Drained => tracing::info!(exit_code, %exit, signal, daemons, "process ends"),
            _ => tracing::error!(exit_code, %exit, signal, daemons, "process ends"),
        }
        drop(deadline);
        exit
    }

    fn supervise(self, roster: &Roster) -> Result<Deadline, StartError> {
        self.shutdown.listen_to_signals().map_err(StartError::System)?;
        let deadline = Deadline::arm(self.shutdown.clone(), self.drain + self.grace, roster.clone())
            .map_err(StartError::System)?;
        let runtime = runtime::Builder::new_multi_thread().thread_name("daemonry-main").enable_all().build();
        let runtime = runtime.map_err(StartError::System)?;

        let mut children = Vec::new();
        let mut names = HashSet::new();
        for mut make in self.daemons {
            let first = make();
            let name: Arc<str> = Arc::from(first.name());
            if !names.insert(Arc::clone(&name)) {
                return Err(StartError::NameTaken(name));
            }
            let (metrics, health) = (self.metrics.daemon(&name), Health::new(&name));
            let context = DaemonContext::new(name, self.shutdown.token(), self.drain, metrics, health);
            children.push((first, context));
        }
        if children.is_empty() {
            return Err(StartError::NoDaemon);
        }

        let pulse = Health::new("supervisor");
        pulse.ready();
        let health = children.iter().map(|(_, context)| context.health().clone()).chain([pulse.clone()]);
        let board = HealthBoard::new(health.collect(), self.shutdown.token());
        let admin = match self.admin {
            Some(address) => Some(AdminServer::start(address, board, self.metrics.clone())?),
            None => None,
        };
        if let Some(admin) = &admin {
            tracing::info!(address = %admin.address(), "admin server listens");
        }

        runtime.block_on(async {
            let mut background = JoinSet::new();
            background.spawn(beat(pulse));
            let mut running = JoinSet::new();
            for (daemon, context) in children {
                let entry = roster.enter(context.name());
                running.spawn(run_daemon(daemon, context, entry, self.shutdown.clone()));
            }
            while let Some(joined) = running.join_next().await {
                if let Err(error) = joined {
                    tracing::error!(error = chain(&error), "supervision of a daemon broke off, process stops");
                    self.shutdown.request();
                }
            }
        });
        // From here on the deadline bounds what is left, also where the daemons ended by themselves.
        self.shutdown.request();
        // Not waited for: threads that are still blocked must not hold the process up.
        runtime.shutdown_background();
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
            .field("drain", &self.drain)
            .field("grace", &self.grace)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("there is no daemon to run, add one with `Supervisor::daemon`")]
    NoDaemon,
    #[error("two daemons are named `{0}`, give each its own name")]
    NameTaken(Arc<str>),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error("a thread or runtime can't be started")]
    System(#[source] io::Error),
}

impl StartError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoDaemon | Self::NameTaken(_) | Self::Admin(AdminError::Bind { .. }) => Exit::Misconfigured,
            Self::Admin(_) | Self::System(_) => Exit::Failed,
        }
    }
}

/// Shows the liveness probe that the main runtime still runs tasks.
async fn beat(pulse: Health) {
    let mut beats = tokio::time::interval(PULSE);
    loop {
        beats.tick().await;
        pulse.heartbeat();
    }
}

/// Runs one daemon to its end, and stops the process where it failed. Whether a failure is final is decided here and nowhere
/// else: today each one is.
async fn run_daemon(daemon: Box<dyn Daemon>, context: DaemonContext, entry: Entry, shutdown: Shutdown) {
    let (name, health) = (context.name().to_owned(), context.health().clone());
    tracing::info!(daemon = name, "daemon starts");
    let result = match AssertUnwindSafe(daemon.run(context)).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(DaemonError::failed(format!("panicked: {}", panic_text(panic.as_ref())))),
    };
    let state = match result {
        Ok(ended) => {
            health.ended();
            match ended {
                Ended::Drained => tracing::info!(daemon = name, "daemon ended"),
                Ended::Unfinished { work } => tracing::warn!(daemon = name, work, "daemon ended with work unfinished"),
            }
            State::Ended(ended)
        }
        Err(error) => {
            let text = chain(&error);
            health.not_ready("failed");
            tracing::error!(daemon = name, error = text, "daemon failed for good, process stops");
            match error {
                DaemonError::Config(_) => State::Misconfigured(text),
                DaemonError::Failed(_) => State::Failed(text),
            }
        }
    };
    let failed = matches!(state, State::Misconfigured(_) | State::Failed(_));
    // Entered before the stop is asked for, so that the deadline knows the cause.
    entry.set(state);
    if failed {
        shutdown.request();
    }
}

/// What a panic said.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("with a value that is no text")
}

/// An error and its causes, in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
