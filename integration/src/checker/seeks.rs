//! Seeks on purpose: what they take back, and what they excuse.
//!
//! From the place of a seek on, every record is to be handled again, in order; what lies below may be left out, and be committed all the
//! same. A seek that was refused is none. One that was never answered, since its process died, may have happened or not.

use daemonry::record::{Offset, Partition};

use super::evidence::{Evidence, Sample};
use super::history::{History, appended};
use crate::ledger::Entry;
use crate::message::Stored;

/// A moment, as the evidence knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Moment {
    /// The length of the ledger then, in bytes.
    pub ledger_bytes: u64,
    /// Milliseconds since 1970.
    pub unix_ms: u64,
}

/// A seek of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sought {
    /// Which partition.
    pub partition: Partition,
    /// Where it was to go on.
    pub place: Offset,
    /// When it was asked for, at the latest.
    pub asked: Moment,
    /// When it was said to be done, at the latest; `None` where nobody ever said.
    pub done: Option<Moment>,
}

impl Sought {
    fn skips(&self, offset: i64) -> bool {
        offset < self.place.0
    }

    /// Whether it may stand between what was finished and a success that follows.
    fn explains(&self, before: &Entry, again: &Entry) -> bool {
        let is_later = self.done.is_none_or(|done| before.at < done.ledger_bytes);
        !self.skips(again.offset.0) && is_later && self.asked.ledger_bytes <= again.at
    }

    /// The same for letters.
    fn explains_letter(&self, offset: i64, before: &Stored, again: &Stored) -> bool {
        let is_later = self.done.is_none_or(|done| appended(before) <= done.unix_ms);
        !self.skips(offset) && is_later && self.asked.unix_ms <= appended(again)
    }
}

/// What is owed to a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owed {
    /// To be finished.
    Once,
    /// To be finished after this moment, whatever was before.
    Since(Moment),
    /// Nothing: a seek has left it out.
    Nothing,
}

/// What is owed to a record in the end, after these seeks, in the order in which they were asked for.
pub fn owed(seeks: &[Sought], partition: Partition, offset: Offset) -> Owed {
    owed_by(seeks.iter().filter(|sought| sought.partition == partition), offset.0, |_| true)
}

/// `is_done` says whether a seek that was done counts as such already.
fn owed_by<'a>(
    seeks: impl DoubleEndedIterator<Item = &'a Sought>,
    offset: i64,
    is_done: impl Fn(Moment) -> bool,
) -> Owed {
    for sought in seeks.rev() {
        if sought.skips(offset) {
            return Owed::Nothing;
        }
        if sought.done.is_some_and(&is_done) {
            return Owed::Since(sought.asked);
        }
    }
    Owed::Once
}

impl Evidence {
    /// The seeks of a partition, in order.
    pub(super) fn seeks_of(&self, partition: Partition) -> impl DoubleEndedIterator<Item = &Sought> + Clone {
        self.seeks.iter().filter(move |sought| sought.partition == partition)
    }

    /// What was owed to a record when the sample of this index was taken.
    pub(super) fn owed_in(&self, samples: &[Sample], sample: usize, partition: Partition, offset: i64) -> Owed {
        let taken = &samples[sample];
        let seeks = self.seeks_of(partition).filter(|sought| sought.asked.unix_ms <= taken.unix_ms);
        owed_by(seeks, offset, |done| is_behind(samples, sample, done))
    }

    /// Whether a seek explains that a record ran again after a sample whose commit covers it.
    pub(super) fn is_sought_again(&self, samples: &[Sample], sample: usize, history: &History<'_>, at: Moment) -> bool {
        let stored = &history.produced.stored;
        self.seeks_of(stored.partition).any(|sought| {
            let is_later = sought.done.is_none_or(|done| !is_behind(samples, sample, done));
            let is_before = sought.asked.ledger_bytes <= at.ledger_bytes && sought.asked.unix_ms <= at.unix_ms;
            !sought.skips(stored.offset.0) && is_later && is_before
        })
    }
}

/// Whether a sample shows only what was committed after this.
fn is_behind(samples: &[Sample], sample: usize, moment: Moment) -> bool {
    // It was asked for after the one before had come.
    sample.checked_sub(1).is_some_and(|before| samples[before].unix_ms >= moment.unix_ms)
}

impl History<'_> {
    /// Whether it got what it was owed, up to a sample or in the end.
    pub(super) fn has(&self, owed: Owed, until: Option<&Sample>) -> bool {
        let since = match owed {
            Owed::Nothing => return true,
            Owed::Once => Moment { ledger_bytes: 0, unix_ms: 0 },
            Owed::Since(moment) => moment,
        };
        let entries = since.ledger_bytes..until.map_or(u64::MAX, |sample| sample.ledger_bytes);
        let letters = since.unix_ms..=until.map_or(u64::MAX, |sample| sample.unix_ms);
        self.successes.iter().any(|entry| entries.contains(&entry.at))
            || self.letters.iter().any(|letter| letters.contains(&appended(letter)))
    }
}

impl Evidence {
    /// The first line of a record's that was written though a seek had left it out, and none had brought it back.
    pub(super) fn ran_though_left_out<'a>(&self, history: &History<'a>) -> Option<&'a Entry> {
        let stored = &history.produced.stored;
        let is_left_out = |entry: &&&Entry| {
            let mut asked =
                self.seeks_of(stored.partition).rev().filter(|sought| sought.asked.ledger_bytes <= entry.at);
            let latest = asked.next();
            latest.is_some_and(|sought| {
                sought.skips(stored.offset.0) && sought.done.is_some_and(|done| done.ledger_bytes <= entry.at)
            })
        };
        history.successes.iter().filter(|entry| !self.by_a_zombie(entry)).find(is_left_out).copied()
    }
}

/// Takes the seeks that explain why something ran again, each once.
#[derive(Debug)]
pub(super) struct Explanations<'a> {
    left: Vec<&'a Sought>,
}

impl<'a> Explanations<'a> {
    pub(super) fn of(evidence: &'a Evidence, partition: Partition) -> Self {
        Self { left: evidence.seeks_of(partition).collect() }
    }

    pub(super) fn explain(&mut self, before: &Entry, again: &Entry) -> bool {
        self.take(|sought| sought.explains(before, again))
    }

    pub(super) fn explain_letter(&mut self, offset: i64, before: &Stored, again: &Stored) -> bool {
        self.take(|sought| sought.explains_letter(offset, before, again))
    }

    /// Why a commit went back to this offset.
    pub(super) fn explain_commit(&mut self, next: i64, sample: &Sample) -> bool {
        self.take(|sought| sought.place.0 <= next && sought.asked.unix_ms <= sample.unix_ms)
    }

    fn take(&mut self, is_it: impl Fn(&Sought) -> bool) -> bool {
        let found = self.left.iter().position(|sought| is_it(sought));
        found.map(|index| self.left.remove(index)).is_some()
    }
}

/// Tells where the records of a partition begin again, as its ledger is read line by line.
#[derive(Debug)]
pub(super) struct Passes<'a> {
    left: Vec<&'a Sought>,
}

impl<'a> Passes<'a> {
    pub(super) fn of(evidence: &'a Evidence, partition: Partition) -> Self {
        Self { left: evidence.seeks_of(partition).collect() }
    }

    /// The seek behind which this line stands for the first time: because that was done by then, or because the line would be out of order
    /// otherwise. Each is given once.
    pub(super) fn begins(&mut self, entry: &Entry, is_out_of_order: bool) -> Option<&'a Sought> {
        let done = |sought: &&Sought| sought.done.is_some_and(|done| done.ledger_bytes <= entry.at);
        let index = self.left.iter().rposition(done).or_else(|| {
            let explains = |sought: &&Sought| sought.asked.ledger_bytes <= entry.at && !sought.skips(entry.offset.0);
            is_out_of_order.then(|| self.left.iter().position(explains)).flatten()
        })?;
        let begun = self.left.remove(index);
        // Those that were done before it have begun, too.
        self.left.retain(|sought| !done(sought));
        Some(begun)
    }
}
