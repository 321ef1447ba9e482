//! The admin API under abuse.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use integration::abuse::{self, Abuse, Visitor};
use integration::checker::{Look, Order};
use integration::patience::unix_ms;
use integration::payload::Mix;
use integration::{Member, Scenario, brokers, scale};

const SOON: Duration = Duration::from_secs(60);
/// Records a second.
const RATE: u32 = 200;
/// Connections that the API serves at once, and those that wait for it.
const CONNECTIONS: u64 = 64 + 64;
/// What the API may hold for them, each with a request of 64 KiB at most, and what an allocator keeps of that.
const MEMORY: u64 = 32 << 20;
/// What an answer may take beside other tests. Who is kept out waits for ten seconds, and whom the system drops for one or more.
const ANSWER: Duration = Duration::from_secs(2);

/// A time, and what was seen of it.
#[derive(Clone, Copy, Debug)]
struct Phase {
    from_ms: u64,
    to_ms: u64,
}

impl Phase {
    fn has(&self, unix_ms: u64) -> bool {
        (self.from_ms..self.to_ms).contains(&unix_ms)
    }

    /// Lets this time pass.
    fn pass(time: Duration) -> Self {
        let from_ms = unix_ms();
        std::thread::sleep(time);
        Self { from_ms, to_ms: unix_ms() }
    }

    fn figures(&self, scenario: &mut Scenario) -> Result<Figures> {
        let seconds = (self.to_ms - self.from_ms) as f64 / 1_000.0;
        let finished = scenario.entries()?.iter().filter(|entry| self.has(entry.unix_ms)).count();
        let mut latencies = scenario.latencies(|produced| self.has(produced.acknowledged_ms))?;
        ensure!(!latencies.is_empty(), "nothing was finished");
        let (produced, slow) = (latencies.len(), latencies.swap_remove(latencies.len() * 99 / 100));
        Ok(Figures { produced: produced as f64 / seconds, finished: finished as f64 / seconds, slow })
    }
}

/// What becomes of records in a time.
#[derive(Clone, Copy, Debug)]
struct Figures {
    /// What was written a second, of what succeeds: a busy machine writes less.
    produced: f64,
    /// What was finished a second.
    finished: f64,
    /// What 99 of 100 took at most from their acknowledgement.
    slow: Duration,
}

/// How often partitions were given to it, or taken from it.
fn rebalances(member: &mut Member) -> Result<f64> {
    let kinds = ["assigned", "revoked", "lost"];
    kinds.iter().map(|kind| member.metric("daemon_rebalances_total", &format!("kind=\"{kind}\""))).sum()
}

/// The API is trickled at, crowded, flooded and sent what it must refuse, by other addresses of this machine, while records flow.
#[test]
fn admin_abuse() -> Result<()> {
    let time = scale::seconds(12, 60)?;
    let mut scenario = Scenario::open(&brokers()?, "admin-abuse", Order::Key)?;
    let flags = scenario.flags().with("admin", "127.0.0.1:0").with("api", "127.0.0.1:0");
    // Without work of their own, so that what is measured is what lies between them.
    let load = scenario.load(RATE, Mix { poison: 1, slow: 0, failing: 0, keys: 60 });
    let mut member = scenario.start(&flags)?;
    scenario.until_works(&mut member, SOON)?;
    scenario.watch(&mut member)?;
    scenario.until_more(1_000, SOON)?;
    member.until_log("API listens address=", SOON)?;
    let api = abuse::listens(&member.log()?)?;
    let assigned = rebalances(&mut member)?;

    let visitor = Visitor::start(api)?;
    let calm = Phase::pass(time);
    let before = visitor.stop()?;
    let abusers = Abuse::start(api)?;
    let visitor = Visitor::start(api)?;
    let abused = Phase::pass(time);
    let meanwhile = visitor.stop()?;
    let answers = abusers.stop()?;
    eprintln!("admin-abuse: {answers:?}");
    ensure!(rebalances(&mut member)? == assigned, "it was rebalanced, log {}", member.log_path().display());

    // Each way was tried and refused.
    for refused in [
        ("oversized", 413),
        ("traversal", 404),
        ("cross-site", 403),
        ("foreign host", 421),
        ("burst", 429),
        ("silent", 0),
        ("unread", 200),
        ("a byte a second", 0),
    ] {
        ensure!(answers.contains_key(&refused), "no {refused:?} in {answers:?}");
    }
    let done = answers.keys().filter(|(way, status)| *status == 200 && !matches!(*way, "unread" | "burst"));
    ensure!(done.count() == 0, "{answers:?}");
    // Who behaves well notices nothing.
    for (what, mut told) in [("before", before), ("meanwhile", meanwhile)] {
        let refused = told.iter().filter(|(status, _)| *status != 200).count();
        told.sort_by_key(|(_, took)| *took);
        let slowest = told.last().context("it asked nothing")?.1;
        eprintln!("admin-abuse: {} answers {what}, the slowest took {slowest:?}", told.len());
        ensure!(refused == 0 && slowest < ANSWER, "{refused} of {} were refused {what}: {told:?}", told.len());
        ensure!(told.len() as f64 > time.as_secs_f64() * 4.0, "{} answers {what}", told.len());
    }

    scenario.unload(load)?;
    scenario.settle(SOON)?;
    let (before, meanwhile) = (calm.figures(&mut scenario)?, abused.figures(&mut scenario)?);
    eprintln!("admin-abuse: {before:?} before, {meanwhile:?} under abuse");
    for Figures { produced, finished, .. } in [before, meanwhile] {
        ensure!(finished > produced * 0.97, "{finished}/s were finished of {produced}/s");
    }
    // The abusers take a part of the machine for themselves, which shows in the tail.
    let bound = before.slow * 2 + Duration::from_millis(100);
    ensure!(meanwhile.slow < bound, "99 of 100 within {:?} under abuse, {:?} before", meanwhile.slow, before.slow);

    let verdict = scenario.finish(vec![member], SOON)?;
    verdict.ensure_clean()?;
    ensure!(verdict.duplicates == 0, "{verdict}");
    let vitals = &scenario.vitals()[0];
    vitals.ensure_flat_within(abused.from_ms, abused.to_ms)?;
    let most = |phase: Phase, of: &dyn Fn(&Look) -> u64| {
        let looks = vitals.looks.iter().filter(|look| phase.has(look.from_ms));
        looks.map(of).max().context("nobody has looked")
    };
    let (less, more) = (most(calm, &|look| look.memory)?, most(abused, &|look| look.memory)?);
    eprintln!("admin-abuse: {} KiB at most before, {} KiB under abuse", less >> 10, more >> 10);
    ensure!(more < less + MEMORY, "memory has grown from {less} to {more} bytes");
    let descriptors = |look: &Look| look.descriptors as u64;
    let (few, many) = (most(calm, &descriptors)?, most(abused, &descriptors)?);
    eprintln!("admin-abuse: {few} descriptors at most before, {many} under abuse");
    // One more is open while it is decided who goes.
    ensure!(many <= few + CONNECTIONS + 1, "descriptors have grown from {few} to {many}");
    scenario.close()
}
