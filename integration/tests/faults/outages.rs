//! Brokers that go away.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use integration::checker::Order;
use integration::patience::{unix_ms, until_true};
use integration::payload::Mix;
use integration::{Broker, BrokerOptions, Scenario};

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
    for (mut scenario, members, load) in scenarios {
        scenario.unload(load)?;
        scenario.pass(members, Duration::from_secs(60))?;
    }
    Ok(())
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

    for (scenario, mut member) in scenarios {
        until_true(BOUND, "a process that is ready again", || Ok(member.get("/readyz")?.0 == 200))?;
        scenario.pass(vec![member], Duration::from_secs(60))?;
    }
    Ok(())
}
