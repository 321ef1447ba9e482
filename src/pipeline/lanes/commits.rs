//! Commits: what the trackers of the assigned partitions have to say to the source.

use super::super::source::{Epoch, Progress};
use super::probation::Standing;
use super::{Effects, Lanes};

/// When a commit is to be made before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum CommitDue {
    /// Somebody waits for it.
    Now,
    /// Enough is finished.
    Soon,
}

impl<G: Progress> Lanes<G> {
    /// Whether there is a reason for a commit before its time.
    pub(in crate::pipeline) fn commit_due(&self) -> Option<CommitDue> {
        match (self.placed, self.uncommitted >= self.limits.commit_after) {
            (true, _) => Some(CommitDue::Now),
            (false, true) => Some(CommitDue::Soon),
            (false, false) => None,
        }
    }

    /// Whether the committer is to hear of it: once for each reason, and not for every record that ends until it is made.
    pub(super) fn tells_commit(&mut self) -> bool {
        let due = self.commit_due();
        due.is_some() && due != std::mem::replace(&mut self.commit_told, due)
    }

    /// What may be committed now, where that is news to the source.
    pub(in crate::pipeline) fn commits(&mut self) -> Vec<(Epoch, G::Commit)> {
        (self.uncommitted, self.placed, self.commit_told) = (0, false, None);
        let assignments = self.places.iter_mut().filter_map(|place| place.assignment.as_mut());
        let commits = assignments.filter_map(|open| {
            // Where records run one at a time, each has to be announced: it may cost what is finished behind it.
            let commit = match open.standing {
                Standing::Good | Standing::Unmarked => open.progress.commit()?,
                Standing::Probation(_) | Standing::Passed => open.progress.commit_forgetting()?.0,
            };
            open.offered = open.finished;
            open.progress.sent();
            Some((open.context.epoch, commit))
        });
        commits.collect()
    }

    /// Whether something of these assignments has yet to be committed, beside that they are left in order.
    pub(in crate::pipeline) fn owe_commits(&self, epochs: &[Epoch]) -> bool {
        let assignments = self.places.iter().filter_map(|place| place.assignment.as_ref());
        let mut ours = assignments.filter(|open| epochs.contains(&open.context.epoch));
        ours.any(|open| open.progress.commit().is_some())
    }

    /// The last commits of these assignments, and how many finished runs they have to forget because they can't be remembered.
    pub(in crate::pipeline) fn final_commits(&mut self, epochs: &[Epoch]) -> (Vec<(Epoch, G::Commit)>, u64) {
        let mut forgotten = 0;
        let mut commits = Vec::with_capacity(epochs.len());
        for &epoch in epochs {
            let Some(open) = self.assignment(epoch) else { continue };
            open.progress.hand_over();
            if let Some((commit, runs)) = open.progress.commit_forgetting() {
                open.offered = open.finished;
                open.progress.sent();
                forgotten += runs;
                commits.push((epoch, commit));
            }
        }
        (commits, forgotten)
    }

    /// The source has taken these.
    pub(in crate::pipeline) fn acknowledge(&mut self, commits: &[(Epoch, G::Commit)]) -> Effects {
        for (epoch, commit) in commits {
            if let Some(assignment) = self.assignment(*epoch) {
                assignment.progress.acknowledge(commit);
                assignment.covered = assignment.offered;
            }
        }
        self.answered(commits)
    }

    /// The source finds these commits too large.
    pub(in crate::pipeline) fn shrink(&mut self, commits: &[(Epoch, G::Commit)]) {
        for (epoch, _) in commits {
            if let Some(assignment) = self.assignment(*epoch) {
                assignment.progress.shrink();
            }
        }
    }
}
