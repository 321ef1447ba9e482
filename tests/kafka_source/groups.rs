//! Members that come and go.

use std::time::Duration;

use daemonry::pipeline::source::SourceError;
use tokio::time::Instant;

use crate::member::{Member, PROTOCOLS, both, config, fill, topic, unique};

#[tokio::test]
async fn a_partition_changes_hands_only_once_its_revocation_is_complete() {
    for protocol in PROTOCOLS {
        let topic = topic("handover", 4).await;
        fill(&topic, 400).await;
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        let mut first = Member::join(&settings, &topic);
        first.until("all partitions", |member| member.assigned.len() == 4 && member.records.len() == 400).await;
        let before = first.assigned.clone();
        first.obliging = false;
        let mut second = Member::join(&settings, &topic);
        both(&mut first, &mut second, "a revocation", |a, _| !a.revoked.is_empty()).await;
        let (left, right) = tokio::join!(first.linger(Duration::from_secs(2)), second.linger(Duration::from_secs(2)));
        let ((), ()) = (left, right);
        assert!(second.assigned.is_empty(), "{protocol:?}: handed over before the revocation was complete");
        // What is still ours until then can be committed.
        let revoked = first.revoked[0].epochs().to_vec();
        for (partition, epoch) in before.iter().filter(|(_, epoch)| revoked.contains(epoch)) {
            first.commit_epoch(*epoch, 10 + i64::from(*partition), "").await.expect("committed while draining");
        }
        first.revoked.drain(..).for_each(daemonry::pipeline::source::Revocation::complete);
        first.obliging = true;
        both(&mut first, &mut second, "two partitions each", |a, b| a.assigned.len() == 2 && b.assigned.len() == 2)
            .await;
        both(&mut first, &mut second, "its records", |_, b| {
            b.records.iter().map(|record| record.partition()).collect::<std::collections::HashSet<_>>().len() == 2
        })
        .await;
        for partition in second.assigned.keys() {
            let first_read =
                second.records.iter().find(|record| record.partition().0 == *partition).expect("some were left");
            assert_eq!(first_read.offset().0, 10 + i64::from(*partition), "{protocol:?}");
        }
        first.close().await;
        second.close().await;
    }
}

#[tokio::test]
async fn a_revocation_that_nobody_completes_ends_at_its_deadline() {
    let topic = topic("overdue", 2).await;
    let mut settings = config(&unique("g"));
    settings.revoke_drain = Duration::from_secs(1);
    let mut first = Member::join(&settings, &topic);
    first.until("both partitions", |member| member.assigned.len() == 2).await;
    first.obliging = false;
    let mut second = Member::join(&settings, &topic);
    both(&mut first, &mut second, "one partition each", |_, b| b.assigned.len() == 1).await;
    assert_eq!(first.revoked.len(), 1, "it is still held, and worth nothing");
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_member_that_closes_leaves_its_partitions_at_once() {
    for protocol in PROTOCOLS {
        let topic = topic("leave", 4).await;
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        let mut first = Member::join(&settings, &topic);
        let mut second = Member::join(&settings, &topic);
        both(&mut first, &mut second, "two partitions each", |a, b| a.assigned.len() == 2 && b.assigned.len() == 2)
            .await;
        let start = Instant::now();
        let closed = first.close().await;
        second.until("all partitions", |member| member.assigned.len() == 4).await;
        assert!(closed < Duration::from_secs(2), "{protocol:?}: closing took {closed:?}");
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "{protocol:?}: the partitions came after {:?}",
            start.elapsed()
        );
        second.close().await;
    }
}

#[tokio::test]
async fn closing_with_a_record_still_held_leaves_the_group_all_the_same() {
    let topic = topic("heldrecord", 2).await;
    fill(&topic, 10).await;
    let group = unique("g");
    let mut first = Member::join(&config(&group), &topic);
    first.until("the records", |member| member.records.len() == 10).await;
    let records = std::mem::take(&mut first.records);
    let took = first.close().await;
    assert!(took < Duration::from_secs(2), "closing took {took:?}");
    let start = Instant::now();
    let mut second = Member::join(&config(&group), &topic);
    second.until("both partitions", |member| member.assigned.len() == 2).await;
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "the group waited {:?} for a member that had left",
        start.elapsed()
    );
    assert_eq!(records.iter().filter(|record| record.value().is_some()).count(), 10);
    drop(records);
    second.close().await;
}

#[tokio::test]
async fn closing_in_the_middle_of_a_rebalance_ends() {
    for protocol in PROTOCOLS {
        let topic = topic("midway", 4).await;
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        let mut first = Member::join(&settings, &topic);
        first.until("all partitions", |member| member.assigned.len() == 4).await;
        first.obliging = false;
        let mut second = Member::join(&settings, &topic);
        both(&mut first, &mut second, "a revocation", |a, _| !a.revoked.is_empty()).await;
        let took = first.close().await;
        assert!(took < Duration::from_secs(3), "{protocol:?}: closing took {took:?}");
        second.until("all partitions", |member| member.assigned.len() == 4).await;
        second.close().await;
    }
}

#[tokio::test]
async fn a_source_that_is_closed_at_once_ends() {
    let topic = topic("atonce", 1).await;
    for _ in 0..5 {
        Member::join(&config(&unique("g")), &topic).close().await;
    }
}

#[tokio::test]
async fn a_member_without_a_partition_is_patient() {
    for protocol in PROTOCOLS {
        let topic = topic("patient", 1).await;
        let mut settings = config(&unique("g"));
        settings.protocol = protocol;
        let mut members = [Member::join(&settings, &topic), Member::join(&settings, &topic)];
        let [first, second] = &mut members;
        both(first, second, "the partition", |a, b| a.assigned.len() + b.assigned.len() == 1).await;
        let _both = tokio::join!(first.linger(Duration::from_secs(4)), second.linger(Duration::from_secs(4)));
        members.sort_by_key(|member| member.assigned.len());
        let [mut waits, has] = members;
        assert_eq!((waits.assigned.len(), has.assigned.len()), (0, 1), "{protocol:?}");
        has.close().await;
        waits.until("the partition", |member| member.assigned.len() == 1).await;
        waits.close().await;
    }
}

#[tokio::test]
async fn a_static_member_finds_its_partitions_again() {
    let topic = topic("static", 4).await;
    let group = unique("g");
    let named = |id: &str| {
        let mut settings = config(&group);
        settings.instance_id = Some(id.to_owned());
        settings.session_timeout = Some(Duration::from_secs(20));
        settings
    };
    let mut first = Member::join(&named("a"), &topic);
    let mut second = Member::join(&named("b"), &topic);
    both(&mut first, &mut second, "two partitions each", |a, b| a.assigned.len() == 2 && b.assigned.len() == 2).await;
    let before: Vec<i32> = first.assigned.keys().copied().collect();
    first.close().await;
    second.linger(Duration::from_secs(1)).await;
    assert_eq!(second.assigned.len(), 2, "nothing moved while it was away");
    let mut again = Member::join(&named("a"), &topic);
    both(&mut again, &mut second, "its partitions", |a, _| a.assigned.len() == 2).await;
    assert_eq!(again.assigned.keys().copied().collect::<Vec<_>>(), before);
    again.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_static_member_whose_place_is_taken_fails() {
    let topic = topic("fenced", 2).await;
    let mut settings = config(&unique("g"));
    settings.instance_id = Some("same".to_owned());
    settings.session_timeout = Some(Duration::from_secs(6));
    let mut first = Member::join(&settings, &topic);
    first.until("both partitions", |member| member.assigned.len() == 2).await;
    let mut second = Member::join(&settings, &topic);
    let deadline = Instant::now() + crate::member::LONG;
    let error = loop {
        assert!(Instant::now() < deadline, "nobody was fenced");
        let (first, second) = tokio::join!(first.step(), second.step());
        second.expect("the newer one goes on");
        if let Err(error) = first {
            break error;
        }
    };
    assert!(matches!(&error, SourceError::Fatal(say) if say.contains("same")), "{error}");
    second.until("both partitions", |member| member.assigned.len() == 2).await;
    first.close().await;
    second.close().await;
}

#[tokio::test]
async fn a_client_that_has_failed_for_good_is_made_anew() {
    let topic = topic("anew", 2).await;
    let mut settings = config(&unique("g"));
    settings.protocol = daemonry::kafka::GroupProtocol::Consumer;
    settings.instance_id = Some("same".to_owned());
    let mut first = Member::join(&settings, &topic);
    first.until("both partitions", |member| member.assigned.len() == 2).await;
    // Under this protocol the newer one is refused, which is fatal to its client, for as long as the older one is there.
    let mut second = Member::join(&settings, &topic);
    let told = |member: &Member| member.troubles.iter().any(|trouble| trouble.to_string().contains("has not left yet"));
    both(&mut first, &mut second, "a word about it", |_, b| told(b)).await;
    assert_eq!(first.assigned.len(), 2);
    first.close().await;
    second.until("both partitions", |member| member.assigned.len() == 2).await;
    second.close().await;
}

#[tokio::test]
async fn a_member_whose_instance_id_stays_taken_fails_in_time() {
    let topic = topic("taken", 2).await;
    let mut settings = config(&unique("g"));
    settings.protocol = daemonry::kafka::GroupProtocol::Consumer;
    settings.instance_id = Some("same".to_owned());
    let mut first = Member::join(&settings, &topic);
    first.until("both partitions", |member| member.assigned.len() == 2).await;
    settings.instance_wait = Duration::from_secs(3);
    let start = Instant::now();
    let mut second = Member::join(&settings, &topic);
    let error = loop {
        assert!(start.elapsed() < crate::member::LONG, "it waits for ever");
        let (first, second) = tokio::join!(first.step(), second.step());
        first.expect("the older one goes on");
        if let Err(error) = second {
            break error;
        }
    };
    assert!(start.elapsed() >= settings.instance_wait, "it gave up after {:?}", start.elapsed());
    assert!(matches!(&error, SourceError::Fatal(say) if say.contains("same")), "{error}");
    assert_eq!(first.assigned.len(), 2);
    first.close().await;
    second.close().await;
}
