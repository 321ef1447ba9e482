//! A producer, and the thread that takes its reports.
//!
//! Owner: whoever sends. The binding's own thread waits in steps of a tenth of a second, and spins through the last millisecond of each,
//! since what is left of it is less than librdkafka counts: a hundredth of a core with nothing to do. Here nobody waits for reports where
//! none are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, NoCustomPartitioner, Producer as _, ProducerContext};

use super::bootstrap::Bootstrap;

/// How long one wait for reports takes.
const WAIT: Duration = Duration::from_millis(100);
/// How often errors and log lines are looked for where nothing was sent.
const LOOK: Duration = Duration::from_secs(1);

/// See the module. Its end waits for its threads.
pub(super) struct Served<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext<NoCustomPartitioner> + 'static> Served<C> {
    /// A producer with these properties.
    ///
    /// # Errors
    /// What librdkafka refuses, or where the system has no thread left.
    pub(super) fn new(properties: &ClientConfig, context: C, mut bootstrap: Bootstrap) -> KafkaResult<Self> {
        let producer: Arc<BaseProducer<C>> = Arc::new(properties.create_with_context(context)?);
        let ends = Arc::new(AtomicBool::new(false));
        let (served, told) = (Arc::clone(&producer), Arc::clone(&ends));
        let serve = move || {
            while !told.load(Ordering::Acquire) {
                // What waits to be taken counts as well.
                if served.in_flight_count() > 0 {
                    served.poll(WAIT);
                } else {
                    thread::park_timeout(LOOK);
                }
                bootstrap.look(served.client());
            }
        };
        let thread = thread::Builder::new().name("kafka-reports".to_owned()).spawn(serve);
        let thread = thread.map_err(|_| KafkaError::ClientCreation(Code::CriticalSystemResource.to_string()))?;
        Ok(Self { producer, ends, thread: Some(thread) })
    }

    /// The producer. Whoever sends with it says so by [`sent`](Self::sent).
    pub(super) fn producer(&self) -> &BaseProducer<C> {
        &self.producer
    }

    /// Something was sent, and its report is to be taken.
    pub(super) fn sent(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl<C: ProducerContext + 'static> Drop for Served<C> {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has panicked only where a report did, and there is nobody to tell.
            drop(thread.join());
        }
    }
}
