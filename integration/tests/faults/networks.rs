//! Networks that are slow, cut or silent, between the processes and their broker. The tests' own hands have a way of their own.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;
use integration::checker::{Order, Verdict};
use integration::load::Load;
use integration::patience::unix_ms;
use integration::payload::Mix;
use integration::scale::{Scale, seconds};
use integration::{Broker, BrokerOptions, Flags, Link, Member, Proxy, Scenario};

/// What progress may take once the network is as it ought to be.
const BOUND: Duration = Duration::from_secs(30);
const FAST: Link = Link::Open(Duration::ZERO);

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

/// Two processes of a group behind the proxy, under watch, and records that keep coming.
struct Running {
    scenario: Scenario,
    members: Vec<Member>,
    load: Load,
}

impl Running {
    fn start(network: &Network, name: &str, change: impl Fn(&Scenario, Flags) -> Result<Flags>) -> Result<Self> {
        let mut scenario = Scenario::open(&network.broker.bootstrap(), name, Order::Key)?;
        let flags = scenario.flags().with("brokers", network.proxy.address()).with("admin", "127.0.0.1:0");
        let flags = change(&scenario, flags)?;
        let load = scenario.load(100, Mix::default());
        let mut members = vec![scenario.start(&flags)?, scenario.start(&flags)?];
        for member in &mut members {
            scenario.until_works(member, Duration::from_secs(40))?;
            scenario.watch(member)?;
        }
        Ok(Self { scenario, members, load })
    }

    /// One of each group protocol.
    fn start_both(network: &Network, name: &str) -> Result<Vec<Self>> {
        let start = |protocol| {
            let flags = |_: &Scenario, flags: Flags| Ok(flags.with("group-protocol", protocol));
            Self::start(network, &format!("{name}.{protocol}"), flags)
        };
        ["classic", "consumer"].into_iter().map(start).collect()
    }

    fn pass(self) -> Result<Verdict> {
        let Self { mut scenario, members, load } = self;
        scenario.unload(load)?;
        scenario.pass(members, Duration::from_secs(60))
    }
}

fn millis(random: &mut Rng, between: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(between))
}

#[test]
fn network_latency() -> Result<()> {
    let end = Instant::now() + seconds(25, 180)?;
    let network = Network::start()?;
    let mut running = Running::start_both(&network, "latency")?;
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
    for each in running {
        let verdict = each.pass()?;
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
}

#[test]
fn network_cut() -> Result<()> {
    let rounds = Scale::of_environment()?.of(3, 20);
    let network = Network::start()?;
    let mut running = Running::start_both(&network, "cut")?;
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
        thread::sleep(millis(&mut random, 0..2_000));
    }
    for each in running {
        let verdict = each.pass()?;
        assert_eq!(verdict.duplicates, 0, "{verdict}");
    }
    Ok(())
}

/// Connections that both ends take for open while nothing comes through: for a while, and for ever.
#[test]
fn network_half_open() -> Result<()> {
    let scale = Scale::of_environment()?;
    let network = Network::start()?;
    // A request that nobody answers is given up after a minute by default. In a minute's test it is to be sooner.
    let patience = scale.of(Duration::from_secs(6), Duration::from_secs(60));
    let mut running = Running::start(&network, "half-open", |scenario, flags| {
        let file = scenario.directory().join("properties");
        std::fs::write(&file, format!("socket.timeout.ms={}\n", patience.as_millis()))?;
        Ok(flags.with("properties", file.display()).with("session-timeout-ms", 30_000))
    })?;
    let mut random = Rng::with_seed(running.scenario.seed());

    network.proxy.set(Link::Silent);
    thread::sleep(millis(&mut random, 2_000..4_000));
    network.proxy.set(FAST);
    running.scenario.note_resumption("the network was silent", BOUND);
    running.scenario.until_resumed()?;

    for _ in 0..scale.of(1, 3) {
        network.proxy.half_open();
        if patience > Duration::from_secs(30) {
            // Both are given up by their group before they notice.
            for member in &running.members {
                running.scenario.note_gone(member.pid(), unix_ms());
            }
        }
        running.scenario.note_resumption("the connections were half-open", patience + BOUND);
        let took = running.scenario.until_resumed()?;
        ensure!(took > Duration::from_secs(1), "after {took:?}: the connections were not half-open");
    }
    running.pass()?;
    Ok(())
}
