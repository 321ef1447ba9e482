//! Partitions that are not what they were: their log was cut, or their topic was deleted and made anew.
//!
//! The same offsets then name other records. So what is gone is judged as a partition by itself, with its own records, successes, letters and
//! commits: what holds of a partition must hold of each of the two. What is left of a log that was cut belongs to the one that goes on.

use std::collections::{BTreeMap, BTreeSet};

use daemonry::record::{Offset, Partition};

use super::Coverage;
use super::evidence::{Evidence, Produced, Sample, origin};
use crate::ledger::Entry;
use crate::message::Stored;

/// What is gone of partition 3 is partition 1,000,003; what is gone of it later is 2,000,003.
const APART: i32 = 1_000_000;

/// What a partition was.
#[derive(Clone, Debug)]
pub struct Former {
    /// Which partition.
    pub partition: Partition,
    /// What is gone of it.
    pub gone: Gone,
    /// Its records that are gone.
    pub produced: Vec<Produced>,
    /// Where it ended.
    pub end: Offset,
    /// A time, milliseconds since 1970, at which nothing of what followed was there yet, and after all that was read of it was committed.
    pub unix_ms: u64,
}

/// What is gone of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gone {
    /// All of it. A commit says of which topic it is, and may come late.
    Topic,
    /// What stood here and behind it. A commit says under which leader what it is of was read, and may come late.
    From(Offset),
}

impl Evidence {
    /// Tells what was from what followed.
    #[must_use]
    pub fn apart(mut self, former: Vec<Former>) -> Self {
        for (number, former) in (1..).zip(former) {
            let own = Partition(former.partition.0 + number * APART);
            former.part(own, &mut self);
        }
        self
    }
}

impl Former {
    fn part(self, own: Partition, evidence: &mut Evidence) {
        self.part_successes(own, evidence);
        self.part_letters(own, evidence);
        self.part_commits(own, evidence);
        evidence.ends.insert(own, self.end);
        evidence.produced.extend(self.produced.into_iter().map(|mut produced| {
            produced.stored.partition = own;
            produced
        }));
    }

    /// By their offsets.
    fn gone(&self) -> BTreeMap<Offset, &Produced> {
        self.produced.iter().map(|produced| (produced.stored.offset, produced)).collect()
    }

    fn part_successes(&self, own: Partition, evidence: &mut Evidence) {
        let followed = id_by_offset(&evidence.produced, self.partition);
        let gone = id_by_offset(&self.produced, self.partition);
        let is_of = |ids: &BTreeMap<Offset, String>, entry: &Entry| ids.get(&entry.offset) == Some(&entry.id);
        for entry in evidence.ledger.iter_mut().filter(|entry| entry.partition == self.partition) {
            if is_of(&gone, entry) && !is_of(&followed, entry) {
                entry.partition = own;
            }
        }
    }

    /// A letter has its record's bytes.
    fn part_letters(&self, own: Partition, evidence: &mut Evidence) {
        let gone = self.gone();
        let is_gone = |letter: &Stored| {
            origin(letter).is_some_and(|(partition, offset)| {
                let of_it = gone.get(&offset).is_some_and(|produced| is_of(letter, produced));
                partition == self.partition && of_it
            })
        };
        for letter in evidence.letters.iter_mut().filter(|letter| is_gone(letter)) {
            let said = letter.message.headers.iter_mut().rev().find(|(name, _)| name == b"daemonry-partition");
            if let Some((_, value)) = said {
                *value = Some(own.0.to_string().into_bytes());
            }
        }
    }

    fn part_commits(&self, own: Partition, evidence: &mut Evidence) {
        let is_former = self.former_commits(&evidence.commits);
        // Who asks a group hears of no leader: it is one of those that the log has.
        let known: Vec<(u64, &Coverage, bool)> = (evidence.commits.iter().zip(&is_former))
            .filter_map(|(sample, is_former)| {
                Some((sample.unix_ms, sample.committed.get(&self.partition)?, *is_former))
            })
            .collect();
        let seen: Vec<bool> = evidence
            .samples
            .iter()
            .map(|sample| {
                let coverage = sample.committed.get(&self.partition);
                let mut before = known.iter().rev().filter(|(unix_ms, ..)| *unix_ms <= sample.unix_ms);
                let same = before.find(|(_, known, _)| Some(*known) == coverage);
                same.map_or(sample.unix_ms <= self.unix_ms, |(.., is_former)| *is_former)
            })
            .collect();
        let commits = evidence.commits.iter_mut().zip(is_former);
        for (sample, is_former) in commits.chain(evidence.samples.iter_mut().zip(seen)) {
            self.part_sample(own, sample, is_former);
        }
    }

    /// Which of these have a commit of what is gone.
    fn former_commits(&self, commits: &[Sample]) -> Vec<bool> {
        let before = commits.iter().filter(|sample| sample.unix_ms <= self.unix_ms);
        let topics: BTreeSet<&str> =
            before.clone().filter_map(|sample| sample.committed.get(&self.partition)?.topic.as_deref()).collect();
        let leaders: BTreeSet<i32> =
            before.filter_map(|sample| sample.leader_epochs.get(&self.partition).copied()).collect();
        let is_late = |sample: &Sample| match self.gone {
            Gone::Topic => {
                let coverage = sample.committed.get(&self.partition);
                coverage.and_then(|coverage| coverage.topic.as_deref()).is_some_and(|topic| topics.contains(topic))
            }
            Gone::From(from) => {
                let leader = sample.leader_epochs.get(&self.partition);
                let is_of_them = leader.is_some_and(|leader| leaders.last().is_some_and(|last| leader <= last));
                // What is left was read under them, too.
                let has_more = |coverage: &Coverage| coverage.end() > from.0;
                is_of_them && sample.committed.get(&self.partition).is_some_and(has_more)
            }
        };
        commits.iter().map(|sample| sample.unix_ms <= self.unix_ms || is_late(sample)).collect()
    }

    fn part_sample(&self, own: Partition, sample: &mut Sample, is_former: bool) {
        if !is_former {
            return;
        }
        let Some(coverage) = sample.committed.remove(&self.partition) else { return };
        if let Gone::From(from) = self.gone {
            sample.committed.insert(self.partition, coverage.below(from));
        }
        sample.committed.insert(own, coverage);
    }
}

fn is_of(letter: &Stored, produced: &Produced) -> bool {
    letter.message.value == produced.stored.message.value && letter.message.key == produced.stored.message.key
}

/// The ids of a partition's records, as the ledger has them.
fn id_by_offset(produced: &[Produced], partition: Partition) -> BTreeMap<Offset, String> {
    let of_it = produced.iter().filter(|produced| produced.stored.partition == partition);
    of_it.map(|produced| (produced.stored.offset, produced.told_id())).collect()
}

#[cfg(test)]
mod tests {

    use super::super::{Fate, Invariant, Order, Reason, judge};
    use super::*;
    use crate::message::Message;

    const FIRST: Partition = Partition(0);

    fn produced(ids: std::ops::Range<u64>, from: i64, fate: Fate) -> Vec<Produced> {
        let record = |(id, offset): (u64, i64)| Produced {
            stored: Stored {
                partition: FIRST,
                offset: Offset(offset),
                unix_ms: None,
                message: Message::new(id.to_string()),
            },
            id: Some(id),
            fate,
            acknowledged_ms: 1_000,
        };
        ids.zip(from..).map(record).collect()
    }

    fn commit(next: i64, topic: &str, leader: i32, unix_ms: u64, ledger: usize) -> Sample {
        let coverage = Coverage { next, topic: Some(topic.to_owned()), ..Coverage::default() };
        Sample {
            committed: [(FIRST, coverage)].into(),
            leader_epochs: [(FIRST, leader)].into(),
            ledger_bytes: 10 * ledger as u64,
            unix_ms,
        }
    }

    /// The ids and offsets of successes, one after the other from 1,000 on.
    fn ledger(successes: &[(u64, i64)]) -> Vec<Entry> {
        let entry = |(line, (id, offset)): (u64, &(u64, i64))| Entry {
            at: line * 10,
            partition: FIRST,
            offset: Offset(*offset),
            key: "-".to_owned(),
            id: id.to_string(),
            attempt: 1,
            pid: 1,
            unix_ms: 1_000 + line,
        };
        (0..).zip(successes).map(entry).collect()
    }

    fn evidence(produced: Vec<Produced>, ledger: Vec<Entry>, commits: Vec<Sample>) -> Evidence {
        let end = Offset(produced.iter().map(|produced| produced.stored.offset.0 + 1).max().unwrap_or(0));
        Evidence { produced, ledger, commits, ends: [(FIRST, end)].into(), ..Evidence::none(Order::Partition) }
    }

    fn former(gone: Gone, produced: Vec<Produced>, end: i64) -> Vec<Former> {
        vec![Former { partition: FIRST, gone, produced, end: Offset(end), unix_ms: 1_100 }]
    }

    #[track_caller]
    fn breaks(evidence: Evidence, former: Vec<Former>, expected: &[Invariant]) {
        let verdict = judge(&evidence.apart(former));
        assert_eq!(verdict.broken().into_iter().collect::<Vec<_>>(), expected, "{verdict}");
    }

    /// A topic of two records that is made anew with three.
    fn anew(successes: &[(u64, i64)], commits: Vec<Sample>, expected: &[Invariant]) {
        let evidence = evidence(produced(10..13, 0, Fate::Success), ledger(successes), commits);
        breaks(evidence, former(Gone::Topic, produced(0..2, 0, Fate::Success), 2), expected);
    }

    const ALL: [(u64, i64); 5] = [(0, 0), (1, 1), (10, 0), (11, 1), (12, 2)];

    #[test]
    fn a_topic_that_was_made_anew_is_judged_beside_what_it_was() {
        let commits = || vec![commit(2, "a", 0, 1_050, 2), commit(3, "b", 0, 1_200, 5)];
        anew(&ALL, commits(), &[]);
        anew(&ALL[1..], vec![commit(3, "b", 0, 1_200, 4)], &[Invariant::I1]);
        anew(&ALL[..4], vec![commit(2, "a", 0, 1_050, 2)], &[Invariant::I1]);
        anew(&[(1, 1), (0, 0), (10, 0), (11, 1), (12, 2)], commits(), &[Invariant::I3]);
        anew(&[(0, 0), (1, 1), (10, 0), (11, 1), (12, 2), (12, 2)], commits(), &[Invariant::I4]);
        // A record of neither.
        anew(&[(0, 0), (1, 1), (10, 0), (11, 1), (12, 2), (7, 2)], commits(), &[Invariant::I1, Invariant::I4]);
    }

    #[test]
    fn a_commit_is_of_the_topic_that_it_names() {
        let commits = |late: Sample| vec![commit(1, "a", 0, 1_050, 2), late, commit(3, "b", 0, 1_300, 5)];
        anew(&ALL, commits(commit(2, "a", 0, 1_200, 2)), &[]);
        // It claims what nobody has read.
        anew(&ALL, commits(commit(2, "b", 0, 1_200, 2)), &[Invariant::I2]);
        anew(&ALL, commits(commit(3, "a", 0, 1_200, 2)), &[Invariant::I2]);
    }

    /// Of a log of three two are cut off, and two others follow.
    fn cut(successes: &[(u64, i64)], commits: Vec<Sample>, expected: &[Invariant]) {
        let followed = [produced(0..1, 0, Fate::Success), produced(10..12, 1, Fate::Success)].concat();
        let evidence = evidence(followed, ledger(successes), commits);
        breaks(evidence, former(Gone::From(Offset(1)), produced(1..3, 1, Fate::Success), 3), expected);
    }

    #[test]
    fn what_is_left_of_a_log_that_was_cut_goes_on() {
        let all = [(0, 0), (1, 1), (2, 2), (10, 1), (11, 2)];
        let commits =
            |again| vec![commit(3, "a", 4, 1_050, 3), commit(again, "a", 5, 1_200, 3), commit(3, "a", 5, 1_300, 6)];
        cut(&all, commits(1), &[]);
        // Up to where it was cut it was read under the former leader.
        let left = commit(1, "a", 4, 1_200, 3);
        cut(&all, vec![commit(3, "a", 4, 1_050, 3), left, commit(3, "a", 5, 1_300, 6)], &[]);
        // What is new was passed over, or what is left runs again.
        cut(&all, commits(2), &[Invariant::I2]);
        cut(&[(0, 0), (1, 1), (2, 2), (0, 0), (10, 1), (11, 2)], commits(1), &[Invariant::I4]);
        // What was read of it before it was cut may be committed yet, as of its leader.
        cut(&all, vec![commit(2, "a", 4, 1_050, 3), commit(3, "a", 4, 1_200, 3), commit(3, "a", 5, 1_300, 5)], &[]);
    }

    #[test]
    fn a_letter_is_of_the_record_whose_bytes_it_has() {
        let poison = Fate::Letter(Reason::Poison);
        let letter = |id: u64, unix_ms| {
            let message = Message::new(id.to_string())
                .header("daemonry-partition", "0")
                .header("daemonry-offset", "0")
                .header("daemonry-reason", "poison");
            Stored { partition: FIRST, offset: Offset(0), unix_ms: Some(unix_ms), message }
        };
        let with = |letters: Vec<Stored>| {
            let evidence = evidence(produced(10..11, 0, poison), Vec::new(), vec![commit(1, "b", 0, 1_300, 0)]);
            Evidence { letters, ..evidence }
        };
        let former = || former(Gone::Topic, produced(0..1, 0, poison), 1);
        breaks(with(vec![letter(0, 1_010), letter(10, 1_200)]), former(), &[]);
        breaks(with(vec![letter(10, 1_200)]), former(), &[Invariant::I1]);
        breaks(with(vec![letter(0, 1_010)]), former(), &[Invariant::I1, Invariant::I2]);
    }
}
