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

use crate::plan::Behaviour;
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
    /// The processes whose handlers are at it.
    running: Vec<u64>,
}

impl Known {
    pub(crate) fn is_finished(&self) -> bool {
        self.successes + self.letters + self.skips > 0
    }
}

#[derive(Debug)]
pub(crate) struct World {
    origin: Instant,
    order: ProcessingOrder,
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
    pub(crate) breaches: Vec<String>,
    trace: DefaultHasher,
}

impl World {
    pub(crate) fn new(order: ProcessingOrder, tag: LaneTag) -> Self {
        Self {
            origin: Instant::now(),
            order,
            tag,
            records: Vec::new(),
            by_place: HashMap::new(),
            lanes: BTreeMap::new(),
            committed: HashMap::new(),
            usages: HashMap::new(),
            ends: 0,
            alone: HashMap::new(),
            ran_alone: 0,
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

    fn note(&mut self, what: &str, id: usize) {
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
        if owner && self.committed.get(&partition).is_some_and(|offsets| offsets.contains(&offset)) {
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
        self.starts_alone(id, process, owner);
        self.records[id].running.push(process);
        self.records[id].attempts
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
    }

    pub(crate) fn skipped(&mut self, id: usize) {
        self.note("skip", id);
        self.records[id].skips += 1;
    }

    /// Counts the letters, as they stand in their topic.
    pub(crate) fn letters(&mut self, letters: impl Iterator<Item = usize>) {
        let mut counts = vec![0; self.records.len()];
        letters.for_each(|id| counts[id] += 1);
        for (known, count) in self.records.iter_mut().zip(counts) {
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
        let covers = |offset: i64| offset < low.0 || runs.iter().any(|run| run.start.0 <= offset && offset < run.end.0);
        let covered: Vec<usize> = (0..self.records.len())
            .filter(|&id| self.records[id].partition == partition && covers(self.records[id].offset))
            .collect();
        if let Some(&early) = covered.iter().find(|&&id| !self.records[id].is_finished()) {
            let early = self.records[early].offset;
            self.breach(format!("I2: commit of {partition} at {low} covers {early}, which is not finished"));
        }
        let offsets = covered.iter().map(|&id| self.records[id].offset).collect::<HashSet<_>>();
        let known = self.committed.entry(partition).or_default();
        if !known.is_subset(&offsets) {
            let gone: Vec<_> = known.difference(&offsets).copied().collect();
            *known = offsets;
            self.breach(format!("I4: commit of {partition} at {low} forgets {gone:?}, which was committed"));
        } else {
            *known = offsets;
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
        self.records.iter().all(Known::is_finished)
    }

    pub(crate) fn unsettled(&self) -> Vec<(i32, i64)> {
        self.records.iter().filter(|known| !known.is_finished()).map(|known| (known.partition, known.offset)).collect()
    }

    /// Records that were finished more than once.
    pub(crate) fn repeated(&self) -> Vec<(i32, i64)> {
        let again = self.records.iter().filter(|known| known.successes + known.letters + known.skips > 1);
        again.map(|known| (known.partition, known.offset)).collect()
    }
}
