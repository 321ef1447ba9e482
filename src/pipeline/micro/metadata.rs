//! The codec of a commit's metadata.

use std::hint::black_box;

use super::super::metadata::{LaneTag, Run, decode, encode};
use super::METADATA_LIMIT;
use crate::micro::{Benchmark, Round, Rounds};
use crate::record::Offset;

pub(crate) const BENCHMARKS: &[Benchmark] = &[
    Benchmark::new("metadata/encode_typical", 100, || Box::new(Codec::new(Direction::Encode, typical(), 100))),
    Benchmark::new("metadata/decode_typical", 100, || Box::new(Codec::new(Direction::Decode, typical(), 100))),
    Benchmark::new("metadata/encode_largest_runs", 1, || Box::new(Codec::new(Direction::Encode, widest(), 1))),
    Benchmark::new("metadata/decode_largest_runs", 1, || Box::new(Codec::new(Direction::Decode, widest(), 1))),
    Benchmark::new("metadata/encode_largest_bitmap", 1, || Box::new(Codec::new(Direction::Encode, densest(), 1))),
    Benchmark::new("metadata/decode_largest_bitmap", 1, || Box::new(Codec::new(Direction::Decode, densest(), 1))),
];

const LOW: Offset = Offset(1_000_000);

/// Fifty handlers side by side, the slowest of them a few thousand records behind: a long run, and some short ones.
fn typical() -> Vec<Run> {
    runs((0..25).map(|n| if n == 0 { (1, 3_000) } else { (1 + n % 3, 1 + n % 5) }))
}

/// Far apart, so that they are written as runs; as many as fit.
fn widest() -> Vec<Run> {
    most(|count| runs((0..count).map(|_| (300, 1))))
}

/// Every other record, so that they are written as a bitmap; as many as fit.
fn densest() -> Vec<Run> {
    most(|count| runs((0..count).map(|_| (1, 1))))
}

/// So many runs: each as far behind the one before, or the committed offset, and as long as this says.
fn runs(each: impl Iterator<Item = (i64, i64)>) -> Vec<Run> {
    let mut end = LOW.0;
    let run = |(gap, length)| {
        let start = end + gap;
        end = start + length;
        Run { start: Offset(start), end: Offset(end) }
    };
    each.map(run).collect()
}

/// The most runs that fit.
fn most(runs: impl Fn(i64) -> Vec<Run>) -> Vec<Run> {
    let fits = |count: &i64| encode(tag(), LOW, &runs(*count), METADATA_LIMIT).is_some();
    let counts: Vec<i64> = (1..=i64::try_from(8 * METADATA_LIMIT).expect("a broker's limit is small")).collect();
    let first_too_many = counts.partition_point(fits);
    runs(counts[first_too_many - 1])
}

fn tag() -> LaneTag {
    LaneTag::from("key/")
}

enum Direction {
    Encode,
    Decode,
}

struct Codec {
    direction: Direction,
    runs: Vec<Run>,
    metadata: String,
    times: usize,
}

impl Codec {
    fn new(direction: Direction, runs: Vec<Run>, times: usize) -> Self {
        let metadata = encode(tag(), LOW, &runs, METADATA_LIMIT).expect("chosen to fit");
        Self { direction, runs, metadata, times }
    }
}

impl Rounds for Codec {
    fn prepare(&mut self) -> Round<'_> {
        let Self { direction, runs, metadata, times } = self;
        Box::new(move || {
            for _ in 0..*times {
                match direction {
                    Direction::Encode => {
                        black_box(encode(tag(), LOW, black_box(runs), METADATA_LIMIT));
                    }
                    Direction::Decode => {
                        black_box(decode(black_box(metadata), tag(), LOW)).expect("just written");
                    }
                }
            }
        })
    }
}
