//! Members that come and go.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use integration::checker::{Order, Verdict};
use integration::patience::unix_ms;
use integration::payload::Mix;
use integration::scale::{Scale, seconds};
use integration::scenario::STOP;
use integration::{Member, Scenario, brokers};

use crate::side_by_side::{Setting, side_by_side};

/// What a process that wakes up may take until it has heard what it has lost, and what it was at has ended.
const WAKES: Duration = Duration::from_secs(3);
/// What it may take until it answers again, in milliseconds.
const ANSWER: u64 = 1_000;
/// Time between two changes.
const EVERY: Duration = Duration::from_secs(2);

/// A member joins, and one leaves, in turns; between two and four are there.
fn storm(setting: Setting) -> Result<Verdict> {
    let mut scenario = Scenario::open(&brokers()?, &setting.name("storm"), setting.order)?;
    let flags = setting.flags(&scenario);
    let load = scenario.load(150, Mix::default());
    let mut running: VecDeque<Member> = VecDeque::new();
    for _ in 0..setting.members {
        running.push_back(scenario.start_watched(&flags)?);
    }
    scenario.until_more(1, Duration::from_secs(30))?;
    let end = Instant::now() + seconds(30, 180)?;
    let (mut successes, mut looked, mut joins) = (0, Instant::now(), true);
    let mut leaving = Vec::new();
    while Instant::now() < end {
        thread::sleep(EVERY);
        if joins {
            running.push_back(scenario.start_watched(&flags)?);
        } else if let Some(mut leaver) = running.pop_front() {
            scenario.unwatch(&leaver)?;
            leaver.signal(rustix::process::Signal::TERM)?;
            leaving.push(leaver);
        }
        joins = !joins;
        if looked.elapsed() >= Duration::from_secs(10) {
            let now = scenario.entries()?.len();
            ensure!(now > successes, "no progress within 10 s, {now} successes");
            (successes, looked) = (now, Instant::now());
        }
    }
    for mut leaver in leaving {
        let code = leaver.wait(STOP)?;
        ensure!(code == 0, "process {} ended with code {code}, log {}", leaver.pid(), leaver.log_path().display());
    }
    scenario.unload(load)?;
    scenario.pass(running.into(), Duration::from_secs(60))
}

#[test]
fn rebalance_storm() -> Result<()> {
    let settings = [
        Setting { protocol: "classic", members: 2, order: Order::Key },
        Setting { protocol: "consumer", members: 2, order: Order::Key },
    ];
    for verdict in side_by_side(&settings, storm)? {
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
}

/// Each of six members is replaced by a new one, as a deployment does it: the new one works before the old one is stopped.
fn rolled(setting: Setting) -> Result<Verdict> {
    let mut scenario = Scenario::open(&brokers()?, &setting.name("rolling"), setting.order)?;
    let flags = setting.flags(&scenario);
    let load = scenario.load(100, Mix::default());
    let mut running: VecDeque<Member> = VecDeque::new();
    for _ in 0..setting.members {
        running.push_back(scenario.start_watched(&flags)?);
    }
    for member in &mut running {
        scenario.until_works(member, Duration::from_secs(60))?;
    }
    for _ in 0..Scale::of_environment()?.of(1, 4) * setting.members {
        let mut next = scenario.start_watched(&flags)?;
        scenario.until_works(&mut next, Duration::from_secs(60))?;
        running.push_back(next);
        let mut former = running.pop_front().context("there are six")?;
        scenario.unwatch(&former)?;
        let code = former.stop(STOP)?;
        ensure!(code == 0, "process {} ended with code {code}, log {}", former.pid(), former.log_path().display());
    }
    scenario.unload(load)?;
    scenario.pass(running.into(), Duration::from_secs(60))
}

#[test]
fn rolling_deploy() -> Result<()> {
    let settings = [
        Setting { protocol: "classic", members: 6, order: Order::Key },
        Setting { protocol: "consumer", members: 6, order: Order::Partition },
    ];
    for verdict in side_by_side(&settings, rolled)? {
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
}

#[test]
fn sigstop_past_session_then_cont() -> Result<()> {
    use rustix::process::Signal;

    let mut scenario = Scenario::open(&brokers()?, "sigstop", Order::Key)?;
    let flags = scenario.flags().with("session-timeout-ms", 2_000);
    let load = scenario.load(200, Mix { slow: 60, ..Mix::default() });
    let (mut zombie, mut heir) = (scenario.start_watched(&flags)?, scenario.start_watched(&flags)?);
    scenario.until_works(&mut zombie, Duration::from_secs(30))?;
    scenario.until_works(&mut heir, Duration::from_secs(30))?;

    let stopped = unix_ms();
    zombie.signal(Signal::STOP)?;
    // Until the heir has all partitions, and has worked on each of them.
    let (pid, since) = (heir.pid(), scenario.entries()?.len());
    scenario.until_ledger(Duration::from_secs(40), "work of the heir on each partition", |entries| {
        let of_heir = entries[since..].iter().filter(|entry| entry.pid == pid);
        of_heir.map(|entry| entry.partition).collect::<std::collections::BTreeSet<_>>().len() == 8
    })?;
    zombie.signal(Signal::CONT)?;
    // It is dead to its group, so that what it had not committed runs again; a handler that wakes up may write once more.
    scenario.note_gone(zombie.pid(), stopped, WAKES);
    scenario.watch_of(&zombie)?.note_deaf(stopped, unix_ms() + ANSWER);
    scenario.until_more(500, Duration::from_secs(30))?;

    scenario.unload(load)?;
    let verdict = scenario.finish(vec![zombie, heir], Duration::from_secs(60))?;
    verdict.ensure_clean()?;
    scenario.close()
}
