//! Arrival: what a route says of a record before it takes its place in the lanes: whether it is wanted, and whom it waits for.
//!
//! Asked on the reader's task and outside of the lanes' lock: filters and key functions are users' code, which may take its time, or
//! panic. One that panics makes its record a dead letter, and holds nothing else up.

use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};

use foldhash::fast::FixedState;

use super::dead_letter::{Failure, Reason};
use super::source::{Batch, Epoch};
use crate::handler::{ProcessingOrder, RouteSettings};
use crate::panic;
use crate::record::{NextOffset, Offset, Record};

/// The lane of a partition as a whole, and of what has no key.
const KEYLESS: u64 = 0;

/// Records of one assignment, as they come into the lanes.
#[derive(Debug)]
pub(super) struct Arrivals {
    pub(super) epoch: Epoch,
    pub(super) records: Vec<Arrival>,
    pub(super) next: Option<NextOffset>,
    pub(super) rewritten: Option<Offset>,
}

/// A record, and what its route says of it.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) record: Record,
    /// The hash that it shares with those it must wait for; `None` where it waits for none.
    pub(super) lane: Option<u64>,
    pub(super) admittance: Admittance,
}

/// Whether a record is let in.
#[derive(Debug)]
pub(super) enum Admittance {
    Wanted,
    /// The route's filter passes it over.
    Unwanted,
    /// The route's own code panicked over it.
    Failed(Box<Failure>),
}

/// Asks the route about each record of a batch.
pub(super) fn arrivals(batch: Batch, route: &RouteSettings) -> Arrivals {
    let hasher = FixedState::default();
    let arrive = |record: Record| {
        let asked = catch_unwind(AssertUnwindSafe(|| {
            let wanted = route.filter.as_ref().is_none_or(|wanted| wanted(&record));
            (wanted, if wanted { lane(route, &record, &hasher) } else { None })
        }));
        let (admittance, lane) = match asked {
            Ok((true, lane)) => (Admittance::Wanted, lane),
            Ok((false, lane)) => (Admittance::Unwanted, lane),
            Err(panic) => {
                let error = format!("the route's filter or key function panicked: {}", panic::message(panic));
                let failure = Failure { reason: Reason::Panic, error, attempts: 0, handler: route.name };
                (Admittance::Failed(Box::new(failure)), Some(KEYLESS))
            }
        };
        Arrival { record, lane, admittance }
    };
    let Batch { epoch, records, next, rewritten } = batch;
    Arrivals { epoch, records: records.into_iter().map(arrive).collect(), next, rewritten }
}

/// What the records of a key share.
pub(super) fn hash_of(key: &[u8]) -> u64 {
    hash(key, &FixedState::default())
}

fn hash(key: &[u8], hasher: &FixedState) -> u64 {
    if key.is_empty() { KEYLESS } else { hasher.hash_one(key) }
}

fn lane(route: &RouteSettings, record: &Record, hasher: &FixedState) -> Option<u64> {
    match route.order {
        ProcessingOrder::Partition => Some(KEYLESS),
        ProcessingOrder::Unordered => None,
        ProcessingOrder::Key => Some(match &route.key {
            Some(function) => function.key(record).map_or(KEYLESS, |key| hash(&key, hasher)),
            None => record.key().map_or(KEYLESS, |key| hash(key, hasher)),
        }),
    }
}
