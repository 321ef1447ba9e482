//! The mailbox between the event thread and the pipeline's side of the source.
//!
//! Owner: nobody alone; one short lock, never held while anything waits. The invariants: a record leaves only under the
//! demand of the poll that takes it; what was read beyond that stays here, counted against the next demand; a partition's
//! records are gone from here before its end is told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::trouble::{Troubles, Until};
use super::wake::Wake;
use crate::pipeline::demand::Demand;
use crate::pipeline::seek::Seek;
use crate::pipeline::source::{Batch, CommitError, Epoch, Event, SourceError};
use crate::pipeline::tracker::{OffsetCommit, OffsetTracker};
use crate::record::Record;

/// A commit that somebody waits for.
#[derive(Debug)]
pub(super) struct CommitRequest {
    /// What to write.
    pub(super) commits: Vec<(Epoch, OffsetCommit)>,
    /// Where the outcome goes; closed when nobody waits any more.
    pub(super) reply: oneshot::Sender<Result<(), CommitError>>,
}

/// The wish to end.
#[derive(Debug)]
pub(super) struct CloseRequest {
    /// When to give up trying.
    pub(super) deadline: std::time::Instant,
    /// Where the outcome goes.
    pub(super) reply: oneshot::Sender<Result<(), SourceError>>,
}

/// What the pipeline wants of the event thread.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// What may be read, if anything was asked since the last look; what waits here already is taken off.
    pub(super) demand: Option<Demand>,
    /// Commits to make.
    pub(super) commits: Vec<CommitRequest>,
    /// Partitions that are to go on elsewhere.
    pub(super) seeks: Vec<Seek>,
    /// Whether to end.
    pub(super) close: Option<CloseRequest>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
    wake: Arc<Wake>,
}

#[derive(Debug, Default)]
struct State {
    wishes: Wishes,
    /// Everything but records; goes first, so that an assignment comes before its records.
    events: VecDeque<Event<OffsetTracker>>,
    ready: VecDeque<Ready>,
    troubles: Troubles,
    /// Why nothing will come any more; stays.
    end: Option<SourceError>,
    /// Whether the event thread waits for a demand. Else whatever it waits for has it look for one.
    starved: bool,
    /// Whether the event thread is gone, and nobody answers any more.
    deserted: bool,
}

/// Records that were read and wait for a demand.
#[derive(Debug)]
struct Ready {
    batch: Batch,
    bytes: usize,
}

impl Mailbox {
    /// An empty one for the event thread behind `wake`.
    pub(super) fn new(wake: Arc<Wake>) -> Self {
        Self { state: Mutex::default(), arrived: Notify::new(), wake }
    }

    /// The next event within `timeout`, and within `demand`.
    pub(super) async fn next(&self, demand: &Demand, timeout: Duration) -> Result<Event<OffsetTracker>, SourceError> {
        let deadline = Instant::now() + timeout;
        loop {
            {
                let mut state = self.state.lock();
                if let Some(next) = state.next(demand) {
                    return next;
                }
                // Only now, so that what was granted to records that wait already isn't granted again.
                state.wishes.demand = Some(demand.clone());
                if std::mem::take(&mut state.starved) {
                    self.wake.wake();
                }
            }
            // A permit is kept for whoever comes late, so nothing that arrives in between is slept over.
            if timeout_at(deadline, self.arrived.notified()).await.is_err() {
                return self.state.lock().next(demand).unwrap_or(Ok(Event::Idle));
            }
        }
    }

    /// Asks for a commit.
    pub(super) fn commit(&self, request: CommitRequest) {
        let mut state = self.state.lock();
        // An ended thread answers nobody: dropping the request tells so.
        if !state.deserted {
            state.wishes.commits.push(request);
        }
        drop(state);
        self.wake.wake();
    }

    /// Asks for a partition to go on elsewhere.
    pub(super) fn seek(&self, seek: Seek) {
        let mut state = self.state.lock();
        // As above.
        if !state.deserted {
            state.wishes.seeks.push(seek);
        }
        drop(state);
        self.wake.wake();
    }

    /// Asks for the end.
    pub(super) fn close(&self, request: CloseRequest) {
        let mut state = self.state.lock();
        if !state.deserted {
            state.wishes.close = Some(request);
        }
        drop(state);
        self.wake.wake();
    }

    /// What the pipeline wants, handed over.
    pub(super) fn take_wishes(&self) -> Wishes {
        let mut state = self.state.lock();
        let mut wishes = std::mem::take(&mut state.wishes);
        if let Some(demand) = &mut wishes.demand {
            for ready in &state.ready {
                demand.take(ready.batch.epoch, ready.batch.records.len(), ready.bytes);
            }
        }
        wishes
    }

    /// The event thread is about to wait, with records that nobody has asked for: the next demand is to wake it. Says whether there is one
    /// already.
    pub(super) fn starve(&self) -> bool {
        let mut state = self.state.lock();
        state.starved = state.wishes.demand.is_none();
        !state.starved
    }

    /// Tells the pipeline something.
    pub(super) fn tell(&self, event: Event<OffsetTracker>) {
        self.state.lock().events.push_back(event);
        self.arrived.notify_one();
    }

    /// Tells where partitions end. A report that nobody has taken yet is replaced: reports don't pile up.
    pub(super) fn tell_ends(&self, ends: Vec<(Epoch, crate::record::Offset)>) {
        {
            let mut state = self.state.lock();
            if let Some(Event::Ends(waiting)) = state.events.back_mut() {
                waiting.extend(ends);
                return;
            }
            state.events.push_back(Event::Ends(ends));
        }
        self.arrived.notify_one();
    }

    /// Hands over records, each batch with its size in bytes.
    pub(super) fn deliver(&self, batches: Vec<(Batch, usize)>) {
        self.state.lock().ready.extend(batches.into_iter().map(|(batch, bytes)| Ready { batch, bytes }));
        self.arrived.notify_one();
    }

    /// Tells of trouble that may pass.
    pub(super) fn trouble(&self, until: Until, say: impl Into<String>) {
        let say = say.into();
        self.tell_of(|troubles| troubles.notice(until, say, std::time::Instant::now()));
    }

    /// Whether anything stands in the way.
    pub(super) fn is_in_trouble(&self) -> bool {
        self.state.lock().troubles.is_any()
    }

    /// The brokers answer, and the topics are there to be read.
    pub(super) fn answered(&self) {
        self.tell_of(|troubles| troubles.answered(std::time::Instant::now()));
    }

    /// The group has taken this member in.
    pub(super) fn assigned(&self) {
        self.tell_of(Troubles::assigned);
    }

    fn tell_of(&self, change: impl FnOnce(&mut Troubles) -> bool) {
        let is_news = change(&mut self.state.lock().troubles);
        if is_news {
            self.arrived.notify_one();
        }
    }

    /// Tells that no record will come any more, and why. The first reason stays. Commits are still taken.
    pub(super) fn fail(&self, error: SourceError) {
        self.state.lock().end.get_or_insert(error);
        self.arrived.notify_one();
    }

    /// The event thread's last word.
    pub(super) fn end(&self, error: SourceError) {
        {
            let mut state = self.state.lock();
            state.end.get_or_insert(error);
            state.deserted = true;
            // Whoever waits for an answer hears that there will be none.
            state.wishes = Wishes::default();
        }
        self.arrived.notify_one();
    }

    /// Throws away the records of assignments that end.
    pub(super) fn forget(&self, epochs: &[Epoch]) {
        let mut state = self.state.lock();
        let (gone, kept) =
            std::mem::take(&mut state.ready).into_iter().partition(|ready| epochs.contains(&ready.batch.epoch));
        state.ready = kept;
        drop(state);
        // Freeing records takes a while: not under the lock.
        drop::<VecDeque<Ready>>(gone);
    }
}

impl State {
    fn next(&mut self, demand: &Demand) -> Option<Result<Event<OffsetTracker>, SourceError>> {
        if let Some(event) = self.events.pop_front() {
            return Some(Ok(event));
        }
        if let Some(news) = self.troubles.take_news() {
            return Some(Ok(Event::Trouble(news)));
        }
        let batches = self.admit(demand);
        if !batches.is_empty() {
            return Some(Ok(Event::Records(batches)));
        }
        self.end.clone().map(Err)
    }

    /// What of the waiting records this demand allows.
    fn admit(&mut self, demand: &Demand) -> Vec<Batch> {
        if self.ready.is_empty() || demand.is_none() {
            return Vec::new();
        }
        let mut demand = demand.clone();
        let mut admitted = Vec::with_capacity(self.ready.len());
        let mut kept = VecDeque::new();
        // A partition that had to leave something behind may not go on with a later batch.
        let mut cut: Vec<Epoch> = Vec::new();
        for mut ready in self.ready.drain(..) {
            let epoch = ready.batch.epoch;
            let is_cut = cut.contains(&epoch);
            if ready.batch.records.is_empty() && !is_cut {
                admitted.push(ready.batch);
                continue;
            }
            let allowed = if is_cut { 0 } else { demand.records(epoch) };
            let count = within(&ready, allowed, demand.bytes());
            if is_cut || count < ready.batch.records.len() {
                cut.push(epoch);
                let rest = ready.batch.records.split_off(count);
                let bytes = size(&rest);
                ready.bytes -= bytes;
                // How far the partition was read is told with its last record.
                let next = ready.batch.next.take();
                kept.push_back(Ready { batch: Batch { epoch, records: rest, next }, bytes });
            }
            if count > 0 {
                demand.take(epoch, count, ready.bytes);
                admitted.push(ready.batch);
            }
        }
        self.ready = kept;
        admitted
    }
}

/// How many of these records fit: `records` at most, and in `bytes`, except that the last one may go over it. Whether there may be
/// one at all is in `records`.
fn within(ready: &Ready, records: usize, bytes: usize) -> usize {
    let most = records.min(ready.batch.records.len());
    if most == ready.batch.records.len() && ready.bytes <= bytes {
        return most;
    }
    let mut used = 0;
    let fits = ready.batch.records.iter().take(most).take_while(|record| {
        let fits = used < bytes || used == 0;
        used += record.size();
        fits
    });
    fits.count()
}

fn size(records: &[Record]) -> usize {
    records.iter().map(Record::size).sum()
}
