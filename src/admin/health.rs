//! What the probes know: which daemons live, and which are ready.
//!
//! Each daemon reports through its own [`Health`]; the [`HealthBoard`] reads them all and belongs to the supervisor. The
//! invariant: a probe says what the daemons reported, never what it supposes; it asks no broker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// How old a heartbeat may be before the process counts as stuck.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(60);

/// What one daemon tells the probes. Cloning gives another handle of the same.
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
}

const NEVER: u64 = u64::MAX;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    NotReady(String),
    /// It has ended as it should: it says nothing more, and nothing is expected of it.
    Ended,
}

impl Health {
    /// Of the daemon of this name, which is not ready yet.
    pub fn new(name: &str) -> Self {
        let state = State {
            name: Box::from(name),
            made: Instant::now(),
            heartbeat: AtomicU64::new(NEVER),
            readiness: Mutex::new(Readiness::NotReady("starting".to_owned())),
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

    /// It does its work, or could at any time.
    pub fn ready(&self) {
        self.report(Readiness::Ready);
    }

    /// It can't do its work now, for this reason, as in `joining the group`.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.report(Readiness::NotReady(reason.into()));
    }

    /// It has ended as it should.
    pub(crate) fn ended(&self) {
        self.report(Readiness::Ended);
    }

    fn report(&self, readiness: Readiness) {
        let mut reported = self.state.readiness.lock();
        // What a thread that was left behind still reports of an ended daemon changes nothing.
        if *reported != Readiness::Ended {
            *reported = readiness;
        }
    }

    /// Whether the last report was that it is ready.
    pub fn is_ready(&self) -> bool {
        *self.state.readiness.lock() == Readiness::Ready
    }

    /// How old the last heartbeat is at `now`.
    fn silence(&self, now: Instant) -> Option<Duration> {
        match self.state.heartbeat.load(Ordering::Relaxed) {
            NEVER => None,
            millis => Some(now.saturating_duration_since(self.state.made + Duration::from_millis(millis))),
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
    daemons: Vec<Health>,
    stop: CancellationToken,
}

/// A probe's answer: what is wrong, one line each; nothing means yes.
pub(crate) type Complaints = Vec<String>;

impl HealthBoard {
    pub(crate) fn new(daemons: Vec<Health>, stop: CancellationToken) -> Self {
        Self { daemons, stop }
    }

    /// What speaks against the process being alive. Nothing does while it stops: from then on its deadline watches it.
    pub(crate) fn liveness(&self, now: Instant) -> Complaints {
        if self.stop.is_cancelled() {
            return Complaints::new();
        }
        let silent = self.daemons.iter().filter_map(|daemon| {
            let ended = *daemon.state.readiness.lock() == Readiness::Ended;
            let silence = daemon.silence(now).filter(|silence| !ended && *silence > HEARTBEAT_LIMIT)?;
            Some(format!("{}: no heartbeat for {} s", daemon.state.name, silence.as_secs()))
        });
        silent.collect()
    }

    /// What speaks against the process being ready.
    pub(crate) fn readiness(&self) -> Complaints {
        if self.stop.is_cancelled() {
            return vec!["process: draining".to_owned()];
        }
        let unready = self.daemons.iter().filter_map(|daemon| match &*daemon.state.readiness.lock() {
            Readiness::NotReady(reason) => Some(format!("{}: {reason}", daemon.state.name)),
            Readiness::Ready | Readiness::Ended => None,
        });
        unready.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(daemons: &[&Health]) -> HealthBoard {
        HealthBoard::new(daemons.iter().map(|&health| health.clone()).collect(), CancellationToken::new())
    }

    fn later() -> Instant {
        Instant::now() + HEARTBEAT_LIMIT + Duration::from_secs(1)
    }

    #[test]
    fn process_is_ready_when_all_its_daemons_are() {
        let (orders, audit) = (Health::new("orders"), Health::new("audit"));
        let board = board(&[&orders, &audit]);
        orders.ready();
        audit.not_ready("joining the group");
        assert_eq!(board.readiness(), ["audit: joining the group"]);
        audit.ready();
        assert!(board.readiness().is_empty());
    }

    #[test]
    fn daemon_is_not_ready_before_it_says_so() {
        assert_eq!(board(&[&Health::new("orders")]).readiness(), ["orders: starting"]);
    }

    #[test]
    fn process_is_not_ready_while_it_drains_and_stays_alive() {
        let orders = Health::new("orders");
        orders.ready();
        orders.heartbeat();
        let board = board(&[&orders]);
        board.stop.cancel();
        assert_eq!(board.readiness(), ["process: draining"]);
        assert!(board.liveness(later()).is_empty());
    }

    #[test]
    fn silent_daemon_is_named_by_the_liveness_probe() {
        let orders = Health::new("orders");
        orders.heartbeat();
        let board = board(&[&orders]);
        let beat = orders.state.made + Duration::from_millis(orders.state.heartbeat.load(Ordering::Relaxed));
        assert!(board.liveness(beat + HEARTBEAT_LIMIT).is_empty());
        assert_eq!(board.liveness(beat + HEARTBEAT_LIMIT + Duration::from_secs(1)), ["orders: no heartbeat for 61 s"]);
    }

    #[test]
    fn daemon_without_heartbeats_and_one_that_ended_are_not_watched() {
        let (custom, ended) = (Health::new("custom"), Health::new("ended"));
        ended.heartbeat();
        ended.ended();
        assert!(board(&[&custom, &ended]).liveness(later()).is_empty());
    }
}
