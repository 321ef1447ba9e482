//! Pages of records on the broker in memory.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A partition with so many records, a second apart each; offsets 5 to 14 have none.
fn records(count: usize) -> Records {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 2);
    for number in 0..count {
        if number == 5 {
            broker.skip_offsets("orders", 1, 10);
        }
        let time = i64::try_from(number).expect("few") * 1_000;
        let record = OwnedRecord { timestamp: Timestamp::from_millis(time), ..OwnedRecord::new(number.to_string()) };
        broker.produce("orders", 1, record);
    }
    Records::in_memory(&broker)
}

async fn page(records: &Records, start: Start, size: usize) -> RecordsPage {
    records.page("orders", Partition(1), start, size, MINUTE).await.expect("nothing fails")
}

fn offsets(page: &RecordsPage) -> Vec<i64> {
    page.records.iter().map(|found| found.offset.0).collect()
}

#[tokio::test]
async fn a_partition_is_walked_forward_and_back_over_its_gaps() {
    let records = records(8);
    let first = page(&records, Start::Beginning, 3).await;
    assert_eq!((offsets(&first), first.before, first.next), (vec![0, 1, 2], None, Offset(3)));
    assert_eq!((first.first, first.end), (Offset(0), Offset(18)));
    let second = page(&records, Start::Offset(first.next), 3).await;
    assert_eq!((offsets(&second), second.before, second.next), (vec![3, 4, 15], Some(Offset(3)), Offset(16)));
    let last = page(&records, Start::Offset(second.next), 3).await;
    assert_eq!((offsets(&last), last.next), (vec![16, 17], Offset(18)));
    let end = page(&records, Start::Offset(last.next), 3).await;
    assert_eq!((offsets(&end), end.before, end.next), (vec![], Some(Offset(18)), Offset(18)));
    let latest = page(&records, Start::End, 2).await;
    assert_eq!((offsets(&latest), latest.before), (vec![16, 17], Some(Offset(16))));
    let before = page(&records, Start::Before(Offset(15)), 2).await;
    assert_eq!((offsets(&before), before.before), (vec![3, 4], Some(Offset(3))));
    let before = page(&records, Start::Before(Offset(2)), 5).await;
    assert_eq!((offsets(&before), before.before), (vec![0, 1], None));
}

#[tokio::test]
async fn a_page_begins_at_a_time_and_where_an_offset_is_none_of_the_partitions() {
    let records = records(8);
    let time = |millis| Start::Time(Timestamp::from_millis(millis).expect("not negative"));
    assert_eq!(offsets(&page(&records, time(5_500), 10).await), [16, 17]);
    assert_eq!(offsets(&page(&records, time(99_000), 10).await), Vec::<i64>::new());
    assert_eq!(offsets(&page(&records, Start::Offset(Offset(99)), 10).await), Vec::<i64>::new());
    assert_eq!(offsets(&page(&records, Start::Before(Offset(99)), 1).await), [17]);
    let missing = records.page("orders", Partition(7), Start::End, 1, MINUTE).await.expect_err("no such partition");
    assert!(missing.to_string().contains("the topic has 2 partitions"), "{missing}");
    let missing = records.page("bills", Partition(0), Start::End, 1, MINUTE).await;
    assert_eq!(missing.expect_err("no such topic"), LettersError::UnknownTopic("bills".into()));
    let extents = records.partitions("orders").await.expect("it is there");
    assert_eq!(extents.iter().map(|one| (one.partition.0, one.end.0)).collect::<Vec<_>>(), [(0, 0), (1, 18)]);
}

#[tokio::test]
async fn a_page_is_bounded_by_its_bytes_and_has_a_record_however_large() {
    let broker = MemoryBroker::new();
    broker.create_topic("orders", 2);
    for _ in 0..3 {
        broker.produce("orders", 1, OwnedRecord::new("x".repeat(BYTES)));
    }
    let records = Records::in_memory(&broker);
    let first = page(&records, Start::Beginning, 10).await;
    assert_eq!((offsets(&first), first.next), (vec![0], Offset(1)));
    let last = page(&records, Start::End, 10).await;
    assert_eq!((offsets(&last), last.before), (vec![2], Some(Offset(2))), "it ends where it is to");
}
