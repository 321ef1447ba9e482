//! Traffic of every kind on a Kafka of its own, for a while: members come and go, the broker is killed and comes back. The ledger must be
//! clean in the end, and memory flat.
//!
//! `SOAK_SECONDS` says for how long; 40 s by default, ten minutes by `make soak-lite`.

use std::env;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use integration::checker::Order;
use integration::patience::until_true;
use integration::payload::Mix;
use integration::scenario::STOP;
use integration::{Broker, BrokerOptions, Member, Scenario};

/// How long the broker is away.
const OUTAGE: Duration = Duration::from_secs(5);
/// What progress may take once it is back.
const BOUND: Duration = Duration::from_secs(30);
/// What memory may grow by beside a tenth: what allocators keep, for the most part.
const SLACK: u64 = 16 << 20;

/// How much memory a member held, at even times.
#[derive(Default)]
struct Watched(Vec<u64>);

impl Watched {
    /// The mean of one of five parts of the time, in bytes.
    fn fifth(&self, part: usize) -> u64 {
        let size = (self.0.len() / 5).max(1);
        let of = self.0.iter().skip(part * size).take(size).collect::<Vec<_>>();
        of.iter().copied().sum::<u64>() / of.len().max(1) as u64
    }

    /// The second fifth against the last: the first one is for warming up.
    fn ensure_flat(&self) -> Result<()> {
        let (early, late) = (self.fifth(1), self.fifth(4));
        eprintln!("memory: {} KiB in the second fifth of the time, {} KiB in the last", early >> 10, late >> 10);
        ensure!(late <= early + early / 10 + SLACK, "memory has grown from {early} to {late} bytes");
        Ok(())
    }
}

/// Lets time pass, and watches a member's memory.
fn watch(member: &Member, watched: &mut Watched, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        watched.0.push(member.memory()?);
        thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

#[test]
fn soak_lite() -> Result<()> {
    let seconds = env::var("SOAK_SECONDS").ok().map_or(Ok(40), |text| text.parse()).context("SOAK_SECONDS")?;
    let quarter = Duration::from_secs(seconds) / 4;
    let mut broker = Broker::start(BrokerOptions::default())?;
    let mut scenario = Scenario::open(&broker.bootstrap(), "soak", Order::Key)?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0");
    let load = scenario.load(150, Mix::default());
    let mut stays = scenario.start(&flags)?;
    let mut goes = scenario.start(&flags)?;
    for member in [&mut stays, &mut goes] {
        scenario.until_works(member, Duration::from_secs(40))?;
    }
    let mut watched = Watched::default();
    watch(&stays, &mut watched, quarter)?;

    let mut joins = scenario.start(&flags)?;
    scenario.until_works(&mut joins, Duration::from_secs(40))?;
    watch(&stays, &mut watched, quarter)?;

    broker.kill()?;
    thread::sleep(OUTAGE);
    broker.restart()?;
    scenario.until_more(50, BOUND)?;
    until_true(BOUND, "a process that is ready again", || Ok(stays.get("/readyz")?.0 == 200))?;
    watch(&stays, &mut watched, quarter)?;

    ensure!(goes.stop(STOP)? == 0, "it did not drain, log {}", goes.log_path().display());
    watch(&stays, &mut watched, quarter)?;

    scenario.unload(load)?;
    scenario.pass(vec![stays, joins], Duration::from_secs(60))?;
    watched.ensure_flat()
}
