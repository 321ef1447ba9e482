//! What may happen to the lanes, and how likely it is.

use proptest::prelude::*;
use proptest::sample::Index;

use super::super::Load;
use super::load;
use crate::circuit_breaker::CircuitBreaker;
use crate::handler::ProcessingOrder;

/// What happens next. An index chooses among what there is; where there is nothing to choose from, nothing happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A partition becomes ours, after so many ends without warning; with no quarantine where it is none.
    Assign(usize, Option<u32>),
    Release(usize),
    Lose(usize),
    /// A partition is paused, or goes on.
    Pause(usize, bool),
    /// So many attempts may begin within a second, of all or of each key; none where there is no limit.
    Limit(Option<u32>, bool),
    /// Records are written to a partition.
    Write(usize, u8),
    /// The reader asks what it may read, if it isn't asleep with an answer.
    Ask,
    /// The source delivers what the reader asked for, or a part of it.
    Deliver(Index),
    Take,
    /// So many workers may be at something, of those that there are.
    Scale(Index),
    Fix(Option<Index>),
    PauseKey(Option<Index>),
    /// A worker begins the next record of its haul.
    Begin(Index),
    /// What a worker has finished of its haul becomes known.
    Report(Index),
    /// What a worker is at waits, or keeps its thread, and what it has not begun goes back.
    GiveBack(Index, bool),
    /// A worker finishes some records.
    Settle(Index, u8),
    /// A worker's haul, or a part of its batch, ends after some more records.
    Finish(Index, u8, Ending),
    /// Time passes.
    Wait(u16),
    TakeLetter,
    Acknowledge(Index),
    FailLetter(Index, u16),
    /// What there is to commit goes to the source, if nothing is on its way there.
    Commit,
    /// The source takes what is on its way, or refuses it.
    Answer(bool),
    /// It becomes known where partitions end.
    Ends,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    Whole,
    /// It is to be tried again, since something failed that others may need, too.
    Fail(u16),
    Retry(u16),
    Letter,
    Stop,
}

/// The bounds that a case runs under.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) order: ProcessingOrder,
    /// How many workers there are.
    pub(super) workers: usize,
    pub(super) queue: Load,
    pub(super) parked: Load,
    pub(super) keys: u64,
    pub(super) metadata: usize,
    /// How many records a batch has, where the route takes batches.
    pub(super) batch: Option<usize>,
    /// How many records of several lanes a worker takes at once.
    pub(super) appetite: usize,
    /// How many lanes may be ready at once.
    pub(super) ahead: usize,
    /// How many lanes the keys of a partition may share.
    pub(super) bundles: usize,
    /// The route's.
    pub(super) breaker: CircuitBreaker,
    /// How the first partition was left, and those that are assigned at last.
    pub(super) ends: Option<u32>,
}

/// How many partitions there are, assigned or not.
pub(super) const PARTITIONS: usize = 4;

/// Bounds, small ones mostly.
pub(super) fn settings() -> impl Strategy<Value = Setting> {
    let order =
        prop_oneof![Just(ProcessingOrder::Key), Just(ProcessingOrder::Partition), Just(ProcessingOrder::Unordered)];
    let bytes = || prop_oneof![3 => Just(1_usize << 30), 1 => 1_usize..100];
    let metadata = prop_oneof![3 => Just(4_096_usize), 1 => Just(0_usize)];
    let loads = (0_usize..8, bytes(), 1_usize..8, bytes());
    let appetite = prop_oneof![1 => Just(1_usize), 2 => 2_usize..10, 3 => 16_usize..20];
    let batch = prop_oneof![2 => Just(None), 1 => (1_usize..6).prop_map(Some)];
    let ahead = prop_oneof![1 => Just(1_000_usize), 1 => 1_usize..8];
    let eager = |(attempts, keys)| CircuitBreaker::new().attempts(attempts).keys(keys).failed(0.5);
    let breaker = prop_oneof![
        1 => Just(CircuitBreaker::off()),
        1 => Just(CircuitBreaker::new()),
        2 => (1_usize..5, 1_usize..4).prop_map(eager),
    ];
    let sizes = (1_usize..5, appetite, ahead, breaker, ends(), 0_usize..4);
    (order, sizes, loads, 1_u64..5, metadata, batch).prop_map(|(order, sizes, loads, keys, metadata, batch)| {
        let (workers, appetite, ahead, breaker, ends, bundles) = sizes;
        let (more, queue_bytes, parked, parked_bytes) = loads;
        let (queue, parked) = (load(2 * workers + more, queue_bytes), load(parked, parked_bytes));
        Setting { order, workers, queue, parked, keys, metadata, batch, appetite, ahead, bundles, breaker, ends }
    })
}

/// After how many ends without warning a partition becomes ours, where there is a quarantine.
fn ends() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![3 => Just(None), 1 => Just(Some(0)), 2 => Just(Some(2))]
}

/// What happens, in any order.
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let partition = || 0..PARTITIONS;
    let ending = prop_oneof![
        3 => Just(Ending::Whole),
        4 => (0_u16..2_000).prop_map(Ending::Fail),
        2 => (0_u16..2_000).prop_map(Ending::Retry),
        3 => Just(Ending::Letter),
        1 => Just(Ending::Stop),
    ];
    let ends = ends();
    let step = prop_oneof![
        3 => any::<Index>().prop_map(Step::Scale),
        1 => any::<Option<Index>>().prop_map(Step::Fix),
        2 => any::<Option<Index>>().prop_map(Step::PauseKey),
        3 => (partition(), ends).prop_map(|(partition, ends)| Step::Assign(partition, ends)),
        1 => partition().prop_map(Step::Release),
        1 => partition().prop_map(Step::Lose),
        2 => (partition(), any::<bool>()).prop_map(|(partition, paused)| Step::Pause(partition, paused)),
        2 => (prop::option::of(1_u32..20), any::<bool>()).prop_map(|(attempts, each)| Step::Limit(attempts, each)),
        6 => (partition(), 1_u8..20).prop_map(|(partition, records)| Step::Write(partition, records)),
        8 => Just(Step::Ask),
        12 => any::<Index>().prop_map(Step::Deliver),
        10 => Just(Step::Take),
        4 => any::<Index>().prop_map(Step::Begin),
        2 => any::<Index>().prop_map(Step::Report),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(worker, waits)| Step::GiveBack(worker, waits)),
        3 => (any::<Index>(), 0_u8..4).prop_map(|(work, records)| Step::Settle(work, records)),
        10 => (any::<Index>(), 0_u8..6, ending).prop_map(|(work, records, ending)| Step::Finish(work, records, ending)),
        4 => (0_u16..7_000).prop_map(Step::Wait),
        4 => Just(Step::TakeLetter),
        3 => any::<Index>().prop_map(Step::Acknowledge),
        2 => (any::<Index>(), 0_u16..2_000).prop_map(|(letter, delay)| Step::FailLetter(letter, delay)),
        8 => Just(Step::Commit),
        10 => prop_oneof![4 => Just(true), 1 => Just(false)].prop_map(Step::Answer),
        1 => Just(Step::Ends),
    ];
    prop::collection::vec(step, 1..70)
}
