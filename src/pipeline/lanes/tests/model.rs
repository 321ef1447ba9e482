//! The lanes driven at random: a world that assigns, delivers, works, fails and takes away in any order, and audits what is left
//! after each step.
//!
//! It knows which records came in and which are finished, and nothing of how the lanes keep them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use proptest::prelude::*;

use super::super::super::demand::Demand;
use super::super::super::ticket::Receipt;
use super::super::*;
use super::audit::audit;
use super::chance::{Ending, PARTITIONS, Setting, Step, settings, steps};
use super::crew::{Work, Workers};
use super::hauler::Hauler;
use super::probation::taken_over;
use super::told::Told;
use super::{arriving, batched, breaking, resumed};
use crate::handler::ProcessingOrder;
use crate::pipeline::control::Rate;
use crate::pipeline::tracker::OffsetCommit;

pub(super) const TOPIC: &str = "orders";

/// A lane of a batch that a worker holds.
pub(super) struct Held {
    pub(super) run: Run,
    pub(super) entries: Queue<Entry<Offset>>,
    /// Which batch.
    pub(super) batch: u64,
}

/// A partition, as the world knows it.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) epoch: Option<Epoch>,
    pub(super) released: bool,
    pub(super) written: i64,
    pub(super) next: i64,
    finished: BTreeSet<i64>,
    /// A handler has stopped the daemon from here: nothing more can be expected of this assignment.
    pub(super) stopped: bool,
    pub(super) paused: bool,
}

impl Log {
    pub(super) fn is_open(&self) -> bool {
        self.epoch.is_some() && !self.released
    }

    pub(super) fn low(&self) -> i64 {
        (0..).find(|offset| !self.finished.contains(offset)).expect("offsets go on for ever")
    }
}

pub(super) struct World {
    pub(super) setting: Setting,
    /// How many workers may be at something.
    pub(super) workers: Workers,
    /// Of this nothing may begin.
    pub(super) paused_key: Option<u64>,
    pub(super) lanes: Lanes<crate::pipeline::tracker::OffsetTracker>,
    pub(super) logs: Vec<Log>,
    /// Workers that have a haul, and those that have a batch, until all of its lanes have come back.
    pub(super) haulers: BTreeMap<u64, Hauler>,
    pub(super) batches: BTreeMap<u64, BatchRun>,
    pub(super) held: Vec<Held>,
    pub(super) numbers: u64,
    route: Arc<RouteSpec>,
    pub(super) letters: Vec<LetterJob<Offset>>,
    /// What came in and is neither finished nor given back.
    pub(super) alive: BTreeSet<(Epoch, i64)>,
    /// The last record of each lane that was finished.
    last: BTreeMap<(Epoch, u64), i64>,
    /// What the reader asked for and waits for.
    pub(super) asked: Option<Demand>,
    epochs: u64,
    pub(super) now: Instant,
    /// What is on its way to the source.
    pub(super) committing: Option<Vec<(Epoch, OffsetCommit)>>,
    /// Which record the source may take for the one that runs alone: what it was told last, and all that it did not answer for since.
    pub(super) announced: BTreeMap<Epoch, BTreeSet<Option<i64>>>,
    /// It was not answered yet that these are read.
    pub(super) unmarked: BTreeSet<Epoch>,
    /// What was taken last of a partition on probation.
    pub(super) suspect: Option<u64>,
    pub(super) told: Told,
}

impl World {
    fn new(setting: Setting) -> Self {
        let limits = Limits {
            queue: setting.queue,
            parked: setting.parked,
            high: 0.8,
            low: 0.5,
            workers: setting.workers,
            ahead: setting.ahead,
            bundles: setting.bundles,
            unbundled: 5,
            commit_after: 5,
        };
        Self {
            lanes: Lanes::new(limits, Instant::now()),
            logs: (0..PARTITIONS).map(|_| Log::default()).collect(),
            haulers: BTreeMap::new(),
            batches: BTreeMap::new(),
            held: Vec::new(),
            numbers: 0,
            route: match setting.batch {
                None => breaking(setting.order, setting.breaker),
                Some(max) => batched(setting.order, max, setting.breaker),
            },
            letters: Vec::new(),
            alive: BTreeSet::new(),
            last: BTreeMap::new(),
            asked: None,
            epochs: 0,
            now: Instant::now(),
            committing: None,
            announced: BTreeMap::new(),
            unmarked: BTreeSet::new(),
            suspect: None,
            told: Told::default(),
            paused_key: None,
            workers: Workers { scaled: setting.workers, fixed: None },
            setting,
        }
    }

    /// The key of a record, 0 for none, and its size: always the same.
    fn look(&self, partition: usize, offset: i64) -> (u64, usize) {
        let number = FixedState::with_seed(7).hash_one((partition, offset));
        (number % self.setting.keys, usize::try_from(number >> 32).unwrap_or(0) % 20)
    }

    /// What a record must wait for: `None` in a world without order.
    pub(super) fn lane(&self, partition: usize, offset: i64) -> Option<u64> {
        match self.setting.order {
            ProcessingOrder::Partition => Some(0),
            ProcessingOrder::Key => Some(self.look(partition, offset).0),
            ProcessingOrder::Unordered => None,
        }
    }

    fn record(&self, partition: usize, offset: i64) -> (i64, Option<Vec<u8>>, usize) {
        let (key, size) = self.look(partition, offset);
        (offset, (key > 0).then(|| vec![u8::try_from(key).expect("few keys"); 1]), size)
    }

    pub(super) fn log_of(&self, epoch: Epoch) -> Option<usize> {
        self.logs.iter().position(|log| log.epoch == Some(epoch))
    }

    pub(super) fn is_released(&self, epoch: Epoch) -> bool {
        self.log_of(epoch).is_none_or(|log| self.logs[log].released)
    }

    pub(super) fn done(&mut self, epoch: Epoch, offset: i64) {
        assert!(self.alive.remove(&(epoch, offset)), "{offset} of {epoch:?} is finished twice");
        let Some(partition) = self.log_of(epoch) else { return };
        self.logs[partition].finished.insert(offset);
        if let Some(lane) = self.lane(partition, offset) {
            let before = self.last.insert((epoch, lane), offset);
            assert!(before < Some(offset), "{offset} of {epoch:?} is finished after {before:?} of its lane");
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Assign(partition, ends) => self.assign(partition, ends),
            Step::Release(partition) => {
                if let Some(epoch) = self.logs[partition].epoch {
                    self.logs[partition].released = true;
                    let effects = self.lanes.release(&[epoch]);
                    self.hear(effects);
                    self.given_back(epoch);
                }
            }
            Step::Lose(partition) => {
                if let Some(epoch) = self.logs[partition].epoch {
                    self.logs[partition].epoch = None;
                    let effects = self.lanes.lose(&[epoch]);
                    self.hear(effects);
                    self.given_back(epoch);
                }
            }
            Step::Pause(partition, paused) => {
                self.logs[partition].paused = paused;
                self.pause();
            }
            Step::Limit(attempts, of_each_key) => {
                let rate = attempts.and_then(|attempts| Rate::new(attempts, std::time::Duration::from_secs(1)));
                let lanes = &mut self.lanes;
                let effects = if of_each_key { lanes.set_key_rate(rate) } else { lanes.set_rate(rate, self.now) };
                self.hear(effects);
            }
            Step::Write(partition, records) => self.logs[partition].written += i64::from(records),
            Step::Ask => {
                if self.asked.is_none() {
                    self.asked = Some(self.lanes.demand());
                }
            }
            Step::Deliver(portion) => {
                self.deliver(|allowed| portion.index(allowed) + 1);
            }
            Step::Take => {
                if self.busy() < self.setting.workers {
                    self.take();
                }
            }
            Step::Scale(workers) => self.scale(workers),
            Step::Fix(workers) => self.fix(workers),
            Step::PauseKey(key) => self.pause_key(key),
            Step::Begin(worker) => self.begin(worker),
            Step::Report(worker) => self.report(worker),
            Step::GiveBack(worker, waits) => self.give_back(worker, waits),
            Step::Settle(work, records) => match self.work(work) {
                Some(Work::Haul(worker)) => self.succeed(worker, usize::from(records)),
                Some(Work::Part(part)) => self.settle(part, usize::from(records)),
                None => {}
            },
            Step::Finish(work, records, ending) => match self.work(work) {
                Some(Work::Haul(worker)) => {
                    self.succeed(worker, usize::from(records));
                    self.end(worker, ending);
                }
                Some(Work::Part(part)) => {
                    self.settle(part, usize::from(records));
                    self.finish(part, ending);
                }
                None => {}
            },
            Step::Wait(millis) => {
                self.now += std::time::Duration::from_millis(millis.into());
                self.wake();
            }
            Step::TakeLetter => {
                self.take_letter();
            }
            Step::Acknowledge(letter) => {
                if !self.letters.is_empty() {
                    self.acknowledge(letter.index(self.letters.len()));
                }
            }
            Step::FailLetter(letter, delay) => {
                if !self.letters.is_empty() {
                    let job = self.letters.swap_remove(letter.index(self.letters.len()));
                    let (epoch, offset) = (job.run.context.epoch, job.entry.record.offset().0);
                    let released = self.is_released(epoch);
                    if released {
                        self.alive.remove(&(epoch, offset));
                    }
                    let due = self.now + std::time::Duration::from_millis(delay.into());
                    let effects = self.lanes.letter_failed(job, due);
                    self.hear(effects);
                    if released {
                        // And with it what would have been tried next.
                        self.given_back(epoch);
                    }
                }
            }
            Step::Commit => self.commit(),
            Step::Answer(taken) => {
                self.answer(taken);
            }
            Step::Ends => self.tell_ends(),
        }
    }

    /// Whoever has the clock looks.
    fn wake(&mut self) {
        let effects = self.lanes.wake(self.now);
        self.look_at_the_clock();
        self.hear(effects);
    }

    /// The dead-letter stage takes what is next, if there is anything.
    fn take_letter(&mut self) -> bool {
        let job = self.lanes.take_letter();
        self.told.letters = job.is_some();
        self.letters.extend(job);
        self.told.letters
    }

    /// Tells the lanes which partitions are paused.
    fn pause(&mut self) {
        let logs = &self.logs;
        let paused = |place: &TopicPartition| logs[usize::try_from(place.partition.0).expect("not negative")].paused;
        let effects = self.lanes.set_paused(paused);
        self.hear(effects);
    }

    fn assign(&mut self, partition: usize, ends: Option<u32>) {
        let earlier = self.logs[partition].epoch;
        let epoch = Epoch(self.epochs);
        self.epochs += 1;
        let log = &mut self.logs[partition];
        (log.epoch, log.released, log.stopped) = (Some(epoch), false, false);
        log.next = log.low();
        let next = log.next;
        // What ran above the watermark is not remembered here: it runs again.
        log.finished.retain(|offset| *offset < next);
        let topic_partition = TopicPartition::new(TOPIC, i32::try_from(partition).expect("few partitions"));
        let progress = match ends {
            None => resumed(next, self.setting.metadata),
            Some(ends) => taken_over(next, self.setting.metadata, ends),
        };
        if !progress.is_announced() && !progress.is_on_probation() {
            self.unmarked.insert(epoch);
        }
        let effects = self.lanes.assign(Assigned { epoch, topic_partition, progress }, Arc::clone(&self.route));
        self.hear(effects);
        let open = self.lanes.assignment(epoch).expect("just assigned");
        open.context.took(self.setting.appetite, std::time::Duration::from_micros(50));
        if let Some(earlier) = earlier {
            self.given_back(earlier);
        }
        self.pause();
    }

    /// After an assignment is on its way out: what is left of it is with a worker or has a letter to write.
    fn given_back(&mut self, epoch: Epoch) {
        let over = self.log_of(epoch).is_none();
        let out = self.out().flat_map(|out| out.entries.into_iter().map(move |entry| (out.epoch, entry)));
        let out = out.chain(self.letters.iter().map(|job| (job.run.context.epoch, &job.entry)));
        let mut left: BTreeSet<_> =
            out.filter(|(of, _)| *of == epoch).map(|(_, entry)| (epoch, entry.record.offset().0)).collect();
        for lane in self.lanes.lanes.iter().filter(|lane| lane.state == State::Letter) {
            let head = lane.queue.front().expect("a letter's lane has a head");
            if head.ticket.epoch() == epoch {
                assert!(!over, "a letter of an assignment that is over waits");
                left.insert((epoch, head.record.offset().0));
            }
        }
        assert!(left.is_subset(&self.alive), "more is left of {epoch:?} than there was");
        self.alive.retain(|(of, offset)| *of != epoch || left.contains(&(epoch, *offset)));
    }

    /// How much of a partition a source would deliver under what was asked for.
    pub(super) fn allowed(&self, demand: &Demand, partition: usize) -> usize {
        let log = &self.logs[partition];
        let waiting = usize::try_from(log.written - log.next).expect("no more is read than was written");
        log.epoch.map_or(0, |epoch| demand.records(epoch).min(waiting))
    }

    /// Delivers to each partition what `portion` says of what it may have. Answers whether there was anything to deliver.
    fn deliver(&mut self, mut portion: impl FnMut(usize) -> usize) -> bool {
        let Some(mut demand) = self.asked.take() else { return false };
        let mut batches = Vec::new();
        for partition in 0..PARTITIONS {
            let mut most = self.allowed(&demand, partition);
            if most == 0 || self.logs[partition].released {
                continue;
            }
            most = portion(most);
            let Some(epoch) = self.logs[partition].epoch else { continue };
            let mut records = Vec::new();
            while records.len() < most && demand.records(epoch) > 0 {
                let record = self.record(partition, self.logs[partition].next);
                demand.take(epoch, 1, record.2 + record.1.as_ref().map_or(0, Vec::len));
                self.logs[partition].next += 1;
                self.alive.insert((epoch, record.0));
                records.push(record);
            }
            batches.push(arriving(self.setting.order, epoch, partition, records));
        }
        if batches.is_empty() {
            // It sleeps on with what it asked for.
            self.asked = Some(demand);
            return false;
        }
        for batch in batches {
            let effects = self.lanes.push(batch, self.now);
            self.hear(effects);
        }
        true
    }

    fn acknowledge(&mut self, letter: usize) {
        let LetterJob { run, entry } = self.letters.swap_remove(letter);
        self.done(run.context.epoch, entry.record.offset().0);
        let weight = entry.weight();
        let settled = entry.ticket.dead_lettered(Receipt::acknowledged());
        let effects = self.lanes.letter_acknowledged(run, settled, weight);
        self.hear(effects);
    }

    /// Handlers succeed, letters are written, time passes and the reader reads whenever it is told to: nothing may be left.
    fn drain(&mut self) {
        self.step(Step::PauseKey(None));
        for partition in 0..PARTITIONS {
            self.step(Step::Pause(partition, false));
            let log = &self.logs[partition];
            if log.released || log.stopped {
                self.step(Step::Lose(partition));
                self.step(Step::Assign(partition, self.setting.ends));
            }
        }
        let mut idle = 0;
        while idle < 2 {
            let mut moved = false;
            self.step(Step::Ask);
            moved |= self.deliver(|allowed| allowed);
            while self.busy() < self.setting.workers && self.take() {}
            self.step(Step::Commit);
            moved |= self.answer(true);
            while let Some((&worker, _)) = self.haulers.first_key_value() {
                self.succeed(worker, usize::MAX);
                self.end(worker, Ending::Whole);
                moved = true;
            }
            while !self.held.is_empty() {
                self.settle(0, usize::MAX);
                self.finish(0, Ending::Whole);
                moved = true;
            }
            while self.take_letter() {}
            while !self.letters.is_empty() {
                self.acknowledge(0);
                moved = true;
            }
            if let Some(next) = self.lanes.next_due(self.now) {
                self.now = self.now.max(next);
                self.wake();
                moved = true;
            }
            audit(self);
            self.nobody_was_forgotten();
            idle = if moved { 0 } else { idle + 1 };
        }
        assert!(self.alive.is_empty(), "these never ran: {:?}", self.alive);
        assert_eq!((self.lanes.loads.queued, self.lanes.loads.parked), (Load::default(), Load::default()));
        for (partition, log) in self.logs.iter().enumerate().filter(|(_, log)| log.epoch.is_some()) {
            assert_eq!(log.next, log.written, "partition {partition} is never read to its end: the reader sleeps");
            assert_eq!(log.low(), log.written);
        }
    }
}

proptest! {
    #![proptest_config(crate::pipeline::properties())]

    #[test]
    fn invariants_hold_whatever_happens_and_everything_drains(setting in settings(), steps in steps()) {
        let ends = setting.ends;
        let mut world = World::new(setting);
        for step in [Step::Assign(0, ends), Step::Write(0, 10)].into_iter().chain(steps) {
            world.step(step);
            audit(&world);
            world.nobody_was_forgotten();
        }
        world.drain();
    }
}
