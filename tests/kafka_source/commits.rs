//! Commits, and what comes back of them.

use daemonry::kafka::{KafkaAdmin, Standing};
use daemonry::pipeline::source::CommitError;

use crate::member::{Member, PROTOCOLS, both, config, fill, topic, unique};

#[tokio::test]
async fn a_commit_and_its_metadata_are_read_back_by_the_next_member() {
    for protocol in PROTOCOLS {
        let topic = topic("commit", 2).await;
        fill(&topic, 1000).await;
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        let mut first = Member::join(&settings, &topic);
        first.until("all records", |member| member.records.len() == 1000).await;
        first.commit(0, 100, "not ours").await.expect("committed");
        first.commit(1, 7, "").await.expect("committed");
        first.close().await;
        let mut second = Member::join(&settings, &topic);
        second.until("the rest", |member| member.records.len() == 1000 - 107).await;
        let lowest = |partition: i32| {
            let offsets = second
                .records
                .iter()
                .filter(|record| record.partition().0 == partition)
                .map(|record| record.offset().0);
            offsets.min()
        };
        assert_eq!((lowest(0), lowest(1)), (Some(100), Some(7)), "{protocol:?}");
        second.close().await;
    }
}

#[tokio::test]
async fn where_a_group_stands_is_told_from_outside() {
    for protocol in PROTOCOLS {
        let topic = topic("standing", 2).await;
        fill(&topic, 1000).await;
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        let admin = KafkaAdmin::new(&settings).expect("it can be made");
        let standing = async || {
            let standing =
                admin.standing(&topic.as_str().into()).await.expect("the brokers answer").expect("it is there");
            let of = |one: &Standing| (one.partition.0, one.committed.map(|next| next.offset().0), one.finished_above);
            let ends: i64 = standing.iter().map(|one| one.end.0).sum();
            (ends, standing.iter().map(of).collect::<Vec<_>>())
        };
        assert_eq!(standing().await, (1000, vec![(0, None, 0), (1, None, 0)]), "{protocol:?}");
        let mut member = Member::join(&settings, &topic);
        member.until("all records", |member| member.records.len() == 1000).await;
        member.commit(0, 100, "dm1:6815c86c:b:BgI").await.expect("committed");
        member.commit(1, 7, "not ours").await.expect("committed");
        assert_eq!(standing().await, (1000, vec![(0, Some(100), 3), (1, Some(7), 0)]), "{protocol:?}");
        member.close().await;
    }
    let admin = KafkaAdmin::new(&config(&unique("g"))).expect("it can be made");
    assert_eq!(admin.standing(&"no-such-topic".into()).await, Ok(None));
}

#[tokio::test]
async fn metadata_that_is_too_large_is_told_apart() {
    let topic = topic("metadata", 1).await;
    let mut member = Member::join(&config(&unique("g")), &topic);
    member.until("an assignment", |member| member.assigned.len() == 1).await;
    assert_eq!(member.commit(0, 1, &"x".repeat(5000)).await, Err(CommitError::MetadataTooLarge));
    member.commit(0, 1, &"x".repeat(4096)).await.expect("as much as a broker takes");
    member.close().await;
}

#[tokio::test]
async fn a_commit_for_what_is_not_ours_does_not_reach_the_broker() {
    for protocol in PROTOCOLS {
        let topic = topic("fence", 2).await;
        fill(&topic, 100).await;
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        let mut first = Member::join(&settings, &topic);
        first.until("both partitions", |member| member.assigned.len() == 2).await;
        let before = first.assigned.clone();
        let mut second = Member::join(&settings, &topic);
        both(&mut first, &mut second, "one partition each", |a, b| a.assigned.len() == 1 && b.assigned.len() == 1)
            .await;
        let gone = *second.assigned.keys().next().expect("one partition");
        let refused = first.commit_epoch(before[&gone], 50, "").await;
        assert!(matches!(refused, Err(CommitError::IllegalGeneration(_))), "{refused:?}");
        first.close().await;
        second.close().await;
        let mut third = Member::join(&settings, &topic);
        third.until("all of it", |member| member.records.len() == 100).await;
        third.close().await;
    }
}
