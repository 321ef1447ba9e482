//! Reading letters: where to begin and to end, what their marks say, and which are meant.

use std::sync::Arc;
use std::time::Instant;

use super::error::LettersError;
use super::letter::View;
use super::marked::Marks;
use super::marks::{MarkKind, TopicId};
use super::register::{Known, Register, Time};
use super::shelf::{Partitions, Polled, Reader, Shelf, Span, Stop, Survey, poll};
use super::{Entry, Filter};
use crate::record::{Record, Timestamp, Topic};

/// How much earlier than a time to begin to read for it: clocks differ, and a broker may stamp letters with its own.
const CLOCKS: u64 = 60_000;
/// After so many letters, one after the other, that are left out for their marks, it is looked how many more there are.
const DULL: usize = 500;
/// So many that need not be read are worth another fetch.
const WORTH: i64 = 5_000;

/// A topic of letters, for a thread that works through it.
pub(super) struct Pile<'a> {
    pub(super) shelf: &'a dyn Shelf,
    pub(super) register: &'a Register,
    pub(super) topic: &'a Topic,
    pub(super) stop: &'a Stop,
}

/// Letters that are ready to be read.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Reader>,
    pub(super) id: TopicId,
    pub(super) marks: Arc<Marks>,
    /// Marks that are yet to be read, where the time was over before.
    pub(super) marks_left: u64,
    /// All that there is.
    pub(super) all: Vec<Span>,
    /// What of it may be meant.
    pub(super) spans: Vec<Span>,
}

impl Pile<'_> {
    /// Looks at the letters' topic.
    pub(super) fn survey(&self) -> Result<(Box<dyn Reader>, Survey), LettersError> {
        let mut reader = self.shelf.reader(self.stop)?;
        let survey = reader
            .survey(self.topic, Partitions::All)?
            .ok_or_else(|| LettersError::UnknownTopic(self.topic.clone()))?;
        Ok((reader, survey))
    }

    /// Learns the marks.
    pub(super) fn marks(&self, reader: &mut dyn Reader, survey: &Survey, time: Time) -> Result<Known, LettersError> {
        self.register.marks(reader, self.topic, survey, time, self.stop)
    }

    /// Looks at the letters' topic, and learns the marks.
    pub(super) fn open(&self, filter: &Filter, time: Time) -> Result<Opened, LettersError> {
        let (mut reader, survey) = self.survey()?;
        let Known { marks, left: marks_left } = self.marks(&mut *reader, &survey, time)?;
        let Survey { id, spans: all, .. } = survey;
        let mut spans = all.clone();
        narrow(&mut spans, filter);
        if let Some(since) = filter.since {
            let early =
                Timestamp::from_millis(i64::try_from(since.as_millis().saturating_sub(CLOCKS)).unwrap_or(i64::MAX));
            if let Some(early) = early {
                reader.skip_to(self.topic, &mut spans, early)?;
            }
        }
        spans.retain(|span| span.from < span.end);
        Ok(Opened { reader, id, marks, marks_left, all, spans })
    }
}

/// Leaves out what the filter's places and partitions don't reach.
fn narrow(spans: &mut Vec<Span>, filter: &Filter) {
    if !filter.partitions.is_empty() {
        spans.retain(|span| filter.partitions.contains(&span.partition));
    }
    if filter.places.is_empty() {
        return;
    }
    spans.retain_mut(|span| {
        let offsets = || filter.places.iter().filter(|place| place.0 == span.partition).map(|place| place.1);
        let (Some(first), Some(last)) = (offsets().min(), offsets().max()) else { return false };
        *span = Span { from: span.from.max(first), end: span.end.min(last.next().offset()), ..*span };
        span.from < span.end
    });
}

/// Goes through letters. Those that the filter leaves out for their marks are passed over unread where there are many of them.
pub(super) struct Walk<'a> {
    opened: Opened,
    letters: &'a Topic,
    filter: &'a Filter,
    /// Letters with such a mark are left out.
    out: Vec<MarkKind>,
    /// So many were, one after the other.
    dull: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn begin(opened: Opened, letters: &'a Topic, filter: &'a Filter) -> Result<Self, LettersError> {
        let kinds = [MarkKind::Redriven, MarkKind::Discarded].into_iter();
        let out = kinds.filter(|kind| filter.leaves_out(Some(*kind))).collect();
        let mut walk = Self { opened, letters, filter, out, dull: 0 };
        let ahead = walk.ahead();
        walk.pass(ahead)?;
        Ok(walk)
    }

    /// The next record, in time where there is one; it may be one that isn't meant.
    pub(super) fn next(&mut self, until: Option<Instant>) -> Result<Polled, LettersError> {
        if self.dull >= DULL {
            self.dull = 0;
            let ahead = self.ahead();
            let passed = |(ahead, span): (&Span, &Span)| ahead.from.0 - span.from.0;
            if ahead.iter().zip(&self.opened.spans).map(passed).sum::<i64>() >= WORTH {
                self.pass(ahead)?;
            }
        }
        let polled = poll(&mut *self.opened.reader, until)?;
        if let Polled::Record(record) = &polled {
            let spans = &mut self.opened.spans;
            if let Ok(index) = spans.binary_search_by_key(&record.partition(), |span| span.partition) {
                spans[index].from = record.offset().next().offset();
            }
            let mark = self.opened.marks.of(record.partition(), record.offset());
            self.dull = if self.filter.leaves_out(mark) { self.dull + 1 } else { 0 };
        }
        Ok(polled)
    }

    /// A record as it is listed, if it is meant.
    pub(super) fn meant(&self, record: &Record) -> Option<Entry> {
        let view = View::of(record.headers().collect());
        let mark = self.opened.marks.of(record.partition(), record.offset());
        (!self.filter.leaves_out(mark) && self.filter.meets(record, &view)).then(|| Entry::of(record, view, mark))
    }

    /// How many are still to be looked at; those that are known to be left out are not.
    pub(super) fn left(&self) -> u64 {
        let Opened { spans, marks, .. } = &self.opened;
        spans.iter().map(|span| marks.count_without(span, &self.out)).sum()
    }

    /// What there is to read behind those that are left out.
    fn ahead(&self) -> Vec<Span> {
        let ahead = |span: &Span| Span { from: self.opened.marks.first_without(span, &self.out), ..*span };
        self.opened.spans.iter().map(ahead).collect()
    }

    /// Goes on there.
    fn pass(&mut self, mut ahead: Vec<Span>) -> Result<(), LettersError> {
        ahead.retain(|span| span.from < span.end);
        self.opened.spans = ahead;
        self.opened.reader.open(self.letters, &self.opened.spans)
    }
}

/// Gives each letter that is meant to `each`, until that says no.
pub(super) fn list(pile: &Pile<'_>, filter: &Filter, mut each: impl FnMut(Entry) -> bool) -> Result<(), LettersError> {
    let opened = pile.open(filter, Time::any())?;
    let mut walk = Walk::begin(opened, pile.topic, filter)?;
    while let Polled::Record(record) = walk.next(None)? {
        if walk.meant(&record).is_some_and(|entry| !each(entry)) {
            break;
        }
    }
    Ok(())
}
