//! The one module with `unsafe` in it: what the safe binding of librdkafka can't do, or only at a cost on the hot path.
//!
//! Owner: the event thread, for queues; whoever holds a [`Record`](crate::record::Record), for messages. The invariant:
//! every pointer that comes out of a client is given back before that client is destroyed. Each type that leaves here keeps
//! an `Arc` of its [`Client`](super::client::Client) for that, and each block states why it may do what it does. `make
//! sanitize` looks whether that is so.
#![allow(unsafe_code)]

#[cfg(feature = "cli")]
mod asked;
mod batch;
mod brokers;
mod commit;
mod copied;
#[cfg(feature = "cli")]
mod groups;
mod handles;
mod headers;
#[cfg(feature = "cli")]
mod offsets;
mod partition;
mod queue;
mod rights;
mod send;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

pub(super) use batch::Failure;
pub(super) use brokers::{add_brokers, knows_brokers};
pub(super) use commit::{Answer, CommitQueue};
#[cfg(feature = "cli")]
pub(super) use groups::{commit, commits, group};
#[cfg(feature = "cli")]
pub(super) use offsets::{Isolation, offsets};
pub(super) use partition::{Buffer, PartitionQueue};
pub(super) use queue::waiting_events;
pub(crate) use rights::Rights;
pub(super) use rights::{Told, rights};
pub(super) use send::{Letter, produce};

use super::client::Client;
use super::context::Context;
use crate::record::{Offset, TopicPartition};

/// What a broker keeps for one partition of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Committed {
    /// The partition.
    pub(super) place: TopicPartition,
    /// The offset to read next, if one was committed.
    pub(super) offset: Option<i64>,
    /// What was written beside it; text that isn't UTF-8 comes out damaged, and so as foreign.
    pub(super) metadata: String,
    /// Why this partition's commit could not be read.
    pub(super) error: Option<RDKafkaErrorCode>,
    /// The epoch of the leader under which what is below the offset was read, if it was written beside it.
    pub(super) leader_epoch: Option<LeaderEpoch>,
}

/// Counts the leaders of a partition: by it a broker tells whether a log still is the one that was read. Whoever has read up to somewhere
/// may name that of the last record, or a later one that it has seen since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeaderEpoch(i32);

impl LeaderEpoch {
    /// As librdkafka has it: none is below 0.
    fn known(epoch: i32) -> Option<Self> {
        (epoch >= 0).then_some(Self(epoch))
    }
}

/// Writes these beside the offsets of a list, one by one. Of a list that nobody else has.
pub(super) fn set_leader_epochs(list: &TopicPartitionList, epochs: impl Iterator<Item = Option<LeaderEpoch>>) {
    // SAFETY: `ptr()` is the live list that `list` owns, which holds `cnt` elements; the call changes nothing but the element, and keeps
    // nothing of it.
    unsafe {
        let list = list.ptr();
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        for (index, epoch) in epochs.take(count).enumerate() {
            if let Some(LeaderEpoch(epoch)) = epoch {
                sys::rd_kafka_topic_partition_set_leader_epoch((*list).elems.add(index), epoch);
            }
        }
    }
}

/// Reads a list of committed offsets. By hand, since the binding panics on metadata that isn't UTF-8.
pub(super) fn committed(list: &TopicPartitionList) -> Vec<Committed> {
    // SAFETY: `ptr()` is the live list that `list` owns, and it isn't changed while `list` is borrowed.
    unsafe { read_list(list.ptr()) }
}

/// A copy of a list's elements; empty where it is null.
///
/// # Safety
/// The list is null, or live and not changed meanwhile.
unsafe fn read_list(list: *const sys::rd_kafka_topic_partition_list_t) -> Vec<Committed> {
    // SAFETY: as the caller promises. `elems` holds `cnt` elements, and may be null where `cnt` is 0, which makes no index.
    unsafe {
        let count = list.as_ref().map_or(0, |list| usize::try_from(list.cnt).unwrap_or(0));
        (0..count).map(|index| read_element((*list).elems.add(index))).collect()
    }
}

/// A copy of a list's element.
///
/// # Safety
/// The element is live, and not changed meanwhile.
unsafe fn read_element(element: *const sys::rd_kafka_topic_partition_t) -> Committed {
    // SAFETY: as the caller promises. The topic is a C string; librdkafka keeps `metadata_size` bytes at `metadata`, for as long as the
    // element lives. The code is read as the plain number it is in C, see `adopt`: so no reference to the whole is made.
    let (topic, partition, offset, metadata, code, epoch) = unsafe {
        let topic = CStr::from_ptr((&raw const (*element).topic).read()).to_string_lossy();
        let metadata = bytes((*element).metadata, (*element).metadata_size).unwrap_or_default();
        let code = (&raw const (*element).err).cast::<i32>().read();
        let epoch = sys::rd_kafka_topic_partition_get_leader_epoch(element);
        (topic, (*element).partition, (*element).offset, metadata, code, epoch)
    };
    Committed {
        place: TopicPartition::new(topic.as_ref(), partition),
        offset: (offset >= 0).then_some(offset),
        metadata: String::from_utf8_lossy(metadata).into_owned(),
        error: (code != 0).then(|| known(code)),
        leader_epoch: LeaderEpoch::known(epoch),
    }
}

/// Where the partition ends, as its last fetch told; makes no request.
pub(super) fn cached_end(client: &Client, place: &TopicPartition) -> Option<i64> {
    let topic = CString::new(place.topic.as_str()).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client lives for as long as it is borrowed; the topic is a C string; both results are written before the
    // call returns, and not kept.
    let outcome = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.native(),
            topic.as_ptr(),
            place.partition.0,
            &raw mut low,
            &raw mut high,
        )
    };
    (outcome == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Where the client's own reading of the partition stands: behind the last record that was taken from its queue, and behind the
/// markers of transactions that were passed over on the way; and under which leader that was. `None` until anything was, and again from when
/// fetching was stopped.
pub(super) fn position(client: &Client, place: &TopicPartition) -> Option<(Offset, Option<LeaderEpoch>)> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(place.topic.as_str(), place.partition.0);
    // SAFETY: the client lives for as long as it is borrowed, and the list is ours alone; the call writes the offsets into it and
    // keeps nothing of it.
    let outcome = unsafe { sys::rd_kafka_position(client.native(), list.ptr()) };
    let found = committed(&list).into_iter().next()?;
    let offset = found.offset.filter(|_| outcome == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR)?;
    Some((Offset(offset), found.leader_epoch))
}

/// The generation of the group that the client is a member of, or under KIP-848 its own epoch; none until the group has taken it in.
pub(super) fn generation(client: &Client) -> Option<i32> {
    // SAFETY: the client lives for as long as it is borrowed. What comes back is ours, or null for a client without a group.
    let metadata = NonNull::new(unsafe { sys::rd_kafka_consumer_group_metadata(client.native()) })?;
    // SAFETY: it is live until the next line, and only a number is read from it.
    let generation = unsafe { sys::rd_kafka_consumer_group_metadata_generation_id(metadata.as_ptr()) };
    // SAFETY: it is ours, and nothing of it is kept.
    unsafe { sys::rd_kafka_consumer_group_metadata_destroy(metadata.as_ptr()) }
    (generation > 0).then_some(generation)
}

/// Whether the client has a member id: under the classic protocol, whether it is a member of its group, as far as it knows.
pub(super) fn has_member_id(consumer: &BaseConsumer<Context>) -> bool {
    let client = consumer.client().native_ptr();
    // SAFETY: the client lives for as long as it is borrowed. What comes back is a C string of ours, or null.
    let Some(id) = NonNull::new(unsafe { sys::rd_kafka_memberid(client) }) else { return false };
    // SAFETY: the string is live until the next line, and has one byte at least.
    let is_empty = unsafe { id.read() } == 0;
    // SAFETY: it is ours, came from this client, and nothing of it is kept.
    unsafe { sys::rd_kafka_mem_free(client, id.as_ptr().cast()) }
    !is_empty
}

/// The binding's word for a code; `Unknown` for one that it has none for.
fn known(code: i32) -> RDKafkaErrorCode {
    RDKafkaRespErr::try_from(code).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
}

/// `size` bytes at `start`; `None` for a null pointer, which is how librdkafka says "none".
///
/// # Safety
/// Where `start` isn't null, `size` bytes stand there, and aren't changed or freed within `'a`.
unsafe fn bytes<'a>(start: *const std::ffi::c_void, size: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast(), size) })
}
