//! The tracker: which offsets of one partition came in, which are finished, and so what may be committed.
//!
//! Pure: no I/O, no clock. One for each assignment, owned by the lanes. The invariants:
//! - The committed offset is never above an unfinished record, and no run that goes with it holds one.
//! - What the tracker said may come in (its [`room`](Progress::room)) can be written back, in whatever order it
//!   finishes.
//! - Memory is bounded by the unfinished records, however many are finished behind a stuck one.
//!
//! Offsets have gaps (compaction, transactions), and what isn't there needs no work: every offset that was passed and
//! isn't waited for counts as finished. So only the unfinished ones are kept, and those finished among them until a
//! compaction. The lowest unfinished offset, or the end of all that was passed where none is, is the *low watermark*:
//! what a commit names. What is finished above it goes into the commit's [metadata], and comes back as *restored* runs.

mod custody;
mod pace;

use std::collections::VecDeque;
use std::num::NonZero;

use self::custody::{Custody, Notice};
use self::pace::Pace;
use super::metadata::{self, Budget, LaneTag, MetadataWarning, Run, Usage, distance};
use super::quarantine::Handover;
use super::source::{Progress, Window};
use super::ticket::Settled;
use super::view::Reach;
use crate::record::{NextOffset, Offset, Record, Timestamp};

/// Finished entries that are left among the pending ones before they are dropped, besides two for each unfinished one.
const SLACK: usize = 64;

/// The smallest limit worth having: below it there are no runs at all.
const SMALLEST_LIMIT: usize = 64;

/// What is written back to Kafka, or to whatever else counts offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OffsetCommit {
    /// Where to read on.
    pub next: NextOffset,
    /// What is finished above it: ASCII, empty where nothing is.
    pub metadata: String,
}

/// A tracker that goes on from what was committed.
#[derive(Debug)]
pub struct Resumed {
    /// The tracker.
    pub tracker: OffsetTracker,
    /// Why the commit's metadata was ignored, if it was. Worth a log line.
    pub warning: Option<MetadataWarning>,
}

/// The [`Progress`] of a source that counts offsets.
///
/// ```
/// use daemonry::pipeline::metadata::LaneTag;
/// use daemonry::pipeline::source::Progress;
/// use daemonry::pipeline::tracker::OffsetTracker;
/// use daemonry::record::{NextOffset, Offset, OwnedRecord, OwnedRecords, TopicPartition};
/// use std::sync::Arc;
///
/// // 7 is committed, and 8 is finished already.
/// let tag = LaneTag::from("key");
/// let mut tracker = OffsetTracker::resume(Some(NextOffset::at(7)), "dm1:6815c86c:b:AQ", &tag, 4096).tracker;
/// let records = (7..10).map(|offset| (Offset(offset), Arc::new(OwnedRecord::new("{}")))).collect();
/// let records = OwnedRecords::handles(TopicPartition::new("orders", 0), records);
/// let due: Vec<_> = records.iter().filter_map(|record| tracker.receive(record)).collect();
/// assert_eq!(due, [Offset(7), Offset(9)]);
/// ```
#[derive(Debug)]
pub struct OffsetTracker {
    tag: LaneTag,
    limit: usize,
    /// One behind the last offset that was passed; `None` until there is a commit or a record.
    next: Option<Offset>,
    /// By ascending offset; the first one is unfinished. All of them below `next`, except after a rewind.
    pending: VecDeque<Pending>,
    unfinished: usize,
    /// Finished before this assignment, as far as `next` hasn't passed them.
    restored: VecDeque<Run>,
    pace: Pace,
    acknowledged: Option<OffsetCommit>,
    /// Another commit is on its way, or nobody knows what became of it.
    unanswered: bool,
    /// How the partition was used, as far as nobody has taken it over.
    found: Usage,
    custody: Option<Box<Custody>>,
}

/// A record that came in.
#[derive(Clone, Copy, Debug)]
struct Pending {
    offset: Offset,
    done: bool,
}

impl OffsetTracker {
    /// A tracker that goes on from what the group committed: `None` where it never did, then from the first record that
    /// comes in. Its own commits take `limit` bytes of metadata at most, and it reads only metadata of the same `tag`.
    pub fn resume(committed: Option<NextOffset>, metadata: &str, tag: &LaneTag, limit: usize) -> Resumed {
        let next = committed.map(NextOffset::offset);
        let (runs, warning) = match next.map_or(Ok(Vec::new()), |low| metadata::decode(metadata, *tag, low)) {
            Ok(runs) => (runs, None),
            Err(warning) => (Vec::new(), Some(warning)),
        };
        let found = next.map_or(Ok(Usage::default()), |low| metadata::decode_usage(metadata, low));
        let (found, warning) = match found {
            Ok(found) => (found, warning),
            Err(unread) => (Usage::default(), warning.or(Some(unread))),
        };
        // What was ignored counts as acknowledged too: it isn't worth a commit before there is something to say.
        let ignored = runs.is_empty() && found == Usage::default();
        let remembered = if ignored { "" } else { metadata };
        let tracker = Self {
            tag: *tag,
            limit,
            next,
            pending: VecDeque::new(),
            unfinished: 0,
            restored: runs.into(),
            pace: Pace::default(),
            acknowledged: committed.map(|next| OffsetCommit { next, metadata: remembered.to_owned() }),
            unanswered: false,
            found,
            custody: None,
        };
        Resumed { tracker, warning }
    }

    /// A tracker that goes on from a place that nobody has committed yet, which is the first that it has to commit.
    pub fn moved_to(next: NextOffset, tag: &LaneTag, limit: usize) -> Self {
        Self { acknowledged: None, ..Self::resume(Some(next), "", tag, limit).tracker }
    }

    /// Behind the last record that was restored as finished and did not come in again; `None` where none was.
    pub fn restored_end(&self) -> Option<Offset> {
        self.restored.back().map(|run| run.end)
    }

    /// The low watermark.
    fn low(&self) -> Option<Offset> {
        let next = self.next?;
        Some(match (self.pending.front(), self.restored.front()) {
            (Some(first), _) => first.offset.min(next),
            (None, Some(run)) if run.start <= next => run.end,
            (None, _) => next,
        })
    }

    /// What is finished above the low watermark: between the unfinished records, and what was restored.
    fn runs(&self, low: Offset, next: Offset) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let mut add = |start: Offset, end: Offset| match runs.last_mut() {
            Some(last) if last.end >= start => last.end = last.end.max(end),
            _ if start < end => runs.push(Run { start, end }),
            _ => {}
        };
        let mut unfinished =
            self.pending.iter().filter(|entry| !entry.done && entry.offset < next).map(|entry| entry.offset);
        if let Some(first) = unfinished.next() {
            let mut start = first.next().offset();
            for offset in unfinished {
                add(start, offset);
                start = offset.next().offset();
            }
            add(start, next);
        }
        for run in &self.restored {
            add(run.start.max(next).max(low), run.end);
        }
        runs
    }

    /// The commit as things stand; `None` where nothing is known, or where the runs don't fit.
    fn current(&self) -> Option<OffsetCommit> {
        let (low, next) = (self.low()?, self.next?);
        let metadata = metadata::encode(self.tag, low, &self.runs(low, next), self.limit)?;
        Some(OffsetCommit { next: NextOffset::at(low.0), metadata: self.signed(low, metadata) })
    }

    /// Whether the source may have something else.
    fn is_news(&self, commit: &OffsetCommit) -> bool {
        self.unanswered || self.acknowledged.as_ref() != Some(commit)
    }

    /// The metadata, with how the partition is used.
    fn signed(&self, low: Offset, metadata: String) -> String {
        let Some(custody) = &self.custody else { return metadata };
        let Usage { running, accused, .. } = &custody.usage;
        // Nothing speaks against what is finished.
        let running = running.filter(|running| self.is_open(*running));
        let accused = accused.iter().copied().filter(|(offset, _)| self.is_open(*offset)).collect();
        match (Usage { running, accused, ..custody.usage }).encode(low) {
            usage if usage.is_empty() => metadata,
            usage => metadata::with_usage(self.tag, &metadata, &usage),
        }
    }

    /// The records that have been accused.
    fn accused(&self) -> impl Iterator<Item = Offset> {
        self.custody.iter().flat_map(|custody| &custody.usage.accused).map(|(offset, _)| *offset)
    }

    /// Whether this offset was not passed yet.
    fn is_ahead(&self, offset: Offset) -> bool {
        self.next.is_none_or(|next| offset >= next)
    }

    /// Whether this offset is unfinished, or was not passed yet.
    fn is_open(&self, offset: Offset) -> bool {
        if self.is_ahead(offset) {
            return !self.restored.iter().any(|run| run.start <= offset && offset < run.end);
        }
        self.find(offset).is_ok_and(|index| !self.pending[index].done)
    }

    /// Where the entry of this offset stands, or would.
    fn find(&self, offset: Offset) -> Result<usize, usize> {
        let (Some(first), Some(last)) = (self.pending.front(), self.pending.back()) else { return Err(0) };
        if offset <= first.offset {
            return if offset == first.offset { Ok(0) } else { Err(0) };
        }
        if offset > last.offset {
            return Err(self.pending.len());
        }
        // Offsets ascend, so an entry is no further from either end than its offset is; without gaps that is where it
        // stands.
        let most = |entries: u64| usize::try_from(entries).unwrap_or(usize::MAX);
        let to = self.pending.len().min(most(distance(first.offset, offset)).saturating_add(1));
        let from = self.pending.len().saturating_sub(most(distance(offset, last.offset)).saturating_add(1));
        for guess in [to - 1, from] {
            if self.pending[guess].offset == offset {
                return Ok(guess);
            }
        }
        self.pending.binary_search_by_key(&offset, |entry| entry.offset)
    }

    /// Takes a record in where it doesn't come behind all that is pending: only after a rewind.
    fn readmit(&mut self, offset: Offset) -> Option<Offset> {
        match self.find(offset) {
            Ok(index) if !self.pending[index].done => return None,
            Ok(index) => self.pending[index].done = false,
            Err(index) => self.pending.insert(index, Pending { offset, done: false }),
        }
        self.unfinished += 1;
        Some(offset)
    }

    /// Whether this offset, behind all that was passed before, was restored as finished. Forgets the runs below it.
    fn was_restored(&mut self, offset: Offset) -> bool {
        self.forget_runs_below(offset);
        self.restored.front().is_some_and(|run| run.start <= offset)
    }

    fn forget_runs_below(&mut self, offset: Offset) {
        while self.restored.front().is_some_and(|run| run.end <= offset) {
            self.restored.pop_front();
        }
    }

    /// Drops finished entries: from the front always, all of them when they outnumber the unfinished ones.
    fn compact(&mut self) {
        while self.pending.front().is_some_and(|entry| entry.done) {
            self.pending.pop_front();
        }
        if self.pending.len() - self.unfinished > 2 * self.unfinished + SLACK {
            self.pending.retain(|entry| !entry.done);
        }
    }
}

impl Progress for OffsetTracker {
    type Position = Offset;
    type Commit = OffsetCommit;

    /// A record came in. `None` where it was restored as finished, or is pending already.
    ///
    /// A source delivers each record behind those before it. Where it doesn't, the log was cut off or made anew (an
    /// unclean leader election, a topic deleted and created again), and what was finished at these offsets may have
    /// been other records. So an offset below the last one rewinds: what counts as finished from there on is forgotten
    /// and runs again as it comes in again; what is still pending stays so, and isn't handed out twice. A source that
    /// notices such a reset does better to begin a new assignment.
    fn receive(&mut self, record: &Record) -> Option<Offset> {
        let offset = record.offset();
        if let Some(next) = self.next {
            if offset < next {
                self.restored.clear();
            } else {
                self.pace.step(distance(next, offset) + 1);
            }
        }
        let restored = !self.restored.is_empty() && self.was_restored(offset);
        self.next = Some(offset.next().offset());
        if restored {
            return None;
        }
        if self.pending.back().is_some_and(|last| offset <= last.offset) {
            return self.readmit(offset);
        }
        self.pending.push_back(Pending { offset, done: false });
        self.unfinished += 1;
        Some(offset)
    }

    fn rewritten(&mut self, from: Offset) {
        self.restored.retain_mut(|run| {
            run.end = run.end.min(from);
            run.start < run.end
        });
    }

    /// So that the markers of a last transaction don't leave a lag behind for ever.
    fn passed(&mut self, next: NextOffset) {
        if next.offset() > self.next.unwrap_or(Offset(0)) {
            // What was finished below it has no end of its own any more.
            self.forget_runs_below(next.offset());
            self.next = Some(next.offset());
        }
    }

    /// A record is finished. One that isn't pending is passed over: only an error in the pipeline settles a record
    /// twice or under another assignment, and to pass it over can't move the commit past anything unfinished.
    fn settle(&mut self, settled: Settled<Offset>) {
        let found =
            self.find(settled.position()).ok().map(|index| &mut self.pending[index]).filter(|entry| !entry.done);
        let Some(entry) = found else {
            debug_assert!(false, "{settled:?} was settled, but isn't pending");
            return;
        };
        entry.done = true;
        self.unfinished -= 1;
        self.compact();
    }

    /// How many more records may come in. Those that come in again up to the end of the restored runs are free, as
    /// their being unfinished is what the commit says already; behind it, as many as surely fit. One is always allowed
    /// where none is unfinished: it can make no run, so that a limit that is too small slows the partition down but
    /// doesn't stop it.
    ///
    /// Gaps count: the records are expected to lie no further apart than the widest recent step, two at least. Where a
    /// gap turns out wider still, the runs may not fit for a while: then there is [no commit](Self::commit) until
    /// enough is finished.
    fn room(&self) -> usize {
        let (low, next) = (self.low().unwrap_or(Offset(0)), self.next.unwrap_or(Offset(0)));
        let end = self.restored.back().map_or(next, |run| run.end);
        let restored: u64 = self.restored.iter().map(|run| distance(run.start.max(next), run.end)).sum();
        let again = distance(next, end);
        let holes = self.unfinished as u64 + (again - restored);
        let stride = self.pace.stride();
        let more = Budget::of(self.limit).more(holes, distance(low, end), stride).unwrap_or(0);
        let room = more.saturating_add(again / stride);
        usize::try_from(room).unwrap_or(usize::MAX).max(usize::from(self.unfinished == 0))
    }

    /// What to write back; `None` where that was acknowledged, where nothing is known yet, and where the runs don't
    /// fit: then the commit before it stands, which claims less.
    fn commit(&self) -> Option<OffsetCommit> {
        self.current().filter(|commit| self.is_news(commit))
    }

    fn commit_forgetting(&self) -> Option<(OffsetCommit, u64)> {
        let (low, next) = (self.low()?, self.next?);
        let (metadata, forgotten) = metadata::encode_some(self.tag, low, &self.runs(low, next), self.limit);
        let commit = OffsetCommit { next: NextOffset::at(low.0), metadata: self.signed(low, metadata) };
        self.is_news(&commit).then_some((commit, forgotten))
    }

    fn sent(&mut self) {
        self.unanswered = true;
    }

    fn acknowledge(&mut self, commit: &OffsetCommit) {
        self.acknowledged = Some(commit.clone());
        self.unanswered = false;
        if let Some(custody) = &mut self.custody {
            let usage = metadata::decode_usage(&commit.metadata, commit.next.offset()).unwrap_or_default();
            custody.told = Notice::from(&usage);
        }
    }

    /// Halves the limit. From 64 bytes it goes to none: then records come in one by one, as nothing can be remembered. What is told
    /// of the partition's use goes last: it is short, and what it protects is more than work done twice.
    fn shrink(&mut self) {
        if self.limit == 0 {
            self.custody = None;
        }
        let half = self.limit / 2;
        self.limit = if half < SMALLEST_LIMIT { 0 } else { half };
    }

    fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// What needs no work counts too: gaps, as what was passed over.
    fn window(&self) -> Window {
        let bytes = self.acknowledged.as_ref().map_or(0, |commit| commit.metadata.len());
        let (Some(low), Some(next)) = (self.low(), self.next) else { return Window { records: 0, bytes } };
        let ahead: u64 = self.restored.iter().map(|run| distance(run.start.max(next).max(low), run.end)).sum();
        Window { records: distance(low, next).saturating_sub(self.unfinished as u64) + ahead, bytes }
    }

    /// The offsets from the low watermark to `end`, gaps and what is finished out of order included. 0 while nothing is
    /// known.
    fn reach(&self) -> Reach {
        Reach {
            read: self.next.map(|next| NextOffset::at(next.0)),
            oldest_unfinished: self.pending.front().map(|first| first.offset),
            committed: self.acknowledged.as_ref().map(|commit| commit.next),
        }
    }

    fn lag(&self, end: Offset) -> Option<u64> {
        self.low().map(|low| distance(low, end))
    }

    /// Takes up to 105 bytes off the limit. Where too little is left for what is to be remembered anyway, there is no custody.
    fn take_over(&mut self, holder: u32, limit: NonZero<u32>, now: Timestamp) -> Handover<Offset> {
        let found = std::mem::take(&mut self.found);
        let room = self.limit.checked_sub(metadata::RESERVE).filter(|room| *room >= SMALLEST_LIMIT);
        let (low, next) = (self.low().unwrap_or(Offset(0)), self.next.unwrap_or(Offset(0)));
        let Some(room) = room.filter(|room| metadata::encode(self.tag, low, &self.runs(low, next), *room).is_some())
        else {
            return Handover::default();
        };
        self.limit = room;
        let (custody, handover) = Custody::take_over(found, holder, limit, now);
        self.custody = Some(Box::new(custody));
        handover
    }

    fn is_on_probation(&self) -> bool {
        self.custody.as_ref().is_some_and(|custody| custody.usage.probation)
    }

    fn accusations(&self, position: Offset) -> u32 {
        self.custody.as_ref().map_or(0, |custody| custody.accusations(position))
    }

    fn is_accusing(&self) -> bool {
        self.accused().any(|offset| self.is_open(offset))
    }

    fn accuses_unread(&self) -> bool {
        self.accused().any(|offset| self.is_ahead(offset) && self.is_open(offset))
    }

    fn condemns(&self, position: Offset) -> Option<u32> {
        self.custody.as_ref()?.condemns(position)
    }

    fn announce(&mut self, position: Option<Offset>) {
        if let Some(custody) = &mut self.custody {
            custody.usage.running = position;
        }
    }

    fn is_announced(&self) -> bool {
        self.custody.as_ref().is_none_or(|custody| !self.unanswered && custody.is_told())
    }

    fn end_probation(&mut self) {
        if let Some(custody) = &mut self.custody {
            (custody.usage.probation, custody.usage.running) = (false, None);
        }
    }

    fn hand_over(&mut self) {
        if let Some(custody) = &mut self.custody {
            (custody.usage.holder, custody.usage.running) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests;
