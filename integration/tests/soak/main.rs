//! Every fault at random, one after the other, on three brokers behind networks that fail: processes are killed, stopped and frozen, come and
//! go; brokers die, leaders move, networks are cut, slow or silent, commits fail, clocks jump; what handlers need goes away, and so does the topic
//! for dead letters. The ledger must be clean in the end, and memory flat.
//!
//! `SOAK_SECONDS` says for how long, half an hour by `make soak`; by default it is less than a minute, of faults that are over in a moment.
//! `DAEMONRY_SEED` has the same faults in the same order; `SOAK_ONLY=Kill,Join` those kinds and no others.

mod fault;
mod ground;
mod group;

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use fastrand::Rng;
use integration::checker::Vitals;

use fault::Fault;
use ground::Ground;
use group::Group;

/// What progress may take once a fault is over.
const BOUND: Duration = Duration::from_secs(40);
/// After this time without a word a group gives a member up: later than another broker coordinates it …
const SHORT_SESSION: Duration = Duration::from_secs(20);
/// … or this, where connections may be half-open: later than it notices that, or its records would run again.
const SESSION: Duration = Duration::from_secs(45);

/// The kinds that are asked for, by their names; all where none is.
fn only(kinds: &[Fault], asked: Option<&str>) -> Result<Vec<Fault>> {
    let Some(asked) = asked else { return Ok(kinds.to_vec()) };
    let named = |name: &str| {
        let fault = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
        fault.with_context(|| format!("SOAK_ONLY names `{name}`, which is none of {:?}", Fault::ALL))
    };
    asked.split(',').map(named).collect()
}

#[test]
fn soak() -> Result<()> {
    let asked = env::var("SOAK_SECONDS").ok().map(|text| text.parse()).transpose().context("SOAK_SECONDS")?;
    let (seconds, kinds) = asked.map_or((40, &Fault::QUICK[..]), |seconds| (seconds, &Fault::ALL[..]));
    let kinds = only(kinds, env::var("SOAK_ONLY").ok().as_deref())?;
    let mut ground = Ground::start(if asked.is_some() { SESSION } else { SHORT_SESSION })?;
    let mut groups = [Group::start(&ground, "classic")?, Group::start(&ground, "consumer")?];
    let mut random = Rng::with_seed(groups[0].scenario.seed());
    let (start, mut left, mut faults) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        // Each once, in an order of their own, before any comes again.
        if left.is_empty() {
            left.clone_from(&kinds);
            random.shuffle(&mut left);
        }
        let (fault, of) = (left.pop().context("there are some")?, random.usize(0..groups.len()));
        eprintln!("{:>6.1} s: {fault:?} of {}", start.elapsed().as_secs_f32(), groups[of].scenario.topic());
        fault.happen(&mut ground, &mut groups, of, &mut random)?;
        // Nothing is committed while a group waits for a member that has died: as long as a session.
        let committed = ground.session + BOUND;
        for group in &mut groups {
            group.scenario.note_resumption_and_commit(&format!("{fault:?}"), fault.bound(ground.session), committed);
        }
        for group in &mut groups {
            let after = || format!("after {fault:?}, fault {faults}");
            group.scenario.until_resumed().with_context(after)?;
            // Nor is another fault let loose on it then: members that die one after the other hold it up for longer than a session, and a
            // member that has been given up meanwhile runs again what it could not commit.
            group.scenario.until_committed().with_context(after)?;
        }
        faults += 1;
        thread::sleep(Duration::from_millis(random.u64(0..1_500)));
    }
    for mut group in groups {
        group.pause()?;
        let Group { mut scenario, stays, mut others, .. } = group;
        others.push(stays);
        let verdict = scenario.finish(others, Duration::from_secs(120))?;
        verdict.ensure_clean()?;
        eprintln!("{faults} faults");
        scenario.vitals().iter().try_for_each(Vitals::ensure_flat)?;
        scenario.close()?;
    }
    Ok(())
}
