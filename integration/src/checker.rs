//! The ledger checker: decides from outside whether the promises were kept.
//!
//! Pure: it gets [`Evidence`] and gives a [`Verdict`]. The invariants that it decides, for a run that has settled:
//!
//! - I1: every acknowledged record has succeeded or is a dead letter, whichever it ought to be, and the letter has its bytes.
//! - I2: at each sample, whatever the commit covers (below its offset, or by a run of its metadata) was finished.
//! - I3: per key or partition, first successes come in the order of offsets; so do the first letters of a key.
//! - I4: nothing runs again that a commit covered, and no commit goes back; a record that does run again was last finished by a
//!   process that crashed, and not longer before the crash than a commit may take.

mod coverage;
mod evidence;
mod history;
#[cfg(test)]
mod tests;
mod verdict;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use daemonry::record::{Offset, Partition};

pub use coverage::Coverage;
pub use evidence::{Crash, Evidence, Fate, Order, Produced, Sample, origin};
use history::{Histories, History, appended, line};
pub use verdict::{Invariant, Verdict, Violation};

/// Judges a run that has settled.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut violations = Vec::new();
    let histories = Histories::of(evidence, &mut violations);
    nothing_lost(&histories, &mut violations);
    nothing_unfinished_committed(evidence, &histories, &mut violations);
    no_commit_goes_back(evidence, &mut violations);
    successes_in_order(evidence, &histories, &mut violations);
    letters_in_order(evidence, &histories, &mut violations);
    nothing_runs_twice(evidence, &histories, &mut violations);
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

fn nothing_lost(histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    for history in histories.all() {
        let what = match (history.produced.fate, history.successes.first(), history.letters.first()) {
            (_, None, None) => "neither succeeded nor a dead letter".to_owned(),
            (Fate::Letter, Some(entry), _) => format!("succeeded, but ought to be a dead letter: `{}`", line(entry)),
            (Fate::Success, _, Some(letter)) => {
                let reason = letter.message.header_values("daemonry-reason").last().flatten().unwrap_or_default();
                format!("is a dead letter ({}), but ought to succeed", String::from_utf8_lossy(reason))
            }
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
        for (&offset, history) in records {
            // The first sample that covers it is the strictest: later ones have more finished.
            let covering = evidence.samples.iter().find(|sample| sample_covers(sample, partition, offset));
            if let Some(sample) = covering.filter(|sample| !history.finished_in(sample)) {
                let coverage = &sample.committed[&partition];
                let by = if offset < coverage.next { "below the committed offset" } else { "within a run above it" };
                let then = history.successes.first().map_or_else(
                    || "it never succeeded".to_owned(),
                    |entry| format!("it succeeded later, `{}`", line(entry)),
                );
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

fn no_commit_goes_back(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut highest: BTreeMap<Partition, i64> = BTreeMap::new();
    for sample in &evidence.samples {
        for (&partition, coverage) in &sample.committed {
            let before = highest.insert(partition, coverage.next).unwrap_or(coverage.next);
            if coverage.next < before {
                let what = format!("the committed offset went back to it from {before}, seen at {}", sample.unix_ms);
                let offset = Offset(coverage.next);
                violations.push(Violation { invariant: Invariant::I4, partition, offset, what });
            }
        }
    }
}

fn successes_in_order(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    let mut latest: HashMap<(Partition, Option<&[u8]>), &History<'_>> = HashMap::new();
    // In the order in which they succeeded first.
    let mut first: Vec<&History<'_>> = histories.all().filter(|history| !history.successes.is_empty()).collect();
    first.sort_by_key(|history| history.successes[0].at);
    for history in first {
        let lane = match evidence.order {
            Order::Unordered => return,
            Order::Partition => None,
            Order::Key => history.key(),
        };
        let latest = latest.entry((history.produced.stored.partition, lane)).or_insert(history);
        if history.produced.stored.offset < latest.produced.stored.offset {
            let key = lane.map_or_else(|| "no key".to_owned(), |key| format!("key {}", key.escape_ascii()));
            violations.push(history.violation(
                Invariant::I3,
                format!(
                    "succeeded first after a later one ({key}): `{}`, then `{}`",
                    line(latest.successes[0]),
                    line(history.successes[0])
                ),
            ));
        } else {
            *latest = history;
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

fn nothing_runs_twice(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    let patience = u64::try_from(evidence.uncommitted.as_millis()).unwrap_or(u64::MAX);
    for history in histories.all().filter(|history| history.duplicates() > 0) {
        let (partition, offset) = (history.produced.stored.partition, history.produced.stored.offset.0);
        let covered = evidence.samples.iter().find(|sample| sample_covers(sample, partition, offset));
        if let Some(what) = covered.and_then(|sample| history.again_after(sample, evidence)) {
            violations.push(history.violation(Invariant::I4, what));
            continue;
        }
        for pair in history.successes.windows(2) {
            let (before, again) = (pair[0], pair[1]);
            if evidence.by_a_zombie(again) {
                continue;
            }
            let crash = evidence.crashes.iter().find(|crash| crash.pid == before.pid);
            let why = match crash {
                None => format!("although process {} did not crash", before.pid),
                Some(crash) if before.unix_ms.saturating_add(patience) < crash.unix_ms => {
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
                fresh && first <= crash.unix_ms + LETTER_ON_ITS_WAY_MS && crash.unix_ms <= second
            });
            if !excused {
                let what = format!("has letters of {first} and {second}, and no crash explains the second");
                violations.push(history.violation(Invariant::I4, what));
            }
        }
    }
}

/// How long after its producer's death a letter may still be appended.
const LETTER_ON_ITS_WAY_MS: u64 = 1_000;
