//! Processes that end without warning.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use integration::checker::Verdict;
use integration::payload::Mix;
use integration::scale::Scale;
use integration::{Scenario, brokers};

use crate::side_by_side::{ALL, Setting, side_by_side};

/// Kills of each setting; there are four of them.
fn kills() -> Result<usize> {
    Ok(Scale::of_environment()?.of(5, 50))
}

/// Kills processes under load, each at a random moment in its work, and starts another one after each.
fn killed_at_random(setting: Setting) -> Result<Verdict> {
    let mut scenario = Scenario::open(&brokers()?, &setting.name("kill9"), setting.order)?;
    let mut random = fastrand::Rng::with_seed(scenario.seed());
    let flags = setting.flags(&scenario);
    let load = scenario.load(200, Mix::default());
    let mut running = Vec::new();
    for _ in 0..setting.members {
        running.push(scenario.start(&flags)?);
    }
    for _ in 0..kills()? {
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
    for verdict in side_by_side(&ALL, killed_at_random)? {
        assert_eq!(verdict.crashes, kills()?);
    }
    Ok(())
}
