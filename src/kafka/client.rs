//! One consumer of librdkafka, and how it ends.
//!
//! Owner: the event thread; batches of records share it, since their memory belongs to it. The invariant: it is destroyed
//! after the last of its records, and never on a thread that can't wait: leaving the group and joining librdkafka's threads
//! takes as long as it takes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::config::KafkaConfig;
use super::context::Context;
use super::native::{has_member_id, waiting_events};
use super::obstacles::Obstacles;
use super::wake::Wake;
use crate::record::TopicPartition;

/// How long a client without a deadline of its own waits until it may say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// A consumer that is shared by what came out of it.
pub(super) struct Client {
    /// Handed to a thread of its own when this is dropped.
    consumer: Option<BaseConsumer<Context>>,
    /// Whether its group keeps its place over a restart.
    is_static: bool,
    /// Dropped, and so heard by `destroyed`, when the consumer is gone.
    gone: Option<Sender<()>>,
}

/// Ends its wait when the client has been destroyed.
#[derive(Debug)]
pub(super) struct Destroyed(Receiver<()>);

impl Client {
    /// Makes a consumer that wakes the event thread when something happens. It does nothing before it subscribes.
    pub(super) fn new(
        properties: &ClientConfig,
        config: &KafkaConfig,
        wake: &Arc<Wake>,
    ) -> KafkaResult<(Arc<Self>, Destroyed)> {
        let mut consumer: BaseConsumer<Context> = properties.create_with_context(Context::new(config))?;
        let wake = Arc::clone(wake);
        consumer.set_nonempty_callback(move || wake.wake());
        let (gone, destroyed) = channel();
        let is_static = config.instance_id.is_some();
        let client = Self { consumer: Some(consumer), is_static, gone: Some(gone) };
        Ok((Arc::new(client), Destroyed(destroyed)))
    }

    /// The consumer itself.
    pub(super) fn consumer(&self) -> &BaseConsumer<Context> {
        self.consumer.as_ref().expect("taken only when this is dropped")
    }

    /// What keeps it from the brokers.
    pub(super) fn obstacles(&self) -> &Obstacles {
        self.consumer().context().obstacles()
    }

    /// The native client; valid for as long as `self` is borrowed.
    pub(super) fn native(&self) -> *mut sys::rd_kafka_t {
        self.consumer().client().native_ptr()
    }

    /// Serves what happened, without waiting. Records never come this way, see [`PartitionQueue`](super::native::PartitionQueue);
    /// if one does all the same, that is said, since it would be lost.
    pub(super) fn serve(&self) -> Result<(), Stray> {
        // Bounded, so that a flood of log lines can't keep the thread from reading.
        for _ in 0..1000 {
            // Errors are noted by the context.
            if let Some(Ok(_record)) = self.consumer().poll(Duration::ZERO) {
                return Err(Stray);
            }
            if waiting_events(self) == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Why the client can't go on, if so.
    pub(super) fn fatal_error(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.consumer().client().fatal_error()
    }

    /// Whether the group took our partitions away without asking.
    pub(super) fn assignment_lost(&self) -> bool {
        self.consumer().assignment_lost()
    }

    /// Whether partitions come and go one by one. An eager protocol only knows all of them at once.
    pub(super) fn is_incremental(&self) -> bool {
        matches!(self.consumer().rebalance_protocol(), RebalanceProtocol::Cooperative)
    }

    /// Leaves the group, at the latest by `deadline`; says whether it did. Records that are still held keep their memory,
    /// but not the membership.
    pub(super) fn close(self: Arc<Self>, destroyed: &Destroyed, deadline: Instant) -> bool {
        if Arc::strong_count(&self) == 1 {
            drop(self);
            return destroyed.wait(deadline);
        }
        say_goodbye(self.consumer(), self.is_static, deadline);
        if self.consumer().close_queue().is_err() {
            // A client with a fatal error is no member any more.
            return true;
        }
        while !self.consumer().closed() && Instant::now() < deadline {
            // What comes now concerns nobody: partitions are given up within the callback.
            drop(self.consumer().poll(Duration::from_millis(20)));
        }
        self.consumer().closed()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let (consumer, gone, is_static) = (self.consumer.take(), self.gone.take(), self.is_static);
        let end = move || {
            if let Some(consumer) = &consumer {
                say_goodbye(consumer, is_static, Instant::now() + GOODBYE);
            }
            drop(consumer);
            drop(gone);
        };
        // Without a thread the closure is dropped here, and the consumer with it: slow, but never wrong.
        drop(thread::Builder::new().name("kafka-close".to_owned()).spawn(end));
    }
}

impl Destroyed {
    /// Waits at most until `deadline`; says whether the client is gone.
    pub(super) fn wait(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        matches!(self.0.recv_timeout(left), Err(RecvTimeoutError::Disconnected))
    }
}

/// What comes before every end of a consumer. Without partitions, one of the cooperative protocol goes without a word when it is closed,
/// and the next rebalance waits for it until its session timeout. It says goodbye if it unsubscribes first, after the rebalance that is
/// under way, if one is: the brokers don't hear it before. A static member should not say goodbye, and would.
fn say_goodbye(consumer: &BaseConsumer<Context>, is_static: bool, deadline: Instant) {
    consumer.context().close();
    let is_cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
    if is_static || !is_cooperative || consumer.assignment().is_ok_and(|list| list.count() > 0) {
        return;
    }
    consumer.unsubscribe();
    let is_classic = consumer.context().is_classic();
    while is_classic && has_member_id(consumer) && Instant::now() < deadline {
        // What comes now concerns nobody: partitions are given up within the callback.
        drop(consumer.poll(Duration::from_millis(20)));
    }
}

/// A record came through the common queue, where nobody expects it.
#[derive(Debug)]
pub(super) struct Stray;

/// A list for librdkafka.
pub(super) fn list<'a>(
    places: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (place, offset) in places {
        list.add_partition(place.topic.as_str(), place.partition.0).set_offset(offset)?;
    }
    Ok(list)
}
