//! Queues of a client, and what they ring when they stop being empty.

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rdkafka::bindings as sys;

use crate::kafka::client::Client;

/// What a queue rings when it stops being empty.
pub(super) trait Bell: Send + Sync {
    /// Called by librdkafka's threads, under the queue's lock: it must not wait, nor turn to the client.
    fn ring(&self);
}

/// A handle of one of librdkafka's queues, given back when it is dropped; the bell and the client are let go after that.
#[derive(Debug)]
pub(super) struct Queue<B: Bell> {
    handle: NonNull<sys::rd_kafka_queue_t>,
    bell: Arc<B>,
    client: Arc<Client>,
}

// SAFETY: librdkafka's queues are guarded by locks of their own and may be used from any thread.
unsafe impl<B: Bell> Send for Queue<B>
where
    Arc<B>: Send,
    Arc<Client>: Send,
{
}

impl<B: Bell> Queue<B> {
    /// Takes over a handle, unless it is null, and has its queue ring the bell from now on.
    ///
    /// # Safety
    /// The handle is live, of a queue of `client`, and nobody else gives it back.
    pub(super) unsafe fn own(handle: *mut sys::rd_kafka_queue_t, client: &Arc<Client>, bell: Arc<B>) -> Option<Self> {
        let this = Self { handle: NonNull::new(handle)?, bell, client: Arc::clone(client) };
        // SAFETY: the handle is live. What the callback is given lives in an `Arc` that `this` holds until it has switched the
        // callback off.
        unsafe {
            let bell = Arc::as_ptr(&this.bell).cast_mut().cast();
            sys::rd_kafka_queue_cb_event_enable(this.as_ptr(), Some(ring::<B>), bell);
        }
        Some(this)
    }

    /// The native handle; live for as long as `self` is borrowed.
    pub(super) fn as_ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.handle.as_ptr()
    }

    /// What it rings.
    pub(super) fn bell(&self) -> &B {
        &self.bell
    }

    /// The client that it is a queue of.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.client
    }
}

impl<B: Bell> Drop for Queue<B> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and live, and isn't used after this. The callback is switched off first: librdkafka calls
        // it under the queue's lock, and switching it off takes that lock, so no call is under way afterwards.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.as_ptr());
        }
    }
}

/// What librdkafka calls. A panic, which there is no cause for, would end the process here and not unwind into C.
unsafe extern "C" fn ring<B: Bell>(_client: *mut sys::rd_kafka_t, bell: *mut c_void) {
    // SAFETY: `bell` is the `B` that `Queue::own` registered, and is kept alive until this is switched off.
    unsafe { &*bell.cast_const().cast::<B>() }.ring();
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
