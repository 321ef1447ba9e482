//! The partitions that are ours now, and the reading of their queues.
//!
//! The event thread changes it, and whoever polls the source reads by it, through [`Reading`](super::reading::Reading). The invariant: what
//! isn't in here isn't read, and isn't committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::Waker;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::client::Client;
use super::native::{Buffer, Failure, LeaderEpoch, PartitionQueue, cached_end, position};
use crate::pipeline::demand::Demand;
use crate::pipeline::source::{Batch, Epoch};
use crate::record::{NextOffset, Offset, Record, TopicPartition};

/// How many records one partition gives at a time, before the next has its turn.
const BATCH: usize = 1000;
/// Records that are done in no time stay in the memory that they were fetched in, if they are smaller than this. Beside the copy of a larger
/// one its cost is small.
const BRIEF_COPIED_FROM: usize = 16 << 10;
/// How many records are handed over at once.
const DELIVERY: usize = 4096;

/// One assigned partition.
#[derive(Debug)]
pub(super) struct Assigned {
    /// This assignment of it.
    pub(super) epoch: Epoch,
    /// Which it is.
    pub(super) place: TopicPartition,
    /// Where its records arrive.
    pub(super) queue: PartitionQueue,
    /// No record below this one may come any more; `None` while it starts at its beginning.
    pub(super) next: Option<Offset>,
    /// The latest leader under which a record below that is known to have been written.
    pub(super) leader_epoch: Option<LeaderEpoch>,
    /// Behind what is known to be finished though nothing of it was read yet, and the latest leader under which any of that was written: what has
    /// such a place and a later leader is another record, of a log that was cut meanwhile.
    finished: Option<(Offset, LeaderEpoch)>,
    /// Where the first such record is, until the pipeline is told.
    rewritten: Option<Offset>,
    /// The first record that was read of it.
    pub(super) began: Option<Offset>,
    /// Whether nobody has looked yet whether the log still is the one that was read.
    pub(super) unproven: bool,
    /// Whether nothing was read of it yet: where it stands is where somebody has committed.
    pub(super) unread: bool,
    /// That its log is said to have been cut, and up to where it is left, as far as that is known: it is asked a second time.
    pub(super) suspected: Option<Option<Offset>>,
    /// Records that were read and that no demand has allowed yet.
    ahead: Vec<Record>,
    /// Whether it is not read for now: it is being given up, looks for a place to go on, or something went wrong with it.
    pub(super) held: bool,
    /// Why what comes next can't be read, and won't be before somebody does something about it.
    pub(super) unreadable: Option<String>,
    /// About how many bytes a record has: rises at once, falls slowly.
    record_size: usize,
    /// Its end, as it was told last.
    end: i64,
    /// Its end, as the last fetch told.
    fetched_end: i64,
    /// A position of the client's that says nothing of this reading: it may still be that of an earlier one, and an error in the place of
    /// a record moves it past what was never read. Only reading moves it, so another one is of this reading.
    stale: Option<Offset>,
}

impl Assigned {
    /// A partition to be read from `next` on, up to which it was read under this leader, and so was what is finished up to `finished`.
    pub(super) fn new(
        epoch: Epoch,
        place: TopicPartition,
        queue: PartitionQueue,
        (next, finished): (Option<Offset>, Option<Offset>),
        leader_epoch: Option<LeaderEpoch>,
        client: &Client,
    ) -> Self {
        let stale = read_to(client, &place);
        Self {
            epoch,
            place,
            queue,
            next,
            leader_epoch,
            finished: finished.zip(leader_epoch),
            rewritten: None,
            began: None,
            unproven: leader_epoch.is_some() && next.is_some(),
            unread: true,
            suspected: None,
            ahead: Vec::new(),
            held: false,
            unreadable: None,
            record_size: 0,
            end: -1,
            fetched_end: -1,
            stale,
        }
    }

    /// The pipeline is given it anew, and knows nothing of it.
    pub(super) fn renew(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.ahead.clear();
        (self.finished, self.rewritten, self.began) = (None, None, None);
        (self.unreadable, self.suspected) = (None, None);
        self.end = -1;
    }

    /// The client begins to fetch it anew, from `next` on.
    pub(super) fn restart(&mut self, next: Option<Offset>, client: &Client) {
        // What lies between may be of later leaders: by an earlier one the log would seem to end before.
        if self.next.is_none_or(|known| next.is_none_or(|next| next > known)) {
            self.leader_epoch = None;
        }
        self.next = next;
        (self.held, self.unproven) = (false, false);
        self.stale = read_to(client, &self.place);
        self.queue.ring();
    }

    /// Whether somebody is to look at its log now.
    pub(super) fn is_to_prove(&self) -> bool {
        self.unproven && !self.held
    }

    /// Its log is said to have been cut. An answer may be of a question that was asked of it before it came and went, and the client keeps no
    /// track of that: so that it is so is only believed once it is said again. Whether it is to be asked for that.
    pub(super) fn suspect(&mut self, left: Option<Offset>) -> bool {
        let is_first = self.suspected.is_none() && self.leader_epoch.is_some() && self.next.is_some();
        self.suspected = Some(left);
        is_first
    }

    /// The client begins to fetch it anew from where it stands: nobody has looked at its log since, where that is still to be done.
    pub(super) fn doubt(&mut self) {
        let is_open = self.suspected.is_some() || self.unread;
        self.unproven = is_open && self.leader_epoch.is_some() && self.next.is_some();
    }

    /// Where it goes on is not where it stood: what was read below that says nothing of the log any more.
    pub(super) fn forget_leader(&mut self) {
        self.leader_epoch = None;
    }

    /// Whether something lies in its queue.
    pub(super) fn has_arrived(&self) -> bool {
        self.queue.has_some()
    }

    /// Its log was looked at, and nothing was read of it meanwhile.
    pub(super) fn prove(&mut self, client: &Client) {
        self.unproven = false;
        self.stale = read_to(client, &self.place);
        self.queue.ring();
    }

    /// Under which leader what is below this was read, as far as it is known.
    fn leader_epoch_below(&self, next: Offset) -> Option<LeaderEpoch> {
        let own = self.leader_epoch.filter(|_| self.next.is_some_and(|known| next <= known))?;
        // What was finished before may be of a later one than what lies between.
        Some(self.finished.map_or(own, |(_, before)| before.max(own)))
    }

    /// Where the client reads on, if that is further than behind the last record.
    fn passed(&mut self, client: &Client) -> Option<NextOffset> {
        let Some((position, leader_epoch)) = position(client, &self.place) else {
            self.stale = None;
            return None;
        };
        let is_news = self.stale != Some(position) && self.next.is_none_or(|next| next < position);
        is_news.then(|| {
            self.next = Some(position);
            self.leader_epoch = leader_epoch;
            NextOffset::at(position.0)
        })
    }

    /// Whether there may be a record to give.
    fn may_have_some(&self) -> bool {
        !self.ahead.is_empty() || self.queue.is_rung()
    }

    /// Reads at most `max` records, about as many as the demand's bytes allow, unless there are some; says how many bytes there are now.
    fn read_ahead(&mut self, max: usize, demand: &Demand, buffer: &mut Buffer, faults: &mut Faults) -> usize {
        if !self.ahead.is_empty() {
            return self.ahead.iter().map(Record::size).sum();
        }
        let copied_from = if demand.are_brief(self.epoch) { BRIEF_COPIED_FROM } else { 0 };
        let read = self.queue.read(max.min(fitting(demand.bytes(), self.record_size)), copied_from, buffer);
        if let Some(failure) = read.failure {
            self.held = true;
            faults.failures.push((self.epoch, failure));
        }
        let (Some(first), Some(last)) = (read.records.first(), read.records.last()) else { return 0 };
        if self.next.is_some_and(|next| first.offset() < next) {
            self.held = true;
            faults.rewound.push(self.epoch);
            return 0;
        }
        self.next = Some(last.offset().next().offset());
        self.began = self.began.or(Some(first.offset()));
        self.leader_epoch = read.leaders.last();
        if let Some((end, known)) = self.finished
            && let Some(later) = read.leaders.first_after(known)
        {
            (self.finished, self.rewritten) = (None, Some(later).filter(|later| *later < end));
        }
        (self.unread, self.suspected) = (false, None);
        if !self.held {
            self.stale = None;
        }
        self.unreadable = None;
        self.learn_size(read.records.len(), read.bytes);
        self.ahead = read.records;
        read.bytes
    }

    /// The records that were read, at most `max`, and of `most` bytes, except that the last one may go over it. What isn't admitted is the
    /// next to be. Whether there may be one at all is in `max`.
    fn admit(&mut self, max: usize, bytes: usize, most: usize) -> Option<(Vec<Record>, usize)> {
        let mut records = std::mem::take(&mut self.ahead);
        if records.len() > max || bytes > most {
            let mut used = 0;
            let fits = records.iter().take(max).take_while(|record| {
                let fits = used < most || used == 0;
                used += if fits { record.size() } else { 0 };
                fits
            });
            let count = fits.count();
            self.ahead = records.split_off(count);
            return (count > 0).then_some((records, used));
        }
        (!records.is_empty()).then_some((records, bytes))
    }

    fn learn_size(&mut self, records: usize, bytes: usize) {
        let mean = bytes.div_ceil(records.max(1));
        self.record_size = mean.max((self.record_size * 7 + mean) / 8);
    }
}

/// What went wrong while reading, for the event thread.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// What was told in the place of records; what they are of is held.
    pub(super) failures: Vec<(Epoch, Failure)>,
    /// Partitions whose offsets went back, held too.
    pub(super) rewound: Vec<Epoch>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Assignment {
    partitions: Vec<Assigned>,
    /// Who is read first in the next round.
    turn: usize,
    buffer: Buffer,
    faults: Faults,
}

impl Assignment {
    /// Adds a partition.
    pub(super) fn add(&mut self, assigned: Assigned) {
        self.partitions.push(assigned);
    }

    /// Takes these partitions out.
    pub(super) fn remove(&mut self, places: &[TopicPartition]) -> Vec<Assigned> {
        self.partitions.extract_if(.., |assigned| places.contains(&assigned.place)).collect()
    }

    /// Takes all out.
    pub(super) fn clear(&mut self) -> Vec<Assigned> {
        self.faults = Faults::default();
        std::mem::take(&mut self.partitions)
    }

    /// Takes the queues of these partitions again, after they were unassigned and before they are assigned. Where one can't be had its
    /// partition is gone from here.
    pub(super) fn retake(&mut self, places: &[TopicPartition], client: &Arc<Client>, waker: &Waker) -> KafkaResult<()> {
        for assigned in self.remove(places) {
            // First, or it would silence the new one: for the most part they are handles of the same. An error that lies in it says nothing of
            // what is fetched from now on, and no version tells it from one that does.
            assigned.queue.discard();
            let queue = PartitionQueue::take(client, &assigned.place, waker.clone());
            let queue = queue.ok_or(KafkaError::Global(RDKafkaErrorCode::UnknownPartition))?;
            self.partitions.push(Assigned { queue, ..assigned });
        }
        Ok(())
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Assigned> {
        self.partitions.iter()
    }

    /// The partition of this assignment, if it is still ours.
    pub(super) fn get_mut(&mut self, epoch: Epoch) -> Option<&mut Assigned> {
        self.partitions.iter_mut().find(|assigned| assigned.epoch == epoch)
    }

    /// All but this one are fetched anew from where they stand.
    pub(super) fn doubt_others(&mut self, than: &TopicPartition) {
        self.partitions.iter_mut().filter(|assigned| assigned.place != *than).for_each(Assigned::doubt);
    }

    /// The assignment of this partition, if it is ours.
    pub(super) fn epoch_of(&self, place: &TopicPartition) -> Option<Epoch> {
        self.partitions.iter().find(|assigned| assigned.place == *place).map(|assigned| assigned.epoch)
    }

    /// Stops reading these partitions, and names their assignments.
    pub(super) fn hold(&mut self, places: &[TopicPartition]) -> Vec<Epoch> {
        let leaving = self.partitions.iter_mut().filter(|assigned| places.contains(&assigned.place));
        leaving
            .map(|assigned| {
                assigned.held = true;
                assigned.epoch
            })
            .collect()
    }

    /// Under which leader what is below this was read of that assignment.
    pub(super) fn leader_epoch(&self, epoch: Epoch, next: NextOffset) -> Option<LeaderEpoch> {
        let assigned = self.partitions.iter().find(|assigned| assigned.epoch == epoch)?;
        assigned.leader_epoch_below(next.offset())
    }

    /// Which partition each assignment is of.
    pub(super) fn places(&self) -> HashMap<Epoch, &TopicPartition> {
        self.partitions.iter().map(|assigned| (assigned.epoch, &assigned.place)).collect()
    }

    /// Has all queues read the next time. A bell that was missed, for whatever reason, must not stop a partition for ever.
    pub(super) fn ring_all(&self) {
        self.partitions.iter().for_each(|assigned| assigned.queue.ring());
    }

    /// Whether something went wrong that nobody has taken yet.
    pub(super) fn has_faults(&self) -> bool {
        !self.faults.failures.is_empty() || !self.faults.rewound.is_empty()
    }

    /// What went wrong since this was last asked.
    pub(super) fn take_faults(&mut self) -> Faults {
        std::mem::take(&mut self.faults)
    }

    /// Reads what the demand allows, a batch a partition, each round starting with another one.
    pub(super) fn read(&mut self, demand: &Demand) -> Vec<Batch> {
        let mut batches = Vec::new();
        let (count, mut left) = (self.partitions.len(), DELIVERY);
        self.turn = (self.turn + 1) % count.max(1);
        // Of many partitions a copy costs: only where there may be something.
        let mut own = None;
        for step in 0..count {
            if left == 0 {
                break;
            }
            let assigned = &mut self.partitions[(self.turn + step) % count];
            if assigned.held || assigned.unproven || !assigned.may_have_some() {
                continue;
            }
            let demand: &mut Demand = own.get_or_insert_with(|| demand.clone());
            let max = demand.records(assigned.epoch).min(left).min(BATCH);
            if max == 0 {
                continue;
            }
            let bytes = assigned.read_ahead(max, demand, &mut self.buffer, &mut self.faults);
            let Some((records, bytes)) = assigned.admit(max, bytes, demand.bytes()) else { continue };
            demand.take(assigned.epoch, records.len(), bytes);
            left -= records.len();
            let rewritten = assigned.rewritten.take();
            batches.push(Batch { epoch: assigned.epoch, records, next: None, rewritten });
        }
        batches
    }

    /// Where partitions end that have moved since this was last asked.
    pub(super) fn moved_ends(&mut self, client: &Arc<Client>) -> Vec<(Epoch, Offset)> {
        let mut moved = Vec::new();
        for assigned in &mut self.partitions {
            if let Some(end) = cached_end(client, &assigned.place).filter(|end| *end != assigned.fetched_end) {
                (assigned.end, assigned.fetched_end) = (end, end);
                moved.push((assigned.epoch, Offset(end)));
            }
        }
        moved
    }

    /// Brokers have told where partitions end. Those of which that is news: a fetch tells no more as long as nothing is fetched.
    pub(super) fn learn_ends(&mut self, ends: &[(TopicPartition, i64)]) -> Vec<(Epoch, Offset)> {
        let mut moved = Vec::new();
        for (place, end) in ends {
            // A transaction that is open lies behind what may be read, and a fetch tells of it.
            let assigned = self.partitions.iter_mut().find(|assigned| assigned.place == *place && assigned.end < *end);
            if let Some(assigned) = assigned {
                assigned.end = *end;
                moved.push((assigned.epoch, Offset(*end)));
            }
        }
        moved
    }

    /// Partitions that were read further than behind their last record: past the markers of transactions, which take offsets and are no
    /// records. Where nothing is left to read nothing is asked.
    pub(super) fn passed(&mut self, client: &Client) -> Vec<Batch> {
        let behind = |assigned: &&mut Assigned| {
            !assigned.held
                && !assigned.unproven
                && assigned.ahead.is_empty()
                && (assigned.stale.is_some() || assigned.next.is_none_or(|next| next.0 < assigned.end))
        };
        let passed = self.partitions.iter_mut().filter(behind).filter_map(|assigned| {
            let next = Some(assigned.passed(client)?);
            Some(Batch { epoch: assigned.epoch, records: Vec::new(), next, rewritten: None })
        });
        passed.collect()
    }
}

/// Where the client has read to by itself.
fn read_to(client: &Client, place: &TopicPartition) -> Option<Offset> {
    position(client, place).map(|(position, _)| position)
}

/// How many records of about `size` bytes fit into `bytes`; one at least, since a record is delivered whole, and whether even one
/// may be is the demand's to say. Of a partition that nothing is known of yet, a few.
fn fitting(bytes: usize, size: usize) -> usize {
    match (bytes, size) {
        (0, _) => 1,
        (_, 0) => 16,
        (bytes, size) => (bytes / size).max(1),
    }
}
