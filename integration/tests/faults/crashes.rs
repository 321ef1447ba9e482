//! Processes that end without warning.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use integration::checker::{Order, Verdict};
use integration::payload::Mix;
use integration::{Scenario, brokers};

/// Kills `kills` of `members` processes under load, each at a random moment in its work, and starts another one after each.
fn killed_at_random(protocol: &str, members: usize, order: Order, kills: usize) -> Result<Verdict> {
    let mut scenario = Scenario::open(&brokers()?, &format!("kill9.{protocol}.{members}"), order)?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = match protocol {
        "classic" => scenario.flags().with("session-timeout-ms", 2_000),
        _ => scenario.flags().with("group-protocol", protocol),
    };
    let load = scenario.load(200, Mix::default());
    let mut running = Vec::new();
    for _ in 0..members {
        running.push(scenario.start(&flags)?);
    }
    for _ in 0..kills {
        let mut victim = running.swap_remove(random.usize(0..running.len()));
        // One that has no partition yet has nothing to lose.
        scenario.until_works(&mut victim, Duration::from_secs(40))?;
        thread::sleep(Duration::from_millis(random.u64(0..1_500)));
        scenario.kill(victim)?;
        running.push(scenario.start(&flags)?);
    }
    scenario.unload(load)?;
    scenario.pass(running, Duration::from_secs(60))
}

#[test]
fn kill9_in_flight() -> Result<()> {
    let runs = [
        ("classic", 2, Order::Key),
        ("classic", 3, Order::Partition),
        ("consumer", 2, Order::Key),
        ("consumer", 3, Order::Key),
    ];
    let runs =
        runs.map(|(protocol, members, order)| thread::spawn(move || killed_at_random(protocol, members, order, 5)));
    // All are waited for, so that one's failure doesn't hide another's.
    let verdicts = runs.map(|run| run.join().expect("a run panicked"));
    for verdict in verdicts {
        assert_eq!(verdict.context("kill -9")?.crashes, 5);
    }
    Ok(())
}
