//! Dead letters, and the topic they go to.

use std::sync::PoisonError;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use daemonry::record::{Offset, Partition};
use integration::checker::{Fate, Order, Produced, Reason};
use integration::ledger::Entry;
use integration::patience::until_true;
use integration::payload::{Mix, Payload, Payloads};
use integration::{Cluster, Scenario, brokers};

use crate::clusters::{BROKERS, ONE};

#[test]
fn letters_equal_their_records_byte_for_byte() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "letters", Order::Key)?;
    let payloads: Vec<Payload> =
        Payloads::new(scenario.seed(), Mix { keys: 20, ..Mix::default() }).take(4_000).collect();
    let poison = payloads.iter().filter(|payload| payload.fate != Fate::Success);
    let [mut letters, mut foreign, mut null, mut empty] = [0; 4];
    for Payload { message, .. } in poison {
        letters += 1;
        foreign += usize::from(message.headers.iter().any(|(name, _)| std::str::from_utf8(name).is_err()));
        null += usize::from(message.headers.iter().any(|(_, value)| value.is_none()) || message.key.is_none());
        empty += usize::from(message.value.as_deref() == Some(b""));
    }
    assert!([letters / 10, foreign, null, empty].into_iter().all(|count| count > 5), "the mix is too plain");
    scenario.produce(payloads)?;

    let flags = scenario.flags();
    let members = vec![scenario.start_watched(&flags)?, scenario.start_watched(&flags)?];
    // The checker compares each letter with its record.
    let verdict = scenario.pass(members, Duration::from_secs(60))?;

    assert_eq!((verdict.letters, verdict.duplicates), (letters, 0));
    Ok(())
}

#[test]
fn dead_letter_topic_missing() -> Result<()> {
    let mut scenario = Scenario::open_without_letters(&brokers()?, "letters.missing", Order::Key)?;
    let flags = scenario.flags();
    let mut member = scenario.start(&flags)?;

    assert_eq!(member.wait(Duration::from_secs(20))?, 2);

    let log = member.log()?;
    let said =
        log.lines().find(|line| line.contains(&scenario.letter_topic()) && line.contains("does not exist: create it"));
    said.with_context(|| format!("the log doesn't say what to do: {log}"))?;
    scenario.close()
}

#[test]
fn dead_letter_topic_deleted_and_created_later() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "letters.deleted", Order::Key)?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let mut member = scenario.start(&flags)?;
    let mut ids = 1..;
    let mut with_poison = |partition: i32| -> Vec<Payload> {
        let record = |id: u64| match id % 10 {
            0 => Payload::poison(id, &format!("key-{partition}")),
            _ => Payload::obeyed(id, &format!("key-{partition}"), ""),
        };
        ids.by_ref().take(100).map(record).collect()
    };
    scenario.produce_to(Partition(0), with_poison(0))?;
    scenario.settle(Duration::from_secs(30))?;

    scenario.delete_letters()?;
    scenario.produce_to(Partition(0), with_poison(0))?;
    scenario.produce_to(Partition(1), with_poison(1))?;
    // A key of its own in the same partition waits for nothing.
    scenario.produce_to(Partition(2), (0..100).map(|id| Payload::obeyed(1_000_000 + id, "healthy", "")))?;
    member.until_log("dead letter can't be written, its partition waits", Duration::from_secs(60))?;
    until_true(Duration::from_secs(20), "two partitions held for their letters", || {
        Ok(member.metric("daemon_partitions_held", r#"reason="dead_letter""#)? >= 2.0)
    })?;
    scenario.settle_where(Duration::from_secs(10), |produced| produced.stored.partition == Partition(2))?;
    let log = member.log()?;
    let said = log.lines().find(|line| line.contains("dead letter can't be written"));
    let said = said.context("it was there")?;
    assert!(said.contains(&scenario.letter_topic()) && said.contains("error"), "it doesn't say why: {said}");
    assert_eq!(member.get("/livez")?.0, 200);

    scenario.create_letters()?;
    scenario.settle(Duration::from_secs(60))?;
    until_true(Duration::from_secs(10), "no partition held any more", || {
        Ok(member.metric("daemon_partitions_held", r#"reason="dead_letter""#)? < 0.5)
    })?;
    let verdict = scenario.pass(vec![member], Duration::from_secs(10))?;
    assert_eq!((verdict.letters, verdict.duplicates), (30, 0));
    Ok(())
}

#[test]
fn dead_letter_too_large() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "letters.large", Order::Key)?;
    let letters = scenario.letter_topic();
    scenario.bound_letters(20_000)?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let mut member = scenario.start(&flags)?;
    let filler = "x".repeat(50_000);
    let large = Payload {
        fate: Fate::Letter(Reason::Poison),
        ..Payload::obeyed(1_000, "large", &format!("\"poison\":true,\"filler\":\"{filler}\""))
    };
    let obeyed = |ids: std::ops::Range<u64>, key: &'static str| ids.map(move |id| Payload::obeyed(id, key, ""));

    scenario.produce_to(Partition(0), obeyed(0..50, "large").chain([large]).chain(obeyed(50..100, "large")))?;
    // Small letters go through the same topic meanwhile.
    scenario
        .produce_to(Partition(1), obeyed(100..200, "small").chain((200..220).map(|id| Payload::poison(id, "small"))))?;
    member.until_log("dead letter can't be written, its partition waits", Duration::from_secs(60))?;
    let log = member.log()?;
    let said = log.lines().find(|line| line.contains("dead letter can't be written")).context("it was there")?;
    assert!(said.contains(&letters) && said.contains("max.message.bytes"), "it doesn't say what to do: {said}");
    scenario.settle_where(Duration::from_secs(20), |produced| {
        produced.stored.partition == Partition(1) || produced.id.is_some_and(|id| id < 50)
    })?;
    until_true(Duration::from_secs(10), "the partition held for its letter", || {
        let held = member.metric("daemon_partitions_held", r#"reason="dead_letter""#)?;
        let refused = member.metric("daemon_dead_letter_failures_total", r#"reason="too_large""#)?;
        Ok(held >= 1.0 && refused >= 1.0)
    })?;
    let group = scenario.topics().group(scenario.topic())?;
    let committed = group.committed(scenario.topic(), &[Partition(0)])?;
    assert!(committed.values().all(|commit| commit.next.offset() <= Offset(50)), "committed past it: {committed:?}");
    // What follows it in its lane waits.
    let waits = |offset: Offset| (Offset(50)..Offset(101)).contains(&offset);
    assert!(!scenario.entries()?.iter().any(|entry| entry.partition == Partition(0) && waits(entry.offset)));

    scenario.bound_letters(200_000)?;
    let verdict = scenario.pass(vec![member], Duration::from_secs(60))?;
    assert_eq!((verdict.letters, verdict.duplicates), (21, 0));
    Ok(())
}

/// The one broker that has the letters dies, and those with the topic live: what is poison waits, and all else goes on.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn dead_letter_broker_down() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    const DOWN: i32 = 3;
    const POISON: [Partition; 2] = [Partition(0), Partition(1)];
    const BOUND: Duration = Duration::from_secs(30);
    /// What a broker may take to be missed by those that live, and its groups and leaders to have others.
    const MISSED: Duration = Duration::from_secs(60);
    /// The time of a letter's try, and some more.
    const TRIED: Duration = Duration::from_secs(45);
    let mut cluster = Cluster::start(BROKERS)?;
    let mut scenario = Scenario::open(&cluster.bootstrap(), "letters.down", Order::Key)?;
    let letters = scenario.letter_topic();
    cluster.place(scenario.topic(), &[1, 2])?;
    scenario.topics().set(&letters, &[("min.insync.replicas", "1"), ("message.timestamp.type", "LogAppendTime")])?;
    cluster.place(&letters, &[DOWN])?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0").with("stall-after-ms", 30_000);
    let mut member = scenario.start(&flags)?;
    let mut ids = 1..;
    let mut with_poison = |partition: Partition| -> Vec<Payload> {
        let record = |id: u64| match id % 10 {
            0 => Payload::poison(id, &format!("key-{partition}")),
            _ => Payload::obeyed(id, &format!("key-{partition}"), ""),
        };
        ids.by_ref().take(100).map(record).collect()
    };
    for partition in POISON {
        scenario.produce_to(partition, with_poison(partition))?;
    }
    scenario.settle(BOUND)?;
    scenario.until_committed_to_the_end(BOUND)?;
    scenario.watch(&mut member)?;

    scenario.expect_broken_connections();
    scenario.expect_error("nothing of the partition is processed though records wait");
    cluster.broker(DOWN).kill()?;
    for partition in POISON {
        scenario.produce_to(partition, with_poison(partition))?;
    }
    member.until_log("dead letter can't be written, its partition waits", TRIED)?;
    until_true(BOUND, "two partitions held for their letters", || {
        let held = member.metric("daemon_partitions_held", r#"reason="dead_letter""#)?;
        let unavailable = member.metric("daemon_dead_letter_failures_total", r#"reason="unavailable""#)?;
        Ok((held - 2.0).abs() < 0.5 && unavailable >= 2.0)
    })?;
    let log = member.log()?;
    let said = log.lines().find(|line| line.contains("dead letter can't be written")).context("it was there")?;
    ensure!(said.contains(&letters) && said.contains("error"), "it doesn't say why: {said}");
    scenario.watches()[0].until_unready(BOUND, "one for its dead letter")?;
    // The other partitions go on; of those that wait nothing more is read.
    for (first, partition) in (1_000..).step_by(1_000).zip((0..8).map(Partition)) {
        scenario.produce_to(partition, (first..first + 100).map(|id| Payload::obeyed(id, "healthy", "")))?;
    }
    scenario.settle_where(MISSED, |produced: &Produced| !POISON.contains(&produced.stored.partition))?;
    // Nine came before the first that is poison; nothing of its key behind it was started, nor is anything committed that is not finished.
    let committed = scenario.topics().group(scenario.topic())?.committed(scenario.topic(), &POISON)?;
    ensure!(committed.values().all(|commit| commit.next.offset() <= Offset(109)), "committed past it: {committed:?}");
    let passed = |entry: &Entry| POISON.contains(&entry.partition) && entry.offset >= Offset(109);
    ensure!(!scenario.entries()?.iter().any(passed), "what follows a letter in its lane was done before it");

    cluster.restart_stopped()?;
    scenario.settle(MISSED)?;
    scenario.watches()[0].until_ready(BOUND)?;
    let verdict = scenario.pass(vec![member], BOUND)?;
    assert_eq!((verdict.letters, verdict.duplicates), (40, 0), "{verdict}");
    Ok(())
}
