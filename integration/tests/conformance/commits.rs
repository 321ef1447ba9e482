//! What is committed, and who may.

use daemonry::pipeline::source::{CommitError, Committer as _, Epoch, Progress as _, Revocation};
use daemonry::pipeline::tracker::OffsetCommit;
use daemonry::record::NextOffset;
use integration::topics::Committed;
use tokio::time::Instant;

use crate::driver::{Member, both};
use crate::fixture::{AMPLE, Fixture, filled};
use crate::handover::asked_for_one;

/// For the lanes of all members: what follows the committed offset is finished (of 7: 8 is).
const ONE_ABOVE: &str = "dm1:6815c86c:b:AQ";

/// What stands at the group, of whatever was last written.
fn at(next: i64, metadata: &str) -> Option<Committed> {
    Some(Committed { next: NextOffset::at(next), metadata: metadata.to_owned() })
}

pub(crate) async fn a_commit_is_read_back_by_the_next_owner<F: Fixture>() {
    let fixture: F = filled(2, 20);
    let mut first = Member::<F>::new(fixture.join());
    first.until_held(2).await;
    let (zero, one) = (first.held[&0], first.held[&1]);
    first.commit(zero, 3, "").await.expect("it is ours");
    first.commit(zero, 7, ONE_ABOVE).await.expect("it is ours");
    first.commit(one, 20, "").await.expect("it is ours");
    assert_eq!((fixture.committed(0), fixture.committed(1)), (at(7, ONE_ABOVE), at(20, "")), "the newest stands");
    first.close().await;
    let mut second = Member::<F>::new(fixture.join());
    second.appetite = 0;
    second.until_held(2).await;
    let progress = |partition: i32| &second.progress[&second.held[&partition]];
    assert_eq!(progress(0).lag(daemonry::record::Offset(20)), Some(13), "7 is the low watermark before anything came");
    assert_eq!(progress(1).lag(daemonry::record::Offset(20)), Some(0));
    assert_eq!((progress(0).commit(), progress(1).commit()), (None, None), "it counts as acknowledged");
    second.appetite = 1000;
    second.until("the rest", |member| member.offsets(0).last() == Some(&19)).await;
    assert_eq!(second.offsets(0)[0], 7);
    assert_eq!(second.offsets(1), [0; 0], "all of it is finished");
    second.close().await;
}

pub(crate) async fn what_is_finished_already_is_not_due_again<F: Fixture>() {
    let fixture: F = filled(1, 12);
    let mut first = Member::<F>::new(fixture.join());
    first.until_held(1).await;
    let epoch = first.held[&0];
    first.commit(epoch, 7, ONE_ABOVE).await.expect("it is ours");
    first.close().await;
    let mut second = Member::<F>::new(fixture.join());
    second.until("the rest", |member| member.offsets(0).last() == Some(&11)).await;
    let progress = second.progress.get_mut(&second.held[&0]).expect("it was assigned");
    let due = second.records.iter().filter_map(|(_, record)| progress.receive(record));
    assert_eq!(due.map(|offset| offset.0).collect::<Vec<_>>(), [7, 9, 10, 11]);
    second.close().await;
}

/// Two members of two partitions, where the first has been asked for one of them and keeps it: the assignment, and its partition.
async fn on_its_way_out<F: Fixture>(fixture: &F) -> (Member<F>, Member<F>, Epoch, i32) {
    let mut first = Member::<F>::new(fixture.join());
    first.until_held(2).await;
    let before = first.held.clone();
    let [first, second] = asked_for_one(fixture, first).await;
    let epoch = first.revocations[0].epochs()[0];
    let partition = *before.iter().find(|(_, held)| **held == epoch).expect("it was held").0;
    (first, second, epoch, partition)
}

pub(crate) async fn a_partition_on_its_way_out_can_be_committed<F: Fixture>() {
    let fixture: F = filled(2, 20);
    let (mut first, mut second, epoch, moves) = on_its_way_out(&fixture).await;
    commit_through::<F>(&mut first, &mut second, epoch, 11).await;
    first.revocations.drain(..).for_each(Revocation::complete);
    both(&mut first, &mut second, "its records", |_, second| second.offsets(moves).last() == Some(&19)).await;
    assert_eq!(second.offsets(moves)[0], 11, "the new owner goes on from there");
    first.close().await;
    second.close().await;
}

/// Commits, once more where the group is just rebalancing: it says so, and that it may work when that is over.
async fn commit_through<F: Fixture>(first: &mut Member<F>, second: &mut Member<F>, epoch: Epoch, next: i64) {
    let deadline = Instant::now() + AMPLE;
    loop {
        match first.commit(epoch, next, "").await {
            Ok(()) => return,
            Err(CommitError::RebalanceInProgress) if Instant::now() < deadline => {
                tokio::join!(first.step(), second.step());
            }
            Err(error) => panic!("the commit is refused: {error}"),
        }
    }
}

pub(crate) async fn a_commit_of_an_assignment_that_is_over_changes_nothing<F: Fixture>() {
    let fixture: F = filled(2, 20);
    let (mut first, mut second, over, moves) = on_its_way_out(&fixture).await;
    commit_through::<F>(&mut first, &mut second, over, 5).await;
    first.revocations.drain(..).for_each(Revocation::complete);
    both(&mut first, &mut second, "one each", |first, second| first.held.len() == 1 && second.held.len() == 1).await;
    let refused = first.commit(over, 9, "").await;
    assert!(matches!(refused, Err(CommitError::IllegalGeneration(_))), "{refused:?}");
    assert_eq!(fixture.committed(moves), at(5, ""));
    // No more so when the same partition is ours again, by another assignment.
    second.close().await;
    first.is_obliging = true;
    first.until_held(2).await;
    let refused = first.commit(over, 9, "").await;
    assert!(matches!(refused, Err(CommitError::IllegalGeneration(_))), "{refused:?}");
    assert_eq!(fixture.committed(moves), at(5, ""));
    let epoch = first.held[&moves];
    first.commit(epoch, 9, "").await.expect("this one is ours");
    assert_eq!(fixture.committed(moves), at(9, ""));
    first.close().await;
}

pub(crate) async fn a_source_that_is_closed_commits_nothing<F: Fixture>() {
    let fixture: F = filled(1, 5);
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(1).await;
    let epoch = member.held[&0];
    let mut committer = member.close().await;
    let commit = OffsetCommit { next: NextOffset::at(3), metadata: String::new() };
    let refused = committer.commit(vec![(epoch, commit)], Instant::now() + AMPLE).await;
    assert!(refused.is_err(), "its partitions may be another's by now");
    assert_eq!(fixture.committed(0), None);
}
