//! Exit codes of what can't work.

use std::time::Duration;

use anyhow::Result;
use integration::checker::Order;
use integration::patience::unix_ms;
use integration::payload::Mix;
use integration::{Flags, Scenario, brokers};

const SOON: Duration = Duration::from_secs(20);

/// Starts a process that must end at once with code 2 and say this.
fn refused(change: fn(Flags) -> Flags, said: &str) -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "refused", Order::Key)?;
    let flags = change(scenario.flags().with("dead-letter", scenario.letter_topic()));
    let mut member = scenario.start(&flags)?;

    assert_eq!(member.wait(SOON)?, 2);

    let log = member.log()?;
    assert!(log.contains(said), "it doesn't say `{said}`: {log}");
    scenario.close()
}

#[test]
fn a_missing_topic_is_refused() -> Result<()> {
    refused(|flags| flags.with("topic", "nobody-made-this"), "nobody-made-this")
}

#[test]
fn a_session_timeout_with_the_consumer_protocol_is_refused() -> Result<()> {
    refused(|flags| flags.with("group-protocol", "consumer").with("session-timeout-ms", 6_000), "session")
}

#[test]
fn static_member_fenced() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "fenced", Order::Key)?;
    let flags = scenario.flags().with("instance-id", "the-only-one").with("session-timeout-ms", 6_000);
    let load = scenario.load(100, Mix::default());
    let mut first = scenario.start(&flags)?;
    scenario.until_works(&mut first, SOON)?;

    let started = unix_ms();
    let mut second = scenario.start(&flags)?;

    assert_eq!(first.wait(SOON)?, 4);
    scenario.note_gone(first.pid(), started, Duration::ZERO);
    scenario.expect_error("fenced");
    // Or a commit is refused before the client hears of it.
    scenario.expect_error("another member uses the same instance id");
    let log = first.log()?;
    assert!(log.contains("fenced") && log.contains("the-only-one"), "it doesn't say why: {log}");
    scenario.until_works(&mut second, SOON)?;
    scenario.unload(load)?;
    let verdict = scenario.finish(vec![second], Duration::from_secs(60))?;
    verdict.ensure_clean()?;
    scenario.close()
}

#[test]
fn static_member_refused_and_let_in_once_the_other_has_died() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "taken", Order::Key)?;
    let flags = scenario.flags().with("instance-id", "the-only-one").with("group-protocol", "consumer");
    let load = scenario.load(100, Mix::default());
    let mut first = scenario.start(&flags)?;
    scenario.until_works(&mut first, SOON)?;

    let mut refused = scenario.start(&flags.clone().with("instance-wait-ms", 3_000))?;
    assert_eq!(refused.wait(SOON)?, 4);
    scenario.expect_error("has not left yet");
    scenario.expect_error("The instance ID is still used by another member in the consumer group");
    let log = refused.log()?;
    assert!(log.contains("has not left yet") && log.contains("the-only-one"), "it doesn't say why: {log}");

    let mut second = scenario.start(&flags)?;
    second.until_log("has not left yet", SOON)?;
    scenario.kill(first)?;
    // The group gives up the one that was killed after its session timeout, 6 s here.
    scenario.until_works(&mut second, SOON)?;
    scenario.unload(load)?;
    scenario.pass(vec![second], Duration::from_secs(60))?;
    Ok(())
}
