//! The seed of a run: one a process, from which each scenario has its own, by its name. So a scenario that is repeated alone, or beside
//! others, meets the same.

use std::env;
use std::io::{self, Write as _};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

/// The variable that repeats a run.
pub const VARIABLE: &str = "DAEMONRY_SEED";

/// The seed of this run: that of `DAEMONRY_SEED`, or else one from the system. The first time it is printed, whatever becomes of the output of
/// the test that asks.
///
/// # Errors
/// When the variable isn't a number.
pub fn of_run() -> Result<u64> {
    static RUN: OnceLock<u64> = OnceLock::new();
    let asked = match env::var(VARIABLE) {
        Ok(seed) => Some(seed.parse().with_context(|| format!("{VARIABLE} is not a number"))?),
        Err(_) => None,
    };
    Ok(*RUN.get_or_init(|| {
        let seed = asked.unwrap_or_else(|| fastrand::u64(..));
        // Not by a macro: what those print belongs to one test, and is shown only if that one fails.
        drop(writeln!(io::stderr(), "{VARIABLE}={seed} replays this run"));
        seed
    }))
}

/// The seed of a scenario of this run.
///
/// # Errors
/// As [`of_run`].
pub fn of_scenario(name: &str) -> Result<u64> {
    of_run().map(|run| derived(run, name))
}

/// FNV-1a of both, mixed as SplitMix64 does it: names that differ in one letter are to have nothing in common.
fn derived(run: u64, name: &str) -> u64 {
    let bytes = run.to_le_bytes().into_iter().chain(name.bytes());
    let hash = bytes
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::Command;

    use super::*;

    #[test]
    fn each_scenario_of_each_run_has_a_seed_of_its_own() {
        let names = ["kill9.classic.2", "kill9.classic.3", "kill9.consumer.2", "storm.classic.2", ""];
        let seeds: BTreeSet<u64> =
            (0..100).flat_map(|run| names.into_iter().map(move |name| derived(run, name))).collect();
        assert_eq!(seeds.len(), 100 * names.len());
        // A seed in a report is to mean the same in a year.
        assert_eq!(derived(7, "kill9.classic.2"), 3_557_310_647_072_859_777);
    }

    /// What the test below runs, in a process of its own.
    #[test]
    fn what_two_scenarios_draw() -> Result<()> {
        for name in ["one", "two", "one"] {
            eprintln!("{name} draws {}", of_scenario(name)?);
        }
        Ok(())
    }

    #[test]
    fn a_run_prints_its_seed_once_and_is_replayed_by_it() -> Result<()> {
        let run = |seed: Option<&str>| -> Result<String> {
            let mut command = Command::new(env::current_exe()?);
            command.args(["--exact", "seed::tests::what_two_scenarios_draw", "--nocapture"]).env_remove(VARIABLE);
            command.envs(seed.map(|seed| (VARIABLE, seed)));
            Ok(String::from_utf8(command.output()?.stderr)?)
        };
        let first = run(None)?;
        let said: Vec<&str> = first.lines().filter_map(|line| line.strip_suffix(" replays this run")).collect();
        let [said] = said.as_slice() else { anyhow::bail!("it says {}", first) };
        let seed = said.strip_prefix("DAEMONRY_SEED=").context("how to replay it")?;
        let drawn = |run: &str| -> Vec<String> {
            run.lines().filter(|line| line.contains(" draws ")).map(str::to_owned).collect()
        };
        assert_eq!(drawn(&run(Some(seed))?), drawn(&first));
        assert_eq!(drawn(&first).len(), 3);
        assert_eq!(drawn(&first)[0], drawn(&first)[2]);
        assert_ne!(drawn(&run(None)?), drawn(&first), "the system gives another one each time");
        Ok(())
    }
}
