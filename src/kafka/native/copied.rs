//! A record in memory of its own.

use std::ptr::NonNull;

use rdkafka::bindings as sys;

use super::bytes;
use super::headers::Headers;
use crate::record::{Header, Timestamp};

/// All of a message but its offset, copied.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) timestamp: Option<Timestamp>,
    /// Key and value, one behind the other.
    pub(super) bytes: Box<[u8]>,
    headers: Vec<CopiedHeader>,
}

/// Name and value.
type CopiedHeader = (Box<[u8]>, Option<Box<[u8]>>);

impl Copied {
    /// A copy of `message`.
    ///
    /// # Safety
    /// The message is live, and nobody else looks at it.
    pub(super) unsafe fn of(message: NonNull<sys::rd_kafka_message_t>) -> Self {
        let raw = message.as_ptr();
        // SAFETY: as the caller promises; all is copied before the call returns.
        unsafe {
            let (key, value) = (bytes((*raw).key, (*raw).key_len), bytes((*raw).payload, (*raw).len));
            let headers = Headers::parse(message);
            let headers = (0..).map_while(|nth| headers.and_then(|headers| headers.get(nth)));
            Self {
                timestamp: timestamp(message),
                bytes: [key.unwrap_or_default(), value.unwrap_or_default()].concat().into_boxed_slice(),
                headers: headers.map(|header| (Box::from(header.name), header.value.map(Box::from))).collect(),
            }
        }
    }

    /// The header in place `nth`.
    pub(super) fn header(&self, nth: usize) -> Option<Header<'_>> {
        self.headers.get(nth).map(|(name, value)| Header { name, value: value.as_deref() })
    }
}

/// A message's time.
///
/// # Safety
/// The message is live.
pub(super) unsafe fn timestamp(message: NonNull<sys::rd_kafka_message_t>) -> Option<Timestamp> {
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: as the caller promises; it is only read.
    Timestamp::from_millis(unsafe { sys::rd_kafka_message_timestamp(message.as_ptr(), &raw mut kind) })
}
