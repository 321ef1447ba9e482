//! What became of each record, put together from all the evidence.

use std::collections::BTreeMap;

use daemonry::record::Partition;

use super::evidence::{Evidence, Fate, Produced, Reason, Sample, origin};
use super::seeks::Moment;
use super::verdict::{Invariant, Violation};
use crate::ledger::Entry;
use crate::message::Stored;

/// One record, and all that was seen of it.
#[derive(Debug)]
pub(super) struct History<'a> {
    pub(super) produced: &'a Produced,
    /// Its lines in the ledger, in order.
    pub(super) successes: Vec<&'a Entry>,
    /// Its letters, in the order of their appending.
    pub(super) letters: Vec<&'a Stored>,
}

impl<'a> History<'a> {
    /// The key that orders it; null and empty ones don't.
    pub(super) fn key(&self) -> Option<&'a [u8]> {
        self.produced.stored.message.key.as_deref().filter(|key| !key.is_empty())
    }

    pub(super) fn duplicates(&self) -> usize {
        (self.successes.len() + self.letters.len()).saturating_sub(1)
    }

    /// When it was first finished, milliseconds since 1970.
    pub(super) fn finished_ms(&self) -> Option<u64> {
        let successes = self.successes.iter().map(|entry| entry.unix_ms);
        successes.chain(self.letters.iter().map(|letter| appended(letter))).min()
    }

    /// Whether it was finished when the sample was taken.
    pub(super) fn finished_in(&self, sample: &Sample) -> bool {
        self.successes.first().is_some_and(|entry| entry.at < sample.ledger_bytes)
            || self.letters.iter().any(|letter| appended(letter) <= sample.unix_ms)
    }

    /// How it ran once more behind the sample of this index, whose commit covers it, and no seek asked for that.
    pub(super) fn again_after(&self, samples: &[Sample], index: usize, evidence: &Evidence) -> Option<String> {
        let sample = &samples[index];
        if !self.finished_in(sample) {
            // It ran once, too late: that is another matter than twice.
            return None;
        }
        let is_sought =
            |ledger_bytes, unix_ms| evidence.is_sought_again(samples, index, self, Moment { ledger_bytes, unix_ms });
        let mut later = self.successes.iter().filter(|entry| entry.at >= sample.ledger_bytes);
        let success = later.find(|entry| !evidence.by_a_zombie(entry) && !is_sought(entry.at, u64::MAX));
        let mut letters = self.letters.iter().filter(|letter| appended(letter) > sample.unix_ms);
        let letter = letters.find(|letter| !evidence.is_of_a_zombie(letter) && !is_sought(u64::MAX, appended(letter)));
        let again = match (success, letter) {
            (Some(entry), _) => format!("`{}`", line(entry)),
            (None, Some(letter)) => format!("a letter at {}", appended(letter)),
            (None, None) => return None,
        };
        Some(format!("ran again although a commit at {} covers it: {again}", sample.unix_ms))
    }

    /// How a letter differs from its record, which must be in it untouched.
    pub(super) fn unlike(&self, letter: &Stored) -> Option<String> {
        let (record, copy) = (&self.produced.stored.message, &letter.message);
        let own = copy.headers.len().min(record.headers.len());
        let (own, added) = copy.headers.split_at(own);
        if copy.key != record.key {
            Some("its letter has another key".to_owned())
        } else if copy.value != record.value {
            Some("its letter has another value".to_owned())
        } else if own != record.headers {
            Some("its letter has other headers".to_owned())
        } else {
            let foreign = added.iter().find(|(name, _)| !name.starts_with(b"daemonry-"));
            foreign.map(|(name, _)| format!("its letter has a header more: {}", name.escape_ascii()))
        }
    }

    /// Where a letter gives another reason than its record has given.
    pub(super) fn misjudged(&self, letter: &Stored, others: &[Reason]) -> Option<String> {
        let Fate::Letter(expected) = self.produced.fate else { return None };
        let found = reason(letter);
        let is_one = others.iter().chain([&expected]).any(|reason| found == reason.name());
        (!is_one).then(|| format!("its letter says `{found}`, and it is one of `{}`", expected.name()))
    }

    pub(super) fn violation(&self, invariant: Invariant, what: String) -> Violation {
        let Stored { partition, offset, .. } = self.produced.stored;
        Violation { invariant, record: Some((partition, offset)), what }
    }
}

/// When a letter was appended, milliseconds since 1970.
pub(super) fn appended(letter: &Stored) -> u64 {
    letter.unix_ms.map_or(0, i64::cast_unsigned)
}

/// Why its record became a letter, as it says itself.
pub(super) fn reason(letter: &Stored) -> String {
    let said = letter.message.header_values("daemonry-reason").last().flatten().unwrap_or_default();
    String::from_utf8_lossy(said).into_owned()
}

/// How many attempts it tells of.
pub(super) fn attempts(letter: &Stored) -> u64 {
    let said = letter.message.header_values("daemonry-attempts").last().flatten();
    said.and_then(|said| std::str::from_utf8(said).ok()?.parse().ok()).unwrap_or(0)
}

/// A line of the ledger as it stands there.
pub(super) fn line(entry: &Entry) -> String {
    let Entry { partition, offset, key, id, attempt, pid, unix_ms, .. } = entry;
    format!("{partition} {offset} {key} {id} {attempt} {pid} {unix_ms}")
}

/// All records, by partition and offset.
#[derive(Debug)]
pub(super) struct Histories<'a> {
    pub(super) partitions: BTreeMap<Partition, BTreeMap<i64, History<'a>>>,
}

impl<'a> Histories<'a> {
    /// Sorts the evidence by record. What belongs to no record, or speaks of another one, is a violation at once.
    pub(super) fn of(evidence: &'a Evidence, violations: &mut Vec<Violation>) -> Self {
        let mut all = Self { partitions: BTreeMap::new() };
        for produced in &evidence.produced {
            let history = History { produced, successes: Vec::new(), letters: Vec::new() };
            all.partitions.entry(produced.stored.partition).or_default().insert(produced.stored.offset.0, history);
        }
        let mut wrong = |partition, offset, what| {
            violations.push(Violation { invariant: Invariant::I1, record: Some((partition, offset)), what });
        };
        for entry in &evidence.ledger {
            let records = all.partitions.get_mut(&entry.partition);
            let Some(history) = records.and_then(|records| records.get_mut(&entry.offset.0)) else {
                wrong(entry.partition, entry.offset, format!("was never produced: `{}`", line(entry)));
                continue;
            };
            if entry.id != history.produced.told_id() {
                let what = format!(
                    "the handler saw another value, id {:?} was produced: `{}`",
                    history.produced.id,
                    line(entry)
                );
                wrong(entry.partition, entry.offset, what);
            }
            if entry.key != written(history.key()) {
                wrong(entry.partition, entry.offset, format!("the handler saw another key: `{}`", line(entry)));
            }
            history.successes.push(entry);
        }
        for letter in &evidence.letters {
            let Some((partition, offset)) = origin(letter) else {
                let what = "is a letter that doesn't say where its record stood".to_owned();
                wrong(letter.partition, letter.offset, what);
                continue;
            };
            match all.partitions.get_mut(&partition).and_then(|records| records.get_mut(&offset.0)) {
                Some(history) => history.letters.push(letter),
                None => wrong(partition, offset, "has a letter, but was never produced".to_owned()),
            }
        }
        for history in all.partitions.values_mut().flat_map(BTreeMap::values_mut) {
            history.letters.sort_by_key(|letter| appended(letter));
        }
        all
    }

    /// The record that a letter stands for.
    pub(super) fn of_letter(&self, letter: &Stored) -> Option<&History<'a>> {
        let (partition, offset) = origin(letter)?;
        self.partitions.get(&partition)?.get(&offset.0)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &History<'a>> {
        self.partitions.values().flat_map(BTreeMap::values)
    }
}

/// A key as the ledger has it.
fn written(key: Option<&[u8]>) -> &str {
    key.and_then(|key| std::str::from_utf8(key).ok())
        .filter(|key| key.chars().all(|letter| letter.is_ascii_graphic()))
        .unwrap_or("-")
}
