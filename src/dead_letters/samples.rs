//! Letters for tests.

use crate::record::{OwnedRecord, Record, TopicPartition};

/// The headers of a letter, behind those of the record.
pub(crate) fn letter_of(record: OwnedRecord) -> OwnedRecord {
    [
        ("daemonry-topic", "orders"),
        ("daemonry-partition", "3"),
        ("daemonry-offset", "41"),
        ("daemonry-timestamp", "1600000000000"),
        ("daemonry-reason", "undecodable"),
        ("daemonry-error", "not JSON"),
        ("daemonry-attempts", "1"),
        ("daemonry-daemon", "shop"),
        ("daemonry-handler", "orders::create"),
        ("daemonry-failed-at", "1600000000001"),
    ]
    .into_iter()
    .fold(record, |record, (name, value)| record.with_header(name, value))
}

/// The record as it would be read.
pub(crate) fn record_at(partition: i32, offset: i64, record: OwnedRecord) -> Record {
    record.into_record(TopicPartition::new("orders.dlq", partition), offset)
}
