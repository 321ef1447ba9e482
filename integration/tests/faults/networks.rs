//! Networks that are slow, cut or silent, between the processes and their broker. The tests' own hands have a way of their own.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use integration::patience::unix_ms;
use integration::scale::{Scale, seconds};
use integration::{Broker, BrokerOptions, Link, Proxy, namespace};

use crate::running::Running;

/// What progress may take once the network is as it ought to be.
const BOUND: Duration = Duration::from_secs(30);
const FAST: Link = Link::Open(Duration::ZERO);
/// In this time what is finished is committed, at the latest.
const COMMITTED: Duration = Duration::from_secs(6);

/// A broker, and the only way that its clients know to it.
struct Network {
    proxy: Proxy,
    broker: Broker,
}

impl Network {
    fn start() -> Result<Self> {
        const NAME: &str = "PROXIED";
        let proxy = Proxy::start()?;
        let broker = Broker::start(BrokerOptions::default().listener_behind(NAME, proxy.port()))?;
        proxy.lead_to(&broker.listener(NAME))?;
        Ok(Self { proxy, broker })
    }
}

/// Behind the proxy.
fn start_both(network: &Network, name: &str) -> Result<Vec<Running>> {
    let way = network.proxy.address();
    let mut both =
        Running::start_both(&network.broker.bootstrap(), name, |_, _, flags| Ok(flags.with("brokers", &way)))?;
    both.iter_mut().for_each(|each| each.scenario.expect_broken_connections());
    Ok(both)
}

fn millis(random: &mut Rng, between: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(between))
}

#[test]
fn network_latency() -> Result<()> {
    let end = Instant::now() + seconds(25, 180)?;
    let network = Network::start()?;
    let mut running = start_both(&network, "latency")?;
    let mut random = Rng::with_seed(running[0].scenario.seed());
    while Instant::now() < end {
        // Each way: an answer takes twice as long.
        network.proxy.set(Link::Open(millis(&mut random, 20..200)));
        for each in &mut running {
            each.scenario.note_resumption("another latency", Duration::from_secs(10));
        }
        running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
        thread::sleep(millis(&mut random, 500..2_000));
    }
    // It goes on being slow: the stop too.
    Running::pass_without_repeats(running)
}

#[test]
fn network_cut() -> Result<()> {
    let rounds = Scale::of_environment()?.of(3, 20);
    let network = Network::start()?;
    let mut running = start_both(&network, "cut")?;
    let mut random = Rng::with_seed(running[0].scenario.seed());
    for _ in 0..rounds {
        network.proxy.set(Link::Cut);
        // Shorter than the sessions of the members, which so keep what they have.
        thread::sleep(millis(&mut random, 200..3_500));
        network.proxy.set(FAST);
        for each in &mut running {
            each.scenario.note_resumption("the network was cut", BOUND);
        }
        running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
        // Each of them must get a heartbeat through, or together with the next time it would be more than a session.
        for watch in running.iter_mut().flat_map(|each| each.scenario.watches()) {
            watch.until_ready(BOUND)?;
        }
        thread::sleep(millis(&mut random, 1_500..3_500));
    }
    Running::pass_without_repeats(running)
}

/// What was connected before a link goes down still is when it comes up again, and what was sent arrives then: also on a connection that its
/// owner has closed meanwhile. The broker, which is its own controller, can't reach itself either; where that lasts for longer than its
/// session it lists itself no longer for a moment.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn network_link_down() -> Result<()> {
    /// What is sent again comes through in twice the time that it could not, at the latest.
    const LATE: Duration = Duration::from_secs(8);
    if !namespace::is_inside("networks::network_link_down")? {
        return Ok(());
    }
    let rounds = Scale::of_environment()?.of(3, 20);
    let broker = Broker::start(BrokerOptions::default())?;
    let mut running = Running::start_both(&broker.bootstrap(), "link-down", |_, _, flags| Ok(flags))?;
    running.iter_mut().for_each(|each| each.scenario.expect_broken_connections());
    let mut random = Rng::with_seed(running[0].scenario.seed());
    for _ in 0..rounds {
        // Ours would be down as well.
        running.iter_mut().try_for_each(Running::pause)?;
        let down = unix_ms();
        namespace::set_link(false)?;
        thread::sleep(millis(&mut random, 200..3_500));
        namespace::set_link(true)?;
        // A look takes its time.
        let up = unix_ms() + 1_000;
        for each in &mut running {
            each.scenario.watches().iter_mut().for_each(|watch| watch.note_deaf(down, up));
            each.scenario.note_late_commits(LATE);
            each.resume();
            each.scenario.note_resumption("the link was down", BOUND);
        }
        running.iter_mut().try_for_each(|each| each.scenario.until_resumed().map(drop))?;
        // As above.
        for watch in running.iter_mut().flat_map(|each| each.scenario.watches()) {
            watch.until_ready(BOUND)?;
        }
        thread::sleep(millis(&mut random, 1_500..3_500));
    }
    // Until nothing is on its way any more there must be something to commit.
    thread::sleep(LATE);
    Running::pass_without_repeats(running)
}

/// Connections that both ends take for open while nothing comes through: for a while, and for ever.
#[test]
#[ignore = "of `make faults`: it takes long"]
fn network_half_open() -> Result<()> {
    let scale = Scale::of_environment()?;
    let network = Network::start()?;
    // As by default; in a minute's test it is to be sooner. Either way it is before the group gives a member up.
    let patience = scale.of(Duration::from_secs(6), Duration::from_secs(30));
    let mut running = Running::start(&network.broker.bootstrap(), "half-open", |scenario, flags| {
        let flags = flags.with("brokers", network.proxy.address());
        let flags =
            flags.properties(scenario.directory(), &[("socket.timeout.ms", u64::try_from(patience.as_millis())?)])?;
        Ok(flags.with("session-timeout-ms", 45_000))
    })?;
    running.scenario.expect_broken_connections();
    let mut random = Rng::with_seed(running.scenario.seed());

    network.proxy.set(Link::Silent);
    thread::sleep(millis(&mut random, 2_000..4_000));
    network.proxy.set(FAST);
    running.scenario.note_resumption("the network was silent", BOUND);
    running.scenario.until_resumed()?;
    thread::sleep(COMMITTED);

    for _ in 0..scale.of(1, 3) {
        network.proxy.half_open();
        running.scenario.note_resumption("the connections were half-open", patience + BOUND);
        let took = running.scenario.until_resumed()?;
        // Both must have noticed, and have committed since: together with the next time it would be more than a session.
        running.scenario.watches().iter().try_for_each(|watch| watch.until_ready(patience + BOUND))?;
        thread::sleep(COMMITTED);
        ensure!(took > Duration::from_secs(1), "after {took:?}: the connections were not half-open");
    }
    running.pass()?;
    Ok(())
}
