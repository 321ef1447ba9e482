//! What became of the records that were handed to the producer.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rdkafka::error::RDKafkaErrorCode as Code;

use crate::kafka::callbacks::{Reports, UNPROVEN, Undelivered};
use crate::record::{Offset, Partition, Topic};

/// What is remembered of the delivery reports of its records.
#[derive(Default)]
pub(super) struct Transaction {
    /// What went wrong first.
    pub(super) failure: Mutex<Option<(Code, Sent)>>,
    /// How many records are on their way.
    under_way: Mutex<usize>,
    all_landed: Condvar,
    /// How far was written since this was last taken.
    pub(super) written: Mutex<HashMap<(Topic, Partition), Offset>>,
}

/// Which letter a record comes from, and where it goes.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) target: Topic,
}

impl Transaction {
    /// One more is on its way.
    pub(super) fn sent(&self) {
        *self.under_way.lock() += 1;
    }

    /// One of them no more.
    pub(super) fn landed(&self) {
        let mut under_way = self.under_way.lock();
        *under_way = under_way.saturating_sub(1);
        if *under_way == 0 {
            self.all_landed.notify_all();
        }
    }

    /// Waits until none is, or until then; answers whether none is. A flush of the binding's looks only ten times a second.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        let mut under_way = self.under_way.lock();
        while *under_way > 0 && !self.all_landed.wait_until(&mut under_way, deadline).timed_out() {}
        *under_way == 0
    }

    /// Whether a record may be missing that librdkafka takes for written.
    pub(super) fn is_unproven(&self) -> bool {
        self.failure.lock().as_ref().is_some_and(|(code, _)| *code == UNPROVEN)
    }
}

impl Reports for Transaction {
    type Receipt = Box<Sent>;

    fn report(&self, outcome: Result<(Partition, Offset), Undelivered>, sent: Box<Sent>) {
        match outcome.map_err(|undelivered| undelivered.code) {
            Ok((partition, offset)) => {
                self.written.lock().insert((sent.target, partition), offset);
            }
            // What is thrown away after a failure is often told before it.
            Err(Code::PurgeQueue | Code::PurgeInflight) => {}
            Err(code) => {
                self.failure.lock().get_or_insert((code, *sent));
            }
        }
        self.landed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_what_went_wrong_and_not_what_was_thrown_away_for_it() {
        let transaction = Transaction::default();
        let sent = |offset| Box::new(Sent { partition: Partition(0), offset: Offset(offset), target: "orders".into() });
        (0..3).for_each(|_| transaction.sent());
        transaction.report(Err(Code::PurgeQueue.into()), sent(2));
        transaction.report(Err(Code::MessageSizeTooLarge.into()), sent(1));
        transaction.report(Err(Code::OutOfOrderSequenceNumber.into()), sent(3));
        let failure = transaction.failure.lock().as_ref().map(|(code, sent)| (*code, sent.offset));
        assert_eq!(failure, Some((Code::MessageSizeTooLarge, Offset(1))));
    }
}
