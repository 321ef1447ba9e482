//! One daemon's life under its supervisor: made, run, made anew after a failure, until it ends or failed for good.
//!
//! Owner of the daemon, of its line in the roster and of its restarts. The invariants: at most one run of the daemon is there at
//! any time, and what it reported with goes with it; whether a failure is final is decided here and nowhere else; what became of the
//! daemon is in the roster before it stops the process, and before it is logged.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};
use tracing::{error, info, warn};

use super::failure::chain;
use super::restart::{RestartPolicy, Restarts};
use super::roster::{DaemonState, Entry};
use crate::admin::Health;
use crate::daemon::{Daemon, DaemonContext, DaemonError, Ended};
use crate::metrics::DaemonMetrics;
use crate::panic;
use crate::shutdown::Shutdown;

/// Makes a daemon; once for each of its starts.
pub(super) type Make = Box<dyn FnMut() -> Box<dyn Daemon> + Send>;

/// See the module.
pub(super) struct Child {
    pub(super) name: Arc<str>,
    /// Shared with the thread that makes a daemon, which may outlive our patience at a stop.
    pub(super) make: Arc<Mutex<Make>>,
    pub(super) policy: RestartPolicy,
    pub(super) drain: Duration,
    pub(super) metrics: Arc<DaemonMetrics>,
    pub(super) entry: Entry,
    pub(super) shutdown: Shutdown,
}

/// Whether a daemon was ever ready, in whatever run: from then on its configuration is known to work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Worked {
    NotYet,
    Once,
}

impl Child {
    /// Runs the daemon, this time and again after failures, and stops the process where it failed for good.
    pub(super) async fn run(self, first: Box<dyn Daemon>) {
        let mut restarts = Restarts::new(self.policy);
        let mut worked = Worked::NotYet;
        let mut stalled_before = false;
        let mut made = Ok(first);
        loop {
            let ended = match made {
                Ok(daemon) => self.run_once(daemon, &mut worked).await,
                Err(error) => Err(error),
            };
            let error = match ended {
                Ok(ended) => return self.end(ended),
                Err(error) => error,
            };
            let Some(delay) = self.judge(&error, worked, stalled_before, &mut restarts) else { return };
            stalled_before = matches!(error, DaemonError::Stalled { .. });
            let stop = self.shutdown.token();
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop(),
                () = sleep(delay) => {}
            }
            self.entry.restart();
            made = tokio::select! {
                biased;
                () = stop.cancelled() => return self.stop(),
                made = self.make_anew() => made,
            };
        }
    }

    /// One run, from the daemon's start until nothing of it is left.
    async fn run_once(&self, daemon: Box<dyn Daemon>, worked: &mut Worked) -> Result<Ended, DaemonError> {
        let health = Health::new(&self.name);
        // Its own, and cancelled with the run: what a panic left behind is told to stop.
        let stop = self.shutdown.token().child_token();
        let _over = stop.clone().drop_guard();
        let metrics = Arc::clone(&self.metrics);
        let context = DaemonContext::new(Arc::clone(&self.name), stop, self.drain, metrics, health.clone())
            .steered_through(self.entry.control());
        self.entry.start(health.clone());
        info!(daemon = &*self.name, "daemon starts");
        // A task of its own, so that a panic is caught wherever it comes from, the drop of what the run holds included.
        let mut run = JoinSet::new();
        run.spawn(async move { daemon.run(context).await });
        let mut is_shown = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = run.join_next() => break ended.expect("one task was spawned, and is joined once"),
                () = health.until_ready(), if !is_shown => {
                    self.entry.set(DaemonState::Running);
                    is_shown = true;
                }
            }
        };
        if health.has_been_ready() {
            *worked = Worked::Once;
        }
        ended.unwrap_or_else(|join| Err(broken_off(join, "panicked")))
    }

    /// The next daemon, made on a thread where that may take its time.
    async fn make_anew(&self) -> Result<Box<dyn Daemon>, DaemonError> {
        let make = Arc::clone(&self.make);
        let mut making = JoinSet::new();
        making.spawn_blocking(move || (make.lock())());
        let made = making.join_next().await.expect("one task was spawned, and is joined once");
        made.map_err(|join| broken_off(join, "panicked while it was made"))
    }

    /// How long to wait for the restart after this failure; `None` where it was final.
    fn judge(
        &self,
        error: &DaemonError,
        worked: Worked,
        stalled_before: bool,
        restarts: &mut Restarts,
    ) -> Option<Duration> {
        let text = chain(error);
        let is_final = match error {
            DaemonError::Config(_) if worked == Worked::NotYet => {
                self.fail(DaemonState::Misconfigured, &text);
                return None;
            }
            // What worked once is not misconfigured: somebody has changed something else, and may change it back.
            DaemonError::Config(_) | DaemonError::Failed(_) => self.shutdown.is_requested(),
            // Made anew, it does nothing either: what is wrong is not in it alone.
            DaemonError::Stalled { moved, .. } => (stalled_before && !moved) || self.shutdown.is_requested(),
            DaemonError::Fatal(_) => true,
        };
        if is_final {
            self.fail(DaemonState::Failed, &text);
            return None;
        }
        let now = Instant::now();
        let Some(delay) = restarts.delay(now, fastrand::f64()) else {
            self.fail(DaemonState::Failed, &restarts.exhausted(&text));
            return None;
        };
        self.entry.fail(DaemonState::Restarting { at: now.checked_add(delay).unwrap_or(now) }, &text);
        warn!(daemon = &*self.name, error = text, ?delay, "daemon failed, it will be restarted");
        Some(delay)
    }

    fn fail(&self, state: DaemonState, text: &str) {
        // Entered before the stop is asked for, so that the deadline knows the cause.
        self.entry.fail(state, text);
        self.shutdown.request();
        error!(daemon = &*self.name, error = text, "daemon failed for good, process stops");
    }

    fn end(&self, ended: Ended) {
        self.entry.set(DaemonState::Ended(ended));
        match ended {
            Ended::Drained => info!(daemon = &*self.name, "daemon ended"),
            Ended::Unfinished { work } => warn!(daemon = &*self.name, work, "daemon ended with work unfinished"),
            Ended::Unrecorded => warn!(daemon = &*self.name, "daemon ended, what it finished last may run again"),
        }
    }

    fn stop(&self) {
        self.entry.set(DaemonState::Stopped);
        info!(daemon = &*self.name, "stop came before the daemon's restart");
    }
}

/// A task that did not come to its end.
fn broken_off(join: JoinError, how: &str) -> DaemonError {
    match join.try_into_panic() {
        Ok(panic) => DaemonError::failed(format!("{how}: {}", panic::message(panic))),
        Err(join) => DaemonError::failed(join),
    }
}

#[cfg(test)]
mod tests;
