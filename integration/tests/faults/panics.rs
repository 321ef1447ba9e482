//! Handlers that panic.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::checker::{Bounds, Fate, Order, Reason};
use integration::patience::until_true;
use integration::payload::{Mix, Payload};
use integration::scale::Scale;
use integration::vitals::BOUNDS;
use integration::{Scenario, brokers};

const SOON: Duration = Duration::from_secs(40);
/// Ids of the records that panic; those of the load are below.
const PANICS: u64 = 1 << 40;

/// Some panic at each attempt, and some twice only; under load, in the place of a worker and on a thread of the handler's own.
#[test]
fn handler_panics() -> Result<()> {
    /// As often as the retries of the scenario allow.
    const ATTEMPTS: u64 = 4;
    let count: u64 = Scale::of_environment()?.of(100, 2_000);
    for handler in ["async", "blocking"] {
        let mut scenario = Scenario::open(&brokers()?, &format!("panics.{handler}"), Order::Key)?;
        let flags = scenario.flags().with("admin", "127.0.0.1:0").with("handler", handler);
        let mut member = scenario.start(&flags)?;
        let load = scenario.load(100, Mix { poison: 0, ..Mix::default() });
        scenario.until_works(&mut member, SOON)?;
        scenario.watch(&mut member)?;
        if handler == "blocking" {
            // One for each of the 16 that run, and more: tokio starts another one where that of a handler that has just ended doesn't rest yet.
            let threads = BOUNDS.threads + 4 * 16;
            scenario.watches()[0].allow(Bounds { threads, ..BOUNDS });
        }

        let record = |id: u64| {
            // Some of the load's keys among them, so that records wait for the letters.
            let key = format!("key-{}", id % 100);
            match id % 2 {
                0 => Payload { fate: Fate::Letter(Reason::Panic), ..Payload::obeyed(id, &key, "\"panic\":true") },
                _ => Payload::obeyed(id, &key, "\"panic_times\":2"),
            }
        };
        scenario.produce((PANICS..PANICS + count).map(record))?;
        scenario.unload(load)?;
        scenario.settle(SOON)?;

        let attempts: BTreeMap<u32, usize> = scenario
            .entries()?
            .iter()
            .filter(|entry| entry.id.parse().is_ok_and(|id: u64| id >= PANICS))
            .fold(BTreeMap::new(), |mut counts, entry| {
                *counts.entry(entry.attempt).or_default() += 1;
                counts
            });
        let (letters, half) = (count / 2, usize::try_from(count / 2)?);
        ensure!(attempts == BTreeMap::from([(3, half)]), "successes by their attempt: {attempts:?}");
        for letter in scenario.topics().read(&scenario.letter_topic())? {
            let said = |name: &str| -> Result<String> {
                let value = letter.message.header_values(name).last().flatten().with_context(|| name.to_owned())?;
                Ok(String::from_utf8(value.to_vec())?)
            };
            let error = said("daemonry-error")?;
            ensure!(error.contains("the record asked attempt 4 for a panic"), "the letter says `{error}`");
            assert_eq!(
                (said("daemonry-reason")?.as_str(), said("daemonry-attempts")?),
                ("panic", ATTEMPTS.to_string())
            );
        }
        until_true(Duration::from_secs(5), "all letters counted", || {
            let counted = member.metric("daemon_dead_letters_total", "reason=\"panic\"")?;
            Ok((counted - letters as f64).abs() < 0.5)
        })?;
        // Each attempt that is followed by another one; the load has some of its own that fail.
        let retries = member.metric("daemon_retries_total", "daemon_name=\"ledger\"")?;
        let least = (letters * (ATTEMPTS - 1) + letters * 2) as f64;
        ensure!(retries >= least, "{retries} retries, {least} at least there were");
        let verdict = scenario.finish(vec![member], SOON)?;
        let threads = scenario.vitals()[0].peak(|look| look.threads).unwrap_or_default();
        eprintln!("panics.{handler}: {threads} threads at most");
        verdict.ensure_clean()?;
        assert_eq!((verdict.letters, verdict.duplicates), (half, 0), "{verdict}");
        scenario.close()?;
    }
    Ok(())
}
