//! How many letters wait, and of what kinds they are.
//!
//! How many is known by what is known of the marks alone: no letter is read for it. Of what kind they are stands in their headers, so those that
//! are meant are read for it, for as long as there is time.

use super::error::LettersError;
use super::marks::MarkKind;
use super::opened::{Opened, Pile, Walk};
use super::register::Time;
use super::shelf::Polled;
use super::{Content, Entry, Filter};
use crate::pipeline::dead_letter::Reason;
use crate::record::{Timestamp, Topic};

/// How many kinds are told apart. Letters say theirs themselves, so there may be any number.
const KINDS: usize = 200;

/// How many letters wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiting {
    /// Records of the letters' topic that were neither re-driven nor discarded; `None` while marks are left to be read.
    pub letters: Option<u64>,
    /// About so many marks are, as the time was over before.
    pub marks_left: u64,
}

/// How many letters there are of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kinds {
    /// They, the most first.
    pub kinds: Vec<Kind>,
    /// Letters of further kinds, of which two hundred are told apart.
    pub others: u64,
    /// Records that are no letters.
    pub foreign: u64,
    /// So many were not looked at, as the time was over before; those that meet no condition count too.
    pub left: u64,
    /// How many wait in all of the topic, whatever was asked for.
    pub waiting: Waiting,
}

/// Letters of records of one topic that failed in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kind {
    /// Where their records were read.
    pub origin: Topic,
    /// How they failed.
    pub reason: Reason,
    /// How many there are.
    pub letters: u64,
    /// When the first one of them failed, where they say so …
    pub first: Option<Timestamp>,
    /// … and the last one.
    pub last: Option<Timestamp>,
}

impl Opened {
    /// How many letters have no mark.
    pub(super) fn waiting(&self) -> Waiting {
        let none = |span| self.marks.count_without(span, &[MarkKind::Redriven, MarkKind::Discarded]);
        let letters = (self.marks_left == 0).then(|| self.all.iter().map(none).sum());
        Waiting { letters, marks_left: self.marks_left }
    }
}

/// Counts what waits.
pub(super) fn waiting(pile: &Pile<'_>, time: Time) -> Result<Waiting, LettersError> {
    Ok(pile.open(&Filter::all(), time)?.waiting())
}

/// Looks at what is meant, and counts it.
pub(super) fn kinds(pile: &Pile<'_>, filter: &Filter, time: Time) -> Result<Kinds, LettersError> {
    let opened = pile.open(filter, time)?;
    let waiting = opened.waiting();
    let mut found = Kinds { waiting, ..Kinds::default() };
    if opened.marks_left > 0 {
        found.left = opened.spans.iter().map(|span| u64::try_from(span.end.0 - span.from.0).unwrap_or(0)).sum();
        return Ok(found);
    }
    let mut walk = Walk::begin(opened, pile.topic, filter)?;
    let mut has_begun = false;
    loop {
        match walk.next(time.end(has_begun))? {
            Polled::Record(record) => {
                if let Some(entry) = walk.meant(&record) {
                    found.count(&entry);
                }
            }
            Polled::End => break,
            Polled::Late => {
                found.left = walk.left();
                break;
            }
        }
        has_begun = true;
        if time.is_over() {
            found.left = walk.left();
            break;
        }
    }
    found.kinds.sort_by_key(|kind| std::cmp::Reverse(kind.letters));
    Ok(found)
}

impl Kinds {
    /// How many were counted.
    pub fn counted(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.letters).sum::<u64>() + self.others + self.foreign
    }

    fn count(&mut self, entry: &Entry) {
        let letter = match &entry.content {
            Content::Letter(letter) => letter,
            Content::Foreign { .. } => return self.foreign += 1,
        };
        let at = letter.failed_at;
        let is_it = |kind: &&mut Kind| kind.reason == letter.reason && kind.origin == letter.origin.topic;
        if let Some(kind) = self.kinds.iter_mut().find(is_it) {
            kind.letters += 1;
            kind.first = kind.first.min(at).or(kind.first).or(at);
            kind.last = kind.last.max(at);
        } else if self.kinds.len() < KINDS {
            let (origin, reason) = (letter.origin.topic.clone(), letter.reason);
            self.kinds.push(Kind { origin, reason, letters: 1, first: at, last: at });
        } else {
            self.others += 1;
        }
    }
}
