//! Partitions that change hands.

use std::time::Duration;

use daemonry::pipeline::source::Revocation;
use tokio::time::Instant;

use crate::driver::{Member, both};
use crate::fixture::{AMPLE, Fixture, filled, numbered};

/// Longer than a handover takes that nothing holds up.
const WHILE: Duration = Duration::from_millis(1500);

/// Has a second member join that one which holds both partitions: it is asked for one of them, and keeps it.
pub(crate) async fn asked_for_one<F: Fixture>(fixture: &F, mut first: Member<F>) -> [Member<F>; 2] {
    first.is_obliging = false;
    let mut second = Member::<F>::new(fixture.join());
    both(&mut first, &mut second, "a revocation", |first, _| !first.revocations.is_empty()).await;
    assert_eq!((first.held.len(), second.held.len()), (1, 0));
    [first, second]
}

/// A member that holds both partitions.
async fn holds_both<F: Fixture>(fixture: &F) -> Member<F> {
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(2).await;
    member
}

pub(crate) async fn a_revoked_partition_is_handed_on_once_that_is_completed<F: Fixture>() {
    let fixture: F = filled(2, 50);
    let [mut first, mut second] = asked_for_one(&fixture, holds_both(&fixture).await).await;
    tokio::join!(first.linger(WHILE), second.linger(WHILE));
    assert!(second.held.is_empty(), "handed on before the revocation was complete");
    let left = first.revocations[0].epochs().to_vec();
    let after = first.records.iter().filter(|(epoch, _)| left.contains(epoch)).count();
    first.revocations.drain(..).for_each(Revocation::complete);
    both(&mut first, &mut second, "one partition each", |first, second| {
        first.held.len() == 1 && second.held.len() == 1
    })
    .await;
    let moved = *second.held.keys().next().expect("one is held");
    both(&mut first, &mut second, "its records", |_, second| second.records.len() == 50).await;
    assert_eq!(second.offsets(moved), (0..50).collect::<Vec<_>>(), "nothing was committed of it");
    assert_eq!(first.records.iter().filter(|(epoch, _)| left.contains(epoch)).count(), after);
    // What wasn't moved goes on.
    let stays = *first.held.keys().next().expect("one is held");
    both(&mut first, &mut second, "what stayed", |first, _| first.offsets(stays).len() == 50).await;
    assert_eq!(first.progress.len(), 2, "what wasn't moved is the same assignment still");
    first.close().await;
    second.close().await;
}

pub(crate) async fn a_rebalance_skips_no_record<F: Fixture>() {
    let fixture: F = filled(2, 10);
    let mut first = holds_both(&fixture).await;
    first.until("all records", |member| member.records.len() == 20).await;
    // At its end, and told so.
    first.linger(Duration::from_millis(300)).await;
    let [mut first, mut second] = asked_for_one(&fixture, first).await;
    (0..2).for_each(|partition| fixture.produce(partition, &numbered(10..15)));
    let (stays, epoch) = first.held.first_key_value().map(|(stays, epoch)| (*stays, *epoch)).expect("one is held");
    both(&mut first, &mut second, "what came meanwhile", |first, _| first.offsets(stays).len() >= 15).await;
    first.revocations.drain(..).for_each(Revocation::complete);
    both(&mut first, &mut second, "one partition each", |_, second| second.held.len() == 1).await;
    (0..2).for_each(|partition| fixture.produce(partition, &numbered(15..20)));
    both(&mut first, &mut second, "all", |first, second| {
        first.offsets(stays).len() >= 20 && second.offsets(1 - stays).len() >= 20
    })
    .await;
    assert_eq!(first.offsets(stays), (0..20).collect::<Vec<_>>());
    assert_eq!(second.offsets(1 - stays), (0..20).collect::<Vec<_>>());
    assert_eq!(first.held.get(&stays), Some(&epoch), "the same assignment still");
    first.close().await;
    second.close().await;
}

pub(crate) async fn a_dropped_revocation_gives_its_partitions_up<F: Fixture>() {
    let fixture: F = filled(2, 0);
    let [mut first, mut second] = asked_for_one(&fixture, holds_both(&fixture).await).await;
    first.revocations.clear();
    let start = Instant::now();
    both(&mut first, &mut second, "one partition each", |_, second| second.held.len() == 1).await;
    assert!(start.elapsed() < AMPLE / 2, "only after {:?}", start.elapsed());
    first.close().await;
    second.close().await;
}

pub(crate) async fn a_revocation_that_nobody_completes_ends_at_its_deadline<F: Fixture>() {
    let drain = Duration::from_secs(1);
    let fixture = F::start(2, drain);
    let [mut first, mut second] = asked_for_one(&fixture, holds_both(&fixture).await).await;
    let deadline = first.revocations[0].deadline();
    assert!(deadline <= Instant::now() + drain);
    both(&mut first, &mut second, "one partition each", |_, second| second.held.len() == 1).await;
    assert!(Instant::now() >= deadline, "taken before its deadline");
    assert_eq!(first.revocations.len(), 1, "it is still kept, and worth nothing");
    let over = first.revocations[0].epochs()[0];
    assert!(first.commit(over, 1, "").await.is_err());
    // To complete it now changes nothing.
    first.revocations.drain(..).for_each(Revocation::complete);
    both(&mut first, &mut second, "one partition each", |first, second| {
        first.held.len() == 1 && second.held.len() == 1
    })
    .await;
    first.close().await;
    second.close().await;
}

pub(crate) async fn a_new_owner_hears_of_its_partition_in_the_middle_of_a_poll<F: Fixture>() {
    let fixture: F = filled(2, 0);
    let [mut first, mut second] = asked_for_one(&fixture, holds_both(&fixture).await).await;
    while second.poll(Duration::from_millis(100)).await {}
    let start = Instant::now();
    // The new owner is in a poll by then, and a long one.
    let given_up = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        first.revocations.drain(..).for_each(Revocation::complete);
        first.linger(AMPLE).await;
    };
    tokio::select! {
        biased;
        came = second.poll(AMPLE) => assert!(came, "nothing came"),
        () = given_up => {}
    }
    assert!(start.elapsed() < AMPLE / 3, "only after {:?}", start.elapsed());
    both(&mut first, &mut second, "one partition each", |_, second| second.held.len() == 1).await;
    first.close().await;
    second.close().await;
}

pub(crate) async fn each_assignment_has_an_epoch_of_its_own<F: Fixture>() {
    let fixture: F = filled(2, 10);
    let mut first = Member::<F>::new(fixture.join());
    first.until_held(2).await;
    for round in 1..=2 {
        let mut second = Member::<F>::new(fixture.join());
        both(&mut first, &mut second, "one each", |first, second| first.held.len() == 1 && second.held.len() == 1)
            .await;
        second.close().await;
        first.until_held(2).await;
        // The driver takes no epoch twice.
        assert_eq!(first.progress.len(), 2 + round, "one partition left and came back");
    }
    let held = first.held.clone();
    let read = |member: &Member<F>, epoch| member.records.iter().filter(|(of, _)| *of == epoch).count();
    first.until("all of both", |member| held.values().all(|epoch| read(member, *epoch) == 10)).await;
    first.close().await;
}

pub(crate) async fn a_member_that_closes_leaves_its_partitions_at_once<F: Fixture>() {
    let fixture: F = filled(2, 10);
    let mut first = Member::<F>::new(fixture.join());
    first.until_held(2).await;
    let mut second = Member::<F>::new(fixture.join());
    both(&mut first, &mut second, "one each", |first, second| first.held.len() == 1 && second.held.len() == 1).await;
    let start = Instant::now();
    first.close().await;
    second.until_held(2).await;
    // Far below the time after which a group gives a silent member up.
    assert!(start.elapsed() < Duration::from_secs(5), "only after {:?}", start.elapsed());
    second.close().await;
}

pub(crate) async fn a_member_without_partitions_that_closes_holds_up_nobody<F: Fixture>() {
    let fixture: F = filled(1, 10);
    let mut first = Member::<F>::new(fixture.join());
    first.until_held(1).await;
    let mut idle = Member::<F>::new(fixture.join());
    both(&mut first, &mut idle, "word that there is nothing for it", |_, idle| idle.told > 0).await;
    let start = Instant::now();
    idle.close().await;
    // The group waits for all whom it counts among its members.
    let mut next = Member::<F>::new(fixture.join());
    both(&mut first, &mut next, "word for the next one", |_, next| next.told > 0).await;
    first.close().await;
    next.until_held(1).await;
    assert!(start.elapsed() < Duration::from_secs(8), "only after {:?}", start.elapsed());
    next.close().await;
}

pub(crate) async fn a_member_without_partitions_that_closes_in_a_rebalance_gets_none<F: Fixture>() {
    let fixture: F = filled(2, 10);
    let first = holds_both(&fixture).await;
    let [mut first, mut second] = asked_for_one(&fixture, first).await;
    // The rebalance that the third one brings about waits for the first, which has not given up what it was asked for.
    let mut third = Member::<F>::new(fixture.join());
    tokio::join!(first.linger(WHILE), second.linger(WHILE), third.linger(WHILE));
    assert!(second.held.is_empty() && third.held.is_empty());
    let start = Instant::now();
    let others = async {
        tokio::join!(first.linger(WHILE), third.linger(WHILE));
        first.is_obliging = true;
        first.revocations.drain(..).for_each(Revocation::complete);
        let each = |first: &Member<F>, third: &Member<F>| first.held.len() == 1 && third.held.len() == 1;
        both(&mut first, &mut third, "one each", each).await;
    };
    tokio::join!(others, second.close());
    assert!(start.elapsed() < WHILE + Duration::from_secs(10), "only after {:?}", start.elapsed());
    first.close().await;
    third.close().await;
}
