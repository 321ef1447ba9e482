//! A daemon of one's own beside a consumer: it sweeps away what the consumer's handler keeps and nobody needs any more.
//!
//! ```text
//! cargo run --example own_daemon                goes on until Ctrl-C
//! cargo run --example own_daemon -- --for 5s    ends by itself
//! ```
//!
//! Everything runs in one process, on an embedded Kafka. The consumer counts the sessions that it hears of; the [`Sweeper`] wakes up every
//! 200 ms and forgets those that are old. Now and then a sweep fails, as one on a database would: the sweeper's run ends with an error,
//! and the supervisor starts it again by a policy of its own, while the consumer goes on. `/readyz` and `/metrics` show both.

use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use daemonry::config::Period;
use daemonry::daemon::{Consumer, Daemon, DaemonContext, DaemonError, Ended};
use daemonry::handler::extract::{Key, State};
use daemonry::handler::{Router, on};
use daemonry::kafka::{EmbeddedCluster, GroupProtocol, KafkaConfig, KafkaProducer};
use daemonry::producer::Producer;
use daemonry::record::OwnedRecord;
use daemonry::shutdown::Exit;
use daemonry::supervisor::{RestartPolicy, Supervisor};
use daemonry::telemetry::{self, LogFormat};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// What the handler keeps, and the sweeper forgets.
#[derive(Clone, Default)]
struct Sessions {
    seen: Arc<Mutex<HashMap<Vec<u8>, Instant>>>,
    heard: Arc<AtomicUsize>,
    swept: Arc<AtomicUsize>,
}

async fn heard(State(sessions): State<Sessions>, Key(session): Key) {
    let now = Instant::now();
    let mut seen = sessions.seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.insert(session.unwrap_or_default().to_vec(), now);
    sessions.heard.fetch_add(1, Ordering::Relaxed);
}

/// Forgets sessions that are older than half a second.
struct Sweeper {
    sessions: Sessions,
    /// Sweeps of all runs: every tenth one fails.
    sweeps: Arc<AtomicU32>,
}

impl Sweeper {
    fn sweep(&self) -> anyhow::Result<usize> {
        anyhow::ensure!(self.sweeps.fetch_add(1, Ordering::Relaxed) % 10 != 9, "the disk is full, for a moment");
        let mut seen = self.sessions.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.len();
        seen.retain(|_, at| at.elapsed() < Duration::from_millis(500));
        Ok(before - seen.len())
    }
}

#[async_trait]
impl Daemon for Sweeper {
    fn name(&self) -> &str {
        "sweeper"
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        let mut ticks = interval(Duration::from_millis(200));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        context.health().ready(); // for /readyz, until something is in the way
        loop {
            tokio::select! {
                biased;
                // A daemon returns when it is told to, and when nothing that it started runs any more.
                () = context.stopped() => return Ok(Ended::Drained),
                _ = ticks.tick() => context.health().heartbeat(), // for /livez: from the first one on they are missed
            }
            // An error ends the run. What follows is the policy's business, not ours.
            let swept = self.sweep().map_err(DaemonError::failed)?;
            self.sessions.swept.fetch_add(swept, Ordering::Relaxed);
        }
    }
}

/// Another daemon of one's own: writes what the consumer hears.
struct Visitors {
    kafka: KafkaConfig,
}

#[async_trait]
impl Daemon for Visitors {
    fn name(&self) -> &str {
        "visitors"
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        let producer = Producer::new(Arc::new(KafkaProducer::new(&self.kafka).map_err(DaemonError::config)?));
        context.health().ready();
        for number in 0_u64.. {
            let record = OwnedRecord::new("visit").with_key(format!("session {}", number / 3));
            tokio::select! {
                biased;
                () = context.stopped() => break,
                sent = producer.send("visits", record) => drop(sent.map_err(DaemonError::failed)?),
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Ended::Drained)
    }
}

fn run(time: Option<Duration>) -> anyhow::Result<Exit> {
    let cluster = EmbeddedCluster::start(&[("visits", 4), ("visits.dlq", 4)])?;
    let mut kafka = KafkaConfig::new(cluster.brokers(), "own_daemon");
    kafka.protocol = GroupProtocol::Consumer;
    let (sessions, sweeps) = (Sessions::default(), Arc::new(AtomicU32::new(0)));

    let (state, visits, swept) = (sessions.clone(), kafka.clone(), sessions.clone());
    let supervisor = Supervisor::new()
        .admin(([127, 0, 0, 1], 0).into()) // any port that is free; the log says which
        .daemon(move || {
            let router = Router::new().topic("visits", on(heard)).with_state(state.clone());
            Consumer::new("visits", kafka.clone(), router)
        })
        .daemon(move || Visitors { kafka: visits.clone() })
        // Its failures are harmless and soon over: it may fail as often as it likes, and comes back at once.
        .daemon_with(
            RestartPolicy::forever().base(Duration::from_millis(100)).cap(Duration::from_secs(1)),
            move || Sweeper { sessions: swept.clone(), sweeps: Arc::clone(&sweeps) },
        );

    let (shutdown, roster) = (supervisor.shutdown(), supervisor.roster());
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let timer = std::thread::spawn(move || {
        // Ends early where the supervisor does.
        if let Some(time) = time
            && ended.recv_timeout(time).is_err()
        {
            shutdown.request();
        }
    });
    let exit = supervisor.run();
    drop(end);
    timer.join().ok();

    let (heard, swept) = (sessions.heard.load(Ordering::Relaxed), sessions.swept.load(Ordering::Relaxed));
    let restarts: u64 = roster.daemons().iter().map(|daemon| daemon.restarts).sum();
    writeln!(io::stdout(), "{heard} visits, {swept} sessions swept, {restarts} restarts of the sweeper")?;
    Ok(exit)
}

fn main() -> anyhow::Result<ExitCode> {
    telemetry::init(LogFormat::Human)?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let time = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => None,
        ["--for", time] => Some(time.parse::<Period>()?.0),
        _ => anyhow::bail!("usage: own_daemon [--for TIME]"),
    };
    Ok(run(time)?.into())
}
