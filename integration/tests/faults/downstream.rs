//! What handlers need goes away, and every record fails.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::checker::Order;
use integration::patience::until_true;
use integration::payload::{Mix, Payload};
use integration::{Scenario, brokers};

#[test]
#[ignore = "of `make faults`: it takes long"]
fn every_message_fails() -> Result<()> {
    const RECORDS: u64 = 50_000;
    /// What the process may hold more of at the end of the outage than at its begin.
    const GROWTH: u64 = 8 << 20;
    let mut scenario = Scenario::open(&brokers()?, "outage", Order::Key)?;
    let outage = scenario.directory().join("outage");
    let flags = scenario.flags().with("admin", "127.0.0.1:0").with("outage", outage.display());
    let flags = flags.without("patience-ms");
    // By default: with the scenario's short delays retries would be used up in no time.
    let mut member = scenario.start(&flags.with("backoff-ms", 1_000))?;
    let load = scenario.load(200, Mix { poison: 0, failing: 0, ..Mix::default() });
    scenario.until_works(&mut member, Duration::from_secs(20))?;

    fs::write(&outage, "")?;
    let begun = Instant::now();
    let open = "daemon_circuit_breaker_open";
    until_true(Duration::from_secs(7), "an open circuit breaker", || Ok(member.metric(open, "topic=")? == 1.0))?;
    eprintln!("open {:?} after the outage began", begun.elapsed());
    let filler = "x".repeat(1_000);
    let id = |n: u64| (1 << 40) + n;
    let more =
        (0..RECORDS).map(|n| Payload::obeyed(id(n), &format!("key-{}", n % 500), &format!("\"filler\":\"{filler}\"")));
    scenario.produce(more)?;
    // Long enough for all retries of a record, if it used them up.
    thread::sleep(Duration::from_secs(10));
    let (before, failed) = (member.memory()?, attempts(&mut member)?);
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(35) {
        thread::sleep(Duration::from_millis(500));
        let grown = member.memory()?.saturating_sub(before);
        ensure!(grown <= GROWTH, "{} KiB more are held after {:?}", grown >> 10, watched.elapsed());
        assert_eq!(member.metric(open, "topic=")?, 1.0, "it closed in the outage");
    }
    let tried = attempts(&mut member)? - failed;
    eprintln!("{tried} attempts in {:?}, {} KiB held", watched.elapsed(), member.memory()? >> 10);
    assert!((1.0..=4.0).contains(&tried), "{tried} attempts: one after 10, 20 and 40 s are due");
    assert_eq!(member.get("/readyz")?.0, 200, "another process would need the same");
    let log = member.log()?;
    ensure!(
        log.contains("circuit breaker opened") && log.contains("what the handler needs is gone"),
        "no evidence in the log"
    );

    fs::remove_file(&outage)?;
    let over = Instant::now();
    until_true(Duration::from_secs(65), "a closed circuit breaker", || Ok(member.metric(open, "topic=")? == 0.0))?;
    eprintln!("closed {:?} after the outage was over", over.elapsed());
    scenario.unload(load)?;
    let verdict = scenario.pass(vec![member], Duration::from_secs(120))?;
    assert_eq!((verdict.letters, verdict.duplicates), (0, 0), "{verdict}");
    Ok(())
}

/// Attempts that have failed.
fn attempts(member: &mut integration::Member) -> Result<f64> {
    member.metric("daemon_messages_processed_total", "failed")
}
