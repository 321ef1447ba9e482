//! I7: whether probes, metrics and logs told the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::conduct::{Counts, Look, Outage, Vitals};
use super::evidence::{Evidence, Log, origin};
use super::history::attempts;
use super::verdict::{Invariant, Violation};
use crate::ledger::Entry;

/// For so many milliseconds nobody may have looked at a process: a look may take three seconds, where nothing is answered.
const UNWATCHED: u64 = 5_000;

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
        if let Some((from, to)) = unwatched(vitals) {
            wrong(format!("nobody looked between {from} and {to}"));
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
        let succeeded = |look: &Look| look.counts.map(|counts| counts.succeeded);
        let ahead = |look: &&Look| succeeded(look).is_some_and(|count| count > written(look.unix_ms));
        if let Some(look) = vitals.looks.iter().find(ahead) {
            let (counted, written) = (succeeded(look).unwrap_or_default(), written(look.unix_ms));
            wrong(format!("/metrics counted {counted} successes at {}, of which {written} were there", look.unix_ms));
        }
        if let Some(last) = vitals.looks.last().filter(|_| vitals.is_settled) {
            if succeeded(last) != Some(written(u64::MAX)) {
                wrong(format!("/metrics counted {:?} of {} successes in the end", succeeded(last), written(u64::MAX)));
            }
            if last.counts.is_some_and(|counts| counts.lag > 0) {
                wrong(format!("/metrics told of lag in the end: {:?}", last.counts));
            }
            if last.ready.as_ref().is_none_or(|(status, _)| *status != 200) {
                wrong(format!("/readyz said {:?} in the end", last.ready));
            }
        }
    }
    counts_all(evidence, violations);
}

/// The first time in which nobody looked at a process for too long, though it could have answered.
fn unwatched(vitals: &Vitals) -> Option<(u64, u64)> {
    let mut seen: Vec<(u64, u64)> = vitals.looks.iter().map(|look| (look.from_ms, look.unix_ms)).collect();
    seen.extend(&vitals.deaf);
    seen.push((vitals.to_ms, vitals.to_ms));
    seen.sort_unstable();
    let mut until = vitals.from_ms;
    for (from, to) in seen {
        if from > until.saturating_add(UNWATCHED) {
            return Some((until, from));
        }
        until = until.max(to);
    }
    None
}

/// Letters and retries don't say which process they are of: what all of them counted must be what there was, where all that ever were have
/// settled; and no process counted more letters than there are.
fn counts_all(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let mut wrong = |what: String| violations.push(Violation { invariant: Invariant::I7, record: None, what });
    let settled: Vec<&Vitals> = evidence.vitals.iter().filter(|vitals| vitals.is_settled).collect();
    let counts = |vitals: &&Vitals| Some((vitals.pid, vitals.looks.last()?.counts?));
    let counted: BTreeMap<u32, Counts> = settled.iter().filter_map(counts).collect();
    let letters = evidence.letters.len() as u64;
    // One that came twice was not acknowledged the first time.
    let distinct = evidence.letters.iter().filter_map(origin).collect::<BTreeSet<_>>().len() as u64;
    let (told, retries) = counted
        .values()
        .fold((0, 0), |(letters, retries), counts| (letters + counts.letters, retries + counts.retries));
    if told > letters {
        wrong(format!("/metrics counted {told} letters in the end, of which {letters} were there"));
    }
    let of = |pid: u32| evidence.ledger.iter().filter(move |entry| entry.pid == pid);
    for (&pid, counts) in &counted {
        let least: u64 = of(pid).map(|entry| u64::from(entry.attempt) - 1).sum();
        if counts.retries < least {
            wrong(format!(
                "process {pid}: /metrics counted {} retries in the end, {least} at least there were",
                counts.retries
            ));
        }
    }
    // One that is no more can't be asked what it counted.
    let is_known = evidence.logs.iter().all(|log| counted.contains_key(&log.pid));
    if counted.is_empty() || !is_known {
        return;
    }
    if told < distinct {
        wrong(format!("/metrics counted {told} of {distinct} letters in the end"));
    }
    let of_letters: u64 = evidence.letters.iter().map(|letter| attempts(letter).saturating_sub(1)).sum();
    let of_successes: u64 = evidence.ledger.iter().map(|entry| u64::from(entry.attempt) - 1).sum();
    if retries < of_letters + of_successes {
        wrong(format!("/metrics counted {retries} of {} retries in the end", of_letters + of_successes));
    }
}

/// I7: whether nobody logged an error, or panicked, but for what belongs to what happened.
pub(super) fn logs_what_is_expected(evidence: &Evidence, violations: &mut Vec<Violation>) {
    let is_expected = |error: &&String| evidence.expected_errors.iter().any(|text| error.contains(text.as_str()));
    for Log { pid, errors, .. } in &evidence.logs {
        for error in errors.iter().filter(|error| !is_expected(error)) {
            let what = format!("process {pid} has logged `{error}`");
            violations.push(Violation { invariant: Invariant::I7, record: None, what });
        }
    }
}
