//! A record in memory of its own.

use std::ops::Range;
use std::ptr::NonNull;

use rdkafka::bindings as sys;

use super::bytes;
use super::headers::Headers;
use crate::record::{Header, Timestamp};

/// All of a message but its offset, copied.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) timestamp: Option<Timestamp>,
    /// Where the key stands, if there is one; likewise the value.
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    /// Key and value, in memory of one piece.
    bytes: Box<[u8]>,
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
        let (key, value, headers, timestamp) = unsafe {
            let headers = Headers::parse(message);
            let headers = (0..).map_while(|nth| headers.and_then(|headers| headers.get(nth)));
            let headers = headers.map(|header| (Box::from(header.name), header.value.map(Box::from))).collect();
            let (key, value) = (bytes((*raw).key, (*raw).key_len), bytes((*raw).payload, (*raw).len));
            (key, value, headers, timestamp(message))
        };
        let start = key.map_or(0, <[u8]>::len);
        Self {
            timestamp,
            key: key.map(|key| 0..key.len()),
            value: value.map(|value| start..start + value.len()),
            bytes: [key.unwrap_or_default(), value.unwrap_or_default()].concat().into_boxed_slice(),
            headers,
        }
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        self.key.clone().map(|range| &self.bytes[range])
    }

    pub(super) fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|range| &self.bytes[range])
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
