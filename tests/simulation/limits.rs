//! What operators limit for a while: the rate of attempts, of all or of each key, the workers, and keys that rest. Each process is held to it by itself.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use daemonry::pipeline::control::{Control, Rate, Scope};
use fastrand::Rng;
use tokio::time::sleep;

use crate::{Simulation, TOPIC};

/// What was taken up before something was to rest, or limited, has begun by then, as handlers go.
pub(crate) const TAKEN_BEFORE: Duration = Duration::from_secs(13);

#[derive(Clone, Debug)]
pub(crate) enum Limit {
    /// Attempts of a process.
    Rate(Rate),
    /// Attempts of each key, in each process.
    KeyRate(Rate),
    /// Workers of a process that are at something.
    Workers(NonZeroUsize),
    /// This key rests.
    Key(u64),
}

impl Limit {
    /// In one of three plans, some of them. From a seed of its own: what else there is goes as it did without.
    pub(crate) fn some_of(seed: u64, keys: u64, workers: usize) -> Vec<(Duration, Self, Duration)> {
        let mut rng = Rng::with_seed(seed.rotate_left(32) ^ 0x11_417);
        let count = if rng.u8(0..3) == 0 { rng.usize(1..=4) } else { 0 };
        let one = |_| {
            let (at, time) = (Duration::from_millis(rng.u64(0..20_000)), Duration::from_millis(rng.u64(1..60_000)));
            let interval = Duration::from_millis([1, 100, 1_000, 5_000][rng.usize(0..4)]);
            let rate = Rate::new(rng.u32(1..10), interval).expect("an attempt at least");
            let limit = match rng.u8(0..4) {
                0 => Self::Rate(rate),
                1 => Self::KeyRate(rate),
                2 => Self::Workers(NonZeroUsize::new(rng.usize(1..=workers)).expect("one at least")),
                _ => Self::Key(rng.u64(0..keys)),
            };
            (at, limit, time)
        };
        (0..count).map(one).collect()
    }
}

/// Those that hold now, each since when, and what has begun under them.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// By their numbers: of two of a kind the later one holds.
    wanted: BTreeMap<u64, Limit>,
    number: u64,
    rate: Option<(Rate, Duration)>,
    key_rate: Option<(Rate, Duration)>,
    workers: Option<(NonZeroUsize, Duration)>,
    keys: BTreeMap<u64, Duration>,
    begun: HashMap<u64, Vec<Duration>>,
    begun_of: HashMap<(u64, (i32, u64)), Vec<Duration>>,
}

/// An attempt, as a limit sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begun {
    pub(crate) process: u64,
    pub(crate) at: Duration,
    /// Its key, where that may rest by itself.
    pub(crate) key: Option<u64>,
    /// What it is ordered by, if by anything.
    pub(crate) lane: Option<(i32, u64)>,
    /// How many more the process may have taken before that begin with it.
    pub(crate) taken: usize,
    /// How many of the process run beside it.
    pub(crate) running: usize,
}

impl Limits {
    /// Whether more has begun than may, of whatever is limited.
    pub(crate) fn begins(&mut self, attempt: Begun) -> Result<(), String> {
        let Begun { process, at, key, lane, taken, running } = attempt;
        let counts = |since: Duration| at > since + TAKEN_BEFORE;
        if key.and_then(|key| self.keys.get(&key)).is_some_and(|since| counts(*since)) {
            return Err("though its key rests".to_owned());
        }
        if let Some((most, since)) = self.workers
            && counts(since)
            // A partition that had all of them to itself may be at one more than its share when another comes, whose part isn't taken from it.
            && running > most.get()
        {
            return Err(format!("beside {running} others, though {most} workers may be at something"));
        }
        if let Some((rate, since)) = self.rate
            && counts(since)
        {
            within(rate, self.begun.entry(process).or_default(), at, taken)?;
        }
        if let (Some((rate, since)), Some(lane)) = (self.key_rate, lane)
            && counts(since)
        {
            within(rate, self.begun_of.entry((process, lane)).or_default(), at, taken)
                .map_err(|error| format!("{error}, of its key"))?;
        }
        Ok(())
    }

    /// Of a control, what holds now.
    pub(crate) fn put(&self, control: &Control) {
        control.limit(self.rate.map(|(rate, _)| rate));
        control.limit_keys(self.key_rate.map(|(rate, _)| rate));
        control.scale(self.workers.map(|(workers, _)| workers));
        let rests: Vec<Scope> = self.keys.keys().map(rests).collect();
        for scope in control.paused() {
            if matches!(scope, Scope::Key(..)) && !rests.contains(&scope) {
                control.resume(&scope);
            }
        }
        rests.into_iter().for_each(|scope| control.pause(scope));
    }

    fn want(&mut self, limit: Limit, now: Duration) -> u64 {
        self.number += 1;
        self.wanted.insert(self.number, limit);
        self.look(now);
        self.number
    }

    fn lift(&mut self, number: u64, now: Duration) {
        self.wanted.remove(&number);
        self.look(now);
    }

    /// What holds by what is wanted; what held before does so since it did.
    fn look(&mut self, now: Duration) {
        let (mut rate, mut key_rate, mut workers, mut keys) = (None, None, None, BTreeMap::new());
        for limit in self.wanted.values() {
            match *limit {
                Limit::Rate(wanted) => rate = Some(wanted),
                Limit::KeyRate(wanted) => key_rate = Some(wanted),
                Limit::Workers(wanted) => workers = Some(wanted),
                Limit::Key(key) => drop(keys.insert(key, *self.keys.get(&key).unwrap_or(&now))),
            }
        }
        if self.rate.map(|(rate, _)| rate) != rate {
            self.rate = rate.map(|rate| (rate, now));
            self.begun.clear();
        }
        if self.key_rate.map(|(rate, _)| rate) != key_rate {
            self.key_rate = key_rate.map(|rate| (rate, now));
            self.begun_of.clear();
        }
        if self.workers.map(|(workers, _)| workers) != workers {
            self.workers = workers.map(|workers| (workers, now));
        }
        self.keys = keys;
    }
}

fn rests(key: &u64) -> Scope {
    Scope::Key(TOPIC.into(), key.to_string().into_bytes())
}

/// Whether one more may begin now: from any that began before to this one there are an interval's, and those that have come due since.
fn within(rate: Rate, begun: &mut Vec<Duration>, at: Duration, taken: usize) -> Result<(), String> {
    begun.push(at);
    let step = rate.interval() / rate.attempts();
    for (index, since) in begun.iter().enumerate() {
        let due = usize::try_from((at - *since).as_nanos() / step.as_nanos()).expect("a few");
        let (most, count) = (rate.attempts() as usize + due + 1, begun.len() - index);
        if count > most + taken {
            return Err(format!("as one of {count} since {since:?}, though {most} may begin"));
        }
    }
    Ok(())
}

impl Simulation {
    /// Limits all processes for a while.
    pub(crate) fn limit(&self, limit: Limit, time: Duration) {
        let number = {
            let mut world = self.world.lock();
            world.note("limit", 0);
            let now = world.elapsed();
            world.limits.want(limit, now)
        };
        self.put_limits();
        let simulation = self.clone();
        tokio::spawn(async move {
            sleep(time).await;
            {
                let mut world = simulation.world.lock();
                world.note("no limit", 0);
                let now = world.elapsed();
                world.limits.lift(number, now);
            }
            simulation.put_limits();
        });
    }

    fn put_limits(&self) {
        let world = self.world.lock();
        self.wishes.lock().controls().iter().for_each(|control| world.limits.put(control));
    }
}
