//! Which brokers a client knows. The binding can't ask, nor name it others than when it is made.

use std::ffi::CString;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;

/// Whether the client knows a broker that a broker has named.
pub(in crate::kafka) fn knows_brokers<C: ClientContext>(client: &Client<C>) -> bool {
    let mut count = 0;
    // SAFETY: the client lives for as long as it is borrowed. The count is written before the call returns; what comes back is ours, may be
    // null where there are none, isn't read, and is given back once.
    unsafe {
        let ids = sys::rd_kafka_brokers_learned_ids(client.native_ptr(), &raw mut count);
        sys::rd_kafka_mem_free(client.native_ptr(), ids.cast());
    }
    count > 0
}

/// Names brokers to the client to begin with, beside those that it knows.
pub(in crate::kafka) fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &str) {
    let Ok(brokers) = CString::new(brokers) else { return };
    // SAFETY: the client lives for as long as it is borrowed; the text is a C string, and is copied before the call returns.
    unsafe {
        sys::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr());
    }
}
