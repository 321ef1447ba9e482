//! Messages that were read together, as the backing of their records.

use std::ffi::CStr;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, OnceLock};

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;

use super::headers::Headers;
use super::{bytes, known};
use crate::kafka::client::Client;
use crate::record::{Backing, Header, Offset, Record, Timestamp, TopicPartition};

/// What one read brought.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Read {
    /// The records, in their order.
    pub(in crate::kafka) records: Vec<Record>,
    /// Bytes of their keys and values.
    pub(in crate::kafka) bytes: usize,
    /// What went wrong with the partition.
    pub(in crate::kafka) failures: Vec<Failure>,
}

impl Read {
    /// Whether it brought nothing at all.
    pub(in crate::kafka) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.failures.is_empty()
    }
}

/// An error that came in the place of a record.
#[derive(Debug)]
pub(in crate::kafka) struct Failure {
    /// What kind it is.
    pub(in crate::kafka) code: RDKafkaErrorCode,
    /// What librdkafka says about it.
    pub(in crate::kafka) reason: String,
}

/// One message and how many records still point at it.
struct Slot {
    message: NonNull<sys::rd_kafka_message_t>,
    handles: AtomicU32,
    /// librdkafka parses headers into the message when they are first asked for. Two threads may ask at once, so it is
    /// done once, behind this; from then on the list is only read.
    headers: OnceLock<Option<Headers>>,
}

/// Messages of one partition. Each is given back to librdkafka with its last record, the client is let go after them.
pub(in crate::kafka) struct MessageBatch {
    slots: Box<[Slot]>,
    place: TopicPartition,
    /// Last, so that it outlives the messages.
    _client: Arc<Client>,
}

// SAFETY: a message belongs to its slot alone. Its fields are written before it is handed out, and the headers behind a
// `OnceLock`; librdkafka allows a message to be destroyed on any thread, which happens once, at the count of zero.
unsafe impl Send for MessageBatch {}
// SAFETY: as above: shared access only reads what no longer changes.
unsafe impl Sync for MessageBatch {}

/// Makes records of `messages`, and puts aside those that are errors.
///
/// # Safety
/// The messages are live, come from a queue of `client`, and are handed over by this call.
pub(super) unsafe fn adopt(
    messages: &[*mut sys::rd_kafka_message_t],
    place: &TopicPartition,
    client: &Arc<Client>,
) -> Read {
    let mut read = Read::default();
    let mut slots = Vec::with_capacity(messages.len());
    for message in messages.iter().filter_map(|message| NonNull::new(*message)) {
        // SAFETY: the message is live. The code is read as the plain number it is in C: a broker may send one that the
        // binding's enum doesn't know.
        let code = unsafe { ptr::read((&raw const (*message.as_ptr()).err).cast::<i32>()) };
        if code == 0 {
            slots.push(Slot { message, handles: AtomicU32::new(1), headers: OnceLock::new() });
        } else {
            // SAFETY: an error message is live too, and destroyed once, here.
            unsafe {
                read.failures.push(Failure { code: known(code), reason: reason(message) });
                sys::rd_kafka_message_destroy(message.as_ptr());
            }
        }
    }
    if slots.is_empty() {
        return read;
    }
    let count = u32::try_from(slots.len()).expect("a read is bounded far below this");
    let batch =
        Arc::new(MessageBatch { slots: slots.into_boxed_slice(), place: place.clone(), _client: Arc::clone(client) });
    read.bytes = (0..count).map(|index| batch.size(index)).sum();
    let backing: Arc<dyn Backing> = batch;
    read.records = (0..count).map(|index| Record::adopt(Arc::clone(&backing), index)).collect();
    read
}

/// What librdkafka says about an error message.
///
/// # Safety
/// The message is live.
unsafe fn reason(message: NonNull<sys::rd_kafka_message_t>) -> String {
    // SAFETY: as the caller promises; the text is a C string that lives as long as the message.
    let text = unsafe { sys::rd_kafka_message_errstr(message.as_ptr()) };
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

impl MessageBatch {
    fn message(&self, index: u32) -> *const sys::rd_kafka_message_t {
        self.slots[index as usize].message.as_ptr()
    }

    fn size(&self, index: u32) -> usize {
        let message = self.message(index);
        // SAFETY: whoever asks holds a handle of the message, so it is live.
        unsafe { (*message).len + (*message).key_len }
    }
}

impl Backing for MessageBatch {
    fn topic_partition(&self) -> &TopicPartition {
        &self.place
    }

    fn offset(&self, index: u32) -> Offset {
        // SAFETY: whoever asks holds a handle of the message, so it is live.
        Offset(unsafe { (*self.message(index)).offset })
    }

    fn key(&self, index: u32) -> Option<&[u8]> {
        let message = self.message(index);
        // SAFETY: the message is live for as long as its record, which the caller borrows; its key doesn't change.
        unsafe { bytes((*message).key, (*message).key_len) }
    }

    fn value(&self, index: u32) -> Option<&[u8]> {
        let message = self.message(index);
        // SAFETY: as for the key.
        unsafe { bytes((*message).payload, (*message).len) }
    }

    fn timestamp(&self, index: u32) -> Option<Timestamp> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live and only read.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.message(index), &raw mut kind) };
        Timestamp::from_millis(millis)
    }

    fn header(&self, index: u32, nth: usize) -> Option<Header<'_>> {
        let slot = &self.slots[index as usize];
        // SAFETY: the message is live, and this is the only place that parses its headers, once.
        let headers = (*slot.headers.get_or_init(|| unsafe { Headers::parse(slot.message) }))?;
        // SAFETY: the list lives as long as the message, and that as long as the record that the caller borrows.
        unsafe { headers.get(nth) }
    }

    fn retain(&self, index: u32) {
        // Relaxed, as in `Arc`: who makes a handle has one.
        self.slots[index as usize].handles.fetch_add(1, Ordering::Relaxed);
    }

    fn release(&self, index: u32) {
        let slot = &self.slots[index as usize];
        if slot.handles.fetch_sub(1, Ordering::Release) == 1 {
            // As in `Arc`: all that was done with other handles happened before.
            fence(Ordering::Acquire);
            // SAFETY: the last handle is gone, so nobody reads the message any more; its client lives, in `_client`.
            unsafe { sys::rd_kafka_message_destroy(slot.message.as_ptr()) }
        }
    }
}

impl Drop for MessageBatch {
    /// Every record keeps the batch alive, so nothing is left to free here, except after a panic between the two.
    fn drop(&mut self) {
        for slot in self.slots.iter().filter(|slot| slot.handles.load(Ordering::Acquire) > 0) {
            // SAFETY: nobody else is left that knows the message, and it was not destroyed: its count isn't zero.
            unsafe { sys::rd_kafka_message_destroy(slot.message.as_ptr()) }
        }
    }
}

impl fmt::Debug for MessageBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageBatch")
            .field("place", &self.place)
            .field("messages", &self.slots.len())
            .finish_non_exhaustive()
    }
}
