//! Processes of a group that all that is done to, and one that nothing is done to.

use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use integration::checker::{Bounds, Order};
use integration::load::Load;
use integration::payload::Mix;
use integration::vitals::BOUNDS;
use integration::{Flags, Member, Scenario};

use crate::ground::Ground;

/// What has used up retries before an outage may become a letter in its first seconds.
const MIX: Mix = Mix { failing: 0, poison: 5, slow: 25, keys: 60 };
/// 31 of the process itself, and 3 that look after topics; each of its two clients has 8, and 1 for the coordinator; and after a fault both may be
/// made anew, while the former ones close on a thread each.
const THREADS: usize = 31 + 3 + 2 * (2 * 8 + 1) + 2;
/// What a stop may take: letters that wait in a connection that is half-open are sent again after half a minute.
pub(crate) const STOP: Duration = Duration::from_secs(75);

/// The processes of one group.
pub(crate) struct Group {
    pub(crate) scenario: Scenario,
    pub(crate) flags: Flags,
    /// It is under watch, and nothing is done to it.
    pub(crate) stays: Member,
    pub(crate) others: Vec<Member>,
    /// `None` while it pauses.
    load: Option<Load>,
}

impl Group {
    pub(crate) fn start(ground: &Ground, protocol: &str) -> Result<Self> {
        let mut scenario = Scenario::open(&ground.cluster.bootstrap(), &format!("soak.{protocol}"), Order::Key)?;
        scenario.expect_broken_connections();
        scenario.expect_outages();
        let outage = scenario.directory().join("outage");
        let flags = scenario.flags().with("brokers", ground.bootstrap()).with("outage", outage.display());
        // Retries must outlast an outage until the circuit breaker has seen it, and its patience all of it.
        let flags = flags.with("admin", "127.0.0.1:0").with("backoff-ms", 500).with("patience-ms", 12_000);
        let flags = flags.with("drain-ms", 60_000);
        // What is not done to all brokers: an operator orders, and somebody abuses the API.
        let flags = ground.clock.given(flags.with("api", "127.0.0.1:0").steered());
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
        scenario.watch_of(&stays)?.allow(Bounds { threads: THREADS, ..BOUNDS });
        Ok(Self { scenario, flags, stays, others, load })
    }

    pub(crate) fn pause(&mut self) -> Result<()> {
        self.load.take().map_or(Ok(()), |load| self.scenario.unload(load))
    }

    pub(crate) fn resume(&mut self) {
        self.load = Some(self.scenario.load(100, MIX));
    }

    pub(crate) fn join(&mut self) -> Result<()> {
        let next = self.scenario.start(&self.flags)?;
        self.others.push(next);
        Ok(())
    }

    pub(crate) fn any(&mut self, random: &mut Rng) -> Member {
        self.others.swap_remove(random.usize(0..self.others.len()))
    }

    pub(crate) fn stop(&mut self, mut member: Member) -> Result<()> {
        let code = member.stop(STOP)?;
        ensure!(code == 0, "process {} ended with code {code}, log {}", member.pid(), member.log_path().display());
        Ok(())
    }
}
