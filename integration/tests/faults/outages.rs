//! Brokers that go away.

use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::checker::Order;
use integration::patience::{unix_ms, until_true};
use integration::payload::Mix;
use integration::scale::seconds;
use integration::{Broker, BrokerOptions, Cluster, Scenario};

use crate::clusters::{BROKERS, ONE, start_both};
use crate::running::Running;
use crate::side_by_side::each;

/// What an idle process may take to notice that its brokers say nothing.
const SILENCE: Duration = Duration::from_secs(30);
/// What progress may take once the broker is back.
const BOUND: Duration = Duration::from_secs(30);

#[test]
fn broker_killed_and_restarted() -> Result<()> {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let mut scenarios = Vec::new();
    for protocol in ["classic", "consumer"] {
        let mut scenario = Scenario::open(&broker.bootstrap(), &format!("outage.{protocol}"), Order::Key)?;
        let flags = scenario.flags().with("group-protocol", protocol).with("admin", "127.0.0.1:0");
        let members = vec![scenario.start(&flags)?, scenario.start(&flags)?];
        let load = scenario.load(100, Mix::default());
        scenarios.push((scenario, members, load));
    }
    for (scenario, members, _) in &mut scenarios {
        for member in members {
            scenario.until_works(member, Duration::from_secs(40))?;
            scenario.watch(member)?;
        }
    }

    // The watches see that each process is live all the time, and that it is ready in the end.
    scenarios.iter_mut().for_each(|(scenario, ..)| scenario.expect_broken_connections());
    broker.kill()?;
    for (scenario, _, _) in &mut scenarios {
        for watch in scenario.watches() {
            watch.until_unready(Duration::from_secs(5), "no broker of")?;
        }
    }
    let noticed = unix_ms();
    thread::sleep(Duration::from_secs(5));
    for (scenario, _, _) in &mut scenarios {
        for watch in scenario.watches() {
            watch.note_outage(noticed, unix_ms(), "no broker of");
        }
    }
    broker.restart()?;

    for (scenario, _, _) in &mut scenarios {
        scenario.note_resumption("the broker was back", BOUND);
    }
    for (scenario, _, _) in &mut scenarios {
        scenario.until_resumed()?;
        scenario.watches().iter().try_for_each(|watch| watch.until_ready(BOUND))?;
    }
    each(scenarios, |(mut scenario, members, load)| {
        scenario.unload(load)?;
        scenario.pass(members, Duration::from_secs(60))
    })
    .map(drop)
}

#[test]
fn broker_that_keeps_its_connections_and_says_nothing_is_noticed_by_an_idle_process() -> Result<()> {
    let mut broker = Broker::start(BrokerOptions::default())?;
    let mut scenarios = Vec::new();
    for protocol in ["classic", "consumer"] {
        let mut scenario = Scenario::open(&broker.bootstrap(), &format!("frozen.{protocol}"), Order::Key)?;
        let flags = scenario.flags().with("group-protocol", protocol).with("admin", "127.0.0.1:0");
        let mut member = scenario.start(&flags)?;
        until_true(BOUND, "a process that is ready", || Ok(member.get("/readyz")?.0 == 200))?;
        assert_eq!(member.get("/startupz")?.0, 200);
        scenarios.push((scenario, member));
    }

    scenarios.iter_mut().for_each(|(scenario, _)| scenario.expect_broken_connections());
    broker.freeze()?;
    let frozen = Instant::now();
    for (scenario, member) in &mut scenarios {
        let left = SILENCE.saturating_sub(frozen.elapsed());
        until_true(left, "a process that is not ready", || Ok(member.get("/readyz")?.0 == 503))?;
        eprintln!("{}: noticed after {:?}", scenario.topic(), frozen.elapsed());
        let (_, reason) = member.get("/readyz")?;
        assert!(reason.contains("no broker of"), "{reason}");
        assert_eq!(member.get("/livez")?.0, 200, "liveness must not depend on the broker");
        assert_eq!(member.get("/startupz")?.0, 200, "it has started once and for all");
    }
    broker.thaw()?;

    each(scenarios, |(scenario, mut member)| {
        until_true(BOUND, "a process that is ready again", || Ok(member.get("/readyz")?.0 == 200))?;
        scenario.pass(vec![member], Duration::from_secs(60))
    })
    .map(drop)
}

#[test]
fn all_brokers_down() -> Result<()> {
    let mut one = Some(ONE.lock().unwrap_or_else(PoisonError::into_inner));
    /// What a process may take to notice.
    const NOTICED: Duration = Duration::from_secs(10);
    /// After this time without a word a member takes itself for lost. A classic group then waits as long for who it was before.
    const SESSION: Duration = Duration::from_secs(45);
    /// So long before the outage it may have said its last word.
    const HEARTBEAT: Duration = Duration::from_secs(3);
    let outage = seconds(15, 600)?;
    let mut cluster = Cluster::start(BROKERS)?;
    let mut running = start_both(&cluster, "all-down")?;
    // A producer gives up earlier than a daemon.
    running.iter_mut().try_for_each(Running::pause)?;

    let (killed, silent) = (unix_ms(), Instant::now());
    cluster.kill_all()?;
    for watch in running.iter_mut().flat_map(|each| each.scenario.watches()) {
        watch.until_unready(NOTICED, "no broker of")?;
    }
    let (noticed, down) = (unix_ms(), Instant::now());
    if outage >= SESSION {
        // Brokers that are down take nothing of the machine: another cluster may have it meanwhile. If that takes longer, so does this.
        one = None;
    }
    thread::sleep(outage);
    let _one = one.unwrap_or_else(|| ONE.lock().unwrap_or_else(PoisonError::into_inner));
    eprintln!("all-down: for {:?}", down.elapsed());
    let over = unix_ms();
    for watch in running.iter_mut().flat_map(|each| each.scenario.watches()) {
        watch.note_outage(noticed, over, "no broker of");
    }
    cluster.restart_stopped()?;
    // Brokers take their time as well.
    let is_long = silent.elapsed() + HEARTBEAT >= SESSION;

    for each in &mut running {
        if is_long {
            each.members.iter().for_each(|member| each.scenario.note_gone(member.pid(), killed, SESSION + BOUND));
        }
        each.resume();
        each.scenario.note_resumption("the brokers were back", if is_long { SESSION + BOUND } else { BOUND });
    }
    each(running, move |mut each| {
        each.scenario.until_resumed()?;
        let mut restarts = 0.0;
        for member in &mut each.members {
            restarts += member.metric("daemon_restarts_total", "")?;
        }
        ensure!(restarts < 0.5, "{restarts} restarts, where waiting would have done");
        each.pause()?;
        let Running { mut scenario, members, .. } = each;
        let verdict = scenario.finish(members, Duration::from_secs(60))?;
        verdict.ensure_clean()?;
        scenario.vitals().iter().try_for_each(|vitals| vitals.ensure_flat_within(noticed, over))?;
        scenario.close()
    })
    .map(drop)
}
