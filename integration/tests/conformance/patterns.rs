//! Topics that match a pattern: found when they are there, and when they come.

use std::time::Duration;

use daemonry::handler::TopicPattern;
use daemonry::pipeline::demand::Demand;
use daemonry::pipeline::source::{Source as _, SourceError};
use daemonry::pipeline::subscription::Subscription;
use tokio::time::Instant;

use crate::driver::Member;
use crate::fixture::{AMPLE, Fixture, LANES, filled, numbered};

/// The fixture's topic, and whatever begins as it does.
fn pattern<F: Fixture>(fixture: &F, rest: &str) -> TopicPattern {
    TopicPattern::new(&format!("{}{rest}", fixture.topic().replace('.', r"\."))).expect("it is one")
}

pub(crate) async fn a_topic_that_appears_is_found_by_its_pattern<F: Fixture>() {
    let fixture = F::announce(AMPLE);
    let mut member = Member::<F>::new(fixture.join_by(Subscription::new().pattern(pattern(&fixture, ".*"), LANES)));
    member.until("a word that there is nothing", |member| member.told > 0).await;
    assert!(member.held.is_empty());
    fixture.create(fixture.topic(), 2);
    for partition in 0..2 {
        fixture.produce(partition, &numbered(0..100));
    }
    member.until("all records", |member| member.records.len() == 200).await;
    for partition in 0..2 {
        assert_eq!(member.offsets(partition), (0..100).collect::<Vec<_>>());
        let epoch = member.held[&partition];
        member.commit(epoch, 50, "").await.expect("it is taken");
        assert_eq!(fixture.committed(partition).expect("it was made").next.offset().0, 50);
    }
    member.close().await;
}

/// The driver would say that the partition is assigned twice: it tells topics apart by nothing.
pub(crate) async fn topics_for_dead_letters_are_found_by_no_pattern<F: Fixture>() {
    let fixture: F = filled(1, 5);
    fixture.create(&format!("{}.dlq", fixture.topic()), 1);
    fixture.create(&format!("{}.dlq.dlq", fixture.topic()), 1);
    let mut member = Member::<F>::new(fixture.join_by(Subscription::new().pattern(pattern(&fixture, ".*"), LANES)));
    member.until("all records and their end", |member| member.records.len() == 5 && member.ends.len() == 1).await;
    assert_eq!((member.held.len(), member.progress.len()), (1, 1));
    member.close().await;
}

pub(crate) async fn a_topic_that_two_patterns_match_is_refused<F: Fixture>() {
    let fixture: F = filled(1, 5);
    let subscription =
        Subscription::new().pattern(pattern(&fixture, ""), LANES).pattern(pattern(&fixture, ".*"), LANES);
    let mut source = fixture.join_by(subscription);
    let deadline = Instant::now() + AMPLE;
    let error = loop {
        assert!(Instant::now() < deadline, "it is not refused");
        if let Err(error) = source.poll(&Demand::none(), Duration::from_millis(100)).await {
            break error;
        }
    };
    let SourceError::Misconfigured(say) = &error else { panic!("{error:?}") };
    assert!(say.contains(&format!("topic `{}` matches both patterns", fixture.topic())), "{say}");
    source.close(deadline).await.expect("the group is left");
}
