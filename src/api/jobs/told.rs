//! What the audit log says of a job: what it is to do, as far as it takes to go on with it, and how it ended.

use super::super::audit::{AuditEntry, Detail};
use super::super::letters::refused;
use super::super::masks::Sight;
use super::super::state::Api;
use super::{Job, Order, Progress, Work};
use crate::dead_letters::LettersError;
use crate::record::Timestamp;

impl Job {
    /// What it is.
    pub(in crate::api) fn told(&self, api: &Api) -> Detail {
        let Order { work, executes, reason, .. } = &self.order;
        let does = match (work, executes) {
            (Work::Redrive { .. }, true) => "re-drives",
            (Work::Redrive { .. }, false) => "counts for a re-drive",
            (Work::Discard { .. }, true) => "discards",
            (Work::Discard { .. }, false) => "counts for a discard",
        };
        let which = Sight::of_audit(api).conditions(work.which()).told();
        Detail(format!("job {} {does} letters of {} ({which}){}: {reason}", self.name, self.topic, how(work)))
    }

    /// That somebody has stopped it.
    pub(in crate::api) fn stopped(&self, reason: &str) -> Detail {
        Detail(format!("stopped job {}: {reason}", self.name))
    }

    /// How it ended, once it has.
    pub(super) fn ended(&self) -> AuditEntry {
        let Self { name, topic, order, .. } = self;
        let Progress { counts, end, .. } = self.progress();
        let error = end.and_then(|end| end.error);
        let did = match (&order.work, order.executes) {
            (Work::Redrive { .. }, true) => "re-driven",
            (Work::Redrive { .. }, false) => "counted for a re-drive",
            (Work::Discard { .. }, true) => "discarded",
            (Work::Discard { .. }, false) => "counted for a discard",
        };
        let (state, why) = match &error {
            None => ("is done", String::new()),
            Some(LettersError::Stopped) => ("is stopped", String::new()),
            Some(error) => ("has failed", format!(": {error}")),
        };
        // What they lack to be done is told by the job itself.
        let left = match counts.unwritten + counts.foreign {
            left if left > 0 && order.executes => format!(", {left} left since nothing can be done with them"),
            _ => String::new(),
        };
        let detail = format!("job {name} {state}: {} letters of {topic} {did}{left}{why}", counts.selected);
        let status = error.filter(|error| *error != LettersError::Stopped).map_or(200, |error| refused(error).status());
        AuditEntry::of_job(&order.by, name, status, detail, Timestamp::now())
    }
}

/// How it is done, beside which letters it is about.
fn how(work: &Work) -> String {
    let Work::Redrive { redrive, to, .. } = work else { return String::new() };
    let to = to.as_ref().map_or(String::new(), |to| format!(", to {to}"));
    let rate = redrive.rate().map_or(String::new(), |rate| format!(", {rate} a second"));
    format!(", request {}{to}{rate}, not if re-driven {} times", redrive.name(), redrive.most())
}
