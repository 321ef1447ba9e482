//! A seeded simulation: the whole pipeline over the in-memory broker, in virtual time, held against a model of the invariants.
//!
//! Each seed decides a [`Plan`]: partitions, keys, bounds, how each handler behaves, and what happens to the group, the broker and the
//! process meanwhile. A seed that fails is printed with what went wrong, and replays exactly:
//! `DAEMONRY_SIM_SEED=17 cargo test --test simulation`. `DAEMONRY_SIM_SEEDS=50000` runs more of them.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a world's tasks end with its runtime")]

mod handlers;
mod limits;
mod losses;
mod operators;
mod plan;
mod usage;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::handler::{Router, on};
use daemonry::metrics::Metrics;
use daemonry::pipeline::control::Control;
use daemonry::pipeline::dead_letter::PublishError;
use daemonry::pipeline::source::{CommitError, LossPolicy};
use daemonry::pipeline::{Pipeline, PipelineError, PipelineSettings, Stopped};
use daemonry::record::OwnedRecord;
use daemonry::testing::{CommitFault, MemoryBroker, MemorySource};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use handlers::router;
use operators::Wishes;
use plan::{Fault, Kind, Plan};
use world::{Known, World};

const TOPIC: &str = "orders";
const LETTERS: &str = "orders.dlq";
const DEFAULT_SEEDS: u64 = 10_000;
/// Everything must be settled within this much virtual time after the last fault.
const SETTLED_WITHIN: Duration = Duration::from_secs(3_600);
/// The same where a circuit breaker may let one record a minute try, and each may fail five times.
const SETTLED_BY_TRIALS: Duration = Duration::from_secs(24 * 3_600);

/// After so many ends while a record runs alone it is given up.
const LIMIT: u32 = 3;

type SharedWorld = Arc<Mutex<World>>;

/// How long after its end a process is started again.
const RESTARTED_AFTER: Duration = Duration::from_millis(100);

/// A process that is started again whenever a record kills it.
struct Process {
    control: Control,
    stop: CancellationToken,
    running: JoinHandle<Result<Stopped, PipelineError>>,
}

#[derive(Clone)]
struct Simulation {
    plan: Arc<Plan>,
    world: SharedWorld,
    broker: MemoryBroker,
    seed: u64,
    processes: Arc<AtomicU64>,
    wishes: Arc<Mutex<Wishes>>,
}

/// What happened in a simulation.
#[derive(Debug, PartialEq, Eq)]
struct Past {
    /// Of everything, with its times.
    fingerprint: u64,
    /// Attempts that ran alone, each announced first.
    ran_alone: usize,
    /// Records that became letters since the process ended of them.
    condemned: usize,
    /// Seeks that were done.
    moved: usize,
    /// Losses of logs that were heard of.
    losses: usize,
}

fn recount_letters(world: &SharedWorld, broker: &MemoryBroker) {
    let partitions = world.lock().records.iter().map(|known| known.partition).max().unwrap_or(0);
    let mut ids = Vec::new();
    for partition in 0..=partitions {
        for (_, letter) in broker.records(LETTERS, partition) {
            ids.push(id_of(&letter));
        }
    }
    world.lock().letters(ids.into_iter());
}

/// Which record became this letter.
fn id_of(letter: &OwnedRecord) -> usize {
    String::from_utf8(letter.value.clone().unwrap()).unwrap().parse().unwrap()
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let plan = Arc::new(Plan::of(seed));
        let broker = MemoryBroker::new();
        broker.create_topic(TOPIC, plan.partitions);
        let router: Router = Router::new().topic(TOPIC, on(|| async {}).order(plan.order));
        let tag = *router.subscription().tag(&TOPIC.into()).expect("the router has it");
        let world = Arc::new(Mutex::new(World::new(&plan, tag)));
        for (index, (partition, key, behaviour)) in plan.records.iter().enumerate() {
            for (_, gap) in plan.gaps.iter().filter(|(before, _)| *before == index) {
                broker.skip_offsets(TOPIC, *partition, *gap);
            }
            let record = OwnedRecord::new(index.to_string()).with_key(key.to_string());
            let offset = broker.produce(TOPIC, *partition, record);
            world.lock().add(*partition, offset, *key, *behaviour);
        }
        // Some partitions end in what no record comes for, as a transaction's markers.
        for partition in 0..plan.partitions.min(2) {
            broker.skip_offsets(TOPIC, partition, 1);
        }
        broker.delay_letters(plan.letter_delay);
        let (observed, letters) = (Arc::clone(&world), Arc::new(Mutex::new(Vec::<usize>::new())));
        let seen = Arc::clone(&letters);
        broker.on_commit(move |place, commit| {
            observed.lock().letters(seen.lock().iter().copied());
            observed.lock().committed(place, commit);
        });
        broker.on_loss(plan.on_loss);
        let told = Arc::clone(&world);
        broker.on_missed(move |missed, target| told.lock().missed(missed, target));
        broker.on_letter(move |letter| {
            letters.lock().push(id_of(letter));
        });
        Self { plan, world, broker, seed, processes: Arc::default(), wishes: Arc::default() }
    }

    fn start(&self) -> Process {
        let stop = CancellationToken::new();
        let control = self.wishes.lock().control();
        self.world.lock().limits.put(&control);
        let (simulation, stopped, steered) = (self.clone(), stop.clone(), control.clone());
        let running = tokio::spawn(async move {
            let handlers = Handle::current();
            loop {
                let killed = Arc::new(Notify::new());
                let pipeline = simulation.pipeline(&killed, steered.clone());
                tokio::select! {
                    biased;
                    () = killed.notified() => simulation.world.lock().ends += 1,
                    ended = pipeline.run(stopped.clone(), &handlers) => match ended {
                        Err(PipelineError::Fatal(_)) if simulation.plan.on_loss == LossPolicy::Stop => {
                            if stopped.is_cancelled() {
                                return Ok(Stopped::default());
                            }
                            simulation.decide();
                        }
                        ended => return ended,
                    },
                }
                sleep(RESTARTED_AFTER).await;
            }
        });
        Process { control, stop, running }
    }

    /// A process, until it ends or is killed.
    fn pipeline(&self, killed: &Arc<Notify>, control: Control) -> Pipeline<MemorySource> {
        let process = self.processes.fetch_add(1, Ordering::Relaxed) + 1;
        let plan = &self.plan;
        let member = Arc::new(Mutex::new(None));
        let router = router(plan, &self.world, &self.broker, Arc::clone(&member), (process, killed));
        let source = self.broker.join(router.subscription());
        *member.lock() = Some(source.member());
        Pipeline {
            daemon: "simulated".to_owned(),
            source,
            router,
            dead_letters: Arc::new(self.broker.clone()),
            producer: None,
            settings: PipelineSettings {
                workers: plan.workers,
                scaling: plan.scaling,
                queue_records: plan.queue,
                parked_records: plan.parked,
                commit_interval: plan.commit_interval,
                commit_after: plan.commit_after,
                seed: Some(self.seed.wrapping_mul(31).wrapping_add(process)),
                ..PipelineSettings::default()
            },
            metrics: Metrics::new().daemon("simulated"),
            beat: Arc::new(|_| {}),
            stop_drain: Duration::from_secs(30),
            control,
        }
    }

    async fn run(&self) -> Result<Past, String> {
        let begin = Instant::now();
        let mut process = self.start();
        let mut visitors: Vec<(Instant, Process)> = Vec::new();
        for (at, fault) in self.plan.faults.clone() {
            self.visitors_leave(&mut visitors, begin + at).await?;
            sleep_until(begin + at).await;
            self.meet(fault, &mut process, &mut visitors).await?;
            self.no_breach()?;
        }
        self.visitors_leave(&mut visitors, Instant::now() + Duration::from_secs(60)).await?;
        let within = if self.plan.breaker == CircuitBreaker::off() { SETTLED_WITHIN } else { SETTLED_BY_TRIALS };
        let settled = timeout(within, async {
            loop {
                recount_letters(&self.world, &self.broker);
                if self.world.lock().is_settled() || !self.world.lock().breaches.is_empty() {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        });
        if settled.await.is_err() {
            return Err(format!("I1/I5: never settled: {:?}", self.world.lock().unsettled()));
        }
        self.no_breach()?;
        // A commit that is refused at the very end would rightly leave something uncommitted.
        self.broker.heal();
        // What was finished by a process that ended runs again, and may take its time.
        let committed = timeout(within, async {
            while !self.is_committed() {
                sleep(Duration::from_millis(200)).await;
            }
        });
        if committed.await.is_err() {
            return Err("I5: all is finished, and never committed".to_owned());
        }
        sleep(Duration::from_secs(30)).await;
        self.stop(process).await?;
        self.no_breach()?;
        self.at_the_end()
    }

    fn no_breach(&self) -> Result<(), String> {
        match self.world.lock().breaches.first() {
            Some(breach) => Err(breach.clone()),
            None => Ok(()),
        }
    }

    async fn stop(&self, process: Process) -> Result<(), String> {
        let began = Instant::now();
        process.stop.cancel();
        let stopped = self.stopped(process).await;
        // A handler takes 5 s at the most here, and what follows it no time worth speaking of.
        if self.plan.gentle && began.elapsed() > Duration::from_secs(8) {
            return Err(format!("I5: the stop took {:?}", began.elapsed()));
        }
        stopped
    }

    async fn stopped(&self, process: Process) -> Result<(), String> {
        match timeout(Duration::from_secs(60), process.running).await {
            Ok(Ok(Ok(stopped))) if self.plan.gentle && stopped != Stopped::default() => {
                Err(format!("left {stopped:?}"))
            }
            Ok(Ok(Ok(_))) => Ok(()),
            Ok(Ok(Err(error))) => Err(format!("the pipeline failed: {error}")),
            Ok(Err(error)) => Err(format!("the pipeline panicked: {error}")),
            Err(_) => Err("the pipeline did not stop within 60 s".to_owned()),
        }
    }

    async fn visitors_leave(&self, visitors: &mut Vec<(Instant, Process)>, until: Instant) -> Result<(), String> {
        visitors.sort_by_key(|(leaves, _)| std::cmp::Reverse(*leaves));
        while visitors.last().is_some_and(|(leaves, _)| *leaves <= until) {
            let Some((leaves, visitor)) = visitors.pop() else { break };
            sleep_until(leaves).await;
            self.stop(visitor).await?;
        }
        Ok(())
    }

    async fn meet(
        &self,
        fault: Fault,
        process: &mut Process,
        visitors: &mut Vec<(Instant, Process)>,
    ) -> Result<(), String> {
        let broker = self.broker.clone();
        let refused = || CommitFault::Refuse(CommitError::Retriable("refused".to_owned()));
        match fault {
            Fault::Revoke(partition) => broker.revoke(TOPIC, partition),
            Fault::Lose(partition) => {
                self.world.lock().ends += 1;
                broker.lose(TOPIC, partition);
            }
            Fault::CommitRefused(times) => broker.fail_commits((0..times).map(|_| refused())),
            Fault::CommitAnswerLost => {
                broker.fail_commits([CommitFault::LoseAnswer(CommitError::Retriable("no answer".to_owned()))]);
            }
            Fault::CommitDelayed(delay) => broker.fail_commits([CommitFault::Delay(delay)]),
            Fault::PollsFail(times) => broker.fail_polls((0..times).map(|_| "broker down".to_owned())),
            Fault::LettersRefusedFor(time) => {
                broker.refuse_letters(Some(PublishError::Unavailable("no broker".to_owned())));
                tokio::spawn(async move {
                    sleep(time).await;
                    broker.refuse_letters(None);
                });
            }
            Fault::Joins(time) => {
                let visitor = self.start();
                visitors.push((Instant::now() + time, visitor));
            }
            Fault::Restart => {
                let next = self.start();
                self.stop(std::mem::replace(process, next)).await?;
            }
            Fault::Crash => {
                self.world.lock().ends += 1;
                process.running.abort();
                while !process.running.is_finished() {
                    tokio::task::yield_now().await;
                }
                *process = self.start();
            }
            Fault::Pause(partition, time) => self.pause(partition, time),
            Fault::Skip(id) => self.skip(id),
            Fault::Limit(limit, time) => self.limit(limit, time),
            Fault::Seek(partition, part) => {
                let end = broker.end(TOPIC, partition).0;
                self.seek(process.control.clone(), partition, (end as f64 * part) as i64);
            }
            Fault::Grow(records) => self.grow(records),
            Fault::Truncate(partition, part, records) => self.truncate(partition, part, records),
            Fault::Remove(partition, part) => self.remove(partition, part),
        }
        Ok(())
    }

    /// Whether each partition is committed to its end.
    fn is_committed(&self) -> bool {
        (0..self.broker.partitions(TOPIC)).all(|partition| {
            let (end, committed) = (self.broker.end(TOPIC, partition), self.broker.committed(TOPIC, partition));
            end.0 == 0 || committed.is_some_and(|commit| commit.next.offset() == end)
        })
    }

    /// What holds once everything is settled and the last process has stopped.
    fn at_the_end(&self) -> Result<Past, String> {
        recount_letters(&self.world, &self.broker);
        for partition in 0..self.broker.partitions(TOPIC) {
            let end = self.broker.end(TOPIC, partition);
            let committed = self.broker.committed(TOPIC, partition);
            if end.0 > 0 && committed.as_ref().is_none_or(|commit| commit.next.offset() != end) {
                return Err(format!("partition {partition} ends at {end} but {committed:?} is committed"));
            }
        }
        let world = self.world.lock();
        let repeated = world.repeated();
        if self.plan.gentle && !repeated.is_empty() {
            return Err(format!("I4: nothing was lost or refused, but these ran again: {repeated:?}"));
        }
        let condemned = self.condemned();
        if let Some(id) = condemned.iter().find(|id| world.records[**id].accusations < LIMIT) {
            let Known { partition, offset, accusations, .. } = &world.records[*id];
            return Err(format!("{partition}/{offset} was given up after {accusations} ends while it ran alone"));
        }
        let kills = |id: &usize| world.records[*id].behaviour.kind == Kind::Kills && !world.records[*id].is_waived;
        let killers: Vec<_> = (0..world.records.len()).filter(kills).collect();
        // Of a batch one that was never begun may be given up for the one before it.
        let is_spared =
            |id: &&usize| world.records[**id].successes > 0 || self.plan.batch.is_none() && !condemned.contains(id);
        if let Some(spared) = killers.iter().find(is_spared) {
            return Err(format!("{spared} killed each process that ran it, and is no letter for that"));
        }
        let (ran_alone, moved, losses) = (world.ran_alone, world.moved, world.losses);
        Ok(Past { fingerprint: world.fingerprint(), ran_alone, condemned: condemned.len(), moved, losses })
    }

    /// Records that became letters since the process ended of them.
    fn condemned(&self) -> Vec<usize> {
        let letters = (0..self.broker.partitions(TOPIC)).flat_map(|partition| self.broker.records(LETTERS, partition));
        let is_one = |letter: &OwnedRecord| {
            letter.headers.iter().any(|(name, value)| name == b"daemonry-reason" && value.as_deref() == Some(b"crash"))
        };
        letters.filter(|(_, letter)| is_one(letter)).map(|(_, letter)| id_of(&letter)).collect()
    }
}

/// Runs one seed; a fingerprint of all that happened, or what went wrong.
fn simulate(seed: u64) -> Result<Past, String> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { Simulation::new(seed).run().await })
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("DAEMONRY_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DAEMONRY_SIM_SEEDS").unwrap_or(DEFAULT_SEEDS),
    }
}

fn quiet_panics() {
    // The handlers' planned panics would fill the terminal.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let planned = info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with("attempt "));
        if !planned {
            usual(info);
        }
    }));
}

#[test]
fn every_seed_keeps_the_invariants() {
    quiet_panics();
    if std::env::var("DAEMONRY_SIM_SEED").is_ok() {
        // A replay is to be understood: RUST_LOG=debug shows all of it.
        tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    }
    let seeds = seeds();
    let next = Mutex::new(seeds.clone());
    let failed = Mutex::new(Vec::new());
    let (ran_alone, condemned, moved) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let losses = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(seed) = next.lock().next() else { return };
                    let result =
                        std::panic::catch_unwind(|| simulate(seed)).unwrap_or_else(|_| Err("panicked".to_owned()));
                    match result {
                        Ok(past) => {
                            ran_alone.fetch_add(past.ran_alone, Ordering::Relaxed);
                            condemned.fetch_add(past.condemned, Ordering::Relaxed);
                            moved.fetch_add(past.moved, Ordering::Relaxed);
                            losses.fetch_add(past.losses, Ordering::Relaxed);
                        }
                        Err(error) => failed.lock().push((seed, error)),
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner();
    failed.sort();
    for (seed, error) in failed.iter().take(10) {
        let plan = Plan::of(*seed);
        eprintln!(
            "seed {seed}: {error:.300}\n  order {:?}, {} records, batch {:?}, queue {}, workers {}, retries {}, {:?}, {:?}, faults {:.20?}",
            plan.order,
            plan.records.len(),
            plan.batch,
            plan.queue,
            plan.workers,
            plan.max_retries,
            plan.breaker,
            plan.timeout,
            plan.faults
        );
    }
    let (failed, all) = (failed.len(), seeds.count());
    assert!(failed == 0, "{failed} of {all} seeds failed; replay one with DAEMONRY_SIM_SEED=<seed>");
    let (ran_alone, condemned, moved) = (ran_alone.into_inner(), condemned.into_inner(), moved.into_inner());
    eprintln!(
        "{all} seeds kept the invariants; {ran_alone} attempts ran alone, {condemned} records killed the process, {moved} seeks were done, {} losses were heard of",
        losses.into_inner()
    );
}

#[test]
fn a_seed_replays_exactly() {
    quiet_panics();
    for seed in 0..100 {
        assert_eq!(simulate(seed), simulate(seed), "seed {seed} went another way the second time");
    }
}
