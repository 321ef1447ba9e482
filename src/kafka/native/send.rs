//! Producing a record whose header names are bytes, which the binding only takes as text.

use std::ffi::CString;
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer, ProducerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::util::IntoOpaque;

use crate::record::{Header, Timestamp};

/// A record on its way out.
#[derive(Debug, Clone, Copy)]
pub(in crate::kafka) struct Letter<'a> {
    /// Where to.
    pub(in crate::kafka) topic: &'a str,
    /// Its key, if any; decides about the partition.
    pub(in crate::kafka) key: Option<&'a [u8]>,
    /// Its value; `None` for a tombstone.
    pub(in crate::kafka) value: Option<&'a [u8]>,
    /// Its headers, in order.
    pub(in crate::kafka) headers: &'a [Header<'a>],
    /// Its time; `None` for now.
    pub(in crate::kafka) timestamp: Option<Timestamp>,
}

/// Why a record was not taken.
#[derive(Debug)]
pub(in crate::kafka) struct Refused {
    /// What kind of error.
    pub(in crate::kafka) code: RDKafkaErrorCode,
}

/// Hands a copy of the letter to the producer. `receipt` comes back with its delivery report, or is dropped here where the
/// letter is refused. It is of the type that the producer's context takes back.
pub(in crate::kafka) fn produce<C: ProducerContext>(
    producer: &impl Producer<C>,
    letter: &Letter<'_>,
    receipt: C::DeliveryOpaque,
) -> Result<(), Refused> {
    let Ok(topic) = CString::new(letter.topic) else { return Err(Refused { code: RDKafkaErrorCode::InvalidTopic }) };
    let headers = HeaderList::copy(letter.headers)?;
    let receipt = receipt.into_ptr();
    let arguments = [
        text(&topic),
        memory(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY, letter.key),
        memory(sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE, letter.value),
        sys::rd_kafka_vu_t {
            vtype: sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
            u: sys::rd_kafka_vu_s__bindgen_ty_1 {
                i64_: letter.timestamp.and_then(|time| i64::try_from(time.as_millis()).ok()).unwrap_or(0),
            },
        },
        sys::rd_kafka_vu_t {
            vtype: sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
            u: sys::rd_kafka_vu_s__bindgen_ty_1 { i: sys::RD_KAFKA_MSG_F_COPY },
        },
        sys::rd_kafka_vu_t {
            vtype: sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_OPAQUE,
            u: sys::rd_kafka_vu_s__bindgen_ty_1 { ptr: receipt },
        },
        sys::rd_kafka_vu_t {
            vtype: sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
            u: sys::rd_kafka_vu_s__bindgen_ty_1 { headers: headers.0.as_ptr() },
        },
    ];
    // SAFETY: the client is a live producer. Each argument's union field is the one that its type names; what they point
    // at lives until the call returns, and key, topic and (by the flag) value are copied within it. Where it returns no
    // error, librdkafka owns the headers and brings the receipt back in a delivery report; else both stay ours.
    let error = unsafe { sys::rd_kafka_produceva(producer.client().native_ptr(), arguments.as_ptr(), arguments.len()) };
    let Some(error) = NonNull::new(error) else {
        std::mem::forget(headers);
        return Ok(());
    };
    // SAFETY: the error is ours to read and to free, once; its code is one of librdkafka's own, no broker was asked. The letter
    // was refused, so the receipt was not taken over.
    let code = unsafe {
        let code = sys::rd_kafka_error_code(error.as_ptr());
        sys::rd_kafka_error_destroy(error.as_ptr());
        drop(C::DeliveryOpaque::from_ptr(receipt));
        code
    };
    Err(Refused { code: code.into() })
}

fn text(topic: &CString) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t {
        vtype: sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
        u: sys::rd_kafka_vu_s__bindgen_ty_1 { cstr: topic.as_ptr() },
    }
}

/// An empty slice has a pointer that isn't null, so "empty" and "none" stay apart.
fn memory(kind: sys::rd_kafka_vtype_t, data: Option<&[u8]>) -> sys::rd_kafka_vu_t {
    let (start, size) = data.map_or((ptr::null(), 0), |data| (data.as_ptr(), data.len()));
    sys::rd_kafka_vu_t {
        vtype: kind,
        u: sys::rd_kafka_vu_s__bindgen_ty_1 {
            mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr: start.cast_mut().cast(), size },
        },
    }
}

/// A header list of our own, until a producer takes it over.
struct HeaderList(NonNull<sys::rd_kafka_headers_t>);

impl HeaderList {
    fn copy(headers: &[Header<'_>]) -> Result<Self, Refused> {
        // SAFETY: makes a new list, which librdkafka never fails to do (it aborts without memory).
        let list = unsafe { sys::rd_kafka_headers_new(headers.len()) };
        let list = Self(NonNull::new(list).ok_or(Refused { code: RDKafkaErrorCode::Fail })?);
        for header in headers {
            let size = |length: usize| isize::try_from(length).expect("a slice is never longer than that");
            let (value, length) = header.value.map_or((ptr::null(), 0), |value| (value.as_ptr(), size(value.len())));
            // SAFETY: the list is ours; name and value are copied within the call, by the lengths given.
            let outcome = unsafe {
                sys::rd_kafka_header_add(
                    list.0.as_ptr(),
                    header.name.as_ptr().cast(),
                    size(header.name.len()),
                    value.cast(),
                    length,
                )
            };
            if outcome != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(Refused { code: outcome.into() });
            }
        }
        Ok(list)
    }
}

impl Drop for HeaderList {
    fn drop(&mut self) {
        // SAFETY: no producer took the list over, else it would have been forgotten; so it is ours to free.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) }
    }
}
