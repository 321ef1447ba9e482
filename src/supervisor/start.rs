//! The start: every daemon made once and checked, before any of them runs.

use std::collections::HashSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::child::{Child, Make};
use super::restart::{RestartPolicy, Unreachable};
use super::roster::Roster;
use crate::admin::AdminError;
#[cfg(feature = "api")]
use crate::api::ApiConfigError;
use crate::daemon::Daemon;
use crate::metrics::Metrics;
use crate::panic;
use crate::shutdown::{Exit, Shutdown};

/// A daemon to run, and its own policy where it has one.
pub(super) struct Registered {
    pub(super) make: Make,
    pub(super) restart: Option<RestartPolicy>,
}

/// What all daemons of a process have in common.
pub(super) struct Common<'a> {
    pub(super) restart: RestartPolicy,
    pub(super) drain: Duration,
    pub(super) metrics: &'a Metrics,
    pub(super) roster: &'a Roster,
    pub(super) shutdown: &'a Shutdown,
}

/// A child, and the daemon that it runs first.
pub(super) type Start = (Child, Box<dyn Daemon>);

/// A daemon that was made, and what was found right with it.
struct Made {
    name: Arc<str>,
    policy: RestartPolicy,
    make: Make,
    first: Box<dyn Daemon>,
}

impl Common<'_> {
    /// Makes each daemon for the first time, and its line in the roster once all of them are right.
    pub(super) fn make(&self, registered: Vec<Registered>) -> Result<Vec<Start>, StartError> {
        let mut names = HashSet::new();
        let mut all = Vec::new();
        for (index, registered) in registered.into_iter().enumerate() {
            let made = self.make_one(index + 1, registered)?;
            if !names.insert(Arc::clone(&made.name)) {
                return Err(StartError::NameTaken(made.name));
            }
            all.push(made);
        }
        if all.is_empty() {
            return Err(StartError::NoDaemon);
        }
        Ok(all.into_iter().map(|made| self.child(made)).collect())
    }

    fn make_one(&self, number: usize, registered: Registered) -> Result<Made, StartError> {
        let Registered { mut make, restart } = registered;
        let first = catch_unwind(AssertUnwindSafe(&mut make))
            .map_err(|panic| StartError::Make { number, said: panic::message(panic) })?;
        let (name, policy) = (Arc::from(first.name()), restart.unwrap_or(self.restart));
        match policy.check() {
            Ok(()) => Ok(Made { name, policy, make, first }),
            Err(error) => Err(StartError::Restarts { daemon: name, error }),
        }
    }

    fn child(&self, made: Made) -> Start {
        let Made { name, policy, make, first } = made;
        let metrics = self.metrics.daemon(&name);
        let entry = self.roster.enter(Arc::clone(&name), Arc::clone(&metrics));
        let (make, shutdown) = (Arc::new(Mutex::new(make)), self.shutdown.clone());
        (Child { name, make, policy, drain: self.drain, metrics, entry, shutdown }, first)
    }
}

/// Why the process could not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("there is no daemon to run, add one with `Supervisor::daemon`")]
    NoDaemon,
    #[error("two daemons are named `{0}`, give each its own name")]
    NameTaken(Arc<str>),
    #[error("the restart policy of daemon `{daemon}` can't work")]
    Restarts {
        daemon: Arc<str>,
        #[source]
        error: Unreachable,
    },
    #[error("daemon number {number}, in the order they were added, panicked while it was made: {said}")]
    Make { number: usize, said: String },
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[cfg(feature = "api")]
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Api(Vec<ApiConfigError>),
    #[error("a thread or runtime can't be started")]
    System(#[source] io::Error),
}

impl StartError {
    /// How the process ends on account of it.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NoDaemon | Self::NameTaken(_) | Self::Restarts { .. } | Self::Admin(AdminError::Bind { .. }) => {
                Exit::Misconfigured
            }
            #[cfg(feature = "api")]
            Self::Api(_) => Exit::Misconfigured,
            Self::Make { .. } | Self::Admin(_) | Self::System(_) => Exit::Failed,
        }
    }
}
