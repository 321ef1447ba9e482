//! What the brokers say of our rights on topics, and which topics they are. The binding can't ask for either.

use std::ffi::{CStr, CString};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
pub(super) use sys::rd_kafka_AclOperation_t as Operation;
use sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS as DESCRIBE_TOPICS;

use crate::record::Topic;

/// What we may do with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Whether we may read it.
    pub(crate) read: bool,
    /// Whether we may write to it.
    pub(crate) write: bool,
}

/// What the brokers say of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kafka) struct Told {
    /// Which topic.
    pub(in crate::kafka) topic: Topic,
    /// Its id: another one for each topic that is made, if only of the same name. Zero with brokers that give none.
    pub(in crate::kafka) id: u128,
    /// What we may do with it; `None` where they don't tell.
    pub(in crate::kafka) rights: Option<Rights>,
}

/// Asks this broker about these topics, which must differ. A topic that it tells nothing of is left out, all are where it doesn't answer
/// in time.
pub(in crate::kafka) fn rights<C: ClientContext>(
    client: &Client<C>,
    broker: i32,
    topics: &[Topic],
    patience: Duration,
) -> Vec<Told> {
    let names: Result<Vec<_>, _> = topics.iter().map(|topic| CString::new(topic.as_str())).collect();
    let answer = names.ok().and_then(|names| Answer::to(client, broker, &names, patience));
    answer.map_or_else(Vec::new, |answer| answer.told())
}

/// The event that holds the answer.
struct Answer(NonNull<sys::rd_kafka_event_t>);

impl Answer {
    fn to<C: ClientContext>(client: &Client<C>, broker: i32, names: &[CString], patience: Duration) -> Option<Self> {
        let mut names: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        let millis = i32::try_from(patience.as_millis()).ok()?;
        let client = client.native_ptr();
        // SAFETY: the client is live for as long as it is borrowed. The names are C strings that live through the call that copies them.
        // Topics, options and queue are ours; the request keeps copies of the first two and a reference of the queue. A refused setting
        // of the rights is told by an error that is ours to destroy, or else by null, which may be "destroyed" too. What comes out of the
        // queue is ours; an answer that comes too late goes with the queue.
        let event = unsafe {
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
            let options = sys::rd_kafka_AdminOptions_new(client, DESCRIBE_TOPICS);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, ptr::null_mut(), 0);
            // The controller, which would be asked otherwise, need not be the one that can be reached.
            sys::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            sys::rd_kafka_error_destroy(sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1));
            let queue = sys::rd_kafka_queue_new(client);
            sys::rd_kafka_DescribeTopics(client, topics, options, queue);
            let event = sys::rd_kafka_queue_poll(queue, millis);
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            sys::rd_kafka_TopicCollection_destroy(topics);
            event
        };
        NonNull::new(event).map(Self)
    }

    fn told(&self) -> Vec<Told> {
        let mut count = 0;
        // SAFETY: the event is live. It has a result if it is of the kind that was asked for, and that is without topics where the
        // request as a whole has failed.
        let topics = unsafe {
            let result = sys::rd_kafka_event_DescribeTopics_result(self.0.as_ptr());
            if result.is_null() {
                return Vec::new();
            }
            sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count)
        };
        // SAFETY: there are `count` pointers. One is null where the broker tells nothing of the topic that was asked for in its place; the
        // others are descriptions that live as long as the event, and all that is read of them is copied before it goes.
        (0..count)
            .filter_map(|index| unsafe { NonNull::new((*topics.add(index)).cast_mut()).and_then(|topic| read(topic)) })
            .collect()
    }
}

/// # Safety
/// `topic` is a live description.
unsafe fn read(topic: NonNull<sys::rd_kafka_TopicDescription_t>) -> Option<Told> {
    let topic = topic.as_ptr().cast_const();
    let mut count = 0;
    // SAFETY: the description is live; its name is a C string.
    let (name, operations) = unsafe {
        let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy();
        (name, sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count))
    };
    // SAFETY: as above. The id may be null; it is only read.
    let id = unsafe {
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return None;
        }
        let halves = [sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id)];
        halves.iter().fold(0, |id, half| (id << 64) | u128::from(half.cast_unsigned()))
    };
    let topic = Topic::from(name.as_ref());
    // Whoever may not even describe it gets an error; so none at all means that the broker does not know.
    if operations.is_null() || count == 0 {
        return Some(Told { topic, id, rights: None });
    }
    // SAFETY: there are `count` of them.
    let may = |operation| unsafe { may(operations, count, operation) };
    let read = may(Operation::RD_KAFKA_ACL_OPERATION_READ);
    let write = may(Operation::RD_KAFKA_ACL_OPERATION_WRITE);
    Some(Told { topic, id, rights: Some(Rights { read, write }) })
}

/// Whether an operation is among these.
///
/// # Safety
/// There are `count` of them.
pub(super) unsafe fn may(operations: *const Operation, count: usize, operation: Operation) -> bool {
    // SAFETY: as the caller promises; read as the plain numbers they are in C.
    (0..count).any(|index| unsafe { operations.add(index).cast::<u32>().read() } == operation as u32)
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: the event is ours, and nothing of it is kept.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}
