//! The ledger checker: decides from outside whether the promises were kept.
//!
//! Pure: it gets [`Evidence`] and gives a [`Verdict`]. The invariants that it decides, for a run that has settled:
//!
//! - I1: every acknowledged record has succeeded or is a dead letter, whichever it ought to be, and the letter has its bytes.
//! - I2: at each sample, whatever the commit covers (below its offset, or by a run of its metadata) was finished.
//! - I3: per key or partition, first successes come in the order of offsets; so do the first letters of a key.
//! - I4: nothing runs again that a commit covered, and no commit goes back; a record that does run again was last finished by a
//!   process that crashed, and not longer before the crash than a commit may take.
//!
//! - I5: after each [moment](Resumption) at which nothing hindered it any more, a record that came later was finished and committed in time.
//! - I6: no process that was watched held more memory, descriptors or threads than it may.
//! - I7: it was live at each look, unready whenever it had to be, ready in the end, and counted no success that the ledger doesn't have.
//!
//! A [seek](Sought) on purpose changes what is owed: from its place on all runs again, in order, and what lies below need not.

mod conduct;
mod coverage;
mod evidence;
mod history;
mod seeks;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use daemonry::record::{Offset, Partition};

use crate::ledger::Entry;
pub use conduct::{Answer, Bounds, Look, Outage, Resumption, Vitals};
use conduct::{resumes_in_time, stays_within_bounds, tells_the_truth};
pub use coverage::Coverage;
pub use evidence::{Crash, Evidence, Fate, Order, Produced, Sample, origin};
use history::{Histories, History, appended, line};
use seeks::{Explanations, Passes};
pub use seeks::{Moment, Owed, Sought, owed};
pub use verdict::{Invariant, Verdict, Violation};

/// Judges a run that has settled.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut violations = Vec::new();
    let histories = Histories::of(evidence, &mut violations);
    nothing_lost(evidence, &histories, &mut violations);
    nothing_unfinished_committed(evidence, &histories, &mut violations);
    no_commit_goes_back(evidence, &mut violations);
    successes_in_order(evidence, &histories, &mut violations);
    letters_in_order(evidence, &histories, &mut violations);
    nothing_runs_twice(evidence, &histories, &mut violations);
    nothing_left_out_runs(evidence, &histories, &mut violations);
    resumes_in_time(evidence, &mut violations);
    stays_within_bounds(evidence, &mut violations);
    tells_the_truth(evidence, &mut violations);
    Verdict {
        records: evidence.produced.len(),
        successes: evidence.ledger.len(),
        letters: evidence.letters.len(),
        duplicates: histories.all().map(History::duplicates).sum(),
        samples: evidence.samples.len(),
        commits: evidence.samples.windows(2).filter(|pair| pair[0].committed != pair[1].committed).count(),
        crashes: evidence.crashes.len(),
        violations,
    }
}

fn nothing_lost(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    for history in histories.all() {
        let owed = owed(&evidence.seeks, history.produced.stored.partition, history.produced.stored.offset);
        let what = match (history.produced.fate, history.successes.first(), history.letters.first()) {
            (Fate::Letter, Some(entry), _) => format!("succeeded, but ought to be a dead letter: `{}`", line(entry)),
            (Fate::Success, _, Some(letter)) => {
                let reason = letter.message.header_values("daemonry-reason").last().flatten().unwrap_or_default();
                format!("is a dead letter ({}), but ought to succeed", String::from_utf8_lossy(reason))
            }
            _ if !history.has(owed, None) => match owed {
                Owed::Since(asked) => format!("was not handled again after the seek of {}", asked.unix_ms),
                _ => "neither succeeded nor a dead letter".to_owned(),
            },
            _ => match history.letters.iter().find_map(|letter| history.unlike(letter)) {
                Some(difference) => difference,
                None => continue,
            },
        };
        violations.push(history.violation(Invariant::I1, what));
    }
}

fn nothing_unfinished_committed(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    for (&partition, records) in &histories.partitions {
        let is_sought = evidence.seeks_of(partition).next().is_some();
        for (&offset, history) in records {
            let covering =
                evidence.samples.iter().enumerate().filter(|(_, sample)| sample_covers(sample, partition, offset));
            // The first sample that covers it is the strictest, unless a seek takes back what was finished: later ones have more finished.
            let covering = covering.take(if is_sought { usize::MAX } else { 1 });
            let early = covering.map(|(index, sample)| (evidence.owed_in(index, partition, offset), sample));
            let mut early = early.filter(|(owed, sample)| !history.has(*owed, Some(sample)));
            if let Some((owed, sample)) = early.next() {
                let coverage = &sample.committed[&partition];
                let by = if offset < coverage.next { "below the committed offset" } else { "within a run above it" };
                let then = match (owed, history.successes.last()) {
                    (Owed::Since(asked), _) => format!("a seek of {} had taken it back", asked.unix_ms),
                    (_, Some(entry)) => format!("it succeeded later, `{}`", line(entry)),
                    (_, None) => "it never succeeded".to_owned(),
                };
                violations.push(history.violation(
                    Invariant::I2,
                    format!(
                        "covered by the commit of {} seen at {} ({by}), but unfinished then; {then}",
                        coverage.next, sample.unix_ms
                    ),
                ));
            }
        }
    }
}

fn sample_covers(sample: &Sample, partition: Partition, offset: i64) -> bool {
    sample.committed.get(&partition).is_some_and(|coverage| coverage.covers(offset))
}

/// None but for a seek, or where the network had held an older one back; that must be put right in the end.
fn no_commit_goes_back(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut highest: BTreeMap<Partition, i64> = BTreeMap::new();
    let mut explanations: BTreeMap<Partition, Explanations<'_>> = BTreeMap::new();
    let mut put_back: BTreeMap<Partition, (i64, i64)> = BTreeMap::new();
    for sample in &evidence.samples {
        for (&partition, coverage) in &sample.committed {
            let before = highest.insert(partition, coverage.next).unwrap_or(coverage.next);
            let seeks = explanations.entry(partition).or_insert_with(|| Explanations::of(evidence, partition));
            if coverage.next < before && !seeks.explain_commit(coverage.next, sample) {
                let is_late = |(from, to): &(u64, u64)| (*from..=*to).contains(&sample.unix_ms);
                if evidence.late_commits.iter().any(is_late) {
                    put_back.entry(partition).or_insert((coverage.next, before));
                    continue;
                }
                let what = format!("the committed offset went back to it from {before}, seen at {}", sample.unix_ms);
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

fn successes_in_order(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    if evidence.order == Order::Unordered {
        return;
    }
    for (&partition, records) in &histories.partitions {
        let mut entries: Vec<_> =
            records.values().flat_map(|history| history.successes.iter().map(move |entry| (*entry, history))).collect();
        entries.sort_by_key(|(entry, _)| entry.at);
        let mut passes = Passes::of(evidence, partition);
        let mut seen: BTreeSet<Offset> = BTreeSet::new();
        // The first success of the latest record of each lane, since a seek began it all again.
        let mut latest: HashMap<Option<&[u8]>, &Entry> = HashMap::new();
        for (index, &(entry, history)) in entries.iter().enumerate() {
            let lane = if evidence.order == Order::Key { history.key() } else { None };
            let is_first = !seen.contains(&entry.offset);
            let before = latest.get(&lane).filter(|before| is_first && entry.offset < before.offset).copied();
            if let Some(sought) = passes.begins(entry, before.is_some()) {
                // What came since it was asked for may have begun again before: then it is no first success any more.
                let since = entries[..index].iter().map(|(entry, _)| *entry).rev();
                let since = since.take_while(|entry| entry.at >= sought.asked.ledger_bytes);
                seen = since.map(|entry| entry.offset).filter(|offset| *offset >= sought.place).collect();
                latest.clear();
            } else if let Some(before) = before {
                let key = lane.map_or_else(|| "no key".to_owned(), |key| format!("key {}", key.escape_ascii()));
                violations.push(history.violation(
                    Invariant::I3,
                    format!("succeeded first after a later one ({key}): `{}`, then `{}`", line(before), line(entry)),
                ));
                seen.insert(entry.offset);
                continue;
            }
            if seen.insert(entry.offset) {
                latest.insert(lane, entry);
            }
        }
    }
}

fn letters_in_order(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    if evidence.order == Order::Unordered {
        return;
    }
    // Those of a key stand in one partition, in the order in which they were read; others may be spread.
    let mut latest: HashMap<(Partition, &[u8]), &History<'_>> = HashMap::new();
    let mut first = BTreeSet::new();
    for letter in &evidence.letters {
        // Not by its offset: a topic that was deleted and created again starts from 0.
        let Some((history, key)) = histories.of_letter(letter).and_then(|history| Some((history, history.key()?)))
        else {
            continue;
        };
        let stored = &history.produced.stored;
        // Which letters a seek has brought again isn't known: nobody wrote down when they were tried.
        if evidence.seeks_of(stored.partition).next().is_some() {
            continue;
        }
        if !first.insert((stored.partition, stored.offset)) {
            continue;
        }
        let latest = latest.entry((history.produced.stored.partition, key)).or_insert(history);
        if history.produced.stored.offset < latest.produced.stored.offset {
            let what = format!("its letter stands behind that of offset {}", latest.produced.stored.offset);
            violations.push(history.violation(Invariant::I3, what));
        } else {
            *latest = history;
        }
    }
}

fn nothing_left_out_runs(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    for history in histories.all() {
        if let Some(entry) = evidence.ran_though_left_out(history) {
            violations.push(
                history.violation(Invariant::I4, format!("ran though a seek had left it out: `{}`", line(entry))),
            );
        }
    }
}

fn nothing_runs_twice(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    let patience = u64::try_from(evidence.uncommitted.as_millis()).unwrap_or(u64::MAX);
    for history in histories.all().filter(|history| history.duplicates() > 0) {
        let (partition, offset) = (history.produced.stored.partition, history.produced.stored.offset.0);
        let mut covered =
            evidence.samples.iter().enumerate().filter(|(_, sample)| sample_covers(sample, partition, offset));
        if let Some(what) = covered.find_map(|(index, _)| history.again_after(index, evidence)) {
            violations.push(history.violation(Invariant::I4, what));
            continue;
        }
        let mut seeks = Explanations::of(evidence, partition);
        for pair in history.successes.windows(2) {
            let (before, again) = (pair[0], pair[1]);
            if evidence.by_a_zombie(again) || seeks.explain(before, again) {
                continue;
            }
            let of_it = || evidence.crashes.iter().filter(|crash| crash.pid == before.pid);
            let is_fresh = |crash: &&Crash| before.unix_ms.saturating_add(patience) >= crash.unix_ms;
            let crash = of_it().find(is_fresh).or_else(|| of_it().next_back());
            let why = match crash {
                None => format!("although process {} did not crash", before.pid),
                Some(crash) if !is_fresh(&crash) => {
                    format!("although it was done {} ms before the crash", crash.unix_ms - before.unix_ms)
                }
                Some(_) => continue,
            };
            let what = format!("ran again {why}: `{}`, then `{}`", line(before), line(again));
            violations.push(history.violation(Invariant::I4, what));
        }
        // Who wrote a letter isn't known: that somebody crashed between two of them is the least.
        for pair in history.letters.windows(2) {
            let (first, second) = (appended(pair[0]), appended(pair[1]));
            let excused = evidence.crashes.iter().any(|crash| {
                let fresh = first.saturating_add(patience) >= crash.unix_ms;
                fresh && first <= crash.last_letter_ms && crash.unix_ms <= second
            });
            if !excused && !seeks.explain_letter(offset, pair[0], pair[1]) {
                let what = format!("has letters of {first} and {second}, and no crash explains the second");
                violations.push(history.violation(Invariant::I4, what));
            }
        }
    }
}
