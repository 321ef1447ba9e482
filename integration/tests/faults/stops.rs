//! Processes that are asked to end.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use daemonry::record::Partition;
use integration::checker::{Order, Verdict};
use integration::patience::unix_ms;
use integration::payload::{Mix, Payload};
use integration::scale::Scale;
use integration::scenario::STOP;
use integration::{Scenario, brokers};
use rustix::process::Signal;

use crate::side_by_side::{ALL, Setting, side_by_side};

/// Of each setting; there are four of them.
fn stops() -> Result<usize> {
    Ok(Scale::of_environment()?.of(5, 13))
}

/// Stops processes under load, one at a time, and starts another one after each.
fn stopped_under_load(setting: Setting) -> Result<Verdict> {
    let mut scenario = Scenario::open(&brokers()?, &setting.name("sigterm"), setting.order)?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = setting.flags(&scenario);
    let load = scenario.load(200, Mix::default());
    let mut running = Vec::new();
    for _ in 0..setting.members {
        running.push(scenario.start_watched(&flags)?);
    }
    for _ in 0..stops()? {
        let mut leaver = running.swap_remove(random.usize(0..running.len()));
        scenario.until_works(&mut leaver, Duration::from_secs(40))?;
        thread::sleep(Duration::from_millis(random.u64(0..1_000)));
        scenario.unwatch(&leaver)?;
        let code = leaver.stop(STOP)?;
        ensure!(code == 0, "process {} ended with code {code}, log {}", leaver.pid(), leaver.log_path().display());
        running.push(scenario.start_watched(&flags)?);
    }
    scenario.unload(load)?;
    scenario.pass(running, Duration::from_secs(60))
}

#[test]
fn sigterm_drains() -> Result<()> {
    for verdict in side_by_side(&ALL, stopped_under_load)? {
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
}

/// Stops both members while the older one waits for the group, having given up what the younger one is to get. Session timeouts are
/// Kafka's own: the group would wait that long for one that went without a word.
#[test]
fn sigterm_during_rebalance() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "sigterm.rebalance", Order::Key)?;
    let flags = scenario.flags();
    let load = scenario.load(200, Mix::default());
    let mut older = scenario.start(&flags)?;
    scenario.until_works(&mut older, Duration::from_secs(40))?;
    let mut younger = scenario.start(&flags)?;
    older.until_log("revoked partitions given up, drained", Duration::from_secs(40))?;

    let before = Instant::now();
    older.signal(Signal::TERM)?;
    younger.signal(Signal::TERM)?;
    assert_eq!((older.wait(STOP)?, younger.wait(STOP)?), (0, 0));

    let took = before.elapsed();
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    scenario.unload(load)?;
    let heir = scenario.start_watched(&flags)?;
    let verdict = scenario.pass(vec![heir], Duration::from_secs(60))?;
    assert_eq!(verdict.duplicates, 0, "{verdict}");
    Ok(())
}

/// Stops a process whose dead letters can't be written: it gives their records back.
#[test]
fn sigterm_during_dead_letter_publish() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "sigterm.letters", Order::Key)?;
    let flags = scenario.flags().with("drain-ms", 3_000);
    let mut member = scenario.start(&flags)?;
    let record = |id: u64| match id % 10 {
        0 => Payload::poison(id, &format!("key-{}", id % 20)),
        _ => Payload::obeyed(id, &format!("key-{}", id % 20), ""),
    };
    scenario.produce((0..200).map(record))?;
    scenario.settle(Duration::from_secs(30))?;
    scenario.delete_letters()?;
    scenario.produce((200..400).map(record))?;
    member.until_log("dead letter can't be written, its partition waits", Duration::from_secs(60))?;

    let before = Instant::now();
    let code = member.stop(STOP)?;

    let took = before.elapsed();
    scenario.expect_error("exit_code=3");
    ensure!(code == 0 || code == 3, "it ended with code {code}, log {}", member.log_path().display());
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    scenario.create_letters()?;
    let heir = scenario.start_watched(&flags)?;
    let verdict = scenario.pass(vec![heir], Duration::from_secs(40))?;
    assert_eq!((verdict.letters, verdict.duplicates), (40, 0), "{verdict}");
    Ok(())
}

/// A record that blocks its handler's thread for long, and some beside it.
fn blocked(name: &str) -> Result<Scenario> {
    let mut scenario = Scenario::open(&brokers()?, name, Order::Key)?;
    scenario.produce_to(Partition(0), [Payload::obeyed(1, "blocked", "\"block_ms\":9000")])?;
    scenario.produce((2..200).map(|id| Payload::obeyed(id, &format!("key-{}", id % 20), "")))?;
    Ok(scenario)
}

fn is_blocked(produced: &integration::checker::Produced) -> bool {
    produced.id == Some(1)
}

#[test]
fn sigterm_with_blocked_handler() -> Result<()> {
    let mut scenario = blocked("sigterm.blocked")?;
    let flags = scenario.flags().with("drain-ms", 2_000);
    let mut member = scenario.start(&flags)?;
    scenario.settle_where(Duration::from_secs(30), |produced| !is_blocked(produced))?;

    let before = Instant::now();
    member.signal(Signal::TERM)?;
    assert_eq!(member.wait(STOP)?, 3);

    scenario.expect_error("exit_code=3");
    // The drain's time, and little more.
    let took = before.elapsed();
    assert!((Duration::from_secs(2)..Duration::from_secs(8)).contains(&took), "it took {took:?}");
    assert!(member.log()?.contains("unfinished"), "the log doesn't say so");
    // The unfinished one runs again, and nothing else does.
    let other = scenario.start_watched(&flags)?;
    let verdict = scenario.pass(vec![other], Duration::from_secs(40))?;
    assert_eq!((verdict.successes, verdict.duplicates), (199, 0));
    Ok(())
}

#[test]
fn second_sigterm() -> Result<()> {
    let mut scenario = blocked("sigterm.twice")?;
    let flags = scenario.flags().with("session-timeout-ms", 2_000);
    let mut member = scenario.start(&flags)?;
    scenario.settle_where(Duration::from_secs(30), |produced| !is_blocked(produced))?;

    member.signal(Signal::TERM)?;
    member.until_log("signal received", Duration::from_secs(5))?;
    let (gone, before) = (unix_ms(), Instant::now());
    member.signal(Signal::TERM)?;
    assert_eq!(member.wait(STOP)?, 143);
    // Such an end is a crash for its group: what isn't committed yet runs again, and nothing else.
    scenario.note_gone(member.pid(), gone, Duration::ZERO);

    assert!(before.elapsed() < Duration::from_secs(1), "it took {:?}", before.elapsed());
    let other = scenario.start_watched(&flags)?;
    scenario.pass(vec![other], Duration::from_secs(40))?;
    Ok(())
}

#[test]
fn sigterm_during_startup() -> Result<()> {
    let mut scenario = Scenario::open(&brokers()?, "sigterm.startup", Order::Key)?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = scenario.flags();
    scenario.produce((0..400).map(|id| Payload::obeyed(id, &format!("key-{}", id % 20), "\"sleep_ms\":5")))?;
    for _ in 0..5 {
        let mut member = scenario.start(&flags)?;
        member.until_log("daemon starts", Duration::from_secs(10))?;
        thread::sleep(Duration::from_millis(random.u64(0..400)));
        assert_eq!(member.stop(Duration::from_secs(10))?, 0);
    }
    let heir = scenario.start_watched(&flags)?;
    let verdict = scenario.pass(vec![heir], Duration::from_secs(60))?;
    assert_eq!((verdict.successes, verdict.duplicates), (400, 0), "{verdict}");
    Ok(())
}
