//! What rdkafka's safe interface can't do: write a header whose name is not UTF-8, and read one (its reader panics on such a
//! name; its writer takes `&str` only); and change rights and users.
//!
//! All `unsafe` of this crate stands here. The invariant: nothing that librdkafka lends outlives the call that got it.
#![allow(unsafe_code)]

pub(crate) mod admin;
pub(crate) mod request;

use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::slice;

use daemonry::record::Partition;
use rdkafka::bindings::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 as Memory;
use rdkafka::bindings::{self as raw, rd_kafka_vtype_t as Kind};
use rdkafka::bindings::{rd_kafka_vu_s as Argument, rd_kafka_vu_s__bindgen_ty_1 as Value};
use rdkafka::error::IsError as _;
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::message::Message;

/// The headers of `message`, names as bytes.
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is valid as long as it is borrowed; on success `headers` is set to what it owns.
    if unsafe { raw::rd_kafka_message_headers(message.ptr(), &raw mut headers) }.is_error() {
        return Vec::new();
    }
    let mut found = Vec::new();
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `headers` belongs to the message, which is borrowed; an index behind the last one is an error.
        let result =
            unsafe { raw::rd_kafka_header_get_all(headers, found.len(), &raw mut name, &raw mut value, &raw mut size) };
        if result.is_error() {
            return found;
        }
        // SAFETY: librdkafka ends each name with a NUL, and `value` is null or points at `size` bytes; both are
        // copied before the message can go.
        found.push(unsafe {
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast::<u8>(), size).to_vec());
            (CStr::from_ptr(name).to_bytes().to_vec(), value)
        });
    }
}

/// Names brokers to a client that knows none: where they listed none of themselves it may find nobody by itself any more.
pub(crate) fn name_brokers<C>(producer: &BaseProducer<C>, brokers: &CStr)
where
    C: ProducerContext,
{
    let (client, mut count) = (producer.client().native_ptr(), 0);
    // SAFETY: the client lives for as long as it is borrowed. The count is written before the call returns; the list is ours, and given back
    // once; the text is copied.
    unsafe {
        let ids = raw::rd_kafka_brokers_learned_ids(client, &raw mut count);
        raw::rd_kafka_mem_free(client, ids.cast());
        if count == 0 {
            raw::rd_kafka_brokers_add(client, brokers.as_ptr());
        }
    }
}

/// Hands a copy of `message` to the producer; the delivery report carries `tag`.
pub(crate) fn enqueue<C>(
    producer: &BaseProducer<C>,
    topic: &CStr,
    partition: Option<Partition>,
    message: &Message,
    tag: usize,
) -> Result<(), RDKafkaErrorCode>
where
    C: ProducerContext<DeliveryOpaque = usize>,
{
    let (key, value) = (memory(message.key.as_deref()), memory(message.value.as_deref()));
    let mut arguments = vec![
        Argument { vtype: Kind::RD_KAFKA_VTYPE_TOPIC, u: Value { cstr: topic.as_ptr() } },
        Argument { vtype: Kind::RD_KAFKA_VTYPE_MSGFLAGS, u: Value { i: raw::RD_KAFKA_MSG_F_COPY } },
        Argument { vtype: Kind::RD_KAFKA_VTYPE_KEY, u: Value { mem: key } },
        Argument { vtype: Kind::RD_KAFKA_VTYPE_VALUE, u: Value { mem: value } },
        Argument { vtype: Kind::RD_KAFKA_VTYPE_OPAQUE, u: Value { ptr: ptr::without_provenance_mut::<c_void>(tag) } },
    ];
    if let Some(Partition(partition)) = partition {
        arguments.push(Argument { vtype: Kind::RD_KAFKA_VTYPE_PARTITION, u: Value { i32_: partition } });
    }
    let headers = Headers::new(message);
    arguments.push(Argument { vtype: Kind::RD_KAFKA_VTYPE_HEADERS, u: Value { headers: headers.0 } });
    // SAFETY: every argument's union holds the member that its type names and points at something that lives through
    // the call; key and value are copied (MSG_F_COPY). The opaque is what the context's `usize` makes of a tag.
    let error = unsafe { raw::rd_kafka_produceva(producer.client().native_ptr(), arguments.as_ptr(), arguments.len()) };
    if error.is_null() {
        // The headers belong to librdkafka now.
        std::mem::forget(headers);
        return Ok(());
    }
    // SAFETY: the error is ours to read once and to destroy.
    let code = unsafe {
        let code = raw::rd_kafka_error_code(error);
        raw::rd_kafka_error_destroy(error);
        code
    };
    Err(code.into())
}

/// A list of headers that is ours until a produce call has taken it.
struct Headers(*mut raw::rd_kafka_headers_t);

impl Headers {
    fn new(message: &Message) -> Self {
        // SAFETY: no precondition.
        let list = Self(unsafe { raw::rd_kafka_headers_new(message.headers.len()) });
        for (name, value) in &message.headers {
            assert!(!name.contains(&0), "a header's name can't hold a NUL: librdkafka would cut it there");
            let value = memory(value.as_deref());
            // SAFETY: the list is ours; name and value are copied, their sizes are those of the slices.
            let result = unsafe {
                raw::rd_kafka_header_add(
                    list.0,
                    name.as_ptr().cast::<c_char>(),
                    name.len().cast_signed(),
                    value.ptr,
                    value.size.cast_signed(),
                )
            };
            assert!(!result.is_error(), "adding to a list that is ours can't fail");
        }
        list
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: the list is ours, and was not handed on.
        unsafe { raw::rd_kafka_headers_destroy(self.0) }
    }
}

/// Bytes as librdkafka takes them: null is null, and the empty slice's pointer is not null.
fn memory(bytes: Option<&[u8]>) -> Memory {
    match bytes {
        Some(bytes) => Memory { ptr: bytes.as_ptr().cast_mut().cast(), size: bytes.len() },
        None => Memory { ptr: ptr::null_mut(), size: 0 },
    }
}
