//! What is read, and how much of it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use daemonry::kafka::{KafkaProducer, LossPolicy, StartPolicy};
use daemonry::pipeline::source::SourceError;
use daemonry::record::{Header, Timestamp};

use crate::member::{Member, config, fill, fill_with, topic, unique};

#[tokio::test]
async fn all_records_of_eight_partitions_come_in_order() {
    let topic = topic("order", 8).await;
    fill(&topic, 20_000).await;
    let mut member = Member::join(&config(&unique("g")), &topic);
    member.until("20,000 records", |member| member.records.len() >= 20_000).await;
    let mut next = BTreeMap::<i32, i64>::new();
    let mut seen = HashSet::new();
    for record in &member.records {
        let expected = next.entry(record.partition().0).or_default();
        assert_eq!(record.offset().0, *expected);
        *expected += 1;
        let value = std::str::from_utf8(record.value().expect("a value")).expect("a number");
        assert_eq!(record.key(), Some(format!("key-{value}").as_bytes()));
        assert!(record.timestamp().is_some());
        assert!(seen.insert(value.to_owned()), "{value} came twice");
    }
    assert_eq!((seen.len(), next.len()), (20_000, 8));
    member.until("the ends", |member| member.ends.values().sum::<i64>() == 20_000).await;
    member.close().await;
}

#[tokio::test]
async fn bytes_come_as_they_were_written() {
    let topic = topic("bytes", 1).await;
    let producer = KafkaProducer::new(&config("-")).expect("valid");
    let odd = [
        Header { name: b"plain", value: Some(b"1") },
        Header { name: b"\xff\xfe", value: Some(b"\x00\x01") },
        Header { name: b"none", value: None },
        Header { name: b"empty", value: Some(b"") },
        Header { name: b"plain", value: Some(b"2") },
    ];
    let time = Timestamp::from_millis(1_600_000_000_123);
    producer.send(&topic, Some(b"k"), Some(b"v\xff"), odd.into_iter(), time).await.expect("written");
    producer.send(&topic, Some(b"k"), None, std::iter::empty(), None).await.expect("written");
    producer.send(&topic, None, Some(b""), std::iter::empty(), None).await.expect("written");
    producer.send(&topic, Some(b""), Some(b"x"), std::iter::empty(), None).await.expect("written");
    let large = vec![b'x'; 5000];
    producer.send(&topic, None, Some(&large), odd.into_iter(), time).await.expect("written");
    let mut member = Member::join(&config(&unique("g")), &topic);
    member.until("five records", |member| member.records.len() == 5).await;
    let records = std::mem::take(&mut member.records);
    assert_eq!(records[0].headers().collect::<Vec<_>>(), odd);
    assert_eq!(records[0].header("plain"), Some(&b"2"[..]));
    assert_eq!(records[0].value(), Some(&b"v\xff"[..]));
    assert_eq!(records[0].timestamp(), time);
    assert_eq!((records[1].key(), records[1].value()), (Some(&b"k"[..]), None));
    assert_eq!((records[2].key(), records[2].value()), (None, Some(&b""[..])));
    assert_eq!((records[3].key(), records[3].value()), (Some(&b""[..]), Some(&b"x"[..])));
    assert_eq!(records[1].headers().count(), 0);
    assert_eq!((records[4].key(), records[4].value(), records[4].timestamp()), (None, Some(&large[..]), time));
    assert_eq!((records[4].offset().0, records[4].headers().collect::<Vec<_>>()), (4, odd.to_vec()));
    // Any thread may look at any handle, also for the first time, and free the last one.
    let other = records[0].clone();
    let names = std::thread::spawn(move || other.headers().map(|header| header.name.to_vec()).collect::<Vec<_>>());
    assert_eq!(records[0].headers().count(), 5);
    assert_eq!(names.join().expect("no panic").len(), 5);
    member.close().await;
    assert_eq!(records[0].value(), Some(&b"v\xff"[..]), "a record outlives its source");
}

#[tokio::test]
async fn no_poll_brings_more_than_it_asked_for() {
    let topic = topic("demand", 4).await;
    fill_with(&topic, 4000, |n| vec![b'x'; if n % 10 == 0 { 20_000 } else { 100 }]).await;
    let mut member = Member::join(&config(&unique("g")), &topic);
    member.until("an assignment", |member| member.assigned.len() == 4).await;
    let (mut appetite, mut before) = (1, 0);
    while before < 4000 {
        appetite = appetite % 97 + 1;
        (member.appetite, member.bytes) = (appetite, 10_000);
        // `step` asserts the number of records.
        member.step().await.expect("no trouble");
        let came = &member.records[before..];
        // One record of each partition may come whatever the bytes are, and the last one may go over them.
        let mut first = HashSet::new();
        let counted: Vec<usize> = came
            .iter()
            .filter(|record| !first.insert(record.partition()))
            .map(daemonry::record::Record::size)
            .collect();
        let without_last: usize = counted.iter().rev().skip(1).sum();
        assert!(without_last < 10_000, "{without_last} bytes before the last record");
        before = member.records.len();
    }
    member.close().await;
}

#[tokio::test]
async fn a_poll_that_is_cancelled_loses_nothing() {
    let topic = topic("cancel", 2).await;
    fill(&topic, 5000).await;
    let mut member = Member::join(&config(&unique("g")), &topic);
    while member.records.len() < 5000 {
        // Ends some polls in the middle, at a point that is anybody's guess.
        let _cancelled = tokio::time::timeout(Duration::from_micros(300), member.step()).await;
    }
    let offsets: HashSet<_> = member.records.iter().map(|record| (record.partition(), record.offset())).collect();
    assert_eq!((offsets.len(), member.records.len()), (5000, 5000));
    member.close().await;
}

#[tokio::test]
async fn a_partition_that_is_held_back_stops_no_other() {
    let topic = topic("held", 8).await;
    fill(&topic, 8000).await;
    let mut member = Member::join(&config(&unique("g")), &topic);
    member.held = vec![3];
    member.until("an assignment", |member| member.assigned.len() == 8).await;
    let of = |member: &Member, held: bool| {
        member.records.iter().filter(|record| (record.partition().0 == 3) == held).count()
    };
    member.until("the ends", |member| member.ends.values().sum::<i64>() == 8000).await;
    let end = member.ends[&member.assigned[&3]] as usize;
    member.until("all others", |member| of(member, false) == 8000 - end).await;
    assert_eq!(of(&member, true), 0);
    member.held.clear();
    member.until("the held one", |member| of(member, true) == end).await;
    member.close().await;
}

#[tokio::test]
async fn the_end_of_a_partition_that_is_not_read_is_told_however_far_it_moves() {
    let topic = topic("ends", 1).await;
    let mut member = Member::join(&config(&unique("g")), &topic);
    member.held = vec![0];
    member.until("the partition", |member| member.assigned.len() == 1).await;
    // Far more than is fetched ahead of the reading.
    fill_with(&topic, 30_000, |_| vec![0; 100]).await;
    member.until("its end", |member| member.ends.values().any(|&end| end == 30_000)).await;
    fill_with(&topic, 10_000, |_| vec![0; 100]).await;
    member.until("its new end", |member| member.ends.values().any(|&end| end == 40_000)).await;
    assert!(member.records.is_empty());
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_a_mistake_of_the_configuration() {
    let missing = unique("missing").into();
    let mut member = Member::join(&config(&unique("g")), &missing);
    let error = loop {
        if let Err(error) = member.step().await {
            break error;
        }
    };
    assert!(
        matches!(&error, SourceError::Misconfigured(say) if say.contains(missing.as_str()) && say.contains("create it")),
        "{error}"
    );
    member.close().await;
}

#[tokio::test]
async fn a_start_at_the_end_skips_nothing_after_a_restart() {
    let topic = topic("latest", 1).await;
    fill(&topic, 10).await;
    let mut settings = config(&unique("g"));
    settings.start = StartPolicy::Latest;
    let mut first = Member::join(&settings, &topic);
    first.until("an assignment", |member| member.assigned.len() == 1).await;
    fill(&topic, 5).await;
    first.until("the new ones", |member| member.records.len() == 5).await;
    // It ends without having committed anything of them.
    first.close().await;
    let mut second = Member::join(&settings, &topic);
    second.until("the new ones again", |member| member.records.len() == 5).await;
    assert_eq!(second.records[0].offset().0, 10);
    second.close().await;
}

#[tokio::test]
async fn a_group_without_a_commit_fails_where_that_is_the_policy() {
    let topic = topic("nocommit", 1).await;
    let mut settings = config(&unique("g"));
    settings.start = StartPolicy::Fail;
    let mut member = Member::join(&settings, &topic);
    let error = loop {
        if let Err(error) = member.step().await {
            break error;
        }
    };
    assert!(matches!(&error, SourceError::Fatal(say) if say.contains("committed nothing")), "{error}");
    member.close().await;
}

#[tokio::test]
async fn an_offset_that_is_gone_stops_or_goes_on_as_the_policy_says() {
    let topic = topic("range", 1).await;
    fill(&topic, 10).await;
    let group = unique("g");
    let mut first = Member::join(&config(&group), &topic);
    first.until("ten records", |member| member.records.len() == 10).await;
    first.commit(0, 1000, "").await.expect("the coordinator takes any offset");
    first.close().await;

    let mut stops = Member::join(&config(&group), &topic);
    let error = loop {
        if let Err(error) = stops.step().await {
            break error;
        }
    };
    assert!(
        matches!(&error, SourceError::Fatal(say) if say.contains("out_of_range") && say.contains("1000")),
        "{error}"
    );
    stops.close().await;

    for protocol in crate::member::PROTOCOLS {
        let mut settings = config(&group);
        (settings.out_of_range, settings.protocol) = (LossPolicy::Earliest, protocol);
        let mut goes_on = Member::join(&settings, &topic);
        goes_on.until("all again", |member| member.records.len() == 10).await;
        assert_eq!(goes_on.lost.len(), 1, "what was known of the partition is void");
        assert_eq!(goes_on.missed, [None], "nobody knows what stood there");
        goes_on.close().await;
    }

    let mut settings = config(&group);
    settings.out_of_range = LossPolicy::Latest;
    let mut goes_on = Member::join(&settings, &topic);
    goes_on.until("the reset", |member| member.missed.len() == 1 && member.assigned.len() == 1).await;
    assert_eq!(goes_on.lost, [], "what was started was waited for");
    fill(&topic, 3).await;
    goes_on.until("the new ones", |member| member.records.len() == 3).await;
    goes_on.close().await;
}
