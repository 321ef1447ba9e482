//! The checker itself: it passes an honest run, and catches each way to cheat that the ledger knows.

use std::time::Duration;

use anyhow::Result;
use integration::checker::{Invariant, Order, Verdict};
use integration::payload::Mix;
use integration::{Scenario, brokers};

/// A run that cheats where it is told to: one process is stopped under load, and another one goes on.
fn stopped_once(sabotage: Option<&str>) -> Result<(Scenario, Verdict)> {
    let name = format!("checker.{}", sabotage.unwrap_or("honest"));
    let mut scenario = Scenario::open(&brokers()?, &name, Order::Key)?;
    // A commit is rare, so that one that is forgotten is missed.
    let flags = scenario.flags().with("commit-interval-ms", 2_000).with("session-timeout-ms", 2_000);
    let flags = sabotage.iter().fold(flags, |flags, sabotage| flags.with("sabotage", sabotage));
    let load = scenario.load(300, Mix { failing: 10, ..Mix::default() });
    for _ in 0..2 {
        let mut member = scenario.start(&flags)?;
        scenario.until_more(500, Duration::from_secs(30))?;
        assert_eq!(member.stop(Duration::from_secs(30))?, 0);
    }
    scenario.unload(load)?;
    let last = scenario.start(&flags)?;
    if sabotage.is_none() {
        let verdict = scenario.finish(vec![last], Duration::from_secs(60))?;
        return Ok((scenario, verdict));
    }
    // What is lost never comes: it is enough that the group has come to the end.
    scenario.until_committed_to_the_end(Duration::from_secs(60))?;
    drop(last);
    let verdict = scenario.judge()?;
    Ok((scenario, verdict))
}

/// Cheating must break at least this promise.
fn caught(sabotage: &str, invariant: Invariant) -> Result<()> {
    let (scenario, verdict) = stopped_once(Some(sabotage))?;
    assert!(verdict.broken().contains(&invariant), "{sabotage} was not caught by {invariant:?}: {verdict}");
    scenario.close()
}

#[test]
fn an_honest_run_passes() -> Result<()> {
    let (scenario, verdict) = stopped_once(None)?;
    verdict.ensure_clean()?;
    assert!(verdict.commits > 2 && verdict.letters > 0 && verdict.duplicates == 0, "{verdict}");
    scenario.close()
}

#[test]
fn a_commit_before_the_work_is_done_is_caught() -> Result<()> {
    caught("early-commit", Invariant::I2)
}

#[test]
fn a_dropped_record_is_caught() -> Result<()> {
    caught("drop-failed", Invariant::I1)
}

#[test]
fn a_broken_order_is_caught() -> Result<()> {
    caught("break-order", Invariant::I3)
}

#[test]
fn a_forgotten_final_commit_is_caught() -> Result<()> {
    caught("no-final-commit", Invariant::I4)
}
