//! What the demo shows of each daemon: read from the public metrics and the roster, where an operator reads it too.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemonry::daemon::Ended;
use daemonry::metrics::{DaemonMetrics, MessageStatus, Metrics};
use daemonry::supervisor::{DaemonState, DaemonStatus, Roster};

/// How far back the rate looks.
const WINDOW: Duration = Duration::from_secs(3);

/// One daemon, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures {
    pub(super) daemon: Arc<str>,
    pub(super) state: State,
    /// `None` for a daemon that handles no records.
    pub(super) records: Option<Records>,
}

/// What a daemon is at, in a word or two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All is well.
    Good(&'static str),
    /// It will pass.
    Passing(&'static str),
    /// It won't.
    Bad(&'static str),
}

/// Its records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Records {
    pub(super) rate: f64,
    pub(super) handled: u64,
    pub(super) in_flight: i64,
    pub(super) workers: i64,
    pub(super) queue: i64,
    pub(super) capacity: i64,
    pub(super) lag: u64,
    pub(super) parked: i64,
    pub(super) retries: u64,
    pub(super) dead_lettered: u64,
    pub(super) skipped: u64,
}

impl Records {
    fn of(metrics: &DaemonMetrics) -> Self {
        let ended = |status| metrics.messages.of(status).get();
        Self {
            rate: 0.0,
            handled: ended(MessageStatus::Success),
            in_flight: metrics.in_flight.get(),
            workers: metrics.workers.get(),
            queue: metrics.queue_depth.get(),
            capacity: metrics.queue_capacity.get(),
            lag: metrics.lag_messages(),
            parked: metrics.parked_records.get(),
            retries: metrics.retries.get(),
            dead_lettered: ended(MessageStatus::DeadLettered),
            skipped: ended(MessageStatus::Skipped),
        }
    }

    /// Records that need no more work.
    pub(super) fn finished(&self) -> u64 {
        self.handled + self.dead_lettered + self.skipped
    }
}

/// Reads the figures, and remembers enough of them for the rates.
#[derive(Debug)]
pub(super) struct Meter {
    metrics: Metrics,
    roster: Roster,
    /// Daemons that have had a queue: they handle records.
    consumers: HashSet<Arc<str>>,
    /// What each daemon had finished at some times, the oldest first.
    past: VecDeque<(Instant, Vec<u64>)>,
}

impl Meter {
    pub(super) fn new(metrics: Metrics, roster: Roster) -> Self {
        Self { metrics, roster, consumers: HashSet::new(), past: VecDeque::new() }
    }

    /// A daemon's records so far.
    pub(super) fn records(&self, daemon: &str) -> Records {
        Records::of(&self.metrics.daemon(daemon))
    }

    /// Records that all daemons have finished.
    pub(super) fn finished(&self) -> u64 {
        self.roster.daemons().iter().map(|status| self.records(&status.name).finished()).sum()
    }

    /// All daemons as they stand at `now`, while the process is `stopping` or not.
    pub(super) fn read(&mut self, now: Instant, stopping: bool) -> Vec<Figures> {
        let daemons = self.roster.daemons();
        let mut all: Vec<Figures> = daemons.iter().map(|status| self.figures(status, stopping)).collect();
        let finished: Vec<u64> = all.iter().map(|one| one.records.map_or(0, |records| records.finished())).collect();
        while self.past.len() > 1 && self.past.get(1).is_some_and(|(then, _)| now - *then >= WINDOW) {
            self.past.pop_front();
        }
        if let Some((then, before)) = self.past.front() {
            let seconds = (now - *then).as_secs_f64();
            for (index, records) in all.iter_mut().enumerate().filter_map(|(n, one)| Some((n, one.records.as_mut()?))) {
                let since = finished[index] - before.get(index).copied().unwrap_or(0);
                records.rate = if seconds > 0.0 { since as f64 / seconds } else { 0.0 };
            }
        }
        self.past.push_back((now, finished));
        all
    }

    fn figures(&mut self, status: &DaemonStatus, stopping: bool) -> Figures {
        let metrics = self.metrics.daemon(&status.name);
        if metrics.queue_capacity.get() > 0 {
            self.consumers.insert(Arc::clone(&status.name));
        }
        let records = self.consumers.contains(&status.name).then(|| Records::of(&metrics));
        Figures { daemon: Arc::clone(&status.name), state: state(status, stopping), records }
    }
}

fn state(status: &DaemonStatus, stopping: bool) -> State {
    match status.state {
        DaemonState::Starting | DaemonState::Running if stopping => State::Passing("stopping"),
        DaemonState::Starting => State::Passing("starting"),
        DaemonState::Running if status.unready.is_none() => State::Good("running"),
        DaemonState::Running => State::Passing("not ready"),
        DaemonState::Restarting { .. } => State::Passing("restarting"),
        DaemonState::Ended(Ended::Drained) => State::Good("drained"),
        DaemonState::Misconfigured => State::Bad("misconfigured"),
        DaemonState::Failed => State::Bad("failed"),
        _ => State::Bad("ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_metrics() {
        let metrics = Metrics::new();
        let orders = metrics.daemon("orders");
        orders.messages.of(MessageStatus::Success).add(7);
        orders.messages.of(MessageStatus::DeadLettered).add(2);
        orders.messages.of(MessageStatus::Retried).add(5);
        orders.queue_depth.set(12);
        let records = Meter::new(metrics, Roster::default()).records("orders");
        assert_eq!((records.handled, records.dead_lettered, records.queue, records.finished()), (7, 2, 12, 9));
    }
}
