//! How the processes behaved meanwhile: when they went on, what they held, and whether their probes and metrics said what was true.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::evidence::Evidence;
use super::verdict::{Invariant, Violation};
use crate::ledger::Entry;

/// What memory may grow by beside a tenth: what allocators keep, for the most part.
const SLACK: u64 = 16 << 20;

/// A moment from which on nothing hinders progress any more: a record that is acknowledged later must be finished and committed within a bound.
#[derive(Clone, Debug)]
pub struct Resumption {
    /// What came to its end.
    pub after: String,
    /// When, milliseconds since 1970.
    pub unix_ms: u64,
    /// How long it may take from there until one is finished.
    pub bound: Duration,
    /// And until that one is committed.
    pub committed: Duration,
}

/// What a process may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Open files and sockets.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
}

/// What a probe said: its status and its text. `None` where it said nothing in time.
pub type Answer = Option<(u16, String)>;

/// One look at a process.
#[derive(Clone, PartialEq, Debug)]
pub struct Look {
    /// When it began, milliseconds since 1970.
    pub from_ms: u64,
    /// When it was over, so too.
    pub unix_ms: u64,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Open files and sockets.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// `/livez`.
    pub live: Answer,
    /// `/readyz`.
    pub ready: Answer,
    /// What `/metrics` counted as successes.
    pub succeeded: Option<u64>,
}

/// A time in which a process could do nothing, and had to say so.
#[derive(Clone, Debug)]
pub struct Outage {
    /// From when it must have noticed, milliseconds since 1970.
    pub from_ms: u64,
    /// Until when.
    pub to_ms: u64,
    /// What `/readyz` must say beside its status 503.
    pub said: String,
}

/// All looks at a process, and what they are held against.
#[derive(Clone, Debug)]
pub struct Vitals {
    /// Which process.
    pub pid: u32,
    /// In order.
    pub looks: Vec<Look>,
    /// What it may hold.
    pub bounds: Bounds,
    /// When it had to be unready.
    pub outages: Vec<Outage>,
    /// Times in which it could not even answer, and need not have: looks that fell into one in part are not held against it.
    pub deaf: Vec<(u64, u64)>,
    /// Whether the last look came when all was finished: then it must be ready, and have counted everything.
    pub is_settled: bool,
}

impl Vitals {
    /// The most of something that it held.
    pub fn peak<T: Ord>(&self, of: impl Fn(&Look) -> T) -> Option<T> {
        self.looks.iter().map(of).max()
    }

    /// The means of its memory in the second fifth of the looks, and in the last one: the first is for warming up.
    fn memory_early_and_late(looks: &[Look]) -> (u64, u64) {
        let size = (looks.len() / 5).max(1);
        let mean = |part: usize| {
            let looks = looks.iter().skip(part * size).take(size);
            looks.clone().map(|look| look.memory).sum::<u64>() / looks.count().max(1) as u64
        };
        (mean(1), mean(4))
    }

    /// Fails where its memory has grown between these two. Says both.
    ///
    /// # Errors
    /// As said.
    pub fn ensure_flat(&self) -> Result<()> {
        Self::ensure_flat_of(&self.looks)
    }

    /// The same, of a time in which it did always the same, milliseconds since 1970.
    ///
    /// # Errors
    /// As said.
    pub fn ensure_flat_within(&self, from_ms: u64, to_ms: u64) -> Result<()> {
        let within = |look: &&Look| (from_ms..=to_ms).contains(&look.unix_ms);
        Self::ensure_flat_of(&self.looks.iter().filter(within).cloned().collect::<Vec<_>>())
    }

    fn ensure_flat_of(looks: &[Look]) -> Result<()> {
        let (early, late) = Self::memory_early_and_late(looks);
        eprintln!("memory: {} KiB early, {} KiB late", early >> 10, late >> 10);
        ensure!(late <= early + early / 10 + SLACK, "memory has grown from {early} to {late} bytes");
        Ok(())
    }
}

/// I5: whether progress went on in time after each of these moments.
pub(super) fn resumes_in_time(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for Resumption { after, unix_ms, bound, committed } in &evidence.resumptions {
        let within = |time: &Duration| unix_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let (end, last_commit) = (within(bound), within(committed));
        let fresh = |partition, offset: i64| {
            evidence.produced.iter().any(|produced| {
                produced.stored.partition == partition
                    && produced.stored.offset.0 == offset
                    && produced.acknowledged_ms >= *unix_ms
            })
        };
        let mut later = evidence.ledger.iter().filter(|entry| (*unix_ms..=end).contains(&entry.unix_ms));
        let Some(first) = later.find(|entry| fresh(entry.partition, entry.offset.0)) else {
            let what = format!("no record that came after {after} was finished within {bound:?}");
            violations.push(Violation { invariant: Invariant::I5, record: None, what });
            continue;
        };
        let covers = |entry: &Entry| {
            let mut samples = evidence.samples.iter().filter(|sample| sample.unix_ms <= last_commit);
            samples.any(|sample| {
                sample.committed.get(&entry.partition).is_some_and(|coverage| coverage.covers(entry.offset.0))
            })
        };
        if !covers(first) {
            let what = format!(
                "a record was finished {} ms after {after}, but not committed within {committed:?}",
                first.unix_ms - unix_ms
            );
            let record = Some((first.partition, first.offset));
            violations.push(Violation { invariant: Invariant::I5, record, what });
        }
    }
}

/// I6: whether no process held more than it may.
pub(super) fn stays_within_bounds(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for vitals in &evidence.vitals {
        let Vitals { pid, bounds, .. } = vitals;
        let mut hold = |what: &str, most: Option<u64>, bound: u64| {
            if let Some(most) = most.filter(|most| *most > bound) {
                let what = format!("process {pid} held {most} {what}, {bound} are allowed");
                violations.push(Violation { invariant: Invariant::I6, record: None, what });
            }
        };
        hold("bytes of memory", vitals.peak(|look| look.memory), bounds.memory);
        hold("descriptors", vitals.peak(|look| look.descriptors as u64), bounds.descriptors as u64);
        hold("threads", vitals.peak(|look| look.threads as u64), bounds.threads as u64);
    }
}

/// I7: whether it lived by its own account, was unready when it had to be, and counted no success that wasn't one.
pub(super) fn tells_the_truth(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for vitals in &evidence.vitals {
        let mut wrong = |what: String| {
            let what = format!("process {}: {what}", vitals.pid);
            violations.push(Violation { invariant: Invariant::I7, record: None, what });
        };
        let is_deaf = |look: &&Look| vitals.deaf.iter().any(|(from, to)| look.from_ms <= *to && *from <= look.unix_ms);
        let dead = vitals.looks.iter().filter(|look| !is_deaf(look));
        if let Some(look) = dead.clone().find(|look| look.live.as_ref().is_none_or(|(status, _)| *status != 200)) {
            wrong(format!("/livez said {:?} at {}", look.live, look.unix_ms));
        }
        for Outage { from_ms, to_ms, said } in &vitals.outages {
            let told =
                |look: &Look| look.ready.as_ref().is_some_and(|(status, text)| *status == 503 && text.contains(said));
            let within: Vec<&Look> =
                vitals.looks.iter().filter(|look| (*from_ms..=*to_ms).contains(&look.unix_ms)).collect();
            if within.is_empty() {
                wrong(format!("nobody looked between {from_ms} and {to_ms}"));
            } else if let Some(look) = within.iter().find(|look| !told(look)) {
                wrong(format!("/readyz said {:?} at {}, not that `{said}`", look.ready, look.unix_ms));
            }
        }
        let written = |until: u64| {
            let of_it = |entry: &&Entry| entry.pid == vitals.pid && entry.unix_ms <= until;
            evidence.ledger.iter().filter(of_it).count() as u64
        };
        let ahead = |look: &&Look| look.succeeded.is_some_and(|count| count > written(look.unix_ms));
        if let Some(look) = vitals.looks.iter().find(ahead) {
            let (counted, written) = (look.succeeded.unwrap_or_default(), written(look.unix_ms));
            wrong(format!("/metrics counted {counted} successes at {}, of which {written} were there", look.unix_ms));
        }
        if let Some(last) = vitals.looks.last().filter(|_| vitals.is_settled) {
            if last.succeeded != Some(written(u64::MAX)) {
                wrong(format!("/metrics counted {:?} of {} successes in the end", last.succeeded, written(u64::MAX)));
            }
            if last.ready.as_ref().is_none_or(|(status, _)| *status != 200) {
                wrong(format!("/readyz said {:?} in the end", last.ready));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use daemonry::record::{Offset, Partition};

    use super::*;
    use crate::checker::{Coverage, Fate, Order, Produced, Sample, judge};
    use crate::message::{Message, Stored};

    const PID: u32 = 1;
    const BOUNDS: Bounds = Bounds { memory: 100, descriptors: 10, threads: 5 };

    fn look(unix_ms: u64) -> Look {
        let well = Some((200, "ready".to_owned()));
        let from_ms = unix_ms - 100;
        Look {
            from_ms,
            unix_ms,
            memory: 50,
            descriptors: 5,
            threads: 5,
            live: well.clone(),
            ready: well,
            succeeded: Some(0),
        }
    }

    /// A record that is acknowledged at 1,000 and succeeds at 1,500; it is seen to be committed at 1,600. The looks are the test's.
    fn run(looks: Vec<Look>) -> Evidence {
        let (partition, offset) = (Partition(0), Offset(0));
        let stored = Stored { partition, offset, unix_ms: None, message: Message::new("x") };
        let entry = Entry {
            at: 0,
            partition,
            offset,
            key: "-".to_owned(),
            id: "-".to_owned(),
            attempt: 1,
            pid: PID,
            unix_ms: 1_500,
        };
        let committed = [(partition, Coverage { next: 1, runs: Vec::new() })].into();
        let vitals =
            Vitals { pid: PID, looks, bounds: BOUNDS, outages: Vec::new(), deaf: Vec::new(), is_settled: false };
        Evidence {
            order: Order::Key,
            produced: vec![Produced { stored, id: None, fate: Fate::Success, acknowledged_ms: 1_000 }],
            ledger: vec![entry],
            letters: Vec::new(),
            samples: vec![Sample { committed, ledger_bytes: 10, unix_ms: 1_600 }],
            crashes: Vec::new(),
            seeks: Vec::new(),
            late_commits: Vec::new(),
            uncommitted: Duration::from_secs(1),
            resumptions: Vec::new(),
            vitals: vec![vitals],
        }
    }

    #[track_caller]
    fn breaks(evidence: &Evidence, expected: &[Invariant]) {
        let verdict = judge(evidence);
        assert_eq!(verdict.broken().into_iter().collect::<Vec<_>>(), expected, "{verdict}");
    }

    #[test]
    fn progress_must_go_on_within_its_bound() {
        let resumed_and_committed = |unix_ms, bound, committed| {
            let (bound, committed) = (Duration::from_millis(bound), Duration::from_millis(committed));
            let resumptions = vec![Resumption { after: "the end".to_owned(), unix_ms, bound, committed }];
            Evidence { resumptions, ..run(Vec::new()) }
        };
        let resumed = |unix_ms, bound| resumed_and_committed(unix_ms, bound, bound);
        breaks(&resumed(900, 700), &[]);
        // Finished in time, and committed too late.
        breaks(&resumed(900, 650), &[Invariant::I5]);
        breaks(&resumed(900, 500), &[Invariant::I5]);
        breaks(&resumed_and_committed(900, 650, 700), &[]);
        breaks(&resumed_and_committed(900, 500, 700), &[Invariant::I5]);
        // What was there before shows nothing.
        breaks(&resumed(1_001, 1_000), &[Invariant::I5]);
    }

    #[test]
    fn nothing_may_be_held_beyond_its_bound() {
        breaks(&run(vec![look(1_000)]), &[]);
        breaks(&run(vec![look(900), Look { memory: 101, ..look(1_000) }]), &[Invariant::I6]);
        breaks(&run(vec![Look { descriptors: 11, ..look(1_000) }]), &[Invariant::I6]);
        breaks(&run(vec![Look { threads: 6, ..look(1_000) }]), &[Invariant::I6]);
    }

    #[test]
    fn a_process_must_be_live_whenever_it_can_answer() {
        let silent = Look { live: None, ..look(1_000) };
        breaks(&run(vec![look(900), silent.clone()]), &[Invariant::I7]);
        breaks(&run(vec![Look { live: Some((503, String::new())), ..look(1_000) }]), &[Invariant::I7]);

        let mut deaf = run(vec![silent]);
        deaf.vitals[0].deaf = vec![(950, 1_050)];
        breaks(&deaf, &[]);
        // It was asked while it could not answer, and could when the time for an answer was over.
        deaf.vitals[0].deaf = vec![(850, 900)];
        breaks(&deaf, &[]);
        deaf.vitals[0].deaf = vec![(850, 899)];
        breaks(&deaf, &[Invariant::I7]);
    }

    #[test]
    fn a_process_must_say_why_it_is_not_ready() {
        let unready = |said: &str| Look { ready: Some((503, said.to_owned())), ..look(1_000) };
        let during = |looks: Vec<Look>| {
            let mut evidence = run(looks);
            evidence.vitals[0].outages = vec![Outage { from_ms: 950, to_ms: 1_050, said: "no broker".to_owned() }];
            evidence
        };
        breaks(&during(vec![unready("no broker of 1 answers")]), &[]);
        breaks(&during(vec![unready("something else")]), &[Invariant::I7]);
        breaks(&during(vec![look(1_000)]), &[Invariant::I7]);
        breaks(&during(vec![look(900)]), &[Invariant::I7]);
    }

    #[test]
    fn a_count_must_be_what_was_done() {
        let counted = |unix_ms, succeeded, is_settled| {
            let mut evidence = run(vec![Look { succeeded: Some(succeeded), ..look(unix_ms) }]);
            evidence.vitals[0].is_settled = is_settled;
            evidence
        };
        breaks(&counted(1_499, 1, false), &[Invariant::I7]);
        breaks(&counted(1_500, 1, true), &[]);
        breaks(&counted(1_600, 0, false), &[]);
        breaks(&counted(1_600, 0, true), &[Invariant::I7]);
    }
}
