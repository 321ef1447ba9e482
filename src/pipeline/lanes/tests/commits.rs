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
            self.told.commit = false;
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
    assert_eq!(bench.lanes.acknowledge(&commits), Effects::default(), "there is nothing to do for it");
    assert!(bench.lanes.commits().is_empty());
}

#[test]
fn last_commits_tell_what_they_have_to_forget() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 1, 4, 10, 10);
    bench.lanes.assignment(Epoch(0)).expect("assigned").progress = resumed(0, 0);
    bench.push(0, 0, "abcd");
    let mut held: VecDeque<_> = (0..4).map(|_| bench.taken()).collect();
    for nth in [2, 0] {
        let held = held.remove(nth).expect("taken");
        bench.succeed(held);
    }
    let (commits, forgotten) = bench.lanes.final_commits(&[Epoch(0), Epoch(7)]);
    assert_eq!((commits[0].1.next.offset(), forgotten), (Offset(1), 1), "there is no room for one behind it");
    let _told = bench.lanes.acknowledge(&commits);
    assert!(!bench.lanes.owe_commits(&[Epoch(0)]));
    let held = held.remove(0).expect("taken");
    bench.succeed(held);
    assert!(bench.lanes.owe_commits(&[Epoch(0)]) && !bench.lanes.owe_commits(&[Epoch(7)]));
}

#[test]
fn commits_that_were_too_large_leave_room_for_less() {
    let mut bench = Bench::new(ProcessingOrder::Unordered, 1, 4, 10, 10);
    bench.push(0, 0, "a");
    let held = bench.taken();
    bench.succeed(held);
    let commits = bench.lanes.commits();
    let room = |bench: &mut Bench| bench.lanes.assignment(Epoch(0)).expect("assigned").progress.room();
    let before = room(&mut bench);
    bench.lanes.shrink(&commits);
    assert!(room(&mut bench) < before);
}
