//! The figures that are to be reached.

use crate::figures::Figure;
use crate::judge::{Bound, Judge};
use crate::row::Row;
use crate::sample::Key;

/// A figure to be reached.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is measured with.
    pub row: Row,
    /// The workload, for people.
    pub workload: &'static str,
    /// The figure, for people.
    pub figure: &'static str,
    /// What it means.
    pub judge: Judge,
}

const fn ours(label: &'static str) -> Key {
    Key { label, peer: "daemonry" }
}

const fn key(label: &'static str, peer: &'static str) -> Key {
    Key { label, peer }
}

/// What stands on the left side of each: a row, a workload and a figure in words.
type Words = (Row, &'static str, &'static str);

fn at_least((row, workload, figure): Words, ours: Key, factor: f64, theirs: Key) -> Target {
    let judge = Judge::Ratio { ours, theirs: vec![theirs], figure: Figure::Rate, bound: Bound::AtLeast(factor) };
    Target { row, workload, figure, judge }
}

fn at_most((row, workload, words): Words, ours: Key, figure: Figure, factor: f64, theirs: &[Key]) -> Target {
    let judge = Judge::Ratio { ours, theirs: theirs.to_vec(), figure, bound: Bound::AtMost(factor) };
    Target { row, workload, figure: words, judge }
}

fn limit((row, workload, words): Words, ours: Key, figure: Figure, limit: f64) -> Target {
    Target { row, workload, figure: words, judge: Judge::Limit { ours, figure, limit } }
}

fn within((row, workload, words): Words, ours: Key, theirs: Key, figure: Figure, limit: f64) -> Target {
    Target { row, workload, figure: words, judge: Judge::Difference { ours, theirs, figure, limit } }
}

fn slope(workload: &'static str, points: [(f64, Key); 3], step: f64, unit: &'static str) -> Target {
    let figure = "memory in proportion to it, or less";
    Target { row: Row::Growth, workload, figure, judge: Judge::Slope { points, step, unit } }
}

/// All of them, in the order of the rows.
pub fn all() -> Vec<Target> {
    let mut all = no_op();
    all.extend(waiting());
    all.extend(rest());
    all.extend(growth());
    all
}

fn no_op() -> Vec<Target> {
    const PARTITION: &str = "W1a: 100 B, no-op, order partition";
    const KEY: &str = "W1a: 100 B, no-op, order key";
    const QUEUE: &str = "W1a, a queue of 100";
    const KIB: &str = "W1b: 1 KiB, no-op";
    let (partition, by_key) = (ours("w1a partition"), ours("w1a key"));
    let (rawb, rawt) = (key("w1a partition", "rawb"), key("queue partition", "rawt"));
    let (kib, kib_key) = (ours("w1b partition"), ours("w1b key"));
    let (kib_rawt, kib_franz) = (key("w1b partition", "rawt"), key("w1b partition", "franz"));
    let franz = key("w1a partition", "franz");
    let row = |figure| (Row::W1a, PARTITION, figure);
    let key_row = |figure| (Row::W1a, KEY, figure);
    let kib_row = |figure| (Row::W1b, KIB, figure);
    vec![
        at_least(row("≥ 0.95 × rawb"), partition, 0.95, rawb),
        at_most(row("CPU ≤ 1.5 × rawb"), partition, Figure::Cpu, 1.5, &[rawb]),
        at_least(row("stretch: ≥ 1.0 × franz-go"), partition, 1.0, franz),
        at_least(key_row("≥ 0.8 × rawb"), by_key, 0.8, rawb),
        at_most(key_row("CPU ≤ 2 × rawb"), by_key, Figure::Cpu, 2.0, &[rawb]),
        at_least(key_row("≥ 3.5 × ruststream"), by_key, 3.5, key("w1a key", "ruststream")),
        at_least(key_row("≥ 6 × KPipe"), by_key, 6.0, key("w1a key", "kpipe")),
        at_least(key_row("≥ 90 × Parallel Consumer"), by_key, 90.0, key("w1a key", "parallel-consumer")),
        at_least((Row::Queue, QUEUE, "order partition ≥ 0.4 × rawt"), ours("queue partition"), 0.4, rawt),
        at_least((Row::Queue, QUEUE, "order key ≥ 0.3 × rawt"), ours("queue key"), 0.3, rawt),
        at_least(kib_row("order partition ≥ 1.0 × rawt"), kib, 1.0, kib_rawt),
        at_least(kib_row("order key ≥ 1.0 × rawt"), kib_key, 1.0, kib_rawt),
        at_least(kib_row("order partition ≥ 1.0 × franz-go"), kib, 1.0, kib_franz),
        at_least(kib_row("order key ≥ 1.0 × franz-go"), kib_key, 1.0, kib_franz),
        at_most(kib_row("order partition, CPU ≤ 1.0 × rawt"), kib, Figure::Cpu, 1.0, &[kib_rawt]),
        at_most(kib_row("order key, CPU ≤ 1.0 × rawt"), kib_key, Figure::Cpu, 1.0, &[kib_rawt]),
    ]
}

fn waiting() -> Vec<Target> {
    const KEY: &str = "W2: 5 ms, 256 workers, order key";
    const NONE: &str = "W2: 5 ms, 256 workers, no order";
    let bare = key("w2", "bare");
    let of = |workload, ours| {
        let row = |figure| (Row::W2, workload, figure);
        [
            at_least(row("≥ 0.96 × bare"), ours, 0.96, bare),
            limit(row("CPU ≤ 7 µs"), ours, Figure::Cpu, 7.0),
            limit(row("RSS ≤ 110 MiB"), ours, Figure::Memory, 110.0),
        ]
    };
    of(KEY, ours("w2 key")).into_iter().chain(of(NONE, ours("w2 none"))).collect()
}

fn rest() -> Vec<Target> {
    const PACED: &str = "W3: 1,000/s";
    const SKEWED: &str = "W4: skewed keys, 1 % slow";
    const JSON: &str = "JSON, State, a timeout layer, 200 B";
    const START: &str = "start, classic group";
    let others = ["franz", "kafkago", "ruststream", "kpipe", "parallel-consumer", "spring-kafka"];
    let others = others.map(|peer| key("w4", peer));
    let (rawt, w3, w4) = (key("w3", "rawt"), ours("w3"), ours("w4"));
    vec![
        within((Row::W3, PACED, "p99 ≤ rawt + 0.5 ms"), w3, rawt, Figure::P99, 0.5),
        at_most((Row::W3, PACED, "CPU ≤ 1.3 × rawt"), w3, Figure::Cpu, 1.3, &[rawt]),
        at_most((Row::W3, PACED, "CPU ≤ 1.1 × its bound, rawh"), w3, Figure::Cpu, 1.1, &[key("w3", "rawh")]),
        bound_of_hottest((Row::W4, SKEWED, "≥ 0.97 × the bound of the hottest key"), w4, 0.97, key("w4", "bare")),
        at_most((Row::W4, SKEWED, "four fifths done ≤ 1.1 × the best peer"), w4, Figure::T80, 1.1, &others),
        within((Row::Json, JSON, "CPU ≤ no-op + 0.4 µs"), ours("json"), ours("no-op"), Figure::Cpu, 0.4),
        Target {
            row: Row::Json,
            workload: JSON,
            figure: "CPU over no-op ≤ 1.1 × its bound, that of the same parse in rawb",
            judge: Judge::Added {
                ours: [ours("json"), ours("no-op")],
                theirs: [key("json", "rawb"), key("no-op", "rawb")],
                figure: Figure::Cpu,
                factor: 1.1,
            },
        },
        limit((Row::Idle, "idle, 100 partitions", "≤ 1 % of a core"), ours("idle"), Figure::Share, 1.0),
        // The byte budget is 64 MiB.
        limit(
            (Row::Large, "1 MiB, slow handler, 2 GiB of backlog", "RSS ≤ byte budget + 20 % + 64 MiB"),
            ours("large"),
            Figure::Memory,
            64.0 * 1.2 + 64.0,
        ),
        within(
            (Row::Start, START, "first message ≤ rawt + 50 ms"),
            ours("start"),
            key("start", "rawt"),
            Figure::Start,
            50.0,
        ),
    ]
}

/// Both take the same time where the bound is reached; of them only the hottest key's messages are in its run.
fn bound_of_hottest((row, workload, words): Words, ours: Key, factor: f64, bare: Key) -> Target {
    let judge = Judge::Ratio { ours, theirs: vec![bare], figure: Figure::Time, bound: Bound::AtMost(1.0 / factor) };
    Target { row, workload, figure: words, judge }
}

fn growth() -> Vec<Target> {
    const WORKERS: &str = "growth: workers 10 → 10,000 at 5 ms";
    const PARTITIONS: &str = "growth: partitions 8 → 1,000";
    const DAEMONS: &str = "growth: daemons 1 → 50";
    const CPU: &str = "CPU ≤ 1.5 × the small case";
    let flat = |workload, large, small| at_most((Row::Growth, workload, CPU), large, Figure::Cpu, 1.5, &[small]);
    let (workers, partitions) = (ours("workers 10000"), ours("partitions 1000"));
    let few =
        [(1.0, "daemons 1, few messages"), (10.0, "daemons 10, few messages"), (50.0, "daemons 50, few messages")];
    vec![
        flat(WORKERS, workers, ours("workers 10")),
        slope(WORKERS, [(10.0, ours("workers 10")), (1e3, ours("workers 1000")), (1e4, workers)], 1e3, "workers"),
        flat(PARTITIONS, partitions, ours("partitions 8")),
        at_most(
            (Row::Growth, PARTITIONS, "at 1,000, CPU ≤ 1.5 × rawb"),
            partitions,
            Figure::Cpu,
            1.5,
            &[key("partitions 1000", "rawb")],
        ),
        slope(
            PARTITIONS,
            [(8.0, ours("partitions 8")), (100.0, ours("partitions 100")), (1e3, partitions)],
            100.0,
            "partitions",
        ),
        flat(DAEMONS, ours("daemons 50"), ours("daemons 1")),
        slope(DAEMONS, few.map(|(size, label)| (size, ours(label))), 1.0, "daemon"),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum as _;

    use super::*;
    use crate::peer::{OTHERS, Peer};
    use crate::plan::steps;

    fn compared(judge: &Judge) -> Vec<Key> {
        match judge {
            Judge::Ratio { ours, theirs, .. } => theirs.iter().copied().chain([*ours]).collect(),
            Judge::Limit { ours, .. } => vec![*ours],
            Judge::Difference { ours, theirs, .. } => vec![*ours, *theirs],
            Judge::Added { ours, theirs, .. } => [*ours, *theirs].concat(),
            Judge::Slope { points, .. } => points.iter().map(|(_, key)| *key).collect(),
        }
    }

    #[test]
    fn every_target_is_measured_within_its_own_row() {
        let others = OTHERS.map(|(name, _)| Peer::named(name).unwrap());
        let peers: Vec<Peer> = Peer::ours().into_iter().chain(others).collect();
        for target in all() {
            let steps = steps(target.row, &peers);
            for key in compared(&target.judge) {
                let is_earlier = ["kpipe", "parallel-consumer", "spring-kafka"].contains(&key.peer);
                let is_measured = steps.iter().any(|step| step.label == key.label && step.peer == key.peer);
                assert!(is_measured || is_earlier, "{key:?} is no step of {:?}", target.row);
            }
        }
    }

    #[test]
    fn every_row_has_a_target() {
        let rows: BTreeSet<Row> = all().iter().map(|target| target.row).collect();
        assert_eq!(rows.len(), Row::value_variants().len());
    }
}
