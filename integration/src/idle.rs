//! What a process costs that has nothing to do.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::member::{Cpu, Flags, Member};
use crate::patience::until_true;
use crate::scenario::STOP;
use crate::topics::Topics;

/// What a start may take, and its aftermath.
const START: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(5);

/// The CPU that a process of `examples/ledger` takes in `time` with so many partitions assigned, and no records.
///
/// # Errors
/// When it doesn't get its partitions, or doesn't stop well.
pub fn measure(topics: &Topics, brokers: &str, partitions: u16, time: Duration) -> Result<Cpu> {
    // First, so that it need not wait until many partitions are there.
    let letters = topics.create_fresh("idle.letters", 1)?;
    let topic = topics.create_fresh("idle", partitions)?;
    let directory = tempfile::tempdir()?;
    let flags = Flags::default()
        .with("brokers", brokers)
        .with("topic", &topic)
        .with("group", &topic)
        .with("dead-letter", &letters)
        .with("ledger", directory.path().join("ledger").display())
        .with("order", "key")
        .with("workers", 16)
        .with("admin", "127.0.0.1:0");
    let mut member = Member::start(&flags, directory.path().join("log"))?;
    until_true(START, &format!("{partitions} partitions"), || {
        Ok(member.log()?.matches("partition assigned").count() == usize::from(partitions))
    })?;
    thread::sleep(SETTLE);

    let before = member.cpu()?;
    thread::sleep(time);
    let after = member.cpu()?;

    ensure!(member.stop(STOP)? == 0, "{}", member.log()?);
    topics.delete(&topic)?;
    topics.delete(&letters)?;
    Ok(Cpu { user: after.user - before.user, system: after.system - before.system })
}
