//! The ledger checker: decides from outside whether the promises were kept.
//!
//! Pure: it gets [`Evidence`] and gives a [`Verdict`]. The invariants that it decides, for a run that has settled:
//!
//! - I1: every acknowledged record has succeeded or is a dead letter, whichever it ought to be; the letter has its bytes, and the reason for it.
//! - I2: after each commit that the brokers took, and at each look at what is committed, whatever that covers (below its offset, or by a run of
//!   its metadata) was finished; and it covers nothing behind the end of its partition.
//! - I3: per key or partition, first successes come in the order of offsets; so do the first letters of a key.
//! - I4: nothing runs again that a commit covered, and no commit goes back; a record that does run again was last finished by a
//!   process that crashed or was given up, not longer before than a commit may take, nor longer afterwards than it may take to end.
//! - I5: after each [moment](Resumption) at which nothing hindered it any more, a record that came later was finished and committed in time, in
//!   each partition that got one.
//! - I6: no process that was watched held more memory, descriptors or threads than it may.
//! - I7: it was looked at all the time; it was live at each look, unready whenever it had to be, ready in the end, and counted no success,
//!   letter or retry that there wasn't. In the end it had counted all, and no lag. No process has logged an error that didn't belong to what happened.
//!
//! What a log has [lost](Former) is judged as a partition by itself.
//!
//! A [seek](Sought) on purpose changes what is owed: from its place on all runs again, in order, and what lies below need not.

mod again;
mod commits;
mod conduct;
mod coverage;
mod evidence;
mod former;
mod growth;
mod history;
mod seeks;
#[cfg(test)]
mod tests;
mod truth;
mod verdict;

use std::collections::{BTreeSet, HashMap};

use daemonry::record::{Offset, Partition};

use crate::ledger::Entry;
pub use conduct::{Answer, Bounds, Counts, Look, Outage, Resumption, Vitals};
use conduct::{resumes_in_time, stays_within_bounds};
pub use coverage::Coverage;
pub use evidence::{Crash, Evidence, Fate, Log, Order, Produced, Reason, Sample, origin};
pub use former::{Former, Gone};
use history::{Histories, History, line, reason};
use seeks::Passes;
pub use seeks::{Moment, Owed, Sought, owed};
use truth::{logs_what_is_expected, tells_the_truth};
pub use verdict::{Invariant, Verdict, Violation};

/// Judges a run that has settled.
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut violations = Vec::new();
    let histories = Histories::of(evidence, &mut violations);
    nothing_lost(evidence, &histories, &mut violations);
    commits::nothing_unfinished_is_covered(evidence, &histories, &mut violations);
    commits::none_passes_the_end(evidence, &mut violations);
    commits::none_goes_back(evidence, &mut violations);
    successes_in_order(evidence, &histories, &mut violations);
    letters_in_order(evidence, &histories, &mut violations);
    again::nothing_runs_twice(evidence, &histories, &mut violations);
    nothing_left_out_runs(evidence, &histories, &mut violations);
    resumes_in_time(evidence, &histories, &mut violations);
    stays_within_bounds(evidence, &mut violations);
    tells_the_truth(evidence, &mut violations);
    logs_what_is_expected(evidence, &mut violations);
    Verdict {
        records: evidence.produced.len(),
        successes: evidence.ledger.len(),
        letters: evidence.letters.len(),
        duplicates: histories.all().map(History::duplicates).sum(),
        samples: evidence.samples.len(),
        commits: evidence.commits.len(),
        crashes: evidence.crashes.len(),
        violations,
    }
}

fn nothing_lost(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    for history in histories.all() {
        let owed = owed(&evidence.seeks, history.produced.stored.partition, history.produced.stored.offset);
        let what = match (history.produced.fate, history.successes.first(), history.letters.first()) {
            (Fate::Letter(_), Some(entry), _) => format!("succeeded, but ought to be a dead letter: `{}`", line(entry)),
            (Fate::Success, _, Some(letter)) => {
                format!("is a dead letter ({}), but ought to succeed", reason(letter))
            }
            _ if !history.has(owed, None) => match owed {
                Owed::Since(asked) => format!("was not handled again after the seek of {}", asked.unix_ms),
                _ => "neither succeeded nor a dead letter".to_owned(),
            },
            _ => match history.letters.iter().find_map(|letter| {
                history.unlike(letter).or_else(|| history.misjudged(letter, &evidence.other_reasons))
            }) {
                Some(difference) => difference,
                None => continue,
            },
        };
        violations.push(history.violation(Invariant::I1, what));
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
