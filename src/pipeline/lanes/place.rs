//! A place: a topic's partition as this process knows it, assigned or not.
//!
//! It outlives its assignments, so a lane whose handler still runs for a lost assignment stays closed when the partition comes
//! back: no two handlers of one key run side by side in one process.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::super::source::{Epoch, Progress};
use super::LaneId;
use super::breaking::{CircuitId, Passage};
use super::bundles::Bundles;
use super::entry::Loads;
use super::gather::GatherId;
use super::letters::Outbox;
use super::probation::{Awaited, Standing};
use crate::handler::extract::Cancellation;
use crate::handler::{Circumstances, RouteSpec};
use crate::record::{Offset, Topic, TopicPartition};

/// What a worker takes of several lanes at once is to be done after about this time.
const HAUL_NANOS: u64 = 50_000;

/// Its partition is on its way out.
const RELEASED: u8 = 1;
/// Its route's circuit breaker is open.
const HELD_BACK: u8 = 2;

/// What a worker needs to know of the assignment that its run came in under.
#[derive(Debug)]
pub(in crate::pipeline) struct AssignmentContext {
    pub(in crate::pipeline) epoch: Epoch,
    pub(in crate::pipeline) topic_partition: TopicPartition,
    pub(in crate::pipeline) route: Arc<RouteSpec>,
    /// Where its dead letters go; none where the daemon stops instead.
    pub(in crate::pipeline) dead_letter_topic: Option<Topic>,
    /// What all attempts at its records have in common: what they hear of its end.
    pub(in crate::pipeline) circumstances: Circumstances,
    /// Why no handler may be started, if any of it is set. Looked at before every record, so it isn't behind the token's lock.
    bars: AtomicU8,
    /// What a record takes lately, in nanoseconds; 0 while nothing is known.
    cost: AtomicU64,
}

impl AssignmentContext {
    pub(super) fn new(epoch: Epoch, topic_partition: TopicPartition, route: Arc<RouteSpec>) -> Self {
        let dead_letter_topic = route.settings.dead_letter_topic(&topic_partition.topic);
        Self {
            epoch,
            topic_partition,
            route,
            dead_letter_topic,
            circumstances: Circumstances::new(Cancellation::default(), None, None),
            bars: AtomicU8::new(0),
            cost: AtomicU64::new(0),
        }
    }

    /// How many records a worker may take of several lanes at once: none of them is to wait long for the others.
    pub(super) fn appetite(&self) -> usize {
        match self.cost.load(Ordering::Relaxed) {
            0 => 1,
            nanos => usize::try_from(HAUL_NANOS / nanos).unwrap_or(usize::MAX).max(1),
        }
    }

    /// Whether a record is done in no time lately.
    pub(super) fn is_brief(&self) -> bool {
        self.appetite() > 1
    }

    /// Whether a record is done in less than this lately.
    pub(in crate::pipeline) fn is_fleeting(&self, time: Duration) -> bool {
        let nanos = self.cost.load(Ordering::Relaxed);
        nanos > 0 && Duration::from_nanos(nanos) < time
    }

    /// A handler waits, or blocks: nothing is to be taken with the next one.
    pub(in crate::pipeline) fn takes_its_time(&self) {
        self.cost.fetch_max(HAUL_NANOS, Ordering::Relaxed);
    }

    /// So many records took so long. What takes longer than before is believed at once.
    pub(super) fn took(&self, records: usize, time: Duration) {
        let Ok(records @ 1..) = u64::try_from(records) else { return };
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / records;
        let nanos = nanos.max(1);
        let before = self.cost.load(Ordering::Relaxed);
        let cost = if nanos >= before { nanos } else { before - (before - nanos).div_ceil(4) };
        if cost != before {
            self.cost.store(cost, Ordering::Relaxed);
        }
    }

    /// Whether a handler may be started.
    pub(in crate::pipeline) fn may_start(&self) -> bool {
        self.bars.load(Ordering::Acquire) == 0
    }

    pub(in crate::pipeline) fn is_released(&self) -> bool {
        self.bars.load(Ordering::Acquire) & RELEASED != 0
    }

    /// Whether its route's circuit breaker is open: what fails now uses up no retry.
    pub(in crate::pipeline) fn is_held_back(&self) -> bool {
        self.bars.load(Ordering::Acquire) & HELD_BACK != 0
    }

    pub(super) fn release(&self) {
        self.bars.fetch_or(RELEASED, Ordering::AcqRel);
        self.circumstances.cancellation().request();
    }

    fn hold_back(&self, held_back: bool) {
        if held_back {
            self.bars.fetch_or(HELD_BACK, Ordering::AcqRel);
        } else {
            self.bars.fetch_and(!HELD_BACK, Ordering::AcqRel);
        }
    }
}

/// Why nothing more is read from a partition for now, though the queue has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pipeline) enum Hold {
    /// What is finished could no longer be remembered in the commit's metadata; or nothing is, before the first commit.
    Window,
    /// The bound of the parked records is reached.
    Parked,
    /// A dead letter can't be written.
    DeadLetter,
    /// Somebody has paused it.
    Paused,
    /// The circuit breaker of its route is open.
    CircuitBreaker,
}

impl Hold {
    pub(in crate::pipeline) const ALL: [Self; 5] =
        [Self::Window, Self::Parked, Self::DeadLetter, Self::Paused, Self::CircuitBreaker];
}

/// What may be started of a place. On probation that is one record at a time, whatever else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Everything.
    Open,
    /// What its route's circuit breaker tries.
    Trials,
    /// Nothing: somebody has paused it, or it isn't committed yet that it is read.
    Shut,
}

/// One assignment of a place, from its start to its end.
#[derive(Debug)]
pub(super) struct Assignment<G> {
    pub(super) context: Arc<AssignmentContext>,
    pub(super) progress: G,
    /// Lanes whose head is out: with a worker, or with the dead-letter stage.
    pub(super) out: usize,
    /// Records that were finished in it, the last commit's that was made of it, and the last one's that was acknowledged.
    pub(super) finished: u64,
    pub(super) offered: u64,
    pub(super) covered: u64,
    /// Letters that could not be written and are tried again.
    pub(super) stuck_letters: usize,
    /// Where the partition ends now.
    pub(super) end: Option<Offset>,
    /// Nobody answers for it now.
    pub(super) is_silent: bool,
    /// What is in the way of its records.
    pub(super) standing: Standing,
    /// Whether those of its records that have been accused are waited for.
    pub(super) awaited: Awaited,
}

impl<G> Assignment<G> {
    pub(super) fn new(context: Arc<AssignmentContext>, progress: G) -> Self {
        Self {
            context,
            progress,
            out: 0,
            finished: 0,
            offered: 0,
            covered: 0,
            stuck_letters: 0,
            end: None,
            is_silent: false,
            standing: Standing::Good,
            awaited: Awaited::Never,
        }
    }
}

#[derive(Debug)]
pub(super) struct Place<G> {
    pub(super) topic_partition: TopicPartition,
    pub(super) assignment: Option<Assignment<G>>,
    /// Where its lanes are gathered for batches, if its route takes any.
    pub(super) gather: Option<GatherId>,
    /// Its route's circuit, if that has a breaker.
    pub(super) circuit: Option<CircuitId>,
    /// Lanes that a worker may take, in turn.
    pub(super) ready: VecDeque<LaneId>,
    /// The lanes that its keys share.
    pub(super) bundles: Bundles,
    /// Whether this place stands in the queue of turns.
    pub(super) in_turns: bool,
    /// Its dead letters.
    pub(super) outbox: Outbox,
    /// Its share of what counts against the bounds, with what still runs for earlier assignments.
    pub(super) loads: Loads,
    /// It is counted among the open ones without a queued record.
    pub(super) keeps_slot: bool,
    /// Workers that hold one of its lanes, for whatever assignment.
    pub(super) busy: usize,
    /// Somebody has paused it.
    paused: bool,
    /// What the breaker lets through.
    passage: Passage,
    /// What follows of these and of how its assignment stands.
    gate: Gate,
    pub(super) hold: Option<Hold>,
    /// The reader is told once the queued records fall to this many.
    pub(super) wake_at: Option<usize>,
    /// The reader is told once this much [waits](Self::waiting) at most.
    pub(super) wake_below: Option<usize>,
}

impl<G: Progress> Place<G> {
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        Self {
            topic_partition,
            assignment: None,
            gather: None,
            circuit: None,
            ready: VecDeque::new(),
            bundles: Bundles::default(),
            in_turns: false,
            outbox: Outbox::default(),
            loads: Loads::default(),
            keeps_slot: false,
            busy: 0,
            paused: false,
            passage: Passage::Free,
            gate: Gate::Open,
            hold: None,
            wake_at: None,
            wake_below: None,
        }
    }

    /// How many workers its ready lanes are for. A lane has one record at least.
    pub(super) fn hauls(&self) -> usize {
        let appetite = self.assignment.as_ref().map_or(1, |assignment| assignment.context.appetite());
        self.waiting().div_ceil(appetite).min(self.ready.len())
    }

    /// About how many records could be begun: one of each ready lane, and what stands behind it where keys share it.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len() + self.bundles.behind()
    }

    /// Whether so little is left to begin that the reader must hear of it. It does once.
    pub(super) fn wants_more(&mut self) -> bool {
        let waiting = self.waiting();
        self.wake_below.take_if(|mark| waiting <= *mark).is_some()
    }

    /// What of it may be started.
    pub(super) fn gate(&self) -> Gate {
        self.gate
    }

    /// Its gate as all that it depends on has it: kept, as it is looked at for each lane that comes back.
    pub(super) fn gate_now(&self) -> Gate {
        if self.paused || self.is_unmarked() {
            Gate::Shut
        } else if self.is_held_back() {
            Gate::Trials
        } else {
            Gate::Open
        }
    }

    /// Whether nothing of it is started, but what its breaker tries.
    pub(super) fn stands_still(&self) -> bool {
        self.gate != Gate::Open
    }

    /// Whether its route's circuit breaker is not closed.
    pub(super) fn is_held_back(&self) -> bool {
        self.passage != Passage::Free
    }

    /// Somebody pauses it, or lets it go on.
    pub(super) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.gate = self.gate_now();
    }

    /// How its assignment stands from now on.
    pub(super) fn set_standing(&mut self, standing: Standing) {
        if let Some(assignment) = &mut self.assignment {
            assignment.standing = standing;
        }
        self.gate = self.gate_now();
    }

    /// What its breaker lets through from now on.
    pub(super) fn let_pass(&mut self, passage: Passage) {
        self.passage = passage;
        if let Some(assignment) = &self.assignment {
            assignment.context.hold_back(passage != Passage::Free);
        }
        self.gate = self.gate_now();
    }

    /// The assignment, if records may be read and started for it.
    pub(super) fn open(&self) -> Option<&Assignment<G>> {
        self.assignment.as_ref().filter(|assignment| !assignment.context.is_released())
    }

    /// The assignment, if it is still this one.
    pub(super) fn live(&mut self, epoch: Epoch) -> Option<&mut Assignment<G>> {
        self.assignment.as_mut().filter(|assignment| assignment.context.epoch == epoch)
    }

    /// Why nothing may be read from it now, other than for want of room in the queue.
    pub(super) fn why_held(&self, parked_full: bool) -> Option<Hold> {
        self.hold_and_room(parked_full).0
    }

    /// The same, and how many records its window has room for where nothing holds it: that is looked at for all places at each read.
    pub(super) fn hold_and_room(&self, parked_full: bool) -> (Option<Hold>, usize) {
        let Some(assignment) = self.open() else { return (None, 0) };
        let hold = if self.paused {
            Some(Hold::Paused)
        } else if assignment.standing == Standing::Unmarked && assignment.progress.commit().is_some() {
            // Its first commit is on its way.
            Some(Hold::Window)
        } else if self.passage == Passage::Shut {
            Some(Hold::CircuitBreaker)
        } else if assignment.stuck_letters > 0 {
            Some(Hold::DeadLetter)
        } else if parked_full && self.loads.parked.records > 0 {
            Some(Hold::Parked)
        } else {
            None
        };
        match (hold, hold.map_or_else(|| assignment.progress.room(), |_| 0)) {
            (None, 0) => (Some(Hold::Window), 0),
            found => found,
        }
    }
}
