//! Readiness: what a daemon over a source tells the probes of how its reading and its work go.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::admin::Health;
use crate::pipeline::Beat;

/// Tells the probes how the reading goes. Until the source has something for the daemon, they are told that it is `waiting`.
pub(super) fn readiness(health: Health, waiting: &'static str) -> Arc<dyn Fn(Beat) + Send + Sync> {
    let seen = Mutex::new(Seen::default());
    Arc::new(move |beat| {
        if !matches!(beat, Beat::Stalled(_) | Beat::Flowing) {
            health.heartbeat();
        }
        if beat == Beat::Polled {
            return;
        }
        let mut seen = seen.lock();
        match beat {
            Beat::Polled => {}
            Beat::Joined => seen.joined = true,
            Beat::Failing(error) => seen.failing = Some(error),
            Beat::Recovered => seen.failing = None,
            Beat::Stalled(stall) => seen.stalled = Some(stall),
            Beat::Flowing => seen.stalled = None,
            Beat::Stopping => seen.stopping = true,
        }
        match seen.complaint(waiting) {
            None => health.ready(),
            Some(complaint) => health.not_ready(complaint),
        }
    })
}

/// What was heard so far.
#[derive(Debug, Default)]
struct Seen {
    joined: bool,
    failing: Option<String>,
    stalled: Option<String>,
    stopping: bool,
}

impl Seen {
    /// What speaks most against it being ready.
    fn complaint<'a>(&'a self, waiting: &'a str) -> Option<&'a str> {
        match self {
            // Whatever it still hears while it ends.
            Self { stopping: true, .. } => Some("stopping, what was started may end"),
            Self { failing: Some(error), .. } => Some(error),
            Self { joined: false, .. } => Some(waiting),
            Self { stalled, .. } => stalled.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemon_is_ready_from_its_first_assignment_on_but_not_while_reading_fails() {
        let health = Health::new("orders");
        let beat = readiness(health.clone(), "joining the group");
        let mut ready = |now| {
            beat(now);
            health.is_ready()
        };
        let failing = || Beat::Failing("no broker answers".to_owned());
        assert_eq!([Beat::Polled, failing(), Beat::Recovered].map(&mut ready), [false; 3]);
        assert_eq!([Beat::Joined, failing(), Beat::Recovered].map(&mut ready), [true, false, true]);
        // A part of it fails, while the rest goes on.
        assert_eq!([failing(), Beat::Polled, Beat::Joined].map(&mut ready), [false; 3]);
    }

    #[test]
    fn daemon_that_stalls_is_not_ready_and_that_is_no_heartbeat() {
        let health = Health::new("orders");
        let beat = readiness(health.clone(), "joining the group");
        let stalled = || Beat::Stalled("nothing was processed for 300s though 7 records wait".to_owned());
        beat(stalled());
        beat(Beat::Flowing);
        assert!(health.last_heartbeat().is_none());
        beat(Beat::Joined);
        beat(stalled());
        assert_eq!(health.unready().as_deref(), Some("nothing was processed for 300s though 7 records wait"));
        // What stands in the way of the reading is the better reason.
        beat(Beat::Failing("no broker answers".to_owned()));
        assert_eq!(health.unready().as_deref(), Some("no broker answers"));
        beat(Beat::Recovered);
        assert!(!health.is_ready());
        beat(Beat::Flowing);
        assert!(health.is_ready());
    }

    #[test]
    fn daemon_that_ends_after_a_failure_is_not_ready_again() {
        let health = Health::new("orders");
        let beat = readiness(health.clone(), "joining the group");
        let failing = Beat::Failing("no broker answers".to_owned());
        for now in [Beat::Joined, failing, Beat::Stopping, Beat::Polled, Beat::Recovered, Beat::Joined] {
            beat(now);
        }
        assert_eq!(health.unready().as_deref(), Some("stopping, what was started may end"));
    }
}
