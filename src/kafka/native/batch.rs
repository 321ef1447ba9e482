//! Messages that were read together, as the backing of their records.

use std::ffi::c_void;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;

use super::copied::{Copied, timestamp};
use super::handles::Handles;
use super::headers::Headers;
use super::{LeaderEpoch, bytes, known};
use crate::kafka::client::Client;
use crate::record::{Backing, Header, Offset, Record, Timestamp, TopicPartition};

/// What one read brought.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Read {
    /// The records, in their order.
    pub(in crate::kafka) records: Vec<Record>,
    /// Bytes of their keys and values.
    pub(in crate::kafka) bytes: usize,
    /// What went wrong with the partition. Nothing is read behind it: it may stand in the place of many records.
    pub(in crate::kafka) failure: Option<Failure>,
    /// Under which leaders they were written.
    pub(in crate::kafka) leaders: Leaders,
}

/// Under which leaders records that lie behind one another were written, if the brokers tell: mostly one.
#[derive(Debug, Default)]
pub(in crate::kafka) struct Leaders {
    /// The first record's, and where it is.
    first: Option<(Offset, LeaderEpoch)>,
    /// Those that followed, and their first records.
    later: Vec<(Offset, LeaderEpoch)>,
}

impl Leaders {
    /// The last record's.
    pub(in crate::kafka) fn last(&self) -> Option<LeaderEpoch> {
        self.later.last().or(self.first.as_ref()).map(|(_, epoch)| *epoch)
    }

    /// The first record that was written under a later one than this.
    pub(in crate::kafka) fn first_after(&self, known: LeaderEpoch) -> Option<Offset> {
        self.first.iter().chain(&self.later).find(|(_, epoch)| *epoch > known).map(|(offset, _)| *offset)
    }
}

impl Read {
    /// Whether it brought nothing at all.
    pub(in crate::kafka) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.failure.is_none()
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

/// One record. What is looked at for every record stands here, side by side: a message is far away.
struct Slot {
    offset: Offset,
    key: Span,
    value: Span,
    /// How many there are of a copy; they are counted in a batch that has one, and not looked at for a message.
    handles: Handles,
    body: Body,
}

/// Bytes within a body, or none.
#[derive(Clone, Copy)]
struct Span {
    start: *const c_void,
    length: usize,
}

// SAFETY: it belongs to a slot, whose body it points into: see there.
unsafe impl Send for Span {}
// SAFETY: as above.
unsafe impl Sync for Span {}

/// What holds a record's bytes. Both are ours alone: a message is freed with its batch, a copy with its last handle.
enum Body {
    /// Within librdkafka. It parses headers into the message when they are first asked for; two threads may ask at once, so
    /// that is done once, behind the lock, and from then on the list is only read.
    Message(NonNull<sys::rd_kafka_message_t>, OnceLock<Option<Headers>>),
    /// In memory of its own: a `Box` by its pointer, since it goes before the batch does.
    Copy(NonNull<Copied>),
}

// SAFETY: a message belongs to its slot alone. Its fields are written before it is handed out, and the headers behind a
// `OnceLock`; librdkafka allows a message to be destroyed on any thread, which happens once, when the batch is dropped.
unsafe impl Send for Body {}
// SAFETY: as above: shared access only reads what no longer changes.
unsafe impl Sync for Body {}

/// Messages of one partition. They are given back to librdkafka together, with the last record, and in their order; the client is let go after
/// them.
///
/// In their order, since librdkafka allocates each message by itself. Memory that is freed in another order is given out again in that order,
/// which is then shuffled again, until messages that are read one after the other stand nowhere near one another: with records that are handled
/// in the order of their keys, that cost more than all that is done for the keys.
pub(in crate::kafka) struct MessageBatch {
    slots: Box<[Slot]>,
    /// Some are copies, which are freed one by one: they are large.
    copies: bool,
    place: TopicPartition,
    /// Last, so that it outlives the messages.
    _client: Arc<Client>,
}

/// Makes records of `messages`, up to the first that is an error.
///
/// Those of `copied_from` bytes and more get memory of their own. A message keeps the whole response that it was fetched in, some MiB: while a
/// few are held for long, that would be many times what they count.
///
/// # Safety
/// The messages are live, come from a queue of `client`, and are handed over by this call.
pub(super) unsafe fn adopt(
    messages: &[*mut sys::rd_kafka_message_t],
    place: &TopicPartition,
    client: &Arc<Client>,
    copied_from: usize,
) -> Read {
    // SAFETY: they are live, until they are looked at below.
    let mut read = Read { leaders: unsafe { leaders(messages) }, ..Read::default() };
    let mut slots = Vec::with_capacity(messages.len());
    for message in messages.iter().filter_map(|message| NonNull::new(*message)) {
        // SAFETY: the message is live. The code is read as the plain number it is in C: a broker may send one that the
        // binding's enum doesn't know.
        let code = unsafe { ptr::read((&raw const (*message.as_ptr()).err).cast::<i32>()) };
        if code == 0 && read.failure.is_none() {
            // SAFETY: the message is live and ours.
            let slot = unsafe { Slot::of(message, copied_from) };
            read.bytes += slot.size();
            slots.push(slot);
        } else {
            // SAFETY: an error message is live too, as is one behind it, and destroyed once, here.
            unsafe {
                read.failure.get_or_insert_with(|| Failure { code: known(code), reason: reason(message, known(code)) });
                sys::rd_kafka_message_destroy(message.as_ptr());
            }
        }
    }
    if slots.is_empty() {
        return read;
    }
    let count = u32::try_from(slots.len()).expect("a read is bounded far below this");
    let copies = slots.iter().any(Slot::is_copy);
    let (slots, place) = (slots.into_boxed_slice(), place.clone());
    let backing: Arc<dyn Backing> = Arc::new(MessageBatch { slots, copies, place, _client: Arc::clone(client) });
    read.records = (0..count).map(|index| Record::adopt(Arc::clone(&backing), index)).collect();
    read
}

/// Under which leaders these were written that are no errors. Each is only asked where the first and the last one have two.
///
/// # Safety
/// The messages are live.
unsafe fn leaders(messages: &[*mut sys::rd_kafka_message_t]) -> Leaders {
    let known = |message: &*mut sys::rd_kafka_message_t| {
        let message = NonNull::new(*message)?;
        // SAFETY: as the caller promises; the code is read as the plain number it is in C, see `adopt`. Only of a record it may be asked.
        unsafe {
            let code = ptr::read((&raw const (*message.as_ptr()).err).cast::<i32>());
            let epoch = if code == 0 { sys::rd_kafka_message_leader_epoch(message.as_ptr()) } else { -1 };
            Some((Offset((*message.as_ptr()).offset), LeaderEpoch::known(epoch)?))
        }
    };
    let mut leaders = Leaders { first: messages.iter().find_map(known), later: Vec::new() };
    let last = messages.iter().rev().find_map(known);
    let (Some((_, first)), Some((_, last))) = (leaders.first, last) else { return leaders };
    if first != last {
        let mut before = first;
        for (offset, epoch) in messages.iter().filter_map(known) {
            if epoch != before {
                before = epoch;
                leaders.later.push((offset, epoch));
            }
        }
    }
    leaders
}

/// What librdkafka says about an error message: its text stands in the place of a value. By its length, since librdkafka's own
/// accessor has only its word that a zero byte ends it.
///
/// # Safety
/// The message is live.
unsafe fn reason(message: NonNull<sys::rd_kafka_message_t>, code: RDKafkaErrorCode) -> String {
    // SAFETY: as the caller promises; the text is copied before this returns.
    let text = unsafe { bytes((*message.as_ptr()).payload, (*message.as_ptr()).len) };
    text.map_or_else(|| code.to_string(), |text| String::from_utf8_lossy(text).into_owned())
}

impl Slot {
    /// The message itself, or a copy of it.
    ///
    /// # Safety
    /// The message is live and handed over.
    unsafe fn of(message: NonNull<sys::rd_kafka_message_t>, copied_from: usize) -> Self {
        // SAFETY: as the caller promises; a message that is copied is destroyed once, here, and not looked at again.
        unsafe {
            let raw = &*message.as_ptr();
            let (offset, handles) = (Offset(raw.offset), Handles::one());
            let key = Span::of(bytes(raw.key, raw.key_len));
            let value = Span::of(bytes(raw.payload, raw.len));
            if key.length + value.length < copied_from {
                return Self { offset, key, value, handles, body: Body::Message(message, OnceLock::new()) };
            }
            let copy = Box::new(Copied::of(message));
            sys::rd_kafka_message_destroy(message.as_ptr());
            let (of_key, of_value) = copy.bytes.split_at(key.length);
            let (key, value) = (key.moved_to(of_key), value.moved_to(of_value));
            Self { offset, key, value, handles, body: Body::Copy(NonNull::from(Box::leak(copy))) }
        }
    }

    fn size(&self) -> usize {
        self.key.length + self.value.length
    }

    fn is_copy(&self) -> bool {
        matches!(self.body, Body::Copy(_))
    }
}

impl Span {
    fn of(bytes: Option<&[u8]>) -> Self {
        bytes.map_or(Self { start: ptr::null(), length: 0 }, |bytes| Self {
            start: bytes.as_ptr().cast(),
            length: bytes.len(),
        })
    }

    /// The same bytes where they were copied to. None are none there, too.
    fn moved_to(self, copy: &[u8]) -> Self {
        if self.start.is_null() { self } else { Self::of(Some(copy)) }
    }
}

impl Body {
    /// Frees the record.
    ///
    /// # Safety
    /// Nobody reads it any more, and this is called once.
    unsafe fn free(&self) {
        // SAFETY: as the caller promises; a copy was made by `Box`.
        unsafe {
            match self {
                Self::Message(message, _) => sys::rd_kafka_message_destroy(message.as_ptr()),
                Self::Copy(copy) => drop(Box::from_raw(copy.as_ptr())),
            }
        }
    }
}

impl MessageBatch {
    fn slot(&self, index: u32) -> &Slot {
        &self.slots[index as usize]
    }
}

// In all of these, whoever asks holds a handle of the record, and so its body is live for as long as that is borrowed: a
// `Record` shows its backing to nobody, retains when it is cloned, and releases when it is dropped.
impl Backing for MessageBatch {
    fn topic_partition(&self) -> &TopicPartition {
        &self.place
    }

    fn offset(&self, index: u32) -> Offset {
        self.slot(index).offset
    }

    fn key(&self, index: u32) -> Option<&[u8]> {
        let Span { start, length } = self.slot(index).key;
        // SAFETY: the body is live, see above; its key doesn't change.
        unsafe { bytes(start, length) }
    }

    fn value(&self, index: u32) -> Option<&[u8]> {
        let Span { start, length } = self.slot(index).value;
        // SAFETY: as for the key.
        unsafe { bytes(start, length) }
    }

    fn is_shared(&self, index: u32) -> bool {
        matches!(self.slot(index).body, Body::Message(..))
    }

    fn timestamp(&self, index: u32) -> Option<Timestamp> {
        // SAFETY: the body is live, see above, and only read.
        match &self.slot(index).body {
            Body::Message(message, _) => unsafe { timestamp(*message) },
            Body::Copy(copy) => unsafe { copy.as_ref().timestamp },
        }
    }

    fn header(&self, index: u32, nth: usize) -> Option<Header<'_>> {
        match &self.slot(index).body {
            Body::Message(message, headers) => {
                // SAFETY: the message is live, and this is the only place that parses its headers, once.
                let headers = (*headers.get_or_init(|| unsafe { Headers::parse(*message) }))?;
                // SAFETY: the list lives as long as the message.
                unsafe { headers.get(nth) }
            }
            // SAFETY: the body is live, see above.
            Body::Copy(copy) => unsafe { copy.as_ref() }.header(nth),
        }
    }

    fn retain(&self, index: u32) {
        if self.copies {
            self.slot(index).handles.retain();
        }
    }

    fn release(&self, index: u32) {
        // Without a look at the slot, where there are none.
        if self.copies && self.slot(index).handles.release() && self.slot(index).is_copy() {
            // SAFETY: the last handle is gone, so nobody reads the record any more, and it is a copy, which goes by itself.
            unsafe { self.slot(index).body.free() }
        }
    }
}

impl Drop for MessageBatch {
    /// Every record keeps the batch alive, so none of them is read any more. A copy is gone already, except after a panic between the two.
    fn drop(&mut self) {
        for slot in self.slots.iter().filter(|slot| !slot.is_copy() || !slot.handles.is_none()) {
            // SAFETY: nobody else is left that knows the record, its client lives, in `_client`, and it was not freed: it is a message, which
            // only this does, or its count isn't zero.
            unsafe { slot.body.free() }
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
