//! Queues of a client: one a partition for its records, one for everything else.

use std::ffi::{CString, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::bindings as sys;

use super::batch::{Read, adopt};
use crate::kafka::client::Client;
use crate::kafka::wake::Wake;
use crate::record::TopicPartition;

/// Room for what one read brings, kept from read to read.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Buffer(Vec<*mut sys::rd_kafka_message_t>);

// SAFETY: it is empty whenever nobody reads into it.
unsafe impl Send for Buffer {}

/// What a queue rings when it stops being empty.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    wake: Arc<Wake>,
}

/// A handle of one of librdkafka's queues, given back when it is dropped. Its owner keeps the client, and what a callback of
/// the queue was given, for longer.
#[derive(Debug)]
pub(super) struct Handle(NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues are guarded by locks of their own and may be used from any thread.
unsafe impl Send for Handle {}

impl Handle {
    /// Takes over a handle that librdkafka made, unless it is null.
    ///
    /// # Safety
    /// It is live, and nobody else gives it back.
    pub(super) unsafe fn own(queue: *mut sys::rd_kafka_queue_t) -> Option<Self> {
        NonNull::new(queue).map(Self)
    }

    /// The native handle; live for as long as `self` is borrowed.
    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.0.as_ptr()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and live, and isn't used after this. The callback is switched off first: librdkafka calls
        // it under the queue's lock, and switching it off takes that lock, so no call is under way afterwards.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.as_ptr());
        }
    }
}

/// The queue that the records of one partition arrive in. There is at most one for each partition of a client at a time:
/// the bell belongs to librdkafka's queue, and dropping an older handle would silence it.
#[derive(Debug)]
pub(in crate::kafka) struct PartitionQueue {
    queue: Handle,
    place: TopicPartition,
    /// Behind the queue, so that it outlives it.
    bell: Arc<Bell>,
    /// Last, for the same reason.
    client: Arc<Client>,
}

impl PartitionQueue {
    /// Takes the partition's records out of the client's common queue into their own. To be called before the partition is
    /// assigned, so that no record goes astray.
    pub(in crate::kafka) fn take(client: &Arc<Client>, place: &TopicPartition, wake: &Arc<Wake>) -> Option<Self> {
        let topic = CString::new(place.topic.as_str()).ok()?;
        // SAFETY: the client is live and the topic a C string. What comes back is a handle of our own.
        let queue = unsafe {
            Handle::own(sys::rd_kafka_queue_get_partition(client.native(), topic.as_ptr(), place.partition.0))?
        };
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), wake: Arc::clone(wake) });
        let this = Self { queue, place: place.clone(), bell, client: Arc::clone(client) };
        // SAFETY: the queue is live. A null target ends forwarding and, as librdkafka notes that the application asked for
        // it, keeps an assignment from setting it up again. The bell lives in an `Arc` that `this` drops after the queue.
        unsafe {
            sys::rd_kafka_queue_forward(this.queue.as_ptr(), ptr::null_mut());
            let bell = Arc::as_ptr(&this.bell).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(this.queue.as_ptr(), Some(ring), bell);
        }
        Some(this)
    }

    /// Whether something may have arrived since it was last read empty.
    pub(in crate::kafka) fn is_rung(&self) -> bool {
        self.bell.rung.load(Ordering::Acquire)
    }

    /// Has it read the next time, whatever the bell says.
    pub(in crate::kafka) fn ring(&self) {
        self.bell.rung.store(true, Ordering::Release);
    }

    /// Reads at most `max` records, without waiting.
    pub(in crate::kafka) fn read(&self, max: usize, buffer: &mut Buffer) -> Read {
        let buffer = &mut buffer.0;
        // Before reading: whatever arrives from here on rings again.
        self.bell.rung.store(false, Ordering::Release);
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
        let read = unsafe { adopt(buffer, &self.place, &self.client) };
        buffer.clear();
        read
    }

    /// Frees what was fetched for a partition that isn't ours any more: librdkafka would keep it until the partition's
    /// queue is read again, which may be never.
    pub(in crate::kafka) fn discard(self) {
        let mut buffer = Buffer::default();
        // Reading throws away all that is outdated, and returns at most as much as was current a moment ago.
        while !self.read(1000, &mut buffer).is_empty() {}
    }
}

/// Called by librdkafka's threads, under the queue's lock: it only sets a flag and wakes the event thread. A panic, which there
/// is no cause for, would end the process and not unwind into C.
unsafe extern "C" fn ring(_client: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: `bell` is the `Bell` that `PartitionQueue::take` registered; it is kept alive until this is switched off.
    let bell = unsafe { &*bell.cast_const().cast::<Bell>() };
    if !bell.rung.swap(true, Ordering::AcqRel) {
        bell.wake.wake();
    }
}

/// How many events wait in the queue of everything that isn't a record: rebalances, errors, logs. The binding's `poll` serves
/// one at a time and doesn't tell whether it did.
pub(in crate::kafka) fn waiting_events(client: &Client) -> usize {
    // SAFETY: the client lives for as long as it is borrowed. What comes back is a handle of our own, live until it is given
    // back here; reading the length takes the queue's own lock.
    unsafe {
        let Some(queue) = NonNull::new(sys::rd_kafka_queue_get_consumer(client.native())) else { return 0 };
        let length = sys::rd_kafka_queue_length(queue.as_ptr());
        sys::rd_kafka_queue_destroy(queue.as_ptr());
        length
    }
}
