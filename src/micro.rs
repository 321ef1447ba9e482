//! What the micro-benchmarks of `micro/` measure: the parts that every record passes, private ones among them.
//!
//! Not part of the library's interface: it is there with the feature `__micro` alone. A benchmark hands out what is to be run, and not
//! what it is made of, so that private types stay private. The bodies stand here and in `pipeline/micro/`; what they do
//! hangs on no clock and on no random number, so that two runs take the same way.

mod route;

use std::sync::Arc;

use crate::pipeline::micro as pipeline;
use crate::record::{Offset, OwnedRecord, OwnedRecords, Record, TopicPartition};

/// How many records, or offsets, a round is about, where a benchmark says nothing else.
pub(crate) const RECORDS: usize = 1_000;

/// A benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Benchmark {
    /// Its name: the part, and what is done with it.
    pub name: &'static str,
    /// How often a round does it.
    pub times: usize,
    begin: fn() -> Box<dyn Rounds>,
}

impl Benchmark {
    pub(crate) const fn new(name: &'static str, times: usize, begin: fn() -> Box<dyn Rounds>) -> Self {
        Self { name, times, begin }
    }

    /// The state that its rounds go on from.
    pub fn begin(&self) -> Box<dyn Rounds> {
        (self.begin)()
    }
}

/// The rounds of a benchmark, all alike once the first few are over.
pub trait Rounds {
    /// Makes what the next round needs, and answers the round itself: what is to be measured.
    fn prepare(&mut self) -> Round<'_>;
}

/// One round.
pub type Round<'a> = Box<dyn FnOnce() + 'a>;

/// All that there are.
pub fn benchmarks() -> Vec<Benchmark> {
    [pipeline::lanes::BENCHMARKS, pipeline::tracker::BENCHMARKS, pipeline::metadata::BENCHMARKS, route::BENCHMARKS]
        .concat()
}

/// A round's records, from the offset `first` on. Their keys are `keys` different ones, in turn.
pub(crate) fn records(first: i64, keys: usize, value: &[u8]) -> Vec<Record> {
    let records = (first..).zip(0..RECORDS).map(|(offset, n)| {
        let record = OwnedRecord::new(value).with_key(format!("customer-{}", n % keys));
        (Offset(offset), Arc::new(record))
    });
    OwnedRecords::handles(TopicPartition::new("orders", 0), records.collect())
}
