//! What records keep in memory while they wait.

use std::sync::Arc;
use std::time::Duration;

use super::{Bench, Halt, SECOND, route};
use crate::handler::ProcessingOrder;
use crate::pipeline::arrival::arrivals;
use crate::pipeline::source::{Batch, Epoch};
use crate::record::{Backing, Header, Offset, OwnedRecord, Record, Timestamp, TopicPartition};

/// Records that keep each other in memory, and the offset of the first.
#[derive(Debug)]
struct Fetched(TopicPartition, Vec<OwnedRecord>, i64);

impl Backing for Fetched {
    fn topic_partition(&self) -> &TopicPartition {
        &self.0
    }
    fn offset(&self, index: u32) -> Offset {
        Offset(self.2 + i64::from(index))
    }
    fn key(&self, index: u32) -> Option<&[u8]> {
        self.1[index as usize].key.as_deref()
    }
    fn value(&self, index: u32) -> Option<&[u8]> {
        self.1[index as usize].value.as_deref()
    }
    fn timestamp(&self, _index: u32) -> Option<Timestamp> {
        Timestamp::from_millis(7)
    }
    fn header(&self, index: u32, nth: usize) -> Option<Header<'_>> {
        let (name, value) = self.1[index as usize].headers.get(nth)?;
        Some(Header { name, value: value.as_deref() })
    }
    fn is_shared(&self, _index: u32) -> bool {
        true
    }
    fn retain(&self, _index: u32) {}
    fn release(&self, _index: u32) {}
}

/// Records of these keys come in, from offset `first` on.
fn fetch(bench: &mut Bench, first: i64, keys: &[&str]) -> Arc<Fetched> {
    let records = keys.iter().map(|key| OwnedRecord::new("v").with_key(*key).with_header("h", "w")).collect();
    let fetched = Arc::new(Fetched(TopicPartition::new("orders", 0), records, first));
    let backing: Arc<dyn Backing> = fetched.clone();
    let count = u32::try_from(keys.len()).expect("a few");
    let records = (0..count).map(|index| Record::adopt(Arc::clone(&backing), index)).collect();
    let batch = Batch { epoch: Epoch(0), records, next: None, rewritten: None };
    let arrivals = arrivals(batch, &route(ProcessingOrder::Key).settings);
    assert!(!bench.lanes.push(arrivals, bench.now).commit);
    fetched
}

#[test]
fn records_that_wait_for_a_retry_keep_no_others_in_memory() {
    let mut bench = Bench::keyed(1, 4, 100);
    let fetched = fetch(&mut bench, 0, &["a", "a", "b"]);
    let due = bench.now + SECOND;
    let first = bench.taken();
    bench.halt(first, |mut entry| {
        assert!(entry.failure.is_none());
        entry.failures += 1;
        Halt::Retry(entry, due)
    });
    let second = bench.taken();
    assert_eq!(Arc::strong_count(&fetched), 2, "only what runs now");
    bench.succeed(second);
    assert_eq!(Arc::strong_count(&fetched), 1);
    bench.wait(SECOND);
    let (_, cargo) = bench.taken();
    let retried = &cargo.entries.front().expect("one is taken").record;
    let header = retried.header("h");
    assert_eq!((retried.offset(), retried.key(), retried.value()), (Offset(0), Some(&b"a"[..]), Some(&b"v"[..])));
    assert_eq!((header, retried.timestamp()), (Some(&b"w"[..]), Timestamp::from_millis(7)));
}

#[test]
fn records_behind_one_that_takes_long_keep_no_others_in_memory() {
    let mut bench = Bench::keyed(1, 4, 100);
    let quick = fetch(&mut bench, 0, &["a"]);
    let _slow = bench.taken();
    let early = fetch(&mut bench, 1, &["b", "a"]);
    bench.now += Duration::from_millis(100);
    let late = fetch(&mut bench, 3, &["c", "a", "a"]);
    assert_eq!(
        [quick, early, late].map(|fetched| Arc::strong_count(&fetched)),
        [2, 3, 2],
        "all that are early, and one"
    );
}
