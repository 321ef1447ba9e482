//! Headers of a message, by bytes.

use std::ffi::c_char;
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;
use rdkafka::types::RDKafkaRespErr;

use super::bytes;
use crate::record::Header;

/// The parsed headers of one message; owned by that message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Headers(NonNull<sys::rd_kafka_headers_t>);

// SAFETY: once parsed, a header list isn't changed until its message is destroyed.
unsafe impl Send for Headers {}
// SAFETY: as above; reading it takes no lock and writes nothing.
unsafe impl Sync for Headers {}

impl Headers {
    /// Parses the headers of a message: librdkafka does so at the first call and keeps the list in the message.
    ///
    /// # Safety
    /// `message` is live, and nobody else parses its headers at the same time.
    pub(super) unsafe fn parse(message: NonNull<sys::rd_kafka_message_t>) -> Option<Self> {
        let mut list = ptr::null_mut();
        // SAFETY: as the caller promises.
        let outcome = unsafe { sys::rd_kafka_message_headers(message.as_ptr(), &raw mut list) };
        NonNull::new(list).filter(|_| outcome == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).map(Self)
    }

    /// The header in place `nth`.
    ///
    /// # Safety
    /// The message that owns the list lives as long as `'a`.
    pub(super) unsafe fn get<'a>(self, nth: usize) -> Option<Header<'a>> {
        // librdkafka takes it as a C `int`.
        let nth = usize::try_from(i32::try_from(nth).ok()?).ok()?;
        let mut name: *const c_char = ptr::null();
        let (mut value, mut size) = (ptr::null(), 0);
        // SAFETY: the list is live; the three results are written where it returns no error.
        let outcome =
            unsafe { sys::rd_kafka_header_get_all(self.0.as_ptr(), nth, &raw mut name, &raw mut value, &raw mut size) };
        if outcome != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka ends each name with a zero byte and each value stands in `size` bytes, both within the list.
        // (A name with a zero byte in it comes out cut there: the library keeps its length to itself.)
        unsafe { Some(Header { name: std::ffi::CStr::from_ptr(name).to_bytes(), value: bytes(value, size) }) }
    }
}
