//! I4: what runs again, and why that may be.

use daemonry::record::Offset;

use super::commits::ran_though_covered;
use super::evidence::{Crash, Evidence};
use super::history::{Histories, appended, line};
use super::seeks::Explanations;
use super::verdict::{Invariant, Violation};
use crate::ledger::Entry;

/// Nothing does but what a crash had left uncommitted.
pub(super) fn nothing_runs_twice(evidence: &Evidence, histories: &Histories<'_>, violations: &mut Vec<Violation>) {
    let patience = u64::try_from(evidence.uncommitted.as_millis()).unwrap_or(u64::MAX);
    for history in histories.all().filter(|history| history.duplicates() > 0) {
        if let Some(what) = ran_though_covered(history, evidence) {
            violations.push(history.violation(Invariant::I4, what));
            continue;
        }
        let (partition, offset) = (history.produced.stored.partition, history.produced.stored.offset.0);
        let mut seeks = Explanations::of(evidence, partition);
        for pair in history.successes.windows(2) {
            let (before, again) = (pair[0], pair[1]);
            if evidence.by_a_zombie(again) || seeks.explain(before, again) {
                continue;
            }
            let why = match Excuse::of(evidence, before, again, patience) {
                Excuse::Good => continue,
                Excuse::None => format!("although process {} did not crash", before.pid),
                Excuse::Stale(ms) => format!("although it was done {ms} ms before the crash"),
                Excuse::TooLate(ms) => format!("although it was done {ms} ms after the process ought to have ended it"),
                Excuse::Early => format!("although process {} had not crashed yet", before.pid),
            };
            let what = format!("ran again {why}: `{}`, then `{}`", line(before), line(again));
            violations.push(history.violation(Invariant::I4, what));
        }
        // Who wrote a letter isn't known: that somebody crashed between two of them is the least, or was told that it was not written.
        let mut unwritten = evidence.unwritten((partition, Offset(offset)));
        for pair in history.letters.windows(2) {
            let (first, second) = (appended(pair[0]), appended(pair[1]));
            let excused = evidence.crashes.iter().any(|crash| {
                let fresh = first.saturating_add(patience) >= crash.unix_ms;
                fresh && first <= crash.until_ms && crash.unix_ms <= second
            });
            if !excused && !seeks.explain_letter(offset, pair[0], pair[1]) {
                if unwritten > 0 {
                    unwritten -= 1;
                    continue;
                }
                let what = format!("has letters of {first} and {second}, and no crash explains the second");
                violations.push(history.violation(Invariant::I4, what));
            }
        }
    }
}

/// Whether a crash of the process that finished a record explains that it runs again.
enum Excuse {
    /// It was finished just before, or by a handler that was in flight then.
    Good,
    /// It never crashed.
    None,
    /// It was finished so many milliseconds before, and ought to have been committed.
    Stale(u64),
    /// It was finished so many milliseconds after what was in flight ought to have ended.
    TooLate(u64),
    /// It ran again before the crash.
    Early,
}

impl Excuse {
    fn of(evidence: &Evidence, before: &Entry, again: &Entry, patience: u64) -> Self {
        let of_it = evidence.crashes.iter().filter(|crash| crash.pid == before.pid);
        of_it.fold(Self::None, |excuse, crash| match excuse {
            Self::Good => Self::Good,
            _ => Self::by(crash, before, again, patience),
        })
    }

    fn by(crash: &Crash, before: &Entry, again: &Entry, patience: u64) -> Self {
        if before.unix_ms.saturating_add(patience) < crash.unix_ms {
            Self::Stale(crash.unix_ms - before.unix_ms)
        } else if before.unix_ms > crash.until_ms {
            Self::TooLate(before.unix_ms - crash.until_ms)
        } else if again.unix_ms < crash.unix_ms {
            Self::Early
        } else {
            Self::Good
        }
    }
}
