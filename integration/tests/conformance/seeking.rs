//! Partitions that somebody has asked to go on elsewhere.

use std::time::Duration;

use daemonry::pipeline::seek::{SeekError, SeekTo};
use daemonry::record::{NextOffset, Offset, Timestamp};
use tokio::time::Instant;

use crate::driver::{Member, both};
use crate::fixture::{Fixture, filled, numbered};

/// A member that has read all of its partitions, so many records of each.
async fn read_all<F: Fixture>(fixture: &F, partitions: usize, records: usize) -> Member<F> {
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(partitions).await;
    member.until("all records", |member| member.records.len() == partitions * records).await;
    member
}

pub(crate) async fn a_partition_goes_on_where_it_was_asked_to<F: Fixture>() {
    let fixture: F = filled(2, 20);
    let mut member = read_all(&fixture, 2, 20).await;
    let (before, other) = (member.held[&0], member.held[&1]);
    member.commit(before, 20, "").await.expect("it is ours");
    for (to, next) in [(SeekTo::Offset(Offset(5)), 5), (SeekTo::End, 20), (SeekTo::Beginning, 0)] {
        member.records.clear();
        assert_eq!(member.seek(0, to).await, Ok(NextOffset::at(next)));
        member.until_held(2).await;
        let epoch = member.held[&0];
        assert!(epoch != before && member.held[&1] == other, "one is assigned anew, and the other is not");
        // Else the next start would not know of it.
        assert_eq!(fixture.committed(0).map(|committed| committed.next), Some(NextOffset::at(next)));
        let rest: Vec<i64> = (next..20).collect();
        member.until("the rest", |member| member.offsets(0) == rest).await;
        member.until("its end, told anew", |member| member.ends.get(&epoch) == Some(&20)).await;
        assert_eq!(member.offsets(1), Vec::<i64>::new());
    }
    (0..2).for_each(|partition| fixture.produce(partition, &numbered(20..21)));
    member.until("what is new", |member| member.offsets(0).ends_with(&[20]) && member.offsets(1) == [20]).await;
    member.close().await;
    assert_eq!(fixture.committed(0).map(|committed| committed.next), Some(NextOffset::at(0)));
}

pub(crate) async fn a_seek_is_done_once_its_place_is_committed<F: Fixture>() {
    let fixture: F = filled(1, 10);
    let mut member = read_all(&fixture, 1, 10).await;
    let before = member.held[&0];
    member.commit(before, 10, "").await.expect("it is ours");
    let mut answer = member.ask(0, SeekTo::Offset(Offset(4)));
    member.until("its assignment anew", |member| member.held.get(&0).is_some_and(|epoch| *epoch != before)).await;
    member.until("the rest", |member| member.offsets(0).ends_with(&[4, 5, 6, 7, 8, 9])).await;
    assert!(answer.try_recv().is_err(), "a crash would make it undone");
    member.commit(member.held[&0], 4, "").await.expect("it is ours");
    member.step().await;
    assert_eq!(answer.await.expect("an answer"), Ok(NextOffset::at(4)));
    member.close().await;
}

pub(crate) async fn a_second_seek_follows_the_first<F: Fixture>() {
    let fixture: F = filled(1, 10);
    let mut member = read_all(&fixture, 1, 10).await;
    let first = member.ask(0, SeekTo::Offset(Offset(4)));
    assert_eq!(member.seek(0, SeekTo::Offset(Offset(7))).await, Ok(NextOffset::at(7)));
    assert_eq!(first.await.expect("an answer"), Ok(NextOffset::at(4)));
    assert_eq!(fixture.committed(0).map(|committed| committed.next), Some(NextOffset::at(7)));
    member.close().await;
}

pub(crate) async fn a_partition_goes_on_at_a_time<F: Fixture>() {
    let fixture: F = filled(1, 10);
    let mut member = read_all(&fixture, 1, 10).await;
    // Records carry milliseconds.
    tokio::time::sleep(Duration::from_millis(10)).await;
    let between = Timestamp::now();
    tokio::time::sleep(Duration::from_millis(10)).await;
    fixture.produce(0, &numbered(10..12));
    assert_eq!(member.seek(0, SeekTo::Time(between)).await, Ok(NextOffset::at(10)));
    assert_eq!(member.seek(0, SeekTo::Time(Timestamp::now() - Duration::from_secs(3600))).await, Ok(NextOffset::at(0)));
    let never = Timestamp::now() + Duration::from_secs(3600);
    assert_eq!(member.seek(0, SeekTo::Time(never)).await, Ok(NextOffset::at(12)));
    member.close().await;
}

pub(crate) async fn a_place_that_is_not_there_changes_nothing<F: Fixture>() {
    let fixture: F = filled(1, 10);
    let mut member = read_all(&fixture, 1, 10).await;
    let epoch = member.held[&0];
    let refused = member.seek(0, SeekTo::Offset(Offset(11))).await;
    assert!(matches!(refused, Err(SeekError::OutOfRange { end: Offset(10), .. })), "{refused:?}");
    assert_eq!(member.held[&0], epoch, "the same assignment still");
    fixture.produce(0, &numbered(10..11));
    member.until("what is new", |member| member.offsets(0).ends_with(&[10])).await;
    member.close().await;
}

pub(crate) async fn a_partition_of_another_member_is_left_alone<F: Fixture>() {
    let fixture: F = filled(2, 10);
    let mut first = Member::<F>::new(fixture.join());
    first.until_held(2).await;
    let mut second = Member::<F>::new(fixture.join());
    both(&mut first, &mut second, "one each", |first, second| first.held.len() == 1 && second.held.len() == 1).await;
    let theirs = *second.held.keys().next().expect("one is held");
    let refused = first.seek(theirs, SeekTo::Beginning).await;
    assert!(matches!(refused, Err(SeekError::NotAssigned(_))), "{refused:?}");
    first.close().await;
    second.close().await;
}

pub(crate) async fn a_seek_that_nobody_drains_is_done_at_its_deadline<F: Fixture>() {
    let drain = Duration::from_secs(1);
    let fixture = F::start(1, drain);
    fixture.produce(0, &numbered(0..10));
    let mut member = read_all(&fixture, 1, 10).await;
    (member.is_obliging, member.records) = (false, Vec::new());
    let (before, start) = (member.held[&0], Instant::now());
    assert_eq!(member.seek(0, SeekTo::Offset(Offset(4))).await, Ok(NextOffset::at(4)));
    assert!(start.elapsed() >= drain - Duration::from_millis(50), "after {:?}", start.elapsed());
    member.until("the rest", |member| member.offsets(0) == (4..10).collect::<Vec<_>>()).await;
    assert!(member.lost.contains(&before), "what was started of it counts for nothing");
    member.close().await;
}
