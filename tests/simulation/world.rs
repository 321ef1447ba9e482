//! The world: what really happened, and the model that it is held against.
//!
//! It knows the records, what the handlers did, which letters exist, and every commit; it doesn't look into the pipeline. A breach is
//! noted where it happens, with the time, and ends the run.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use daemonry::handler::ProcessingOrder;
use daemonry::pipeline::metadata::{self, LaneTag};
use daemonry::pipeline::tracker::OffsetCommit;
use daemonry::record::{Offset, TopicPartition};
use tokio::time::Instant;

use crate::limits::{Begun, Limits, TAKEN_BEFORE};
use crate::plan::{Behaviour, Plan};
use crate::usage::Usage;

/// A record, as the world knows it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: u64,
    pub(crate) behaviour: Behaviour,
    pub(crate) attempts: u32,
    pub(crate) successes: u32,
    pub(crate) letters: u32,
    pub(crate) skips: u32,
    /// How often its partition was taken over without a last commit while it ran alone.
    pub(crate) accusations: u32,
    /// An operator wants it passed over.
    pub(crate) is_waived: bool,
    /// A seek has left it out, by its number.
    left_out: Option<u64>,
    /// When the last seek was asked for that has it handled again.
    owed_since: Duration,
    /// A seek was asked for that may have it handled again.
    pub(crate) was_sought: bool,
    finished_last: Duration,
    /// The processes whose handlers are at it.
    running: Vec<u64>,
}

impl Known {
    pub(crate) fn is_finished(&self) -> bool {
        if self.is_waived || self.left_out.is_some() {
            return true;
        }
        self.successes + self.letters + self.skips > 0 && self.finished_last >= self.owed_since
    }
}

/// A seek that is not answered yet.
#[derive(Debug)]
struct Sought {
    number: u64,
    partition: i32,
    place: i64,
    asked: Duration,
}

#[derive(Debug)]
pub(crate) struct World {
    origin: Instant,
    order: ProcessingOrder,
    /// How many records workers may have taken that don't run yet.
    taken: usize,
    tag: LaneTag,
    pub(crate) records: Vec<Known>,
    by_place: HashMap<(i32, i64), usize>,
    /// Records of a lane, in offset order.
    lanes: BTreeMap<(i32, u64), Vec<usize>>,
    committed: HashMap<i32, HashSet<i64>>,
    /// What the last commit of each partition says of who reads it.
    /// What was last committed of each partition's use, and how many ends without warning there had been then.
    usages: HashMap<i32, (Usage, u64)>,
    /// Ends of processes, and of assignments, without a last commit.
    pub(crate) ends: u64,
    /// The record that a process runs alone.
    alone: HashMap<u64, usize>,
    /// Attempts that ran alone.
    pub(crate) ran_alone: usize,
    sought: Vec<Sought>,
    seeks: u64,
    /// Seeks that were done.
    pub(crate) moved: usize,
    /// Partitions of which something is gone that had been read, from this offset on, and nobody has heard of that.
    pub(crate) cuts: HashMap<i32, i64>,
    /// Losses that were heard of.
    pub(crate) losses: usize,
    /// Partitions that rest, and since when.
    paused: HashMap<i32, Duration>,
    pub(crate) limits: Limits,
    pub(crate) breaches: Vec<String>,
    trace: DefaultHasher,
}

impl World {
    pub(crate) fn new(plan: &Plan, tag: LaneTag) -> Self {
        Self {
            origin: Instant::now(),
            order: plan.order,
            taken: plan.workers * plan.batch.unwrap_or(1),
            tag,
            records: Vec::new(),
            by_place: HashMap::new(),
            lanes: BTreeMap::new(),
            committed: HashMap::new(),
            usages: HashMap::new(),
            ends: 0,
            alone: HashMap::new(),
            ran_alone: 0,
            sought: Vec::new(),
            seeks: 0,
            moved: 0,
            cuts: HashMap::new(),
            losses: 0,
            paused: HashMap::new(),
            limits: Limits::default(),
            breaches: Vec::new(),
            trace: DefaultHasher::new(),
        }
    }

    pub(crate) fn add(&mut self, partition: i32, offset: Offset, key: u64, behaviour: Behaviour) {
        let id = self.records.len();
        let known = Known {
            partition,
            offset: offset.0,
            key,
            behaviour,
            attempts: 0,
            successes: 0,
            letters: 0,
            skips: 0,
            accusations: 0,
            is_waived: false,
            left_out: None,
            owed_since: Duration::ZERO,
            was_sought: false,
            finished_last: Duration::ZERO,
            running: Vec::new(),
        };
        self.records.push(known);
        self.by_place.insert((partition, offset.0), id);
        let lane = if self.order == ProcessingOrder::Partition { 0 } else { key };
        self.lanes.entry((partition, lane)).or_default().push(id);
    }

    /// How long it has been there.
    pub(crate) fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }

    /// A fingerprint of everything that happened so far, with its times.
    pub(crate) fn fingerprint(&self) -> u64 {
        self.trace.finish()
    }

    pub(crate) fn note(&mut self, what: &str, id: usize) {
        (self.origin.elapsed(), what, id).hash(&mut self.trace);
    }

    fn breach(&mut self, text: String) {
        let at = self.origin.elapsed();
        self.breaches.push(format!("at {at:?}: {text}"));
    }

    /// A handler starts; `owner`: its member owns the partition now, and has not been told otherwise.
    pub(crate) fn started(&mut self, id: usize, process: u64, owner: bool) -> u32 {
        self.note("start", id);
        self.records[id].attempts += 1;
        let (partition, offset, key) = (self.records[id].partition, self.records[id].offset, self.records[id].key);
        let is_sought = self.sought.iter().any(|sought| sought.partition == partition && sought.place <= offset);
        if let Some(since) = self.paused.get(&partition).filter(|since| self.elapsed() > **since + TAKEN_BEFORE) {
            self.breach(format!("{partition}/{offset} starts though its partition rests since {since:?}"));
        }
        if owner && !is_sought && self.committed.get(&partition).is_some_and(|offsets| offsets.contains(&offset)) {
            self.breach(format!("I4: {partition}/{offset} runs again though its commit was acknowledged"));
        }
        if self.order != ProcessingOrder::Unordered {
            let lane = if self.order == ProcessingOrder::Partition { 0 } else { key };
            let beside =
                self.lanes[&(partition, lane)].iter().find(|&&other| self.records[other].running.contains(&process));
            if let Some(&beside) = beside {
                let beside = self.records[beside].offset;
                self.breach(format!("I3: {partition}/{offset} runs beside {beside} of its lane, in one process"));
            }
            let ahead = self.lanes[&(partition, lane)].iter().take_while(|&&earlier| earlier != id);
            let open = ahead.copied().find(|&earlier| !self.records[earlier].is_finished());
            if let Some(open) = open {
                let open = self.records[open].offset;
                self.breach(format!("I3: {partition}/{offset} starts before {open} of its lane is finished"));
            }
        }
        self.begins(id, process);
        self.starts_alone(id, process, owner);
        self.records[id].running.push(process);
        self.records[id].attempts
    }

    /// Limits hold for whatever begins.
    fn begins(&mut self, id: usize, process: u64) {
        let Known { partition, offset, key, .. } = self.records[id];
        let key = (self.order == ProcessingOrder::Key).then_some(key);
        let lane = (self.order != ProcessingOrder::Unordered).then_some((partition, key.unwrap_or(0)));
        let running = self.records.iter().filter(|known| known.running.contains(&process)).count();
        let attempt = Begun { process, at: self.elapsed(), key, lane, taken: self.taken, running };
        if let Err(how) = self.limits.begins(attempt) {
            self.breach(format!("{partition}/{offset} starts {how}"));
        }
    }

    /// On probation a record is announced before it starts, and nothing runs beside it.
    fn starts_alone(&mut self, id: usize, process: u64, owner: bool) {
        let (partition, offset) = (self.records[id].partition, self.records[id].offset);
        if let Some(&alone) = self.alone.get(&process) {
            let Known { partition: other, offset: beside, .. } = self.records[alone];
            self.breach(format!("{partition}/{offset} starts while {other}/{beside} is to run alone"));
        }
        let (usage, _) = self.usages.get(&partition).copied().unwrap_or_default();
        if !owner || !usage.probation {
            return;
        }
        if usage.running != Some(offset) {
            self.breach(format!("{partition}/{offset} starts on probation, and {:?} is announced", usage.running));
        }
        if let Some(beside) = self.records.iter().find(|known| known.running.contains(&process)) {
            let (other, beside) = (beside.partition, beside.offset);
            self.breach(format!("{partition}/{offset} starts on probation beside {other}/{beside}"));
        }
        self.alone.insert(process, id);
        self.ran_alone += 1;
    }

    /// A handler is gone: it ended, panicked, or was dropped.
    pub(crate) fn left(&mut self, id: usize, process: u64) {
        self.note("left", id);
        self.records[id].running.retain(|running| *running != process);
        if self.alone.get(&process) == Some(&id) {
            self.alone.remove(&process);
        }
    }

    pub(crate) fn succeeded(&mut self, id: usize) {
        self.note("success", id);
        self.records[id].successes += 1;
        self.records[id].finished_last = self.elapsed();
    }

    pub(crate) fn skipped(&mut self, id: usize) {
        self.note("skip", id);
        self.records[id].skips += 1;
        self.records[id].finished_last = self.elapsed();
    }

    /// Counts the letters, as they stand in their topic.
    pub(crate) fn letters(&mut self, letters: impl Iterator<Item = usize>) {
        let (now, mut counts) = (self.elapsed(), vec![0; self.records.len()]);
        letters.for_each(|id| counts[id] += 1);
        for (known, count) in self.records.iter_mut().zip(counts) {
            if known.letters < count {
                known.finished_last = now;
            }
            known.letters = count;
        }
    }

    /// A commit is written: nothing of what it covers may be unfinished.
    pub(crate) fn committed(&mut self, place: &TopicPartition, commit: &OffsetCommit) {
        let partition = place.partition.0;
        self.note("commit", usize::try_from(commit.next.offset().0).unwrap_or(0));
        let low = commit.next.offset();
        self.taken_over(partition, Usage::of(commit));
        let runs = match metadata::decode(&commit.metadata, self.tag, low) {
            Ok(runs) => runs,
            Err(error) => {
                self.breach(format!("commit of {place} has metadata that can't be read: {error}"));
                return;
            }
        };
        let is_moved = self.is_moved(partition, low.0);
        let covers = |offset: i64| offset < low.0 || runs.iter().any(|run| run.start.0 <= offset && offset < run.end.0);
        // Until somebody has heard that a log was cut, what is committed behind that is of what is gone.
        let cut = self.cuts.get(&partition).copied().unwrap_or(i64::MAX);
        let is_covered = |known: &Known| known.partition == partition && known.offset < cut && covers(known.offset);
        let covered: Vec<usize> = (0..self.records.len()).filter(|&id| is_covered(&self.records[id])).collect();
        if let Some(&early) = covered.iter().find(|&&id| !self.records[id].is_finished()) {
            let early = self.records[early].offset;
            self.breach(format!("I2: commit of {partition} at {low} covers {early}, which is not finished"));
        }
        let offsets = covered.iter().map(|&id| self.records[id].offset).collect::<HashSet<_>>();
        let known = self.committed.entry(partition).or_default();
        if !is_moved && !known.is_subset(&offsets) {
            let gone: Vec<_> = known.difference(&offsets).copied().collect();
            *known = offsets;
            self.breach(format!("I4: commit of {partition} at {low} forgets {gone:?}, which was committed"));
        } else {
            *known = offsets;
        }
    }

    /// From here on nothing counts as committed any more.
    pub(crate) fn forget(&mut self, partition: i32, from: i64) {
        if let Some(committed) = self.committed.get_mut(&partition) {
            committed.retain(|offset| *offset < from);
        }
    }

    /// Whether nothing stands there or behind it.
    pub(crate) fn is_end(&self, partition: i32, offset: i64) -> bool {
        !self.records.iter().any(|known| known.partition == partition && !known.is_waived && known.offset >= offset)
    }

    /// Whether a seek that is on its way explains a commit of this place: it may have gone on from there before one was taken.
    fn is_moved(&self, partition: i32, place: i64) -> bool {
        self.sought.iter().any(|sought| sought.partition == partition && sought.place <= place)
    }

    /// A seek to this place is asked for. Answers with its number.
    pub(crate) fn seeks(&mut self, partition: i32, place: i64) -> u64 {
        self.note("seek", usize::try_from(place).unwrap_or(0));
        self.seeks += 1;
        let (number, asked) = (self.seeks, self.elapsed());
        self.sought.push(Sought { number, partition, place, asked });
        for known in self.records.iter_mut().filter(|known| known.partition == partition) {
            if known.offset >= place {
                known.was_sought = true;
            } else if known.left_out.is_none() {
                known.left_out = Some(number);
            }
        }
        number
    }

    /// It is answered: from its place on all is owed once more. What was refused changes nothing.
    pub(crate) fn sought(&mut self, number: u64, is_done: bool) {
        self.note(if is_done { "sought" } else { "refused" }, usize::try_from(number).unwrap_or(0));
        let Some(index) = self.sought.iter().position(|sought| sought.number == number) else { return };
        let Sought { partition, place, asked, .. } = self.sought.remove(index);
        self.moved += usize::from(is_done);
        for known in self.records.iter_mut().filter(|known| known.partition == partition) {
            if !is_done {
                known.left_out.take_if(|of| *of == number);
            } else if known.offset >= place {
                // What was asked for later stands.
                known.left_out.take_if(|of| *of <= number);
                known.owed_since = known.owed_since.max(asked);
            }
        }
    }

    /// An operator wants this one passed over.
    pub(crate) fn waived(&mut self, id: usize) {
        self.note("waived", id);
        self.records[id].is_waived = true;
    }

    /// The same of whatever stands there now.
    pub(crate) fn waive_place(&mut self, partition: i32, offset: i64) {
        if let Some(&id) = self.by_place.get(&(partition, offset)) {
            self.records[id].is_waived = true;
        }
    }

    /// A partition is to rest, or no longer.
    pub(crate) fn rests(&mut self, partition: i32, rests: bool) {
        self.note("rests", usize::from(rests));
        if rests {
            let now = self.elapsed();
            self.paused.entry(partition).or_insert(now);
        } else {
            self.paused.remove(&partition);
        }
    }

    /// Whoever finds another's name beside the record that was to run alone accuses it, and none other.
    fn taken_over(&mut self, partition: i32, usage: Usage) {
        let (before, ends) = self.usages.insert(partition, (usage, self.ends)).unwrap_or_default();
        let Some(&id) = before.running.and_then(|offset| self.by_place.get(&(partition, offset))) else { return };
        let is_anothers = match usage.holder {
            Some(holder) => before.holder.is_some_and(|before| before != holder),
            // Without a name it is somebody's last one; of another, whose first one it is as well, if somebody ended since.
            None => before.holder.is_some() && self.ends > ends,
        };
        self.records[id].accusations += u32::from(is_anothers);
    }

    pub(crate) fn is_settled(&self) -> bool {
        // A seek that is not answered may yet have something handled again.
        self.sought.is_empty() && self.records.iter().all(Known::is_finished)
    }

    pub(crate) fn unsettled(&self) -> Vec<(i32, i64)> {
        self.records.iter().filter(|known| !known.is_finished()).map(|known| (known.partition, known.offset)).collect()
    }

    /// Records that were finished more than once.
    pub(crate) fn repeated(&self) -> Vec<(i32, i64)> {
        let again = self.records.iter().filter(|known| !known.was_sought);
        let again = again.filter(|known| known.successes + known.letters + known.skips > 1);
        again.map(|known| (known.partition, known.offset)).collect()
    }
}
