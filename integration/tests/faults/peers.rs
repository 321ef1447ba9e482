//! The program that is measured, under load: what it is measured with must not be another one than what keeps the promises.

use std::time::Duration;

use anyhow::Result;
use integration::patience::until_true;
use integration::payload::{Mix, Payloads};
use integration::scenario::STOP;
use integration::{Flags, Member, Topics, brokers};

const SOON: Duration = Duration::from_secs(40);

/// How much of the topic the group has committed.
fn committed(topics: &Topics, topic: &str) -> Result<i64> {
    let commits = topics.group(topic)?.committed(topic, &topics.partitions(topic)?)?;
    Ok(commits.values().map(|commit| commit.next.offset().0).sum())
}

/// Waits until it has committed this many more records than now.
fn until_more(topics: &Topics, topic: &str, count: i64) -> Result<()> {
    let enough = committed(topics, topic)? + count;
    until_true(SOON, &format!("commits of {count} more records"), || Ok(committed(topics, topic)? >= enough))
}

#[test]
fn peers_share_a_topic_and_end_at_a_signal() -> Result<()> {
    let brokers = brokers()?;
    let topics = Topics::connect(&brokers)?;
    let topic = topics.create_fresh("peers", 8)?;
    let directory = tempfile::tempdir()?;
    let load = integration::load::Load::start(&brokers, &topic, 1_000, Payloads::new(1, Mix::default()));
    let start = |name: &str| {
        // More than will ever come: only the signal ends it.
        let flags = Flags::default()
            .with("brokers", &brokers)
            .with("topic", &topic)
            .with("group", &topic)
            .with("count", 1_000_000_000)
            .with("work", "sleep:1")
            .with("ordering", "key");
        Member::start_example("peer", &flags, directory.path().join(name))
    };

    let mut first = start("first.log")?;
    until_more(&topics, &topic, 1_000)?;
    let mut second = start("second.log")?;
    second.until_log("partition assigned", SOON)?;
    until_more(&topics, &topic, 1_000)?;

    assert_eq!(first.stop(STOP)?, 0, "{}", first.log()?);
    until_more(&topics, &topic, 1_000)?;
    drop(load.stop()?);
    let end: i64 = topics.ends(&topic)?.values().map(|end| end.0).sum();
    until_true(SOON, "commits of all records", || Ok(committed(&topics, &topic)? == end))?;
    assert_eq!(second.stop(STOP)?, 0, "{}", second.log()?);
    topics.delete(&topic)
}
