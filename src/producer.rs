//! Producing: records out, each acknowledged before it counts.
//!
//! A [`Producer`] is what daemons and handlers write with. Under it stands a [`RecordSink`]: Kafka, the in-memory broker of tests, or
//! one of your own. The invariant: `Ok` means that the other side has the record.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

use crate::record::{Offset, OwnedRecord, Partition, Topic};

/// How many records of one producer are on their way at once, at most; others wait.
const IN_FLIGHT: usize = 1_000;

/// Where a record came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The partition that it was written to.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
}

/// Why a record was not written. It isn't in the topic, or (after `Unavailable`) nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The broker takes no record as large as this.
    #[error("the record is too large for topic `{0}`: raise its `max.message.bytes`")]
    TooLarge(Topic),
    /// There is no such topic.
    #[error("topic `{0}` does not exist: create it")]
    UnknownTopic(Topic),
    /// The brokers don't let us.
    #[error("not authorised to write to topic `{0}`: grant this user WRITE on it")]
    NotAuthorized(Topic),
    /// It may work the next time.
    #[error("the record could not be written, it can be tried again: {0}")]
    Unavailable(String),
}

/// Takes records out of the process.
#[async_trait]
pub trait RecordSink: Send + Sync + 'static {
    /// Writes a record to the partition of its key and waits until it is safe there. Without a timestamp it gets the present time.
    /// What is handed over at the first poll keeps its order.
    ///
    /// # Errors
    /// See [`SendError`].
    async fn write(&self, topic: &Topic, record: &OwnedRecord) -> Result<Sent, SendError>;
}

/// Writes records, and waits for their acknowledgement. Cheap to clone. What handlers get is
/// [a producer of theirs](crate::handler::extract::Producer), whose sends belong to the record that is handled.
///
/// ```
/// use daemonry::producer::Producer;
/// use daemonry::record::OwnedRecord;
/// use daemonry::testing::MemoryBroker;
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), daemonry::producer::SendError> {
/// let broker = MemoryBroker::new();
/// broker.create_topic("audit", 1);
/// let producer = Producer::new(Arc::new(broker));
/// let sent = producer.send("audit", OwnedRecord::new("started").with_key("shop")).await?;
/// assert_eq!(sent.offset.0, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    sink: Arc<dyn RecordSink>,
    room: Arc<Semaphore>,
}

impl Producer {
    /// A producer on this sink, with 1,000 records on their way at most; others wait.
    pub fn new(sink: Arc<dyn RecordSink>) -> Self {
        Self { sink, room: Arc::new(Semaphore::new(IN_FLIGHT)) }
    }

    /// Writes a record and waits until all in-sync replicas have it.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(&self, topic: impl Into<Topic>, record: OwnedRecord) -> Result<Sent, SendError> {
        let topic = topic.into();
        let room = Arc::clone(&self.room).acquire_owned().await.expect("the semaphore is never closed");
        self.write(topic, record, room).await
    }

    fn write(&self, topic: Topic, record: OwnedRecord, room: OwnedSemaphorePermit) -> Write {
        let sink = Arc::clone(&self.sink);
        Box::pin(async move {
            let _room = room;
            sink.write(&topic, &record).await
        })
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("room", &self.room.available_permits()).finish_non_exhaustive()
    }
}

/// A record on its way.
type Write = BoxFuture<'static, Result<Sent, SendError>>;

/// What a handler has handed over and not waited for.
pub(crate) struct Sends {
    producer: Producer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they were handed over.
    waiting: VecDeque<(Topic, OwnedRecord)>,
    room: Option<PollSemaphore>,
    under_way: FuturesUnordered<Write>,
}

impl Sends {
    pub(crate) fn new(producer: Producer) -> Self {
        Self { producer, state: Mutex::default() }
    }

    pub(crate) fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Takes a record over. It is on its way at once, if there is room for it.
    pub(crate) fn push(&self, topic: Topic, record: OwnedRecord) {
        let mut state = self.state.lock();
        state.waiting.push_back((topic, record));
        state.begin(&self.producer, &mut Context::from_waker(Waker::noop()));
    }

    /// Has all of it go on, and answers once it is acknowledged; the first that can't be written is the answer.
    pub(crate) fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let mut state = self.state.lock();
        loop {
            state.begin(&self.producer, cx);
            match state.under_way.poll_next_unpin(cx) {
                // Room has come back.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) if state.waiting.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl State {
    /// Begins as many writes as there is room for, in order.
    fn begin(&mut self, producer: &Producer, cx: &mut Context<'_>) {
        while !self.waiting.is_empty() {
            let room = self.room.get_or_insert_with(|| PollSemaphore::new(Arc::clone(&producer.room)));
            let Poll::Ready(Some(room)) = room.poll_acquire(cx) else { return };
            let Some((topic, record)) = self.waiting.pop_front() else { return };
            let mut write = producer.write(topic, record, room);
            // The first poll hands it over, which must happen in order.
            if let Poll::Ready(outcome) = write.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                write = Box::pin(std::future::ready(outcome));
            }
            self.under_way.push(write);
        }
    }
}

impl fmt::Debug for Sends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        let (waiting, under_way) = (state.waiting.len(), state.under_way.len());
        f.debug_struct("Sends").field("waiting", &waiting).field("under_way", &under_way).finish()
    }
}
