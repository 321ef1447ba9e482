//! Who runs, who waits for a restart, and how the others have ended.
//!
//! Written by each daemon's task through its own [`Entry`]; read by the probes, by the deadline's thread and by whoever holds a
//! [`Roster`]. The lock is only ever held for a moment, and never across I/O.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::time::Instant;

#[cfg(feature = "api")]
use super::history::History;
use crate::admin::Health;
use crate::daemon::Ended;
#[cfg(feature = "api")]
use crate::metrics::MessageStatus;
use crate::metrics::{DaemonMetrics, DaemonPhase};
#[cfg(feature = "api")]
use crate::pipeline::control::Control;
use crate::pipeline::control::Seat;
use crate::shutdown::Exit;

/// What a daemon is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DaemonState {
    /// It is made, or runs and was not ready yet.
    Starting,
    /// It runs, and has been ready in this run.
    Running,
    /// It failed, and is started again at this time.
    Restarting {
        /// When.
        at: Instant,
    },
    /// It ended as it should, or as far as its time let it.
    Ended(Ended),
    /// It had failed, and the stop came before its restart.
    Stopped,
    /// It could not work as it was configured. The process stops, and ends with code 2.
    Misconfigured,
    /// It failed for good. The process stops, and ends with code 4.
    Failed,
}

impl DaemonState {
    /// How the process ends on account of this daemon, were it to end now.
    fn exit(self) -> Exit {
        match self {
            Self::Ended(Ended::Drained) | Self::Restarting { .. } | Self::Stopped => Exit::Drained,
            Self::Starting | Self::Running | Self::Ended(Ended::Unfinished { .. } | Ended::Unrecorded) => {
                Exit::Unfinished
            }
            Self::Misconfigured => Exit::Misconfigured,
            Self::Failed => Exit::Failed,
        }
    }

    /// Whether there is a run of it now.
    fn is_run(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }

    /// Whether it ended the process.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Misconfigured | Self::Failed)
    }
}

impl From<DaemonState> for DaemonPhase {
    fn from(state: DaemonState) -> Self {
        match state {
            DaemonState::Starting => Self::Starting,
            DaemonState::Running => Self::Running,
            DaemonState::Restarting { .. } => Self::Restarting,
            DaemonState::Ended(_) | DaemonState::Stopped => Self::Ended,
            DaemonState::Misconfigured | DaemonState::Failed => Self::Failed,
        }
    }
}

/// One daemon, as it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DaemonStatus {
    /// Its name.
    pub name: Arc<str>,
    /// What it is at.
    pub state: DaemonState,
    /// Since when.
    pub since: Instant,
    /// How often it was restarted.
    pub restarts: u64,
    /// Why it failed the last time, with the causes, in one line. Stays after its restart.
    pub last_error: Option<Arc<str>>,
    /// Why its present run is not ready; `None` while it is, and where there is no run.
    pub unready: Option<String>,
    /// Whether it was ever ready, in this run or one before, or has ended as it should.
    pub started: bool,
    /// When its present run last gave a heartbeat; `None` before the first, and where there is no run.
    pub last_heartbeat: Option<Instant>,
}

/// The daemons of a process, in the order they were added. Cloning gives another handle of the same.
///
/// ```
/// use daemonry::supervisor::Supervisor;
///
/// let supervisor = Supervisor::new();
/// let roster = supervisor.roster(); // goes to whoever wants to know, while the supervisor runs
/// for daemon in roster.daemons() {
///     println!("{} {:?} for {:?}, {} restarts", daemon.name, daemon.state, daemon.since.elapsed(), daemon.restarts);
/// }
/// ```
#[derive(Clone, Default)]
pub struct Roster {
    lines: Arc<Mutex<Vec<Line>>>,
    admin: Arc<OnceLock<SocketAddr>>,
    api: Arc<OnceLock<SocketAddr>>,
    #[cfg(feature = "api")]
    history: Arc<History>,
}

/// A daemon with all that it shows.
#[cfg(feature = "api")]
#[derive(Clone, Debug)]
pub(crate) struct Inspected {
    pub(crate) status: DaemonStatus,
    pub(crate) metrics: Arc<DaemonMetrics>,
    /// What steers it, once a run of it has told; for daemons that are steered.
    pub(crate) control: Option<Control>,
}

#[cfg(feature = "api")]
impl Inspected {
    /// Records that it was done with since the process began.
    pub(crate) fn handled(&self) -> u64 {
        let done = [MessageStatus::Success, MessageStatus::Skipped, MessageStatus::DeadLettered];
        done.into_iter().map(|status| self.metrics.messages.of(status).get()).sum()
    }
}

struct Line {
    status: DaemonStatus,
    /// Of the present run.
    health: Option<Health>,
    metrics: Arc<DaemonMetrics>,
    control: Seat,
}

impl Roster {
    /// What each daemon is at now. Empty before the supervisor runs.
    pub fn daemons(&self) -> Vec<DaemonStatus> {
        self.lines.lock().iter().map(Line::status).collect()
    }

    /// The same with all that they show.
    #[cfg(feature = "api")]
    pub(crate) fn inspect(&self) -> Vec<Inspected> {
        let lines = self.lines.lock();
        let inspected = lines.iter().map(|line| Inspected {
            status: line.status(),
            metrics: Arc::clone(&line.metrics),
            control: line.control.control(),
        });
        inspected.collect()
    }

    /// What they were at lately.
    #[cfg(feature = "api")]
    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// Where each daemon is steered from.
    #[cfg(feature = "api")]
    pub(crate) fn seats(&self) -> Vec<(Arc<str>, Seat)> {
        self.lines.lock().iter().map(|line| (Arc::clone(&line.status.name), line.control.clone())).collect()
    }

    /// Where probes and metrics are served; `None` before they are, and where they never will be. The port is the one that was
    /// found where any was asked for.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin.get().copied()
    }

    /// Where the [API](crate::api) is served; `None` before it is, and where it never will be.
    pub fn api(&self) -> Option<SocketAddr> {
        self.api.get().copied()
    }

    /// The API is served there.
    #[cfg(feature = "api")]
    pub(super) fn serves_api(&self, address: SocketAddr) {
        // A supervisor runs once.
        self.api.set(address).ok();
    }

    /// Probes and metrics are served there.
    pub(super) fn serves(&self, address: SocketAddr) {
        // A supervisor runs once.
        self.admin.set(address).ok();
    }

    /// One more daemon, about to be started.
    pub(crate) fn enter(&self, name: Arc<str>, metrics: Arc<DaemonMetrics>) -> Entry {
        let status = DaemonStatus {
            name,
            state: DaemonState::Starting,
            since: Instant::now(),
            restarts: 0,
            last_error: None,
            unready: None,
            started: false,
            last_heartbeat: None,
        };
        metrics.state.of(DaemonPhase::Starting).set(1);
        let mut lines = self.lines.lock();
        lines.push(Line { status, health: None, metrics, control: Seat::default() });
        Entry { roster: self.clone(), index: lines.len() - 1 }
    }

    /// How the process ends, were it to end now.
    pub(super) fn exit(&self) -> Exit {
        self.lines.lock().iter().map(|line| line.status.state.exit()).max().unwrap_or(Exit::Drained)
    }
}

impl Line {
    fn status(&self) -> DaemonStatus {
        let mut status = self.status.clone();
        if status.state.is_run() {
            // Before the run has begun, it is about to.
            status.unready = self.health.as_ref().map_or_else(|| Some("starting".to_owned()), Health::unready);
            status.started |= self.health.as_ref().is_some_and(Health::has_been_ready);
            status.last_heartbeat = self.health.as_ref().and_then(Health::last_heartbeat);
        }
        status
    }

    fn set(&mut self, state: DaemonState) {
        self.metrics.state.of(self.status.state.into()).set(0);
        self.metrics.state.of(state.into()).set(1);
        let has_been_ready = self.health.as_ref().is_some_and(Health::has_been_ready);
        self.status.started |= has_been_ready || matches!(state, DaemonState::Ended(_));
        if !state.is_run() {
            self.health = None;
        }
        (self.status.state, self.status.since) = (state, Instant::now());
    }
}

/// For the process's last line.
impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines.lock().iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            let DaemonStatus { name, state, last_error, .. } = &line.status;
            write!(f, "{separator}{name}: ")?;
            let error = last_error.as_deref().unwrap_or_default();
            match state {
                DaemonState::Starting | DaemonState::Running => write!(f, "still running"),
                DaemonState::Restarting { .. } => write!(f, "to be restarted after: {error}"),
                DaemonState::Ended(ended) => write!(f, "{ended}"),
                DaemonState::Stopped => write!(f, "stopped before its restart after: {error}"),
                DaemonState::Misconfigured => write!(f, "misconfigured: {error}"),
                DaemonState::Failed => write!(f, "failed: {error}"),
            }?;
        }
        Ok(())
    }
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Roster").field(&self.daemons()).finish()
    }
}

/// One daemon's line, for the task that owns the daemon.
#[derive(Debug)]
pub(crate) struct Entry {
    roster: Roster,
    index: usize,
}

impl Entry {
    /// A run begins, and reports through this.
    pub(crate) fn start(&self, health: Health) {
        self.change(|line| {
            // What the run before came to is taken over first.
            line.set(DaemonState::Starting);
            line.health = Some(health);
        });
    }

    /// It comes to this.
    pub(crate) fn set(&self, state: DaemonState) {
        self.change(|line| line.set(state));
    }

    /// It comes to this by a failure.
    pub(crate) fn fail(&self, state: DaemonState, error: &str) {
        self.change(|line| {
            line.set(state);
            line.status.last_error = Some(Arc::from(error));
        });
    }

    /// It is started again.
    pub(crate) fn restart(&self) {
        self.change(|line| {
            line.set(DaemonState::Starting);
            line.status.restarts += 1;
            line.metrics.restarts.add(1);
        });
    }

    /// Where its runs tell what steers them.
    pub(crate) fn control(&self) -> Seat {
        self.roster.lines.lock()[self.index].control.clone()
    }

    fn change(&self, change: impl FnOnce(&mut Line)) {
        change(&mut self.roster.lines.lock()[self.index]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Label, Metrics};

    fn entries(names: [&str; 2]) -> (Roster, Metrics, [Entry; 2]) {
        let (roster, metrics) = (Roster::default(), Metrics::new());
        let entries = names.map(|name| roster.enter(Arc::from(name), metrics.daemon(name)));
        (roster, metrics, entries)
    }

    #[test]
    fn worst_cause_decides_the_exit() {
        assert_eq!(Roster::default().exit(), Exit::Drained);
        let (roster, _, [orders, audit]) = entries(["orders", "audit"]);
        assert_eq!(roster.exit(), Exit::Unfinished);
        orders.fail(DaemonState::Failed, "fenced");
        assert_eq!(roster.exit(), Exit::Failed);
        assert_eq!(roster.to_string(), "orders: failed: fenced; audit: still running");
        audit.set(DaemonState::Ended(Ended::Unfinished { work: 2 }));
        assert_eq!(roster.exit(), Exit::Failed);
        assert_eq!(roster.to_string(), "orders: failed: fenced; audit: 2 unfinished");
    }

    #[test]
    fn daemon_that_waits_for_its_restart_leaves_nothing_unfinished() {
        let (roster, _, [orders, audit]) = entries(["orders", "audit"]);
        orders.fail(DaemonState::Restarting { at: Instant::now() }, "no such table");
        audit.set(DaemonState::Ended(Ended::Drained));
        assert_eq!(roster.exit(), Exit::Drained);
        assert_eq!(roster.to_string(), "orders: to be restarted after: no such table; audit: drained");
        orders.set(DaemonState::Stopped);
        assert_eq!(roster.exit(), Exit::Drained);
        assert_eq!(roster.to_string(), "orders: stopped before its restart after: no such table; audit: drained");
    }

    #[test]
    fn status_tells_of_the_present_run_and_of_the_failure_before_it() {
        let (roster, metrics, [orders, _]) = entries(["orders", "audit"]);
        orders.fail(DaemonState::Restarting { at: Instant::now() }, "no such table");
        let waiting = roster.daemons().swap_remove(0);
        assert_eq!((&*waiting.name, waiting.restarts, waiting.unready), ("orders", 0, None));
        orders.restart();
        assert_eq!(roster.daemons()[0].unready.as_deref(), Some("starting"));
        let health = Health::new("orders");
        orders.start(health.clone());
        health.ready();
        health.heartbeat();
        orders.set(DaemonState::Running);
        let running = roster.daemons().swap_remove(0);
        assert_eq!((running.state, running.restarts, running.unready), (DaemonState::Running, 1, None));
        assert_eq!(running.last_error.as_deref(), Some("no such table"));
        assert!(running.last_heartbeat.is_some() && running.since >= waiting.since);
        assert_eq!(metrics.daemon("orders").restarts.get(), 1);
    }

    #[test]
    fn metric_shows_the_one_state_that_a_daemon_is_in() {
        let (_, metrics, [orders, audit]) = entries(["orders", "audit"]);
        let shown = |name: &str| {
            let state = &metrics.daemon(name).state;
            let set = DaemonPhase::ALL.iter().filter(|&&phase| state.of(phase).get() == 1);
            set.map(|phase| phase.value()).collect::<Vec<_>>()
        };
        assert_eq!(shown("orders"), ["starting"]);
        let at = Instant::now();
        for (state, phase) in [
            (DaemonState::Running, "running"),
            (DaemonState::Restarting { at }, "restarting"),
            (DaemonState::Ended(Ended::Drained), "ended"),
            (DaemonState::Stopped, "ended"),
            (DaemonState::Failed, "failed"),
            (DaemonState::Misconfigured, "failed"),
        ] {
            orders.set(state);
            assert_eq!(shown("orders"), [phase]);
        }
        drop(audit);
        assert_eq!(shown("audit"), ["starting"]);
    }
}
