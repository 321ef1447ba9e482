//! Records and the words for where they stand: topic, partition, offset.
//!
//! A [`Record`] is a cheap, owned, `Send` handle: an `Arc` of the batch it came in and an index. What it points at
//! belongs to the [`Backing`] of its source; for Kafka that is librdkafka's own memory, which is not copied.
//! The invariant: a record's bytes live as long as any handle of it does. Those of small records that were read together may be freed together.

mod owned;

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use owned::{OwnedRecord, OwnedRecords};

/// A topic's name. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(Arc<str>);

impl Topic {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: AsRef<str> + ?Sized> From<&T> for Topic {
    fn from(name: &T) -> Self {
        Self(Arc::from(name.as_ref()))
    }
}

impl From<String> for Topic {
    fn from(name: String) -> Self {
        Self(Arc::from(name))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// A partition's number within its topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Partition(pub i32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A topic and one of its partitions.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition's number within the topic.
    pub partition: Partition,
}

impl TopicPartition {
    /// The partition `partition` of `topic`.
    pub fn new(topic: impl Into<Topic>, partition: i32) -> Self {
        Self { topic: topic.into(), partition: Partition(partition) }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// Where a record stands in its partition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Offset(pub i64);

impl Offset {
    /// The position behind this record: what a commit names once the record is finished.
    pub fn next(self) -> NextOffset {
        NextOffset(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The offset that is to be read next: everything below it is finished. The only thing that a Kafka commit takes,
/// so that a record's own offset can't be committed by mistake.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NextOffset(i64);

impl NextOffset {
    /// A position that a source states itself: where the group committed, or where it reads next.
    pub fn at(offset: i64) -> Self {
        Self(offset)
    }

    /// The offset of the first record that is not covered.
    pub fn offset(self) -> Offset {
        Offset(self.0)
    }
}

impl fmt::Display for NextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record's time, as its producer or broker wrote it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Timestamp(Duration);

impl Timestamp {
    /// From milliseconds since 1970-01-01 UTC; `None` for a negative number, which is how Kafka says "none".
    pub fn from_millis(millis: i64) -> Option<Self> {
        u64::try_from(millis).ok().map(|millis| Self(Duration::from_millis(millis)))
    }

    /// The system's clock.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl From<SystemTime> for Timestamp {
    /// A time before 1970 becomes the first that there is.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    /// Not before 1970.
    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

/// What holds the bytes of one batch of records, all of one partition. Implemented by sources; see [`OwnedRecords`] for
/// the ready one. An index is always below the number of records that the source handed out for this backing.
pub trait Backing: Send + Sync + fmt::Debug {
    /// The partition that every record of this batch belongs to.
    fn topic_partition(&self) -> &TopicPartition;
    /// The record's offset.
    fn offset(&self, index: u32) -> Offset;
    /// The record's key; `None` where it has none.
    fn key(&self, index: u32) -> Option<&[u8]>;
    /// The record's value; `None` for a tombstone.
    fn value(&self, index: u32) -> Option<&[u8]>;
    /// The record's time, if it carries one.
    fn timestamp(&self, index: u32) -> Option<Timestamp>;
    /// The record's `nth` header in the order they were written, duplicates included; `None` behind the last one.
    /// Names and values are bytes: nobody promises UTF-8.
    fn header(&self, index: u32, nth: usize) -> Option<Header<'_>>;
    /// Whether the record's bytes stand in memory that others keep too, and that it keeps for them.
    fn is_shared(&self, _index: u32) -> bool {
        false
    }
    /// One more handle of this record exists.
    fn retain(&self, index: u32);
    /// One handle of this record is gone; with the last one its bytes may be freed.
    fn release(&self, index: u32);
}

/// A header of a record. Neither part need be UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's name.
    pub name: &'a [u8],
    /// The header's value; Kafka knows headers without one.
    pub value: Option<&'a [u8]>,
}

/// One record, as it was read. Cheap to clone, `Send`, and not tied to the source that read it.
pub struct Record {
    backing: Arc<dyn Backing>,
    index: u32,
}

impl Record {
    /// Takes over one handle of record `index` of `backing`: the backing counts it as held already.
    pub fn adopt(backing: Arc<dyn Backing>, index: u32) -> Self {
        Self { backing, index }
    }

    /// The topic and partition that this record was read from.
    pub fn topic_partition(&self) -> &TopicPartition {
        self.backing.topic_partition()
    }

    /// The topic that this record was read from.
    pub fn topic(&self) -> &Topic {
        &self.topic_partition().topic
    }

    /// The partition that this record was read from.
    pub fn partition(&self) -> Partition {
        self.topic_partition().partition
    }

    /// Where the record stands in its partition.
    pub fn offset(&self) -> Offset {
        self.backing.offset(self.index)
    }

    /// The key; `None` where the record has none, which is not the same as an empty one.
    pub fn key(&self) -> Option<&[u8]> {
        self.backing.key(self.index)
    }

    /// The value; `None` for a tombstone.
    pub fn value(&self) -> Option<&[u8]> {
        self.backing.value(self.index)
    }

    /// The record's time, if it carries one.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.backing.timestamp(self.index)
    }

    /// The headers in the order they were written, duplicates included.
    pub fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        (0..).map_while(|nth| self.backing.header(self.index, nth))
    }

    /// The value of the last header named `name`, as Kafka's own clients read it.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().filter(|h| h.name == name.as_bytes()).last().and_then(|h| h.value)
    }

    /// Gives the record memory of its own, where it shares that with others: for whoever keeps it for long. As long as one record of a fetch
    /// is there, so is all that was fetched with it.
    pub fn detach(&mut self) {
        if !self.backing.is_shared(self.index) {
            return;
        }
        let owned = OwnedRecord {
            key: self.key().map(Vec::from),
            value: self.value().map(Vec::from),
            headers: self.headers().map(|header| (header.name.to_vec(), header.value.map(Vec::from))).collect(),
            timestamp: self.timestamp(),
        };
        *self = owned.into_record(self.topic_partition().clone(), self.offset().0);
    }

    /// Bytes of key and value: what the record counts against a byte budget.
    pub fn size(&self) -> usize {
        self.key().map_or(0, <[u8]>::len) + self.value().map_or(0, <[u8]>::len)
    }
}

impl Clone for Record {
    fn clone(&self) -> Self {
        self.backing.retain(self.index);
        Self { backing: Arc::clone(&self.backing), index: self.index }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.backing.release(self.index);
    }
}

impl fmt::Debug for Record {
    /// Where the record stands and how large it is; never its contents, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("topic", self.topic())
            .field("partition", &self.partition().0)
            .field("offset", &self.offset().0)
            .field("size", &self.size())
            .finish()
    }
}
