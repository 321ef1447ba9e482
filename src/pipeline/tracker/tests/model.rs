//! Whatever happens to a partition, the tracker does as sets of offsets do.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What may happen to a partition. Numbers choose among what is possible then.
#[derive(Clone, Debug)]
enum Step {
    /// Records come in, as many as there is room for at most.
    Receive(usize),
    /// One unfinished record finishes, counted from the oldest or from the newest.
    Oldest(usize),
    Newest(usize),
    /// Every other unfinished record finishes: the most runs that can be.
    Alternate,
    Commit,
    /// The process ends, without a commit, and another takes over what was committed.
    Restart,
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1_usize..40).prop_map(Step::Receive),
        1 => Just(Step::Receive(usize::MAX)),
        6 => (0_usize..4).prop_map(Step::Oldest),
        6 => (0_usize..60).prop_map(Step::Newest),
        1 => Just(Step::Alternate),
        3 => Just(Step::Commit),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..60)
}

/// The naive tracker: sets of offsets, next to the real one, over a log with gaps.
struct Model {
    log: Vec<i64>,
    /// How much of the log was read in this assignment.
    read: usize,
    running: BTreeSet<i64>,
    finished: BTreeSet<i64>,
    limit: usize,
    tracker: OffsetTracker,
    /// What stands in the broker, and what was finished by then.
    committed: Option<OffsetCommit>,
    finished_by_then: BTreeSet<i64>,
}

impl Model {
    fn new(log: Vec<i64>, limit: usize) -> Self {
        let nothing = BTreeSet::new();
        Self {
            log,
            read: 0,
            running: nothing.clone(),
            finished: nothing.clone(),
            limit,
            tracker: fresh(limit),
            committed: None,
            finished_by_then: nothing,
        }
    }

    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Receive(records) => {
                for _ in 0..records.min(self.tracker.room()).min(self.log.len() - self.read) {
                    let offset = self.log[self.read];
                    self.read += 1;
                    let due = self.tracker.receive(&record(offset)).is_some();
                    assert_eq!(due, !self.finished.contains(&offset), "{offset}");
                    if due {
                        self.running.insert(offset);
                    }
                }
            }
            Step::Oldest(nth) => self.finish(self.running.iter().nth(nth).copied()),
            Step::Newest(nth) => self.finish(self.running.iter().rev().nth(nth).copied()),
            Step::Alternate => {
                for offset in self.running.iter().copied().skip(1).step_by(2).collect::<Vec<_>>() {
                    self.finish(Some(offset));
                }
            }
            Step::Commit => {
                if let Some(commit) = self.tracker.commit() {
                    self.tracker.acknowledge(&commit);
                    self.committed = Some(commit);
                }
                self.finished_by_then = self.finished.clone();
            }
            Step::Restart => {
                self.tracker =
                    self.committed.as_ref().map_or_else(|| fresh(self.limit), |commit| resume(commit, self.limit));
                self.finished = self.finished_by_then.clone();
                self.running.clear();
                let low = self.committed.as_ref().map_or(0, |commit| commit.next.offset().0);
                self.read = self.log.partition_point(|offset| *offset < low);
                assert!(self.log[..self.read].iter().all(|offset| self.finished.contains(offset)));
            }
        }
        self.check();
    }

    fn finish(&mut self, offset: Option<i64>) {
        let Some(offset) = offset else { return };
        self.running.remove(&offset);
        self.finished.insert(offset);
        settle(&mut self.tracker, [offset]);
        self.check();
    }

    fn check(&self) {
        let tracker = &self.tracker;
        assert_eq!(tracker.unfinished(), self.running.len());
        assert!(tracker.pending.len() <= 3 * tracker.unfinished() + SLACK);
        assert!(tracker.room() > 0 || tracker.unfinished() > 0);
        let Some(low) = tracker.low() else {
            assert!(self.read == 0);
            return;
        };
        // Everything below is finished; what comes next in the log isn't.
        let low_in_log = self.log.partition_point(|offset| *offset < low.0);
        assert!(self.log[..low_in_log].iter().all(|offset| self.finished.contains(offset)));
        assert!(self.log.get(low_in_log).is_none_or(|offset| !self.finished.contains(offset)));
        let current = tracker.current().expect("room was kept for what may finish");
        assert!(current.next.offset() == low && current.metadata.len() <= self.limit);
    }
}

fn any_log(widest: i64) -> impl Strategy<Value = Vec<i64>> {
    (0_i64..1000, prop::collection::vec(1..=widest, 600)).prop_map(|(first, steps)| {
        let ascend = |offset: &mut i64, step: i64| {
            *offset += step;
            Some(*offset)
        };
        steps.into_iter().scan(first, ascend).collect()
    })
}

proptest! {
    #![proptest_config(crate::pipeline::properties())]

    /// Limits are small, so that the room is what holds things back.
    #[test]
    fn tracker_does_as_the_model_does(log in any_log(2), limit in 0_usize..120, steps in any_steps()) {
        let mut model = Model::new(log, limit);
        for step in &steps {
            model.apply(step);
        }
    }

    /// Records lie far apart, and the tracker knows after the first few.
    #[test]
    fn tracker_learns_how_far_apart_records_lie(log in any_log(300), limit in 80_usize..400, steps in any_steps()) {
        let mut log = log;
        let first = log[0];
        log.splice(0..0, [first - 600, first - 300]);
        let mut model = Model::new(log, limit);
        model.tracker.pace.step(300);
        for step in steps.iter().filter(|step| !matches!(step, Step::Restart)) {
            model.apply(step);
        }
    }

    /// Whatever a source delivers in whatever order: nothing that is unfinished is passed, and nothing is handed out
    /// twice.
    #[test]
    fn misbehaving_source_loses_nothing(
        steps in prop::collection::vec((0_i64..40, any::<bool>(), any::<prop::sample::Index>()), 1..80),
    ) {
        let mut tracker = at(20);
        let mut running = BTreeSet::new();
        for (offset, receive, which) in steps {
            if receive {
                let due = tracker.receive(&record(offset)).is_some();
                prop_assert_eq!(due, running.insert(offset));
            } else if !running.is_empty() {
                let offset = *which.get(&running.iter().copied().collect::<Vec<_>>());
                running.remove(&offset);
                settle(&mut tracker, [offset]);
            }
            prop_assert_eq!(tracker.unfinished(), running.len());
            let commit = tracker.current().expect("short enough");
            let mut again = resume(&commit, 4096);
            for offset in running.range(..tracker.next.expect("came in").0) {
                prop_assert!(commit.next.offset().0 <= *offset && again.receive(&record(*offset)).is_some());
            }
        }
    }
}
