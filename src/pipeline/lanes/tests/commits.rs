//! When a commit is due, and what the world's source makes of it.

use std::collections::BTreeSet;

use super::model::{Log, World};
use super::*;
use crate::pipeline::metadata;

impl World {
    /// What there is to commit goes to the source, if nothing is on its way there.
    pub(super) fn commit(&mut self) {
        if self.committing.is_none() {
            let ending = self.logs.iter().filter(|log| log.released).filter_map(|log| log.epoch);
            let (mut commits, _) = self.lanes.final_commits(&ending.collect::<Vec<_>>());
            commits.extend(self.lanes.commits());
            for (epoch, commit) in &commits {
                let usage = metadata::decode_usage(&commit.metadata, commit.next.offset()).expect("it is ours");
                self.announced.entry(*epoch).or_default().insert(usage.running.map(|running| running.0));
            }
            self.committing = Some(commits);
        }
    }

    /// The source has taken what was on its way, or refused it. Says whether there was anything.
    pub(super) fn answer(&mut self, taken: bool) -> bool {
        let Some(commits) = self.committing.take() else { return false };
        for (epoch, _) in &commits {
            self.unmarked.remove(epoch);
        }
        let effects = if taken {
            for (epoch, commit) in &commits {
                let usage = metadata::decode_usage(&commit.metadata, commit.next.offset()).expect("it is ours");
                self.announced.insert(*epoch, BTreeSet::from([usage.running.map(|running| running.0)]));
            }
            self.lanes.acknowledge(&commits)
        } else {
            self.lanes.refused(&commits)
        };
        self.hear(effects);
        !commits.is_empty()
    }

    /// It becomes known where partitions end.
    pub(super) fn tell_ends(&mut self) {
        let end = |log: &Log| Some((log.epoch?, Offset(log.written)));
        let effects = self.lanes.note_ends(&self.logs.iter().filter_map(end).collect::<Vec<_>>());
        self.hear(effects);
    }
}

#[test]
fn commit_is_asked_for_after_so_many_completions() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 1, 4, 10, 10);
    bench.lanes.limits.commit_after = 2;
    bench.push(0, 0, "abc");
    let runs: Vec<_> = (0..3).map(|_| bench.taken()).collect();
    let asked: Vec<_> = runs.into_iter().map(|run| bench.succeed(run).commit).collect();
    assert_eq!(asked, [false, true, false]);
    let commits = bench.lanes.commits();
    assert_eq!(commits[0].1.next.offset(), Offset(3));
    assert!(!bench.lanes.acknowledge(&commits).commit);
    assert!(bench.lanes.commits().is_empty());
}
