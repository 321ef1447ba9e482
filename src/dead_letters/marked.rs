//! Which letters have a mark: two bits a letter, and where its record stands, about.
//!
//! Of a mark itself only its kind is kept. Who has made it and why stands in the marks' topic, and is looked for there when somebody asks.

use std::collections::BTreeMap;

use super::marks::{MarkKind, TopicId, kind_of};
use super::shelf::Span;
use crate::record::{Offset, Partition, Record};

/// How many offsets stand in one chunk.
const CHUNK: i64 = 512;
const WORD: i64 = 64;
/// Marks of a chunk that stand no further apart belong to one stretch: they come in one fetch.
const NEAR: i64 = 4_096;
/// How long a stretch may become: that many records are read to show a mark, at most.
const LONG: i64 = 32_768;
/// How many stretches a chunk has, at most.
const STRETCHES: usize = 16;

/// Offsets side by side, two bits each.
#[derive(Clone, Debug, Default)]
struct Chunk {
    redriven: [u64; 8],
    discarded: [u64; 8],
    /// Where their marks are, those that were written last at the end.
    stretches: Vec<Span>,
}

/// Which letters have a mark: some 300 bytes for 512 offsets side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    chunks: BTreeMap<(Partition, i64), Chunk>,
}

impl Marks {
    /// Learns from a record of the marks' topic. What is none is passed over, and so are marks of letters below these beginnings: they are gone.
    pub(super) fn learn(&mut self, letters: &TopicId, begins: &[Span], record: &Record) {
        let Some((partition, offset, kind)) = kind_of(letters, record) else { return };
        let place = begins.binary_search_by_key(&partition, |span| span.partition);
        if place.is_ok_and(|index| offset < begins[index].from) {
            return;
        }
        let chunk = self.chunks.entry((partition, offset.0 / CHUNK)).or_default();
        chunk.set(offset, kind);
        chunk.stands_at(record.partition(), record.offset());
    }

    /// The kind of the letter's mark.
    pub(super) fn of(&self, partition: Partition, offset: Offset) -> Option<MarkKind> {
        let chunk = self.chunks.get(&(partition, offset.0 / CHUNK))?;
        let (word, bit) = bit(offset);
        if chunk.redriven[word] & bit != 0 {
            return Some(MarkKind::Redriven);
        }
        (chunk.discarded[word] & bit != 0).then_some(MarkKind::Discarded)
    }

    /// Where the letter's mark may stand, the likeliest first.
    pub(super) fn stretches(&self, partition: Partition, offset: Offset) -> impl Iterator<Item = Span> {
        let chunk = self.chunks.get(&(partition, offset.0 / CHUNK));
        chunk.into_iter().flat_map(|chunk| chunk.stretches.iter().rev().copied())
    }

    /// The first offset of the span that has no mark of these kinds; its end, where all have.
    pub(super) fn first_without(&self, span: &Span, kinds: &[MarkKind]) -> Offset {
        let mut offset = span.from.0;
        while offset < span.end.0 {
            let Some(chunk) = self.chunks.get(&(span.partition, offset / CHUNK)) else { break };
            let (word, bit) = bit(Offset(offset));
            let marked = chunk.marked(word, kinds);
            // Those before it in its word don't matter.
            let free = (!marked & !(bit - 1)).trailing_zeros();
            let found = offset - offset % WORD + i64::from(free);
            if free < u64::BITS {
                return Offset(found.min(span.end.0));
            }
            offset = found;
        }
        Offset(offset.min(span.end.0).max(span.from.0))
    }

    /// How many offsets of the span have no mark of these kinds.
    pub(super) fn count_without(&self, span: &Span, kinds: &[MarkKind]) -> u64 {
        let chunks = (span.partition, span.from.0 / CHUNK)..=(span.partition, span.end.0 / CHUNK);
        let marked = self.chunks.range(chunks).map(|((_, number), chunk)| {
            let begin = number * CHUNK;
            chunk.count(kinds, span.from.0 - begin, span.end.0 - begin)
        });
        let marked: u64 = marked.sum();
        u64::try_from(span.end.0 - span.from.0).unwrap_or(0).saturating_sub(marked)
    }

    /// Whether chunks lie below these beginnings, which [`forget`](Self::forget) would drop.
    pub(super) fn is_stale(&self, begins: &[Span]) -> bool {
        begins.iter().any(|span| self.below(span).next().is_some())
    }

    /// Drops those that lie below these beginnings.
    pub(super) fn forget(&mut self, begins: &[Span]) {
        for span in begins {
            let gone: Vec<_> = self.below(span).collect();
            for key in gone {
                self.chunks.remove(&key);
            }
        }
    }

    fn below(&self, span: &Span) -> impl Iterator<Item = (Partition, i64)> + use<'_> {
        let whole = (span.from.0 / CHUNK).max(0);
        self.chunks.range((span.partition, 0)..(span.partition, whole)).map(|(key, _)| *key)
    }
}

impl Chunk {
    /// Those of a word that have a mark of these kinds.
    fn marked(&self, word: usize, kinds: &[MarkKind]) -> u64 {
        let of = |kind: &MarkKind| match kind {
            MarkKind::Redriven => self.redriven[word],
            MarkKind::Discarded => self.discarded[word],
        };
        kinds.iter().fold(0, |marked, kind| marked | of(kind))
    }

    /// How many between these places have one.
    fn count(&self, kinds: &[MarkKind], from: i64, end: i64) -> u64 {
        let below = |place: i64| match u32::try_from(place.clamp(0, WORD)) {
            Ok(bits @ 0..u64::BITS) => (1 << bits) - 1,
            _ => u64::MAX,
        };
        let words = (0..).zip(0..self.redriven.len());
        let counts = words.map(|(number, word)| {
            let begin = number * WORD;
            (self.marked(word, kinds) & below(end - begin) & !below(from - begin)).count_ones()
        });
        counts.map(u64::from).sum()
    }

    fn set(&mut self, offset: Offset, kind: Option<MarkKind>) {
        let (word, bit) = bit(offset);
        self.redriven[word] &= !bit;
        self.discarded[word] &= !bit;
        match kind {
            Some(MarkKind::Redriven) => self.redriven[word] |= bit,
            Some(MarkKind::Discarded) => self.discarded[word] |= bit,
            None => {}
        }
    }

    fn stands_at(&mut self, partition: Partition, offset: Offset) {
        let end = offset.next().offset();
        if let Some(last) = self.stretches.iter_mut().rfind(|span| span.partition == partition)
            && offset.0 - last.end.0 <= NEAR
            && end.0 - last.from.0 <= LONG
        {
            last.end = end.max(last.end);
            return;
        }
        if self.stretches.len() >= STRETCHES {
            self.join();
        }
        self.stretches.push(Span { partition, from: offset, end });
    }

    /// Makes one of the two neighbours that are least apart: what is between them is read in vain.
    fn join(&mut self) {
        let apart = |pair: &[Span]| (pair[0].partition != pair[1].partition, pair[1].end.0 - pair[0].from.0);
        let pairs = self.stretches.windows(2).enumerate();
        let Some((nearest, _)) = pairs.min_by_key(|(_, pair)| apart(pair)) else { return };
        let later = self.stretches.remove(nearest + 1);
        let joined = &mut self.stretches[nearest];
        // Of several partitions, which nobody asked for, the earlier one's are given up.
        *joined = if joined.partition == later.partition { Span { end: later.end, ..*joined } } else { later };
    }
}

fn bit(offset: Offset) -> (usize, u64) {
    let within = usize::try_from(offset.0 % CHUNK).unwrap_or(0);
    (within / 64, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::super::marks::Mark;
    use super::super::samples::record_at;
    use super::*;
    use crate::record::OwnedRecord;

    const BOTH: [MarkKind; 2] = [MarkKind::Redriven, MarkKind::Discarded];

    fn span(partition: i32, from: i64, end: i64) -> Span {
        Span { partition: Partition(partition), from: Offset(from), end: Offset(end) }
    }

    /// Learns a mark of a letter, which stands at `at`.
    fn learned_at(marks: &mut Marks, (partition, offset): (i32, i64), mark: Option<MarkKind>, at: i64) {
        let id = TopicId("a".to_owned());
        let mut record = Mark::new(MarkKind::Redriven).record(&id, Partition(partition), Offset(offset));
        record.value = mark.and_then(|kind| Mark::new(kind).record(&id, Partition(0), Offset(0)).value);
        marks.learn(&id, &[], &record_at(0, at, record));
    }

    fn learned(marks: &mut Marks, partition: i32, offset: i64, mark: Option<MarkKind>) {
        learned_at(marks, (partition, offset), mark, 0);
    }

    #[test]
    fn a_mark_is_of_its_letter_alone_and_the_last_one_counts() {
        let mut marks = Marks::default();
        for offset in [0, 63, 64, 511, 512, 1 << 40] {
            learned(&mut marks, 1, offset, Some(MarkKind::Redriven));
            assert_eq!(marks.of(Partition(1), Offset(offset)), Some(MarkKind::Redriven), "{offset}");
        }
        for (partition, offset) in [(0, 0), (1, 1), (1, 62), (1, 65), (1, 513), (1, (1 << 40) - 512)] {
            assert_eq!(marks.of(Partition(partition), Offset(offset)), None, "{partition} {offset}");
        }
        learned(&mut marks, 1, 63, Some(MarkKind::Discarded));
        assert_eq!(marks.of(Partition(1), Offset(63)), Some(MarkKind::Discarded));
        learned(&mut marks, 1, 63, None);
        assert_eq!(marks.of(Partition(1), Offset(63)), None);
    }

    #[test]
    fn marks_of_an_earlier_topic_of_the_name_and_foreign_records_are_passed_over() {
        let mut marks = Marks::default();
        let id = TopicId("a".to_owned());
        let earlier = TopicId("earlier".to_owned());
        let record = Mark::new(MarkKind::Discarded).record(&earlier, Partition(0), Offset(5));
        marks.learn(&id, &[], &record_at(0, 0, record));
        assert_eq!(marks.of(Partition(0), Offset(5)), None);
        for (key, value) in [("a:0:5", "no JSON"), ("a:0:-5", "{}"), ("a:0", "{}"), ("a:0:5:6", "{}"), ("", "")] {
            let record = OwnedRecord::new(value).with_key(key);
            marks.learn(&id, &[], &record_at(0, 0, record));
        }
        assert_eq!(marks.of(Partition(0), Offset(5)), None);
    }

    #[test]
    fn the_first_letter_without_a_mark_is_found_as_one_by_one() {
        let mut random = fastrand::Rng::with_seed(7);
        for round in 0..500 {
            let mut marks = Marks::default();
            let (begin, count) = (random.i64(0..1_000), random.i64(0..2_000));
            for offset in begin..begin + count {
                let kind = random.choice([None, Some(BOTH[0]), Some(BOTH[1])]).flatten();
                if random.u32(0..400) > 0 {
                    let kind = if round % 2 == 0 { Some(BOTH[0]) } else { kind };
                    learned(&mut marks, 3, offset, kind);
                }
            }
            let from = random.i64(0..2_000);
            let sought = span(3, from, from + random.i64(0..2_000));
            for kinds in [&BOTH[..], &BOTH[..1], &BOTH[1..], &[]] {
                let is_left =
                    |offset: &i64| marks.of(Partition(3), Offset(*offset)).is_none_or(|kind| !kinds.contains(&kind));
                let expected = (sought.from.0..sought.end.0).find(is_left).unwrap_or(sought.end.0);
                assert_eq!(marks.first_without(&sought, kinds), Offset(expected), "{sought:?} {kinds:?}");
            }
        }
    }

    #[test]
    fn marks_of_letters_that_are_gone_are_forgotten() {
        let mut marks = Marks::default();
        for (partition, offset) in [(0, 511), (0, 512), (0, 1_024), (1, 0)] {
            learned(&mut marks, partition, offset, Some(MarkKind::Discarded));
        }
        assert!(!marks.is_stale(&[span(0, 511, 2_000), span(1, 0, 1)]));
        assert!(marks.is_stale(&[span(0, 1_024, 2_000)]));
        marks.forget(&[span(0, 1_024, 2_000), span(1, 0, 1)]);
        let kept = [(0, 511), (0, 512), (0, 1_024), (1, 0)]
            .map(|(p, offset)| marks.of(Partition(p), Offset(offset)).is_some());
        assert_eq!((kept, marks.chunks.len()), ([false, false, true, true], 2));
        // Nor are they learned again.
        let id = TopicId("a".to_owned());
        let record = Mark::new(MarkKind::Discarded).record(&id, Partition(0), Offset(5));
        marks.learn(&id, &[span(0, 6, 9)], &record_at(0, 0, record.clone()));
        assert_eq!(marks.of(Partition(0), Offset(5)), None);
        marks.learn(&id, &[span(0, 5, 9)], &record_at(0, 0, record));
        assert!(marks.of(Partition(0), Offset(5)).is_some());
    }

    #[test]
    fn where_a_mark_stands_is_known_however_often_a_letter_is_marked() {
        let mut marks = Marks::default();
        let mut random = fastrand::Rng::with_seed(7);
        let (mut at, mut last) = (0, BTreeMap::new());
        for _ in 0..5_000 {
            at += random.i64(1..20_000);
            let offset = random.i64(0..600);
            learned_at(&mut marks, (0, offset), Some(MarkKind::Redriven), at);
            last.insert(offset, at);
        }
        for (offset, at) in last {
            let stretches: Vec<_> = marks.stretches(Partition(0), Offset(offset)).collect();
            assert!(
                stretches.len() <= STRETCHES && stretches.is_sorted_by(|one, next| one.from >= next.end),
                "{stretches:?}"
            );
            assert!(
                stretches.iter().any(|span| (span.from.0..span.end.0).contains(&at)),
                "{offset} at {at}: {stretches:?}"
            );
        }
        // Of a re-drive they stand side by side.
        let mut marks = Marks::default();
        (0..2_000).for_each(|offset| learned_at(&mut marks, (0, offset), Some(MarkKind::Redriven), 4 * offset));
        assert_eq!(marks.stretches(Partition(0), Offset(700)).collect::<Vec<_>>(), [span(0, 4 * 512, 4 * 1_023 + 1)]);
    }

    #[test]
    fn what_has_no_mark_is_counted_within_any_bounds() {
        let mut marks = Marks::default();
        let marked = [0, 1, 63, 64, 511, 512, 1_300];
        for (index, offset) in marked.into_iter().enumerate() {
            let kind = if index % 2 == 0 { MarkKind::Redriven } else { MarkKind::Discarded };
            learned(&mut marks, 2, offset, Some(kind));
        }
        learned(&mut marks, 1, 5, Some(MarkKind::Redriven));
        let bounds = [0, 1, 2, 63, 64, 65, 511, 512, 513, 1_024, 1_300, 1_301, 4_000];
        for from in bounds {
            for end in bounds.into_iter().filter(|end| *end >= from) {
                let within = marked.iter().filter(|offset| (from..end).contains(*offset)).count() as u64;
                let without = marks.count_without(&span(2, from, end), &BOTH);
                assert_eq!(without, (end - from) as u64 - within, "{from}..{end}");
            }
        }
        assert_eq!(marks.count_without(&span(2, 0, 100), &[MarkKind::Discarded]), 98);
        assert_eq!(marks.count_without(&span(3, 7, 100), &BOTH), 93);
    }
}
