//! The answer to a question that only an administrator asks: an event of its kind.

use std::hint::black_box;
use std::mem::transmute;
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use super::commit::error_of;
use super::known;

/// How much longer than a request may take we wait for the word that it took too long.
const SLACK: i32 = 2_000;

/// An event that holds an answer, and is given back with it.
#[derive(Debug)]
pub(super) struct Asked(NonNull<sys::rd_kafka_event_t>);

impl Asked {
    /// Asks, and waits for the answer; one that is an error as a whole is none.
    ///
    /// `send` gets the client, and options and queue of a request of this kind; it sends one such request off. It must keep none of them:
    /// they are gone when this returns.
    pub(super) fn of<C: ClientContext>(
        client: &Client<C>,
        kind: sys::rd_kafka_admin_op_t,
        patience: Duration,
        send: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Self, Code> {
        let millis = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX - SLACK);
        let client = client.native_ptr();
        // SAFETY: the client is live for as long as it is borrowed. Options and queue are ours; a request keeps a copy of the first and a
        // reference of the second. A timeout out of bounds is refused, and nothing is written without a buffer for why. What comes out of
        // the queue is ours; an answer that comes too late goes with the queue.
        let event = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(client, kind);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            let queue = sys::rd_kafka_queue_new(client);
            send(client, options, queue);
            let event = sys::rd_kafka_queue_poll(queue, millis + SLACK);
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            event
        };
        let asked = NonNull::new(event).map(Self).ok_or(Code::OperationTimedOut)?;
        // SAFETY: the event is live.
        match unsafe { error_of(asked.as_ptr()) } {
            0 => Ok(asked),
            code => Err(known(code)),
        }
    }

    /// The event; live for as long as `self` is borrowed.
    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_event_t {
        self.0.as_ptr()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and nothing of it is kept.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

/// The code of an error that an answer holds for a part of it; `None` where it is null, or of no error.
///
/// # Safety
/// `error` is null or live.
pub(super) unsafe fn code_of(error: *const sys::rd_kafka_error_t) -> Option<Code> {
    type Declared = unsafe extern "C" fn(*const sys::rd_kafka_error_t) -> RDKafkaRespErr;
    type Defined = unsafe extern "C" fn(*const sys::rd_kafka_error_t) -> i32;
    if error.is_null() {
        return None;
    }
    // As in `error_of`: a broker may send a code that the binding's enum doesn't know.
    let declared: Declared = black_box(sys::rd_kafka_error_code);
    // SAFETY: the C function returns a C enum, and so an `int`, and takes the same argument.
    let defined = unsafe { transmute::<Declared, Defined>(declared) };
    // SAFETY: as the caller promises.
    let code = unsafe { defined(error) };
    (code != 0).then(|| known(code))
}
