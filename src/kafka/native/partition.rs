//! The queue of one partition.

use std::ffi::CString;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use rdkafka::bindings as sys;

use super::batch::{Read, adopt};
use super::queue::{Bell, Queue};
use crate::kafka::client::Client;
use crate::record::TopicPartition;

/// Room for what one read brings, kept from read to read.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Buffer(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: it is empty whenever nobody reads into it.
unsafe impl Send for Buffer {}

/// Remembers that it was rung.
#[derive(Debug)]
struct PartitionBell {
    rung: AtomicBool,
    waker: Waker,
}

impl Bell for PartitionBell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake_by_ref();
        }
    }
}

/// The queue that the records of one partition arrive in. There is at most one for each partition of a client at a time:
/// the bell belongs to librdkafka's queue, and dropping an older handle would silence it.
#[derive(Debug)]
pub(in crate::kafka) struct PartitionQueue {
    queue: Queue<PartitionBell>,
    place: TopicPartition,
}

impl PartitionQueue {
    /// Takes the partition's records out of the client's common queue into their own. To be called before the partition is
    /// assigned, so that no record goes astray. `waker` is woken, under the queue's lock, when something arrives that nobody knows of.
    pub(in crate::kafka) fn take(client: &Arc<Client>, place: &TopicPartition, waker: Waker) -> Option<Self> {
        let topic = CString::new(place.topic.as_str()).ok()?;
        let bell = PartitionBell { rung: AtomicBool::new(true), waker };
        // SAFETY: the client is live and the topic a C string; what comes back is a handle of our own. The queue is live, and a
        // null target ends forwarding; as librdkafka notes that the application asked for it, an assignment doesn't set it up
        // again.
        let queue = unsafe {
            let queue = sys::rd_kafka_queue_get_partition(client.native(), topic.as_ptr(), place.partition.0);
            let queue = Queue::own(queue, client, Arc::new(bell))?;
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            queue
        };
        Some(Self { queue, place: place.clone() })
    }

    /// Whether something may have arrived since it was last read empty.
    pub(in crate::kafka) fn is_rung(&self) -> bool {
        self.queue.bell().rung.load(Ordering::Acquire)
    }

    /// Has it read the next time, whatever the bell says.
    pub(in crate::kafka) fn ring(&self) {
        self.queue.bell().rung.store(true, Ordering::Release);
    }

    /// Whether something lies in it.
    pub(in crate::kafka) fn has_some(&self) -> bool {
        // SAFETY: the queue is live.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) > 0 }
    }

    /// Reads at most `max` records, without waiting. Those of `copied_from` bytes and more get memory of their own.
    pub(in crate::kafka) fn read(&self, max: usize, copied_from: usize, buffer: &mut Buffer) -> Read {
        let buffer = &mut buffer.0;
        // Before reading: whatever arrives from here on rings again.
        self.queue.bell().rung.store(false, Ordering::Release);
        buffer.clear();
        buffer.reserve(max);
        // SAFETY: the queue is live, and the buffer has room for `max` pointers, of which librdkafka writes as many as it
        // returns (-1 for an error, with none written).
        let count = unsafe {
            let count = sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, buffer.as_mut_ptr(), max);
            let count = usize::try_from(count).unwrap_or(0);
            buffer.set_len(count);
            count
        };
        if count == max {
            self.ring();
        }
        // SAFETY: these messages were just handed to us, are not null, belong to `client`, and nobody else has them.
        let read = unsafe { adopt(buffer, &self.place, self.queue.client(), copied_from) };
        buffer.clear();
        read
    }

    /// Frees what was fetched for a partition that isn't ours any more: librdkafka would keep it until the partition's
    /// queue is read again, which may be never.
    pub(in crate::kafka) fn discard(self) {
        let mut buffer = Buffer::default();
        // Reading throws away all that is outdated, and returns at most as much as was current a moment ago.
        while !self.read(1000, usize::MAX, &mut buffer).is_empty() {}
    }
}
