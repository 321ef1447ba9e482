//! The queue that answers to commits arrive in, each with the number of its question.
//!
//! The binding's own way loses them: it asks for commit events, but librdkafka sends none unless a callback is set too.

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::mem::transmute;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

use super::known;
use super::queue::{Bell, Queue};
use crate::kafka::client::Client;
use crate::kafka::wake::Wake;

/// The answer to a commit.
#[derive(Debug)]
pub(in crate::kafka) struct Answer {
    /// The number that the commit was sent with.
    pub(in crate::kafka) number: usize,
    /// The error of the request as a whole (or of its last failed partition), and those of single partitions.
    pub(in crate::kafka) errors: Vec<RDKafkaErrorCode>,
}

/// See the module.
#[derive(Debug)]
pub(in crate::kafka) struct CommitQueue(Queue<Wake>);

impl Bell for Wake {
    fn ring(&self) {
        self.wake();
    }
}

impl CommitQueue {
    /// A new queue that wakes the event thread.
    pub(in crate::kafka) fn new(client: &Arc<Client>, wake: &Arc<Wake>) -> Self {
        // SAFETY: the client is live; what comes back is a queue of our own.
        let queue = unsafe { Queue::own(sys::rd_kafka_queue_new(client.native()), client, Arc::clone(wake)) };
        Self(queue.expect("librdkafka aborts where it has no memory for a queue"))
    }

    /// Sends a commit off. Its answer comes here.
    pub(in crate::kafka) fn send(&self, offsets: &TopicPartitionList, number: usize) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: client, list and queue are live; the list is copied within the call. The last argument is a number,
        // which librdkafka only hands back.
        let outcome = unsafe {
            sys::rd_kafka_commit_queue(
                self.0.client().native(),
                offsets.ptr(),
                self.0.as_ptr(),
                None,
                ptr::without_provenance_mut::<c_void>(number),
            )
        };
        if outcome == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(outcome.into()) }
    }

    /// The next answer, if there is one.
    pub(in crate::kafka) fn next(&self) -> Option<Answer> {
        // SAFETY: the queue is live; an event that comes back is ours until it is destroyed, below.
        let event = NonNull::new(unsafe { sys::rd_kafka_queue_poll(self.0.as_ptr(), 0) })?;
        // SAFETY: the event is live. All commits are sent by `send`, so the opaque pointer is a number; the list is the
        // event's, and may be missing. The codes are read as the plain numbers they are in C: the binding's enum doesn't know
        // all that a broker may send.
        let answer = unsafe {
            let event = event.as_ptr();
            let mut errors = vec![error_of(event)];
            let list = sys::rd_kafka_event_topic_partition_list(event);
            if let Some(list) = list.as_ref().filter(|list| !list.elems.is_null()) {
                let count = usize::try_from(list.cnt).unwrap_or(0);
                errors
                    .extend((0..count).map(|index| ptr::read((&raw const (*list.elems.add(index)).err).cast::<i32>())));
            }
            let number = sys::rd_kafka_event_opaque(event).addr();
            Answer { number, errors: errors.into_iter().filter(|code| *code != 0).map(known).collect() }
        };
        // SAFETY: the event is ours, and nothing of it is kept.
        unsafe { sys::rd_kafka_event_destroy(event.as_ptr()) }
        Some(answer)
    }
}

/// The error of an event, as the plain number it is in C.
///
/// # Safety
/// The event is live.
pub(super) unsafe fn error_of(event: *mut sys::rd_kafka_event_t) -> c_int {
    type Declared = unsafe extern "C" fn(*mut sys::rd_kafka_event_t) -> RDKafkaRespErr;
    type Defined = unsafe extern "C" fn(*mut sys::rd_kafka_event_t) -> c_int;
    // The optimizer believes the declaration: called by its name, the number would count as one that the enum has, whatever it
    // is. So it doesn't get to see the name.
    let declared: Declared = black_box(sys::rd_kafka_event_error);
    // SAFETY: the C function returns a C enum, and so an `int`, and takes the same argument.
    let defined = unsafe { transmute::<Declared, Defined>(declared) };
    // SAFETY: as the caller promises.
    unsafe { defined(event) }
}
