//! What the probes know: which daemons live, and which are ready.
//!
//! Each run of a daemon reports through a [`Health`] of its own, so that nothing a former run left behind can speak for it; the
//! [`HealthBoard`] reads them through the supervisor's roster. The invariant: a probe says what was reported, never what it
//! supposes; it asks no broker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::supervisor::{DaemonState, DaemonStatus, Roster};

/// How old a heartbeat may be before the process counts as stuck.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);

/// What one run of a daemon tells the probes. Cloning gives another handle of the same.
#[derive(Clone)]
pub struct Health {
    state: Arc<State>,
}

struct State {
    name: Box<str>,
    made: Instant,
    /// Milliseconds from `made` to the last heartbeat; [`NEVER`] before the first.
    heartbeat: AtomicU64,
    readiness: Mutex<Readiness>,
    /// Cancelled when it is ready for the first time.
    worked: CancellationToken,
}

const NEVER: u64 = u64::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    NotReady(String),
}

impl Health {
    /// Of the daemon of this name, which is not ready yet.
    pub fn new(name: &str) -> Self {
        let state = State {
            name: Box::from(name),
            made: Instant::now(),
            heartbeat: AtomicU64::new(NEVER),
            readiness: Mutex::new(Readiness::NotReady("starting".to_owned())),
            worked: CancellationToken::new(),
        };
        Self { state: Arc::new(state) }
    }

    /// The daemon's main loop goes round. From the first heartbeat on it is expected at least every 60 s, or `/livez` fails
    /// and Kubernetes restarts the process; a daemon that never gives one is not watched. Waiting for a broker is no reason
    /// to stop them. Cheap: a clock reading and an atomic store.
    pub fn heartbeat(&self) {
        let millis = u64::try_from(self.state.made.elapsed().as_millis()).unwrap_or(NEVER - 1);
        self.state.heartbeat.store(millis, Ordering::Relaxed);
    }

    /// It does its work, or could at any time. Also says that its configuration works: see
    /// [`DaemonError::Config`](crate::daemon::DaemonError::Config).
    pub fn ready(&self) {
        *self.state.readiness.lock() = Readiness::Ready;
        self.state.worked.cancel();
    }

    /// It can't do its work now, for this reason, as in `joining the group`.
    pub fn not_ready(&self, reason: impl Into<String>) {
        *self.state.readiness.lock() = Readiness::NotReady(reason.into());
    }

    /// Whether the last report was that it is ready.
    pub fn is_ready(&self) -> bool {
        *self.state.readiness.lock() == Readiness::Ready
    }

    /// Whether it ever was ready.
    pub(crate) fn has_been_ready(&self) -> bool {
        self.state.worked.is_cancelled()
    }

    /// Waits until it is ready for the first time.
    pub(crate) async fn until_ready(&self) {
        self.state.worked.cancelled().await;
    }

    /// Why it is not ready; `None` while it is.
    pub(crate) fn unready(&self) -> Option<String> {
        match &*self.state.readiness.lock() {
            Readiness::Ready => None,
            Readiness::NotReady(reason) => Some(reason.clone()),
        }
    }

    /// When the last heartbeat was; `None` before the first.
    pub(crate) fn last_heartbeat(&self) -> Option<Instant> {
        match self.state.heartbeat.load(Ordering::Relaxed) {
            NEVER => None,
            millis => Some(self.state.made + Duration::from_millis(millis)),
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("name", &self.state.name)
            .field("readiness", &*self.state.readiness.lock())
            .finish_non_exhaustive()
    }
}

/// All daemons of a process, as its probes see them.
#[derive(Clone, Debug)]
pub(crate) struct HealthBoard {
    roster: Roster,
    /// The main runtime's own.
    pulse: Health,
    stop: CancellationToken,
}

/// A probe's answer: what is wrong, one line each; nothing means yes.
pub(crate) type Complaints = Vec<String>;

impl HealthBoard {
    pub(crate) fn new(roster: Roster, pulse: Health, stop: CancellationToken) -> Self {
        Self { roster, pulse, stop }
    }

    /// What speaks against the process being alive. A daemon that waits for its restart doesn't; nothing does while the process
    /// stops: from then on its deadline watches it.
    pub(crate) fn liveness(&self, now: Instant) -> Complaints {
        if self.stop.is_cancelled() {
            return Complaints::new();
        }
        let daemons = self.roster.daemons().into_iter().map(|daemon| (daemon.name, daemon.last_heartbeat));
        let all = daemons.chain([(Arc::from(&*self.pulse.state.name), self.pulse.last_heartbeat())]);
        let silent = all.filter_map(|(name, last)| {
            let silence = now.saturating_duration_since(last?);
            (silence > HEARTBEAT_LIMIT).then(|| format!("{name}: no heartbeat for {} s", silence.as_secs()))
        });
        silent.collect()
    }

    /// What speaks against the process having started: daemons that were never ready. One that was, or stands by, has started once and
    /// for all, whatever became of it.
    pub(crate) fn startup(&self, now: Instant) -> Complaints {
        self.roster
            .daemons()
            .iter()
            .filter(|daemon| !daemon.started)
            .filter_map(|daemon| complaint(daemon, now))
            .collect()
    }

    /// What speaks against the process being ready.
    pub(crate) fn readiness(&self, now: Instant) -> Complaints {
        let daemons = self.roster.daemons();
        if self.stop.is_cancelled() {
            let failed = daemons.iter().filter(|daemon| daemon.state.is_failure());
            let failed = failed.filter_map(|daemon| complaint(daemon, now));
            return std::iter::once("process: draining".to_owned()).chain(failed).collect();
        }
        daemons.iter().filter_map(|daemon| complaint(daemon, now)).collect()
    }
}

/// What speaks against this daemon being ready.
fn complaint(daemon: &DaemonStatus, now: Instant) -> Option<String> {
    let (name, error) = (&daemon.name, daemon.last_error.as_deref().unwrap_or_default());
    match daemon.state {
        DaemonState::Starting | DaemonState::Running => Some(format!("{name}: {}", daemon.unready.as_ref()?)),
        DaemonState::Restarting { at } => {
            let wait = at.saturating_duration_since(now).as_secs_f64().ceil();
            Some(format!("{name}: restarting in {wait} s after: {error}"))
        }
        // Nothing is expected of it any more.
        DaemonState::Ended(_) | DaemonState::Stopped => None,
        DaemonState::Misconfigured => Some(format!("{name}: misconfigured: {error}")),
        DaemonState::Failed => Some(format!("{name}: failed for good: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Ended;
    use crate::metrics::Metrics;
    use crate::supervisor::Entry;

    /// A board over daemons of these names, and their entries.
    fn board<const N: usize>(names: [&str; N]) -> (HealthBoard, [Entry; N]) {
        let (roster, metrics) = (Roster::default(), Metrics::new());
        let entries = names.map(|name| roster.enter(Arc::from(name), metrics.daemon(name)));
        (HealthBoard::new(roster, Health::new("supervisor"), CancellationToken::new()), entries)
    }

    /// A run of the daemon begins.
    fn begin(entry: &Entry) -> Health {
        let health = Health::new("run");
        entry.start(health.clone());
        health
    }

    fn later() -> Instant {
        Instant::now() + HEARTBEAT_LIMIT + Duration::from_secs(1)
    }

    #[test]
    fn process_is_ready_when_all_its_daemons_are() {
        let (board, entries) = board(["orders", "audit"]);
        let [orders, audit] = entries.each_ref().map(begin);
        orders.ready();
        audit.not_ready("joining the group");
        assert_eq!(board.readiness(Instant::now()), ["audit: joining the group"]);
        audit.ready();
        assert!(board.readiness(Instant::now()).is_empty());
    }

    #[test]
    fn daemon_is_not_ready_before_it_says_so() {
        let (board, [orders]) = board(["orders"]);
        assert_eq!(board.readiness(Instant::now()), ["orders: starting"]);
        begin(&orders);
        assert_eq!(board.readiness(Instant::now()), ["orders: starting"]);
    }

    #[test]
    fn process_has_started_once_each_daemon_was_ready_once_in_whatever_run() {
        let (board, [orders, audit]) = board(["orders", "audit"]);
        let now = Instant::now();
        assert_eq!(board.startup(now), ["orders: starting", "audit: starting"]);
        let health = begin(&orders);
        health.ready();
        health.not_ready("no broker answers");
        let audits = begin(&audit);
        audits.not_ready("joining the group");
        assert_eq!(board.startup(now), ["audit: joining the group"]);
        orders.fail(DaemonState::Restarting { at: now }, "no such table");
        begin(&orders);
        assert_eq!(board.startup(now), ["audit: joining the group"], "it was ready in a run before");
        audit.set(DaemonState::Ended(Ended::Drained));
        assert!(board.startup(now).is_empty() && !board.readiness(now).is_empty());
    }

    #[test]
    fn daemon_that_fails_before_it_was_ever_ready_has_not_started() {
        let (board, [orders]) = board(["orders"]);
        let now = Instant::now();
        begin(&orders);
        orders.fail(DaemonState::Restarting { at: now }, "no such table");
        assert_eq!(board.startup(now), ["orders: restarting in 0 s after: no such table"]);
    }

    #[test]
    fn process_is_not_ready_while_it_drains_and_stays_alive() {
        let (board, [orders]) = board(["orders"]);
        let health = begin(&orders);
        health.ready();
        health.heartbeat();
        board.stop.cancel();
        assert_eq!(board.readiness(Instant::now()), ["process: draining"]);
        assert!(board.liveness(later()).is_empty());
        orders.fail(DaemonState::Failed, "fenced");
        assert_eq!(board.readiness(Instant::now()), ["process: draining", "orders: failed for good: fenced"]);
    }

    #[test]
    fn silent_daemon_is_named_by_the_liveness_probe() {
        let (board, [orders]) = board(["orders"]);
        let health = begin(&orders);
        health.heartbeat();
        let beat = health.last_heartbeat().expect("it has given one");
        assert!(board.liveness(beat + HEARTBEAT_LIMIT).is_empty());
        assert_eq!(board.liveness(beat + HEARTBEAT_LIMIT + Duration::from_secs(1)), ["orders: no heartbeat for 61 s"]);
    }

    #[test]
    fn silent_runtime_is_named_by_the_liveness_probe() {
        let (board, []) = board([]);
        board.pulse.heartbeat();
        assert_eq!(board.liveness(later()), ["supervisor: no heartbeat for 61 s"]);
    }

    #[test]
    fn daemon_without_heartbeats_and_one_that_ended_are_not_watched() {
        let (board, [custom, ended]) = board(["custom", "ended"]);
        let _custom = begin(&custom);
        begin(&ended).heartbeat();
        ended.set(DaemonState::Ended(Ended::Drained));
        assert!(board.liveness(later()).is_empty());
        assert_eq!(board.readiness(Instant::now()), ["custom: starting"]);
    }

    #[test]
    fn daemon_that_waits_for_its_restart_is_named_with_its_error_and_leaves_the_process_alive() {
        let (board, [orders]) = board(["orders"]);
        begin(&orders).heartbeat();
        let now = Instant::now();
        orders.fail(DaemonState::Restarting { at: now + Duration::from_millis(3_200) }, "no such table");
        assert_eq!(board.readiness(now), ["orders: restarting in 4 s after: no such table"]);
        assert!(board.liveness(later()).is_empty());
    }

    #[test]
    fn former_run_can_not_speak_for_the_present_one() {
        let (board, [orders]) = board(["orders"]);
        let former = begin(&orders);
        let present = begin(&orders);
        former.ready();
        former.heartbeat();
        assert_eq!(board.readiness(Instant::now()), ["orders: starting"]);
        assert!(board.liveness(later()).is_empty());
        present.ready();
        former.not_ready("still stuck");
        assert!(board.readiness(Instant::now()).is_empty());
    }

    #[tokio::test]
    async fn first_readiness_is_remembered() {
        let health = Health::new("orders");
        assert!(!health.has_been_ready());
        health.ready();
        health.not_ready("the brokers can't be read from");
        health.until_ready().await;
        assert!(health.has_been_ready() && !health.is_ready());
    }
}
