//! Failed attempts, grouped by what they have in common: so that a thousand of one mistake are one line to whoever looks.
//!
//! A group is what one handler says of one topic for one reason, but for what differs from record to record: words with a digit in them count
//! as one word. The invariant: the groups are bounded, whatever fails; the one that was seen last for the longest time makes room.

use std::fmt;

use parking_lot::Mutex;

use super::dead_letter::{Failure, Reason, cut};
use crate::record::{Offset, Timestamp, Topic, TopicPartition};

/// Groups that are kept.
const GROUPS: usize = 200;
/// Bytes of an error that tell its group.
const TELLING: usize = 300;
/// Bytes of an example.
const EXAMPLE: usize = 4_096;

/// Failed attempts that have something in common.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailureGroup {
    /// The same for the same failures, in every process.
    pub fingerprint: Fingerprint,
    /// The topic that their records are of.
    pub topic: Topic,
    /// The handler that failed.
    pub handler: &'static str,
    /// Why.
    pub reason: Reason,
    /// What they have in common of what was said, with `#` for what differs.
    pub pattern: String,
    /// How many attempts.
    pub count: u64,
    /// The first one.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// The last one's record, attempt and error.
    pub example: FailureExample,
}

/// One failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailureExample {
    /// The record's partition …
    pub topic_partition: TopicPartition,
    /// … and offset.
    pub offset: Offset,
    /// Which attempt of it.
    pub attempt: u32,
    /// What was said, with the causes; its first 4 KiB.
    pub error: String,
}

/// What tells groups apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Vec<FailureGroup>>);

impl Failures {
    /// An attempt at a record has failed.
    pub(super) fn note(&self, topic_partition: &TopicPartition, offset: Offset, failure: &Failure) {
        let (topic, handler, reason) = (&topic_partition.topic, failure.handler, failure.reason);
        let pattern = pattern(cut(&failure.error, TELLING));
        let fingerprint = fingerprint([topic.as_str(), handler, reason.name(), &pattern]);
        let now = Timestamp::now();
        let example = || FailureExample {
            topic_partition: topic_partition.clone(),
            offset,
            attempt: failure.attempts,
            error: cut(&failure.error, EXAMPLE).to_owned(),
        };
        let mut groups = self.0.lock();
        if let Some(group) = groups.iter_mut().find(|group| group.fingerprint == fingerprint) {
            group.count += 1;
            // Once a second is often enough for an example.
            if now.as_millis() >= group.last.as_millis() + 1_000 {
                group.example = example();
            }
            group.last = now;
            return;
        }
        if groups.len() == GROUPS {
            let oldest = groups.iter().enumerate().min_by_key(|(_, group)| group.last).map(|(index, _)| index);
            oldest.into_iter().for_each(|oldest| drop(groups.swap_remove(oldest)));
        }
        let (first, last, topic) = (now, now, topic.clone());
        let example = example();
        groups.push(FailureGroup { fingerprint, topic, handler, reason, pattern, count: 1, first, last, example });
    }

    /// The groups, the one that was seen last first.
    pub(super) fn groups(&self) -> Vec<FailureGroup> {
        let mut groups = self.0.lock().clone();
        groups.sort_by(|one, other| other.last.cmp(&one.last).then(other.count.cmp(&one.count)));
        groups
    }
}

/// The text with `#` for each word that has a digit in it.
fn pattern(text: &str) -> String {
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '_' | '-' | '.');
    let mut pattern = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|char| !is_part(char)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(word);
        pattern.push_str(if word.bytes().any(|byte| byte.is_ascii_digit()) { "#" } else { word });
        let between = behind.find(is_part).unwrap_or(behind.len());
        let (between, behind) = behind.split_at(between);
        pattern.push_str(between);
        rest = behind;
    }
    pattern
}

/// FNV-1a: the same in every build and on every machine.
fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> Fingerprint {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = parts.into_iter().flat_map(|part| part.bytes().chain([0]));
    Fingerprint(bytes.fold(BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(failures: &Failures, offset: i64, error: &str) {
        let failure = Failure { reason: Reason::Error, error: error.to_owned(), attempts: 2, handler: "shop::create" };
        failures.note(&TopicPartition::new("orders", 3), Offset(offset), &failure);
    }

    #[test]
    fn errors_that_differ_in_numbers_and_ids_are_one_group() {
        let failures = Failures::default();
        note(&failures, 7, "order 4711 not found: timeout after 30ms at 10.0.0.7:5432");
        note(&failures, 8, "order 4712 not found: timeout after 31ms at 10.0.0.8:5432");
        note(&failures, 9, "order a1b2-c3 not found: timeout after 31ms at 10.0.0.8:5432");
        note(&failures, 9, "no rights");
        let groups = failures.groups();
        assert_eq!(groups.len(), 2);
        let order = groups.iter().find(|group| group.count == 3).expect("three of one kind");
        assert_eq!(order.pattern, "order # not found: timeout after # at #:#");
        assert_eq!((order.topic.as_str(), order.handler, order.reason), ("orders", "shop::create", Reason::Error));
        assert_eq!((order.example.offset, order.example.attempt), (Offset(7), 2));
        assert!(order.first <= order.last);
    }

    #[test]
    fn fingerprint_is_the_same_in_every_process() {
        assert_eq!(fingerprint(["orders", "shop::create", "error", "no rights"]).to_string(), "bd98c249ebcec2e4");
    }

    #[test]
    fn groups_are_bounded_and_the_one_not_seen_for_longest_makes_room() {
        let failures = Failures::default();
        let word = |index: usize| String::from_utf8(vec![b'a' + (index / 26) as u8, b'a' + (index % 26) as u8]);
        (0..GROUPS + 50).for_each(|index| note(&failures, 0, &word(index).expect("letters")));
        assert_eq!(failures.groups().len(), GROUPS);
        note(&failures, 0, &"é".repeat(10_000));
        let groups = failures.groups();
        assert_eq!(groups.len(), GROUPS);
        let long = groups.iter().find(|group| group.pattern.starts_with('é')).expect("the newest is kept");
        assert!(long.pattern.len() <= TELLING && long.example.error.len() <= EXAMPLE);
    }
}
