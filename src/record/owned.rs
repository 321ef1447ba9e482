//! Records in memory of their own: for a source of your own, for tests, and for the in-memory broker.

use std::sync::Arc;

use super::{Backing, Header, Offset, Record, Timestamp, TopicPartition};

/// A record built by hand: for a source of your own, and for tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRecord {
    /// The key, if any.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The time, if any.
    pub timestamp: Option<Timestamp>,
}

impl OwnedRecord {
    /// A record with a value, and nothing else yet.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::default() }
    }

    /// A record with a value in JSON, and nothing else yet.
    ///
    /// # Errors
    /// Where the value can't be written as JSON.
    pub fn json<T: serde::Serialize + ?Sized>(value: &T) -> serde_json::Result<Self> {
        Ok(Self::new(serde_json::to_vec(value)?))
    }

    /// The same with this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }
}

impl OwnedRecord {
    /// A copy of a record.
    pub(crate) fn of(record: &Record) -> Self {
        let headers = record.headers().map(|header| (header.name.to_vec(), header.value.map(<[u8]>::to_vec)));
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.value().map(<[u8]>::to_vec),
            headers: headers.collect(),
            timestamp: record.timestamp(),
        }
    }

    /// The record as it would be read from `offset` of a partition: to test a handler, a filter or a key function with.
    pub fn into_record(self, topic_partition: TopicPartition, offset: i64) -> Record {
        let backing = OwnedRecords { topic_partition, records: vec![(Offset(offset), Arc::new(self))] };
        Record::adopt(Arc::new(backing), 0)
    }
}

/// Records in memory of their own: the ready [`Backing`].
#[derive(Debug)]
pub struct OwnedRecords {
    topic_partition: TopicPartition,
    records: Vec<(Offset, Arc<OwnedRecord>)>,
}

impl OwnedRecords {
    /// Handles of `records`, all of `topic_partition`, in the order given.
    ///
    /// ```
    /// use daemonry::record::{Offset, OwnedRecord, OwnedRecords, TopicPartition};
    /// use std::sync::Arc;
    ///
    /// let place = TopicPartition::new("orders", 0);
    /// let record = Arc::new(OwnedRecord::new("{}").with_key("a"));
    /// let records = OwnedRecords::handles(place, vec![(Offset(7), record)]);
    /// assert_eq!(records[0].key(), Some(&b"a"[..]));
    /// ```
    pub fn handles(topic_partition: TopicPartition, records: Vec<(Offset, Arc<OwnedRecord>)>) -> Vec<Record> {
        let count = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let backing: Arc<dyn Backing> = Arc::new(Self { topic_partition, records });
        (0..count).map(|index| Record::adopt(Arc::clone(&backing), index)).collect()
    }

    fn get(&self, index: u32) -> &OwnedRecord {
        &self.records[index as usize].1
    }
}

impl Backing for OwnedRecords {
    fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }
    fn offset(&self, index: u32) -> Offset {
        self.records[index as usize].0
    }
    fn key(&self, index: u32) -> Option<&[u8]> {
        self.get(index).key.as_deref()
    }
    fn value(&self, index: u32) -> Option<&[u8]> {
        self.get(index).value.as_deref()
    }
    fn timestamp(&self, index: u32) -> Option<Timestamp> {
        self.get(index).timestamp
    }
    fn header(&self, index: u32, nth: usize) -> Option<Header<'_>> {
        let (name, value) = self.get(index).headers.get(nth)?;
        Some(Header { name, value: value.as_deref() })
    }
    // The batch's memory is freed as one, with its last handle.
    fn retain(&self, _index: u32) {}
    fn release(&self, _index: u32) {}
}
