//! Members: who was heard of, and when. A machine without I/O or clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Report;

/// A process that was not heard of for so long is silent: it has missed three reports.
const SILENT: Duration = Duration::from_secs(16);
/// It is forgotten after this time.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Members(BTreeMap<String, (Arc<Report>, Instant)>);

/// A process that was heard of.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) report: Arc<Report>,
    /// For how long nothing was heard of it.
    pub(crate) ago: Duration,
}

impl Heard {
    /// Whether it should have been heard of since.
    pub(crate) fn is_silent(&self) -> bool {
        self.ago >= SILENT
    }
}

impl Members {
    /// A process has told of itself at this time, or has taken that back.
    pub(super) fn hear(&mut self, id: &str, report: Option<Report>, at: Instant) {
        match report {
            Some(report) => drop(self.0.insert(id.to_owned(), (Arc::new(report), at))),
            None => drop(self.0.remove(id)),
        }
    }

    /// Those that are remembered.
    pub(super) fn all(&mut self, now: Instant) -> Vec<Heard> {
        self.0.retain(|_, (_, at)| now.saturating_duration_since(*at) < FORGOTTEN);
        let heard = |(report, at): &(Arc<Report>, Instant)| Heard {
            report: Arc::clone(report),
            ago: now.saturating_duration_since(*at),
        };
        self.0.values().map(heard).collect()
    }
}
