//! What commits cover: each one that the brokers took, by their own log of them, and what was seen of them from outside meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use daemonry::record::{Offset, Partition};

use super::Coverage;
use super::evidence::{Evidence, Sample};
use super::history::{Histories, line};
use super::seeks::{Explanations, Owed};
use super::verdict::{Invariant, Violation};

impl Evidence {
    /// Both views, each in the order of time. They are not one: who looks is told what was so a moment ago.
    fn views(&self) -> [&[Sample]; 2] {
        [&self.commits, &self.samples]
    }
}

/// The commits of one partition, over time.
struct Track<'a> {
    samples: &'a [Sample],
    points: Vec<(usize, &'a Coverage)>,
    /// How far any up to this one reached.
    reach: Vec<i64>,
}

impl<'a> Track<'a> {
    fn of(samples: &'a [Sample], partition: Partition) -> Self {
        let of_it = |(index, sample): (usize, &'a Sample)| Some((index, sample.committed.get(&partition)?));
        let points: Vec<_> = samples.iter().enumerate().filter_map(of_it).collect();
        let reach = points.iter().scan(i64::MIN, |reach, (_, coverage)| {
            *reach = coverage.end().max(*reach);
            Some(*reach)
        });
        let reach = reach.collect();
        Self { samples, points, reach }
    }

    /// Those that cover an offset, with their place among all samples.
    fn covering(&self, offset: i64) -> impl Iterator<Item = (usize, &'a Sample, &'a Coverage)> {
        let first = self.reach.partition_point(|reach| *reach <= offset);
        let later = self.points[first..].iter().filter(move |(_, coverage)| coverage.covers(offset));
        later.map(|(index, coverage)| (*index, &self.samples[*index], *coverage))
    }
}

/// I2: whatever a commit covers was finished before.
pub(super) fn nothing_unfinished_is_covered(
    evidence: &Evidence,
    histories: &Histories<'_>,
    violations: &mut Vec<Violation>,
) {
    let mut told = BTreeSet::new();
    for samples in evidence.views() {
        for (&partition, records) in &histories.partitions {
            let is_sought = evidence.seeks_of(partition).next().is_some();
            let track = Track::of(samples, partition);
            for (&offset, history) in records {
                // The first one that covers it is the strictest, unless a seek takes back what was finished: later ones have more finished.
                let covering = track.covering(offset).take(if is_sought { usize::MAX } else { 1 });
                let owed =
                    |(index, sample, coverage)| (evidence.owed_in(samples, index, partition, offset), sample, coverage);
                let early = covering.map(owed).find(|(owed, sample, _)| !history.has(*owed, Some(sample)));
                let Some((owed, sample, coverage)) = early.filter(|_| told.insert((partition, offset))) else {
                    continue;
                };
                let by = if offset < coverage.next { "below the committed offset" } else { "within a run above it" };
                let then = match (owed, history.successes.last()) {
                    (Owed::Since(asked), _) => format!("a seek of {} had taken it back", asked.unix_ms),
                    (_, Some(entry)) => format!("it succeeded later, `{}`", line(entry)),
                    (_, None) => "it never succeeded".to_owned(),
                };
                let (next, at) = (coverage.next, sample.unix_ms);
                let what = format!("covered by the commit of {next} at {at} ({by}), but unfinished then; {then}");
                violations.push(history.violation(Invariant::I2, what));
            }
        }
    }
}

/// I2: nothing is committed that nobody has written.
pub(super) fn none_passes_the_end(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut told = BTreeSet::new();
    for sample in evidence.views().into_iter().flatten() {
        for (&partition, coverage) in &sample.committed {
            let Some(end) = evidence.ends.get(&partition).filter(|end| coverage.end() > end.0) else { continue };
            if told.insert(partition) {
                let what =
                    format!("a commit at {} covers up to {}, and the log ends there", sample.unix_ms, coverage.end());
                violations.push(Violation { invariant: Invariant::I2, record: Some((partition, *end)), what });
            }
        }
    }
}

/// I4: none goes back but for a seek, or where the network or a broker had held an older one back; that must be put right in the end.
pub(super) fn none_goes_back(evidence: &Evidence, violations: &mut Vec<Violation>) {
    for samples in evidence.views() {
        none_of_these_goes_back(samples, evidence, violations);
    }
}

fn none_of_these_goes_back(samples: &[Sample], evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut highest: BTreeMap<Partition, i64> = BTreeMap::new();
    let mut explanations: BTreeMap<Partition, Explanations<'_>> = BTreeMap::new();
    let mut put_back: BTreeMap<Partition, (i64, i64)> = BTreeMap::new();
    let unanswered: Vec<(u64, u64)> = evidence.logs.iter().flat_map(|log| log.unanswered.iter().copied()).collect();
    let mut landed = BTreeSet::new();
    for sample in samples {
        for (&partition, coverage) in &sample.committed {
            let before = highest.insert(partition, coverage.next).unwrap_or(coverage.next);
            let seeks = explanations.entry(partition).or_insert_with(|| Explanations::of(evidence, partition));
            if coverage.next < before && !seeks.explain_commit(coverage.next, sample) {
                let is_late = |(from, to): &(u64, u64)| (*from..=*to).contains(&sample.unix_ms);
                // Each of them once.
                let mut unanswered = unanswered.iter().enumerate().filter(|(_, times)| is_late(times));
                let lands = unanswered.any(|(number, _)| landed.insert((number, partition)));
                if lands || evidence.late_commits.iter().any(is_late) {
                    put_back.entry(partition).or_insert((coverage.next, before));
                    continue;
                }
                let what = format!("the committed offset went back to it from {before}, at {}", sample.unix_ms);
                let record = Some((partition, Offset(coverage.next)));
                violations.push(Violation { invariant: Invariant::I4, record, what });
            }
            if put_back.get(&partition).is_some_and(|(_, before)| coverage.next >= *before) {
                put_back.remove(&partition);
            }
        }
    }
    for (partition, (next, before)) in put_back {
        let what = format!("the committed offset went back to it from {before}, and was not put right");
        let record = Some((partition, Offset(next)));
        violations.push(Violation { invariant: Invariant::I4, record, what });
    }
}

/// How a record ran once more though a commit covers it: the first such commit of either view.
pub(super) fn ran_though_covered(history: &super::History<'_>, evidence: &Evidence) -> Option<String> {
    let (partition, offset) = (history.produced.stored.partition, history.produced.stored.offset.0);
    evidence.views().into_iter().find_map(|samples| {
        let track = Track::of(samples, partition);
        track.covering(offset).find_map(|(index, ..)| history.again_after(samples, index, evidence))
    })
}
