//! Who runs, and how those who don't have ended.
//!
//! Written by each daemon's task in its own [`Entry`], read by the supervisor and by the deadline's thread. The lock is only ever
//! held for a moment, and never across I/O.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::daemon::Ended;
use crate::shutdown::Exit;

/// What became of a daemon.
#[derive(Debug)]
pub(super) enum State {
    /// It runs.
    Running,
    /// It ended as it should, or as far as its time let it.
    Ended(Ended),
    /// It could not work as it was configured.
    Misconfigured(String),
    /// It could not go on.
    Failed(String),
}

impl State {
    /// How the process ends on account of this daemon, were it to end now.
    fn exit(&self) -> Exit {
        match self {
            Self::Ended(Ended::Drained) => Exit::Drained,
            Self::Running | Self::Ended(Ended::Unfinished { .. }) => Exit::Unfinished,
            Self::Misconfigured(_) => Exit::Misconfigured,
            Self::Failed(_) => Exit::Failed,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("still running"),
            Self::Ended(ended) => ended.fmt(f),
            Self::Misconfigured(error) => write!(f, "misconfigured: {error}"),
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

/// The daemons of the process, in the order they were started.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    daemons: Arc<Mutex<Vec<(String, State)>>>,
}

impl Roster {
    /// One more daemon runs.
    pub(super) fn enter(&self, name: &str) -> Entry {
        let mut daemons = self.daemons.lock();
        daemons.push((name.to_owned(), State::Running));
        Entry { roster: self.clone(), index: daemons.len() - 1 }
    }

    /// How the process ends, were it to end now.
    pub(super) fn exit(&self) -> Exit {
        self.daemons.lock().iter().map(|(_, state)| state.exit()).max().unwrap_or(Exit::Drained)
    }
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, state)) in self.daemons.lock().iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{name}: {state}")?;
        }
        Ok(())
    }
}

/// One daemon's line.
#[derive(Debug)]
pub(super) struct Entry {
    roster: Roster,
    index: usize,
}

impl Entry {
    pub(super) fn set(self, state: State) {
        self.roster.daemons.lock()[self.index].1 = state;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worst_cause_decides_the_exit() {
        let roster = Roster::default();
        assert_eq!(roster.exit(), Exit::Drained);
        let (orders, audit) = (roster.enter("orders"), roster.enter("audit"));
        assert_eq!(roster.exit(), Exit::Unfinished);
        orders.set(State::Failed("fenced".to_owned()));
        assert_eq!(roster.exit(), Exit::Failed);
        assert_eq!(roster.to_string(), "orders: failed: fenced; audit: still running");
        audit.set(State::Ended(Ended::Unfinished { work: 2 }));
        assert_eq!(roster.exit(), Exit::Failed);
        assert_eq!(roster.to_string(), "orders: failed: fenced; audit: 2 unfinished");
    }
}
