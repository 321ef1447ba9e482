//! A plan: everything that one seed decides, before anything runs.

use std::ops::Range;
use std::time::Duration;

use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::handler::ProcessingOrder;
use daemonry::pipeline::source::LossPolicy;
use daemonry::pipeline::{Scaling, ScalingMode};
use fastrand::Rng;

use crate::limits::Limit;

/// What the handler does with a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    /// How long it waits, each attempt.
    pub(crate) sleep: Duration,
    /// How many attempts fail before one succeeds.
    pub(crate) failures: u32,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Failed attempts panic.
    Panics,
    /// Failed attempts ask for a time of their own.
    RetryAfter,
    /// Failed attempts never end, until their timeout.
    Hangs,
    Poison,
    Skip,
    /// The process ends of it, each time.
    Kills,
}

/// Something that happens to the group, the broker or the process.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Revoke(i32),
    Lose(i32),
    CommitRefused(usize),
    CommitAnswerLost,
    CommitDelayed(Duration),
    PollsFail(usize),
    LettersRefusedFor(Duration),
    /// A second member comes for this long.
    Joins(Duration),
    /// The process stops, and another takes its place.
    Restart,
    /// The process dies, and another takes its place.
    Crash,
    /// An operator has a partition rest for this long.
    Pause(i32, Duration),
    /// An operator has a record passed over, by its index.
    Skip(usize),
    /// An operator limits something for this long.
    Limit(Limit, Duration),
    /// An operator has a partition go on elsewhere: behind this part of it.
    Seek(i32, f64),
    /// The topic gets one partition more, with these records.
    Grow(Vec<(u64, Behaviour)>),
    /// A partition's log is cut behind this part of it, and goes on with these records.
    Truncate(i32, f64, Vec<(u64, Behaviour)>),
    /// What stands before this part of a partition is removed, read or not.
    Remove(i32, f64),
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) order: ProcessingOrder,
    pub(crate) partitions: i32,
    pub(crate) workers: usize,
    pub(crate) scaling: Option<Scaling>,
    pub(crate) queue: usize,
    pub(crate) parked: usize,
    pub(crate) commit_interval: Duration,
    pub(crate) commit_after: usize,
    pub(crate) max_retries: u32,
    pub(crate) breaker: CircuitBreaker,
    /// While it lasts, whatever is tried fails.
    pub(crate) outage: Range<Duration>,
    /// How many records a batch has, where the handler takes batches.
    pub(crate) batch: Option<usize>,
    pub(crate) timeout: Duration,
    pub(crate) letter_delay: Duration,
    /// Partition, key and behaviour of each record, in the order they are written.
    pub(crate) records: Vec<(i32, u64, Behaviour)>,
    /// Offsets left out before a record, by the record's index.
    pub(crate) gaps: Vec<(usize, i64)>,
    /// When each fault happens.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// What is done where a log has lost something.
    pub(crate) on_loss: LossPolicy,
    /// Nothing happens that may run a finished record again.
    pub(crate) gentle: bool,
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let order =
            [ProcessingOrder::Key, ProcessingOrder::Key, ProcessingOrder::Partition, ProcessingOrder::Unordered]
                [rng.usize(0..4)];
        let partitions = rng.i32(1..=6);
        let keys = rng.u64(1..=20);
        let workers = rng.usize(1..=8);
        let gentle = rng.u8(0..3) == 0;
        let batch = (rng.u8(0..3) == 0).then(|| rng.usize(1..=workers * 2));
        let trouble = rng.f64() * 0.4;
        let count = rng.usize(10..200);
        let records: Vec<_> = (0..count)
            .map(|_| (rng.i32(0..partitions), rng.u64(0..keys), behaviour(&mut rng, trouble, gentle, batch.is_some())))
            .collect();
        let gaps = (0..rng.usize(0..5)).map(|_| (rng.usize(0..count), rng.i64(1..50))).collect();
        let faults = (0..rng.usize(0..12)).map(|_| fault(&mut rng, partitions, gentle));
        let mut faults: Vec<_> = faults.collect();
        faults.sort_by_key(|(at, _)| *at);
        let scaling = scaling(&mut rng, workers);
        let (breaker, outage) = (breaker(&mut rng), outage(&mut rng));
        let timeout = Duration::from_secs(if gentle { 5 } else { rng.u64(1..30) });
        let mut records = records;
        if !gentle && rng.u8(0..4) == 0 {
            for _ in 0..rng.usize(1..=2) {
                let sleep = Duration::from_millis(rng.u64(0..50));
                records[rng.usize(0..count)].2 = Behaviour { sleep, failures: 0, kind: Kind::Kills };
            }
        }
        let has_killers = records.iter().any(|(_, _, behaviour)| behaviour.kind == Kind::Kills);
        let steps = (0..rng.usize(0..6)).filter_map(|_| step(&mut rng, partitions, count, keys, gentle, has_killers));
        faults.extend(steps.collect::<Vec<_>>());
        let (on_loss, losses) = losses(seed, partitions, keys);
        // What kills is found by how often it did, which going back changes.
        if !losses.is_empty() && !gentle && !has_killers {
            // To go on elsewhere is one thing at a time.
            faults.retain(|(_, fault)| !matches!(fault, Fault::Seek(..)));
            faults.extend(losses);
        }
        let limits = Limit::some_of(seed, keys, workers).into_iter();
        faults.extend(limits.map(|(at, limit, time)| (at, Fault::Limit(limit, time))));
        faults.sort_by_key(|(at, _)| *at);
        if breaker != CircuitBreaker::off() {
            // What never succeeds is an outage for as long as nothing else is there to be tried.
            let longest = timeout - Duration::from_millis(200);
            records.iter_mut().for_each(|(_, _, behaviour)| behaviour.sleep = behaviour.sleep.min(longest));
        }
        Self {
            order,
            partitions,
            workers,
            scaling,
            queue: workers * 2 + [0, 1, 10, 100][rng.usize(0..4)],
            parked: [1, 5, 1_000][rng.usize(0..3)],
            commit_interval: Duration::from_millis([20, 300, 1_000][rng.usize(0..3)]),
            commit_after: [1, 10, 1_000][rng.usize(0..3)],
            max_retries: rng.u32(0..4),
            breaker,
            outage,
            batch,
            timeout,
            letter_delay: Duration::from_millis([0, 5, 200][rng.usize(0..3)]),
            records,
            gaps,
            faults,
            on_loss,
            gentle,
        }
    }
}

/// One that opens soon, or as it does by default, or none.
fn breaker(rng: &mut Rng) -> CircuitBreaker {
    let eager = CircuitBreaker::new().attempts(rng.usize(1..10)).keys(rng.usize(1..5)).failed(0.3 + 0.7 * rng.f64());
    let (open, cap) = (Duration::from_millis(rng.u64(1..3_000)), Duration::from_secs(rng.u64(3..20)));
    [CircuitBreaker::off(), CircuitBreaker::new(), eager.open(open).cap(cap)][rng.usize(0..3)]
}

/// A time in which nothing succeeds, in half of the plans.
fn outage(rng: &mut Rng) -> Range<Duration> {
    let (begins, length) = (Duration::from_millis(rng.u64(0..20_000)), Duration::from_millis(rng.u64(1..60_000)));
    if rng.bool() { begins..begins + length } else { Duration::ZERO..Duration::ZERO }
}

/// Workers that come and go as often as they may, in half of the plans.
fn scaling(rng: &mut Rng, workers: usize) -> Option<Scaling> {
    let mode = [None, None, Some(ScalingMode::Queue), Some(ScalingMode::Latency)][rng.usize(0..4)]?;
    let (min, second) = (rng.usize(1..=workers), Duration::from_secs(1));
    let marks = [(0.2, 0.8), (0.05, 0.1), (0.7, 0.9)][rng.usize(0..3)];
    let (shrink_below, grow_above) = marks;
    let tolerance = if rng.bool() { 1.01 } else { 1.5 };
    let usual = Scaling::by_queue();
    Some(Scaling { mode, min, grow_above, shrink_below, cool_down: second, shrink_after: second, tolerance, ..usual })
}

fn behaviour(rng: &mut Rng, trouble: f64, gentle: bool, batches: bool) -> Behaviour {
    let sleep = match rng.u8(0..10) {
        0..4 => Duration::ZERO,
        4..9 => Duration::from_millis(rng.u64(1..50)),
        // The records of a batch come one after the other.
        _ if batches => Duration::from_millis(rng.u64(50..300)),
        _ => Duration::from_millis(rng.u64(100..if gentle { 3_000 } else { 12_000 })),
    };
    if rng.f64() >= trouble {
        return Behaviour { sleep, failures: 0, kind: Kind::Plain };
    }
    let kind = [Kind::Plain, Kind::Plain, Kind::Panics, Kind::RetryAfter, Kind::Hangs, Kind::Poison, Kind::Skip]
        [rng.usize(0..7)];
    // What ends a batch as a whole has those run again that had succeeded in it.
    let kind = if batches && gentle && matches!(kind, Kind::Panics | Kind::Hangs) { Kind::Plain } else { kind };
    Behaviour { sleep, failures: rng.u32(1..6), kind }
}

fn fault(rng: &mut Rng, partitions: i32, gentle: bool) -> (Duration, Fault) {
    let at = Duration::from_millis(rng.u64(0..20_000));
    let partition = rng.i32(0..partitions);
    let fault = match rng.u8(0..if gentle { 5 } else { 14 }) {
        0 => Fault::Revoke(partition),
        1 => Fault::PollsFail(rng.usize(1..3)),
        2 => Fault::LettersRefusedFor(Duration::from_millis(rng.u64(1..20_000))),
        3 => Fault::Joins(Duration::from_millis(rng.u64(1..20_000))),
        4 => Fault::Restart,
        5 | 6 => Fault::Lose(partition),
        7 => Fault::CommitRefused(rng.usize(1..4)),
        8 => Fault::CommitAnswerLost,
        9 => Fault::CommitDelayed(Duration::from_millis(rng.u64(1..15_000))),
        10 => Fault::Revoke(partition),
        // Two of them within five minutes bring probation.
        _ => Fault::Crash,
    };
    (at, fault)
}

/// What operators do, in two of three plans.
fn step(
    rng: &mut Rng,
    partitions: i32,
    records: usize,
    keys: u64,
    gentle: bool,
    has_killers: bool,
) -> Option<(Duration, Fault)> {
    let at = Duration::from_millis(rng.u64(0..20_000));
    let partition = rng.i32(0..partitions);
    let step = match rng.u8(0..9) {
        0 | 1 => Fault::Pause(partition, Duration::from_millis(rng.u64(1..20_000))),
        2 | 3 => Fault::Skip(rng.usize(0..records)),
        // What kills is found by how often it did, which going back changes.
        4 | 5 if has_killers => return None,
        4 => Fault::Seek(partition, rng.f64()),
        5 => Fault::Seek(partition, f64::from(rng.u8(0..2))),
        6 => {
            let count = rng.usize(0..20);
            Fault::Grow((0..count).map(|_| (rng.u64(0..keys), behaviour(rng, 0.1, gentle, true))).collect())
        }
        _ => return None,
    };
    Some((at, step))
}

/// Logs that lose something, in one of three plans. From a seed of its own: what else there is goes as it did without.
fn losses(seed: u64, partitions: i32, keys: u64) -> (LossPolicy, Vec<(Duration, Fault)>) {
    let mut rng = Rng::with_seed(seed.rotate_left(32) ^ 0x1055);
    let policy = [LossPolicy::Stop, LossPolicy::Earliest, LossPolicy::Earliest, LossPolicy::Latest][rng.usize(0..4)];
    let count = if rng.u8(0..3) == 0 { rng.usize(1..=3) } else { 0 };
    let loss = |_| {
        let (at, partition) = (Duration::from_millis(rng.u64(0..20_000)), rng.i32(0..partitions));
        let part = if rng.bool() { rng.f64() } else { f64::from(rng.u8(0..2)) };
        if rng.u8(0..3) == 0 {
            return (at, Fault::Remove(partition, part));
        }
        let fresh = rng.usize(0..30);
        let fresh = (0..fresh).map(|_| (rng.u64(0..keys), behaviour(&mut rng, 0.1, false, true)));
        (at, Fault::Truncate(partition, part, fresh.collect()))
    };
    (policy, (0..count).map(loss).collect())
}
