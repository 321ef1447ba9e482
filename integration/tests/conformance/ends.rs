//! Where partitions end.

use daemonry::record::NextOffset;

use crate::driver::Member;
use crate::fixture::{AMPLE, Fixture, filled, numbered};

pub(crate) async fn ends_are_told_and_reach_the_end<F: Fixture>() {
    let fixture: F = filled(2, 30);
    fixture.produce(1, &numbered(30..40));
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(2).await;
    let [first, second] = [member.held[&0], member.held[&1]];
    let ends = |member: &Member<F>| [first, second].map(|epoch| member.ends.get(&epoch).copied());
    member.until("both ends", |member| ends(member) == [Some(30), Some(40)]).await;
    fixture.produce(0, &numbered(30..35));
    member.until("the new end", |member| ends(member) == [Some(35), Some(40)]).await;
    // A partition that isn't read moves all the same: that is what its lag is.
    member.full = vec![1];
    fixture.produce(1, &numbered(40..41));
    member.until("the end of what waits", |member| ends(member) == [Some(35), Some(41)]).await;
    member.close().await;
}

pub(crate) async fn a_batch_tells_how_far_a_gap_goes<F: Fixture>() {
    let fixture = F::start(1, AMPLE);
    fixture.produce(0, &numbered(0..5));
    fixture.leave_gap(0);
    let end = fixture.end(0);
    assert!(end > 5, "a gap that ends at {end}");
    let mut member = Member::<F>::new(fixture.join());
    member.until_held(1).await;
    let epoch = member.held[&0];
    member.until("the end of the gap", |member| member.next.get(&epoch) == Some(&NextOffset::at(end))).await;
    assert_eq!(member.offsets(0), [0, 1, 2, 3, 4], "all below is delivered by then");
    fixture.produce(0, &numbered(5..6));
    member.until("the record behind it", |member| member.records.len() == 6).await;
    assert_eq!(member.offsets(0)[5], end);
    // Also one that comes only when all before it was read.
    fixture.leave_gap(0);
    let end = NextOffset::at(fixture.end(0));
    member.until("the end of the next gap", |member| member.next.get(&epoch) == Some(&end)).await;
    member.close().await;
}
