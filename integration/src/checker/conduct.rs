//! How the processes behaved meanwhile: when they went on, what they held, and whether their probes and metrics said what was true.

use std::time::Duration;

use daemonry::record::Partition;

use super::evidence::Evidence;
use super::history::{Histories, History};
use super::verdict::{Invariant, Violation};

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
    /// Resident memory, in bytes, without what is mapped of files.
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
    /// Resident memory, in bytes, without what is mapped of files.
    pub memory: u64,
    /// Open files and sockets.
    pub descriptors: usize,
    /// Threads.
    pub threads: usize,
    /// `/livez`.
    pub live: Answer,
    /// `/readyz`.
    pub ready: Answer,
    /// What `/metrics` counted.
    pub counts: Option<Counts>,
}

/// What a process had counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Successes.
    pub succeeded: u64,
    /// Letters that were acknowledged.
    pub letters: u64,
    /// Retries that were scheduled.
    pub retries: u64,
    /// Records from the oldest unfinished one of each partition to its end.
    pub lag: u64,
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
    /// From when it was to be looked at, milliseconds since 1970.
    pub from_ms: u64,
    /// Until when: until nobody wanted to any more, or it had ended.
    pub to_ms: u64,
    /// In order.
    pub looks: Vec<Look>,
    /// Its threads, by name, when there were most of them.
    pub crowd: String,
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
}

/// I5: whether progress went on in time after each of these moments, in each partition that got a record in the first half of the time.
pub(super) fn resumes_in_time(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    for resumption in &evidence.resumptions {
        let Resumption { after, unix_ms, bound, .. } = resumption;
        let half = unix_ms.saturating_add(millis(*bound) / 2);
        let mut owed = 0;
        for (&partition, records) in &histories.partitions {
            let is_fresh = |history: &&History<'_>| history.produced.acknowledged_ms >= *unix_ms;
            let fresh: Vec<_> = records.values().filter(is_fresh).collect();
            if !fresh.iter().any(|history| history.produced.acknowledged_ms <= half) {
                continue;
            }
            owed += 1;
            if let Err(what) = went_on(resumption, partition, &fresh, evidence) {
                let record = Some((partition, fresh[0].produced.stored.offset));
                violations.push(Violation { invariant: Invariant::I5, record, what });
            }
        }
        if owed == 0 {
            let what = format!("no record came after {after} that could have been finished within {bound:?}");
            violations.push(Violation { invariant: Invariant::I5, record: None, what });
        }
    }
}

/// Whether one of these records of a partition was finished in time, and committed.
fn went_on(
    resumption: &Resumption,
    partition: Partition,
    fresh: &[&History<'_>],
    evidence: &Evidence,
) -> Result<(), String> {
    let Resumption { after, unix_ms, bound, committed } = resumption;
    let (end, last_commit) = (unix_ms.saturating_add(millis(*bound)), unix_ms.saturating_add(millis(*committed)));
    let finished = fresh.iter().filter_map(|history| Some((history.finished_ms()?, history.produced.stored.offset.0)));
    let Some((finished, offset)) = finished.min().filter(|(finished, _)| *finished <= end) else {
        return Err(format!("no record that came after {after} was finished within {bound:?}"));
    };
    let samples = evidence.commits.iter().chain(&evidence.samples).filter(|sample| sample.unix_ms <= last_commit);
    let mut coverages = samples.filter_map(|sample| sample.committed.get(&partition));
    if coverages.any(|coverage| coverage.covers(offset)) {
        return Ok(());
    }
    Err(format!(
        "offset {offset} was finished {} ms after {after}, but not committed within {committed:?}",
        finished - unix_ms
    ))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// I6: whether no process held more than it may.
pub(super) fn stays_within_bounds(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for vitals in &evidence.vitals {
        let Vitals { pid, bounds, crowd, .. } = vitals;
        let mut hold = |what: &str, most: Option<u64>, bound: u64, names: &str| {
            if let Some(most) = most.filter(|most| *most > bound) {
                let what = format!("process {pid} held {most} {what}, {bound} are allowed{names}");
                violations.push(Violation { invariant: Invariant::I6, record: None, what });
            }
        };
        hold("bytes of memory", vitals.peak(|look| look.memory), bounds.memory, "");
        hold("descriptors", vitals.peak(|look| look.descriptors as u64), bounds.descriptors as u64, "");
        hold("threads", vitals.peak(|look| look.threads as u64), bounds.threads as u64, &format!(": {crowd}"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use daemonry::record::Offset;

    use super::*;
    use crate::checker::{Coverage, Fate, Log, Order, Produced, Reason, Sample, judge};
    use crate::ledger::Entry;
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
            counts: Some(Counts::default()),
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
        let committed = [(partition, Coverage { next: 1, ..Coverage::default() })].into();
        let (from_ms, to_ms) =
            (looks.first().map_or(1_000, |look| look.from_ms), looks.last().map_or(1_000, |look| look.unix_ms));
        let vitals = Vitals {
            pid: PID,
            from_ms,
            to_ms,
            looks,
            crowd: String::new(),
            bounds: BOUNDS,
            outages: Vec::new(),
            deaf: Vec::new(),
            is_settled: false,
        };
        Evidence {
            produced: vec![Produced { stored, id: None, fate: Fate::Success, acknowledged_ms: 1_000 }],
            ledger: vec![entry],
            samples: vec![Sample { committed, leader_epochs: BTreeMap::new(), ledger_bytes: 10, unix_ms: 1_600 }],
            ends: [(partition, Offset(1))].into(),
            logs: vec![Log::of(PID, "")],
            vitals: vec![vitals],
            ..Evidence::none(Order::Key)
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
            let counts = Some(Counts { succeeded, ..Counts::default() });
            let mut evidence = run(vec![Look { counts, ..look(unix_ms) }]);
            evidence.vitals[0].is_settled = is_settled;
            evidence
        };
        breaks(&counted(1_499, 1, false), &[Invariant::I7]);
        breaks(&counted(1_500, 1, true), &[]);
        breaks(&counted(1_600, 0, false), &[]);
        breaks(&counted(1_600, 0, true), &[Invariant::I7]);
    }

    /// The same run with a second record, in another partition, that is acknowledged at 1,000, and perhaps succeeds.
    fn of_two_partitions(succeeds_ms: Option<u64>) -> Evidence {
        let mut evidence = run(Vec::new());
        let partition = Partition(1);
        let stored = Stored { partition, offset: Offset(0), unix_ms: None, message: Message::new("x") };
        evidence.produced.push(Produced { stored, id: None, fate: Fate::Success, acknowledged_ms: 1_000 });
        let entry = evidence.ledger[0].clone();
        evidence.ledger.extend(succeeds_ms.map(|unix_ms| Entry { at: 5, partition, unix_ms, ..entry }));
        if succeeds_ms.is_some() {
            evidence.samples[0].committed.insert(partition, Coverage { next: 1, ..Coverage::default() });
        }
        let bound = Duration::from_millis(700);
        evidence.resumptions = vec![Resumption { after: "the end".to_owned(), unix_ms: 900, bound, committed: bound }];
        evidence
    }

    #[test]
    fn progress_of_one_partition_does_not_excuse_another() {
        breaks(&of_two_partitions(Some(1_500)), &[]);
        breaks(&of_two_partitions(Some(1_601)), &[Invariant::I5]);
        breaks(&of_two_partitions(None), &[Invariant::I1, Invariant::I5]);
        // What came when most of the time was over shows nothing.
        let mut late = of_two_partitions(Some(1_601));
        late.produced[1].acknowledged_ms = 1_300;
        breaks(&late, &[]);
    }

    #[test]
    fn a_process_must_be_looked_at_all_the_time() {
        let looks = || run(vec![look(1_000), look(3_000), look(9_000)]);
        breaks(&looks(), &[Invariant::I7]);
        let mut deaf = looks();
        deaf.vitals[0].deaf = vec![(3_500, 4_500), (5_000, 8_800)];
        breaks(&deaf, &[]);
        // Nor may the first look be late, or the last one early.
        let mut late = run(vec![look(8_000)]);
        late.vitals[0].from_ms = 1_000;
        breaks(&late, &[Invariant::I7]);
        let mut early = run(vec![look(1_000)]);
        early.vitals[0].to_ms = 8_000;
        breaks(&early, &[Invariant::I7]);
    }

    /// The run with these counts in the end, where its record succeeds at this attempt.
    fn counted_in_the_end(attempt: u32, counts: Counts) -> Evidence {
        let mut evidence = run(vec![Look { counts: Some(counts), ..look(1_600) }]);
        evidence.vitals[0].is_settled = true;
        evidence.ledger[0].attempt = attempt;
        evidence
    }

    #[test]
    fn letters_retries_and_lag_must_be_what_there_was() {
        let all = Counts { succeeded: 1, ..Counts::default() };
        breaks(&counted_in_the_end(1, all), &[]);
        breaks(&counted_in_the_end(1, Counts { letters: 1, ..all }), &[Invariant::I7]);
        breaks(&counted_in_the_end(1, Counts { lag: 1, ..all }), &[Invariant::I7]);
        breaks(&counted_in_the_end(3, all), &[Invariant::I7]);
        breaks(&counted_in_the_end(3, Counts { retries: 2, ..all }), &[]);
    }

    #[test]
    fn a_letter_must_be_counted_and_so_must_its_retries() {
        let counted = |letters, retries| {
            let mut evidence = counted_in_the_end(1, Counts { succeeded: 0, letters, retries, lag: 0 });
            evidence.ledger.clear();
            evidence.produced[0].fate = Fate::Letter(Reason::Error);
            let said = [("partition", "0"), ("offset", "0"), ("reason", "error"), ("attempts", "3")];
            let message = said.iter().fold(evidence.produced[0].stored.message.clone(), |message, (name, value)| {
                message.header(format!("daemonry-{name}"), *value)
            });
            let stored = Stored { partition: Partition(0), offset: Offset(0), unix_ms: Some(1_500), message };
            evidence.letters.push(stored);
            evidence
        };
        breaks(&counted(1, 2), &[]);
        breaks(&counted(0, 2), &[Invariant::I7]);
        breaks(&counted(1, 1), &[Invariant::I7]);
        // Who else could have counted it, nobody knows.
        let mut beside = counted(0, 0);
        beside.logs.push(Log::of(PID + 1, ""));
        breaks(&beside, &[]);
    }

    #[test]
    fn an_error_in_a_log_must_belong_to_what_happened() {
        let logged = |text: &str| {
            let mut evidence = run(Vec::new());
            evidence.logs = vec![Log::of(PID, text)];
            evidence
        };
        let error = "2026-11-28T01:06:26.369061Z ERROR daemonry::supervisor: process ends exit_code=4";
        let panic = "thread 'worker' panicked at src/lanes.rs:7:9:\nindex out of bounds";
        breaks(&logged("2026-11-28T01:06:26.369061Z  INFO daemonry: no ERROR to speak of"), &[]);
        breaks(&logged(error), &[Invariant::I7]);
        breaks(&logged(panic), &[Invariant::I7]);
        let mut expected = logged(&format!("{error}\n{panic}"));
        expected.expected_errors = vec!["exit_code=4".to_owned()];
        breaks(&expected, &[Invariant::I7]);
        expected.expected_errors.push("out of bounds".to_owned());
        breaks(&expected, &[]);
    }
}
