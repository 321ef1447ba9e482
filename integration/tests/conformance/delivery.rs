//! How records come, and how many of them.

use std::collections::HashMap;
use std::time::Duration;

use integration::Message;
use tokio::time::{Instant, timeout};

use crate::driver::Member;
use crate::fixture::{AMPLE, Fixture, filled, numbered};

pub(crate) async fn an_assignment_comes_before_its_records<F: Fixture>() {
    let fixture: F = filled(3, 20);
    let mut member = Member::<F>::new(fixture.join());
    // The driver takes no record of an assignment that it hasn't heard of.
    member.until("all records", |member| member.records.len() == 60).await;
    assert_eq!(member.progress.len(), 3);
    for (epoch, record) in &member.records {
        assert_eq!(member.held[&record.partition().0], *epoch);
    }
    member.close().await;
}

pub(crate) async fn a_partitions_records_come_in_order<F: Fixture>() {
    let fixture: F = filled(3, 700);
    let mut member = Member::<F>::new(fixture.join());
    member.until("all records", |member| member.records.len() >= 2100).await;
    member.linger(Duration::from_millis(300)).await;
    for partition in 0..3 {
        assert_eq!(member.offsets(partition), (0..700).collect::<Vec<_>>(), "of partition {partition}");
    }
    for (_, record) in &member.records {
        assert_eq!(record.value(), Some(record.offset().0.to_string().as_bytes()));
    }
    member.close().await;
}

pub(crate) async fn records_are_brought_as_they_are_written<F: Fixture>() {
    let fixture = F::start(2, AMPLE);
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(2).await;
    for round in 0..5 {
        fixture.produce(round % 2, &numbered(0..3));
        let so_far = 3 * (round as usize + 1);
        member.until("what was just written", |member| member.records.len() == so_far).await;
    }
    assert_eq!((member.offsets(0), member.offsets(1)), ((0..9).collect(), (0..6).collect()));
    member.close().await;
}

pub(crate) async fn no_poll_brings_more_records_than_its_demand<F: Fixture>() {
    let fixture: F = filled(4, 500);
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(4).await;
    while member.records.len() < 2000 {
        // The driver counts what comes. Less than one for each partition, and more than a batch.
        member.appetite = member.appetite % 97 + 1;
        let before = member.records.len();
        member.step().await;
        assert!(member.records.len() - before <= member.appetite);
    }
    assert!((0..4).all(|partition| member.offsets(partition).into_iter().eq(0..500)));
    member.close().await;
}

pub(crate) async fn bytes_are_kept_to_as_documented<F: Fixture>() {
    const BUDGET: usize = 10_000;
    let fixture = F::start(3, AMPLE);
    let size = |number: usize| [10, 3_000, 700, 25_000, 1][number % 5];
    // Headers don't count.
    let messages: Vec<_> =
        (0..200).map(|number| Message::new(vec![b'x'; size(number)]).key("key").header("h", "v".repeat(500))).collect();
    (0..3).for_each(|partition| fixture.produce(partition, &messages));
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(3).await;
    member.bytes = BUDGET;
    while member.records.len() < 600 {
        let before = member.records.len();
        member.step().await;
        // One of each partition may come whatever the budget is, and the last of all may go over it.
        let mut firsts = HashMap::new();
        let came = member.records[before..].iter();
        let counted = came.filter(|(epoch, _)| firsts.insert(*epoch, ()).is_some()).map(|(_, record)| record.size());
        let counted: Vec<_> = counted.collect();
        let before_last: usize = counted.iter().rev().skip(1).sum();
        assert!(before_last < BUDGET, "{before_last} bytes came, and then one more record");
    }
    // Where there is no byte left, each partition with nothing queued may still have one record.
    (0..3).for_each(|partition| fixture.produce(partition, &messages[..2]));
    member.bytes = 0;
    while member.records.len() < 606 {
        let before = member.records.len();
        member.step().await;
        let mut came: Vec<_> = member.records[before..].iter().map(|(epoch, _)| *epoch).collect();
        came.sort_unstable();
        assert!(came.windows(2).all(|pair| pair[0] != pair[1]), "two of a partition without a byte left");
    }
    member.close().await;
}

pub(crate) async fn a_partition_without_room_stops_no_other<F: Fixture>() {
    let fixture: F = filled(3, 600);
    let mut member = Member::<F>::new(fixture.join());
    member.full = vec![1];
    member.until("all others", |member| member.records.len() == 1200).await;
    assert_eq!(member.offsets(1), [0; 0], "nothing was asked of it");
    // And one that loses its room midway.
    fixture.produce(0, &numbered(600..1200));
    fixture.produce(2, &numbered(600..1200));
    (member.full, member.appetite) = (vec![], 20);
    member.until("a part", |member| member.offsets(0).len() > 650).await;
    (member.full, member.appetite) = (vec![0], 1000);
    let stopped = member.offsets(0).len();
    member.until("all others again", |member| member.records.len() == 1800 + stopped).await;
    assert_eq!(member.offsets(0).len(), stopped, "nothing more was asked of it");
    member.full.clear();
    member.until("all", |member| member.records.len() == 3000).await;
    member.close().await;
}

pub(crate) async fn idle_comes_at_the_timeout_and_not_before<F: Fixture>() {
    let fixture: F = filled(1, 5);
    let mut member = Member::<F>::new(fixture.join());
    member.until("all records and their end", |member| member.records.len() == 5 && !member.ends.is_empty()).await;
    let start = Instant::now();
    while member.poll(Duration::ZERO).await {}
    assert!(start.elapsed() < Duration::from_millis(250), "a poll that waits for nothing took {:?}", start.elapsed());
    let start = Instant::now();
    while member.poll(Duration::from_millis(300)).await {}
    let took = start.elapsed();
    assert!((290..2000).contains(&took.as_millis()), "idle after {took:?}");
    member.close().await;
}

pub(crate) async fn a_poll_that_is_dropped_loses_nothing<F: Fixture>() {
    let fixture: F = filled(2, 1500);
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(2).await;
    member.appetite = 60;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let deadline = Instant::now() + Duration::from_secs(40);
    while member.records.len() < 3000 {
        assert!(Instant::now() < deadline, "{} records, seed {seed}", member.records.len());
        match random.u8(..4) {
            // At its first await.
            0 => drop(timeout(Duration::ZERO, member.step()).await),
            1 => member.step().await,
            _ => drop(timeout(Duration::from_micros(random.u64(..1500)), member.step()).await),
        }
    }
    for partition in 0..2 {
        assert_eq!(member.offsets(partition), (0..1500).collect::<Vec<_>>(), "of partition {partition}, seed {seed}");
    }
    member.close().await;
}
