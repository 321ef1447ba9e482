//! Three brokers: what tests share that have some, and coordinators that move.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::scale::Scale;
use integration::{Cluster, Flags, Scenario};

use crate::running::Running;

pub(crate) const BROKERS: u16 = 3;
/// One cluster at a time: its brokers have a machine's cores to share. Who waits for another one's end does nothing meanwhile: tests of several
/// stand in modules whose names are far from one another's, as tests are begun in the order of their names.
pub(crate) static ONE: Mutex<()> = Mutex::new(());
/// What progress may take once the brokers are as they ought to be.
const BOUND: Duration = Duration::from_secs(30);

/// On all brokers. Commits are frequent, so that some are on their way whatever happens.
pub(crate) fn start_both(cluster: &Cluster, name: &str) -> Result<Vec<Running>> {
    let often = |_: &Scenario, _, flags: Flags| Ok(flags.with("commit-interval-ms", 200));
    let mut both = Running::start_both(&cluster.bootstrap(), name, often)?;
    both.iter_mut().for_each(|each| each.scenario.expect_broken_connections());
    Ok(both)
}

#[test]
fn coordinator_moves_mid_commit() -> Result<()> {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rounds = Scale::of_environment()?.of(2, 12);
    let mut cluster = Cluster::start(BROKERS)?;
    let mut running = start_both(&cluster, "coordinator-moves")?;
    let mut random = fastrand::Rng::with_seed(running[0].scenario.seed());
    for round in 0..rounds {
        let group = running[round % running.len()].scenario.topic().to_owned();
        let coordinator = cluster.coordinator(&group)?;
        // At any time between two commits, or in the middle of one.
        thread::sleep(Duration::from_millis(random.u64(0..400)));
        // One that is stopped hands its groups on, one that is killed does not.
        if random.bool() {
            cluster.broker(coordinator).stop()?
        } else {
            cluster.broker(coordinator).kill()?
        }
        for each in &mut running {
            each.scenario.note_resumption("a coordinator was gone", BOUND);
        }
        running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
        ensure!(cluster.coordinator(&group)? != coordinator, "the group's coordinator is still {coordinator}");
        cluster.restart_stopped()?;
    }
    Running::pass_without_repeats(running)
}
