//! What became of the records that were handed to the producer.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, NoCustomPartitioner, ProducerContext};
use tracing::debug;

use crate::kafka::config::KafkaConfig;
use crate::kafka::context::log;
use crate::kafka::obstacles::Obstacles;
use crate::kafka::producer::place;
use crate::record::{Offset, Partition, Topic};

/// What is remembered of the records' delivery reports.
pub(super) struct Reports {
    pub(super) obstacles: Obstacles,
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

impl Reports {
    pub(super) fn new(config: &KafkaConfig) -> Self {
        Self {
            obstacles: Obstacles::new(config),
            failure: Mutex::default(),
            under_way: Mutex::new(0),
            all_landed: Condvar::new(),
            written: Mutex::default(),
        }
    }

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
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message, &self.obstacles);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, _error: KafkaError, reason: &str) {
        // Whoever writes hears of it by the outcome.
        debug!(error = reason, "the producer has an error");
    }
}

impl ProducerContext<NoCustomPartitioner> for Reports {
    type DeliveryOpaque = Box<Sent>;

    fn delivery(&self, report: &DeliveryResult<'_>, sent: Box<Sent>) {
        match place(report) {
            Ok((partition, offset)) => {
                self.obstacles.clear();
                self.written.lock().insert((sent.target, partition), offset);
            }
            Err(code) => {
                self.failure.lock().get_or_insert((code, *sent));
            }
        }
        self.landed();
    }
}
