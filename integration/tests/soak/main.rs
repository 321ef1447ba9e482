//! Every fault at random, one after the other, on three brokers behind networks that fail: processes are killed, stopped and frozen, come and
//! go; brokers die, leaders move, networks are cut, slow or silent; what handlers need goes away, and so does the topic for dead letters.
//! The ledger must be clean in the end, and memory flat.
//!
//! `SOAK_SECONDS` says for how long, half an hour by `make soak`; by default it is less than a minute, of faults that are over in a moment. `DAEMONRY_SEED` has the same faults in the same order.

use std::env;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use integration::checker::{Order, Vitals};
use integration::load::Load;
use integration::patience::unix_ms;
use integration::payload::Mix;
use integration::{BrokerOptions, Cluster, Flags, Link, Member, Proxy, Scenario};
use rustix::process::Signal;

const BROKERS: usize = 3;
/// What progress may take once a fault is over.
const BOUND: Duration = Duration::from_secs(40);
/// After this time without a word a group gives a member up: later than another broker coordinates it …
const SHORT_SESSION: Duration = Duration::from_secs(20);
/// … or this, where connections may be half-open: later than it notices that, or its records would run again.
const SESSION: Duration = Duration::from_secs(45);
/// What has used up retries before an outage may become a letter in its first seconds.
const MIX: Mix = Mix { failing: 0, poison: 5, slow: 25, keys: 60 };
/// What a stop may take: letters that wait in a connection that is half-open are sent again after half a minute.
const STOP: Duration = Duration::from_secs(75);
/// What a process that wakes up may take until it has heard what it has lost, and what it was at has ended; in a network that is slow, too.
const WAKES: Duration = Duration::from_secs(10);
const FAST: Link = Link::Open(Duration::ZERO);

/// Brokers, each with a network before it.
struct Ground {
    proxies: Vec<Proxy>,
    cluster: Cluster,
    session: Duration,
}

impl Ground {
    fn start(session: Duration) -> Result<Self> {
        const NAME: &str = "PROXIED";
        let proxies = (0..BROKERS).map(|_| Proxy::start()).collect::<Result<Vec<_>>>()?;
        let behind = |proxy: &Proxy| {
            let options = BrokerOptions::default().property("group.consumer.session.timeout.ms", session.as_millis());
            options.listener_behind(NAME, proxy.port())
        };
        let cluster = Cluster::start_each(proxies.iter().map(behind).collect())?;
        for (proxy, listener) in proxies.iter().zip(cluster.listeners(NAME)) {
            proxy.lead_to(&listener)?;
        }
        Ok(Self { proxies, cluster, session })
    }

    /// The way of the processes to the brokers.
    fn bootstrap(&self) -> String {
        self.proxies.iter().map(Proxy::address).collect::<Vec<_>>().join(",")
    }

    fn link(&self, link: Link) {
        self.proxies.iter().for_each(|proxy| proxy.set(link));
    }
}

/// The processes of one group.
struct Group {
    scenario: Scenario,
    flags: Flags,
    /// It is under watch, and nothing is done to it.
    stays: Member,
    others: Vec<Member>,
    /// `None` while it pauses.
    load: Option<Load>,
}

impl Group {
    fn start(ground: &Ground, protocol: &str) -> Result<Self> {
        let mut scenario = Scenario::open(&ground.cluster.bootstrap(), &format!("soak.{protocol}"), Order::Key)?;
        scenario.expect_broken_connections();
        scenario.expect_outages();
        let outage = scenario.directory().join("outage");
        let flags = scenario.flags().with("brokers", ground.bootstrap()).with("outage", outage.display());
        // Retries must outlast an outage until the circuit breaker has seen it, and its patience all of it.
        let flags = flags.with("admin", "127.0.0.1:0").with("backoff-ms", 500).with("patience-ms", 12_000);
        let flags = flags.with("drain-ms", 60_000);
        let flags = match protocol {
            "classic" => flags.with("session-timeout-ms", ground.session.as_millis()),
            protocol => flags.with("group-protocol", protocol),
        };
        let load = Some(scenario.load(100, MIX));
        let mut stays = scenario.start(&flags)?;
        let mut others = vec![scenario.start(&flags)?, scenario.start(&flags)?];
        for member in others.iter_mut().chain([&mut stays]) {
            scenario.until_works(member, Duration::from_secs(60))?;
        }
        scenario.watch(&mut stays)?;
        Ok(Self { scenario, flags, stays, others, load })
    }

    fn pause(&mut self) -> Result<()> {
        self.load.take().map_or(Ok(()), |load| self.scenario.unload(load))
    }

    fn resume(&mut self) {
        self.load = Some(self.scenario.load(100, MIX));
    }

    fn join(&mut self) -> Result<()> {
        let next = self.scenario.start(&self.flags)?;
        self.others.push(next);
        Ok(())
    }

    fn any(&mut self, random: &mut Rng) -> Member {
        self.others.swap_remove(random.usize(0..self.others.len()))
    }

    fn stop(&mut self, mut member: Member) -> Result<()> {
        let code = member.stop(STOP)?;
        ensure!(code == 0, "process {} ended with code {code}, log {}", member.pid(), member.log_path().display());
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Kill,
    Stop,
    Freeze,
    Join,
    Leave,
    BrokerKilled,
    BrokerStopped,
    LeadersMove,
    NetworkCut,
    NetworkSlow,
    NetworkSilent,
    ConnectionsHalfOpen,
    Outage,
    LettersGone,
}

impl Fault {
    /// Those that are over in a moment.
    const QUICK: [Self; 8] = [
        Self::Kill,
        Self::Stop,
        Self::Join,
        Self::Leave,
        Self::BrokerKilled,
        Self::LeadersMove,
        Self::NetworkSlow,
        Self::Outage,
    ];

    const ALL: [Self; 14] = [
        Self::Kill,
        Self::Stop,
        Self::Freeze,
        Self::Join,
        Self::Leave,
        Self::BrokerKilled,
        Self::BrokerStopped,
        Self::LeadersMove,
        Self::NetworkCut,
        Self::NetworkSlow,
        Self::NetworkSilent,
        Self::ConnectionsHalfOpen,
        Self::Outage,
        Self::LettersGone,
    ];

    /// Has it happen, and be over.
    fn happen(self, ground: &mut Ground, group: &mut Group, random: &mut Rng) -> Result<()> {
        let mut between = |millis: std::ops::Range<u64>| Duration::from_millis(random.u64(millis));
        match self {
            Self::Kill => {
                let victim = group.any(random);
                group.scenario.kill(victim)?;
                group.join()?;
            }
            Self::Stop => {
                let leaver = group.any(random);
                group.stop(leaver)?;
                group.join()?;
            }
            Self::Freeze => {
                let time = ground.session + between(1_000..4_000);
                let mut zombie = group.any(random);
                let stopped = unix_ms();
                zombie.signal(Signal::STOP)?;
                thread::sleep(time);
                zombie.signal(Signal::CONT)?;
                group.scenario.note_gone(zombie.pid(), stopped, WAKES);
                group.others.push(zombie);
            }
            Self::Join if group.others.len() < 4 => group.join()?,
            Self::Leave | Self::Join => {
                if group.others.len() > 1 {
                    let leaver = group.any(random);
                    group.stop(leaver)?;
                }
            }
            Self::BrokerKilled | Self::BrokerStopped => {
                let time = between(0..8_000);
                let broker = ground.cluster.broker(random.i32(1..=3));
                if self == Self::BrokerKilled {
                    broker.kill()?
                } else {
                    broker.stop()?
                }
                thread::sleep(time);
                ground.cluster.restart_stopped()?;
            }
            Self::LeadersMove => ground.cluster.move_leaders(group.scenario.topic())?,
            Self::NetworkCut => {
                ground.link(Link::Cut);
                thread::sleep(between(200..3_500));
                ground.link(FAST);
            }
            Self::NetworkSlow => {
                ground.link(Link::Open(between(20..200)));
                thread::sleep(between(1_000..5_000));
                ground.link(FAST);
            }
            Self::NetworkSilent => {
                ground.link(Link::Silent);
                thread::sleep(between(1_000..4_000));
                ground.link(FAST);
            }
            Self::ConnectionsHalfOpen => ground.proxies[random.usize(0..BROKERS)].half_open(),
            Self::Outage => {
                let file = group.scenario.directory().join("outage");
                fs::write(&file, "")?;
                thread::sleep(between(1_000..6_000));
                fs::remove_file(&file)?;
            }
            Self::LettersGone => {
                // A letter that is written while they are read, and deleted then, would be missing in the end.
                group.pause()?;
                // What a member had that was killed before goes on once its session is over.
                group.scenario.settle(ground.session + BOUND)?;
                group.scenario.delete_letters()?;
                group.resume();
                thread::sleep(between(500..4_000));
                group.scenario.create_letters()?;
            }
        }
        Ok(())
    }
}

#[test]
fn soak() -> Result<()> {
    let asked = env::var("SOAK_SECONDS").ok().map(|text| text.parse()).transpose().context("SOAK_SECONDS")?;
    let (seconds, kinds) = asked.map_or((40, &Fault::QUICK[..]), |seconds| (seconds, &Fault::ALL[..]));
    let mut ground = Ground::start(if asked.is_some() { SESSION } else { SHORT_SESSION })?;
    let mut groups = [Group::start(&ground, "classic")?, Group::start(&ground, "consumer")?];
    let mut random = Rng::with_seed(groups[0].scenario.seed());
    let (start, mut left, mut faults) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        // Each once, in an order of their own, before any comes again.
        if left.is_empty() {
            left = kinds.to_vec();
            random.shuffle(&mut left);
        }
        let (fault, of) = (left.pop().context("there are some")?, random.usize(0..groups.len()));
        eprintln!("{:>6.1} s: {fault:?} of {}", start.elapsed().as_secs_f32(), groups[of].scenario.topic());
        fault.happen(&mut ground, &mut groups[of], &mut random)?;
        // Nothing is committed while a group waits for a member that has died: as long as a session.
        let committed = ground.session + BOUND;
        for group in &mut groups {
            group.scenario.note_resumption_and_commit(&format!("{fault:?}"), BOUND, committed);
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
