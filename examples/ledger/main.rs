//! A consumer whose handler obeys its records and writes down what it did: the program that the guarantees are shown with.
//!
//! ```text
//! ledger --brokers B --topic T --group G --ledger FILE --order partition|key|unordered --workers N
//!        [--queue N] [--retries N] [--backoff-ms N] [--timeout-ms N] [--patience-ms N] [--dead-letter TOPIC]
//!        [--group-protocol classic|eager|consumer] [--instance-id ID] [--instance-wait-ms N] [--drain-ms N] [--max-poll-interval-ms N]
//!        [--session-timeout-ms N] [--commit-interval-ms N] [--stall-after-ms N] [--crash-limit N] [--properties FILE] [--missing-dead-letter refuse|create]
//!        [--start earliest|latest] [--out-of-range stop|earliest|latest] [--truncated …] [--recreated …]
//!        [--admin ADDR] [--api ADDR] [--restarts N] [--restart-ms N] [--beside TOPIC [--beside-brokers B]] [--outage FILE] [--handler async|blocking] [--steer] [--sabotage WHAT]
//! ```
//!
//! `--properties` names a file of librdkafka's properties, `name=value` a line, so that no secret stands on the command line.
//!
//! The value of a record is a JSON object that says what its handler does, in this order: `sleep_ms` waits, `block_ms` blocks the
//! thread, `cpu_us` burns CPU; then `abort` and `overflow`, a stack's, kill the process, `panic` panics, `panic_times` panics in that many attempts, `poison`
//! fails for good, `fail_times` fails that many attempts. `id` is a number that names the record; other fields are ignored. An empty value, or one that is not JSON, is poison; a
//! tombstone succeeds.
//!
//! Before a handler returns `Ok` it appends one line to the ledger, in one write to a file opened with `O_APPEND`, so that several
//! processes can share it:
//!
//! ```text
//! partition offset key id attempt pid unix_ms
//! ```
//!
//! with `-` for a null or empty key, or one that isn't printable without spaces, and for a record without an id.
//!
//! `--outage` names a file that stands for an outage of what handlers need: while it is there, every attempt fails.
//!
//! `--handler blocking` makes it a plain function, which blocks a thread of its own until its record is done.
//!
//! `--beside` runs a second daemon in the process, which reads another topic as the group of that name, maybe of another cluster. Its
//! handler obeys too, and writes nothing down; a failure of it stops the process. `panic_daemon` in a record makes the daemon itself
//! panic, the first so many times.
//!
//! `--steer` takes commands from standard input, one a line: `seek PARTITION PLACE`, where a place is `beginning`, `end`, an offset, or
//! `@` and milliseconds since 1970; `pause PARTITION`; `resume PARTITION`. Each is answered by a line on standard error,
//! `ledger: COMMAND: ANSWER`: `goes on at OFFSET` for a seek, `done` for the others, or `refused, REASON`.
//!
//! `--admin` serves `/livez`, `/readyz` and `/metrics`, `--api` the admin API and its pages. It runs until SIGTERM or SIGINT. Exit codes: 0 drained, 2 a configuration that
//! can't work (a missing topic too), 3 the drain's time passed with work unfinished or not committed, 4 failed for good, 130 or 143 at
//! a second signal.
//!
//! `--sabotage` breaks a promise on purpose, to show that the checker sees it: `early-commit` answers before the work is done,
//! `drop-failed` calls a failed record handled, `break-order` runs the records of a key side by side, `no-final-commit` ends at a
//! signal with code 0 and without a last commit.

mod args;
mod steering;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use args::{Args, Kind, Lost, Missing, Order, Protocol, Sabotage, Start};
use async_trait::async_trait;
use clap::Parser as _;
use daemonry::api::ApiConfig;
use daemonry::circuit_breaker::CircuitBreaker;
use daemonry::daemon::{Consumer, Daemon, DaemonContext, DaemonError, Ended, MissingDeadLetterTopic};
use daemonry::handler::extract::Attempt;
use daemonry::handler::{HandlerError, ProcessingOrder, Route, Router, on, on_blocking};
use daemonry::kafka::{GroupProtocol, KafkaConfig, LossPolicy, StartPolicy};
use daemonry::pipeline::control::Control;
use daemonry::pipeline::{CrashQuarantine, PipelineSettings};
use daemonry::record::Record;
use daemonry::retry::RetryPolicy;
use daemonry::supervisor::{RestartPolicy, Supervisor};
use daemonry::telemetry::{self, LogFormat};
use serde_json::{Number, Value};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// What a record asks of its handler.
#[derive(Clone, Debug, Default)]
struct Orders {
    id: Option<Number>,
    sleep_ms: u64,
    block_ms: u64,
    cpu_us: u64,
    fail_times: u64,
    panic_times: u64,
    poison: bool,
    panic: bool,
    abort: bool,
    overflow: bool,
    /// Only of the second daemon.
    panic_daemon: u64,
}

impl From<Value> for Orders {
    fn from(value: Value) -> Self {
        let number = |name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
        let flag = |name: &str| value.get(name).and_then(Value::as_bool).unwrap_or(false);
        Self {
            id: value.get("id").and_then(Value::as_number).cloned(),
            sleep_ms: number("sleep_ms"),
            block_ms: number("block_ms"),
            cpu_us: number("cpu_us"),
            fail_times: number("fail_times"),
            panic_times: number("panic_times"),
            poison: flag("poison"),
            panic: flag("panic"),
            abort: flag("abort"),
            overflow: flag("overflow"),
            panic_daemon: number("panic_daemon"),
        }
    }
}

/// The file that says what succeeded, and when.
struct Ledger {
    file: File,
    /// One and the same moment. What has passed since then tells the time, whatever becomes of the system's clock.
    opened: (Instant, SystemTime),
}

impl Ledger {
    fn open(path: &PathBuf) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("the ledger {} can't be opened", path.display()))?;
        Ok(Self { file, opened: (Instant::now(), SystemTime::now()) })
    }

    fn append(&self, record: &Record, id: Option<&Number>, attempt: u32) -> anyhow::Result<()> {
        let key = record.key().unwrap_or_default();
        let key =
            std::str::from_utf8(key).ok().filter(|key| !key.is_empty() && key.chars().all(|c| c.is_ascii_graphic()));
        let id = id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let (since, then) = self.opened;
        let now = (then + since.elapsed()).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let (partition, offset) = (record.partition(), record.offset());
        let line = format!("{partition} {offset} {} {id} {attempt} {} {now}\n", key.unwrap_or("-"), std::process::id());
        // One write: lines of several processes don't mix.
        (&self.file).write_all(line.as_bytes()).context("the ledger can't be written")
    }
}

#[expect(clippy::disallowed_methods, reason = "work that nobody waits for is what this sabotage is")]
async fn obey(
    ledger: Arc<Ledger>,
    record: Record,
    attempt: u32,
    sabotage: Option<Sabotage>,
) -> Result<(), HandlerError> {
    let orders = match record.value() {
        None => Orders::default(),
        Some(value) => Orders::from(serde_json::from_slice::<Value>(value).map_err(HandlerError::poison)?),
    };
    if sabotage == Some(Sabotage::EarlyCommit) {
        // Stands for a framework that commits what it has read: the work goes on, and nobody waits for it.
        tokio::task::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            work(&orders, attempt).await.and_then(|()| Ok(ledger.append(&record, orders.id.as_ref(), attempt)?))
        });
        return Ok(());
    }
    if sabotage == Some(Sabotage::BreakOrder) {
        tokio::time::sleep(Duration::from_millis(u64::from(u8::from(record.offset().0 % 2 == 0)) * 20)).await;
    }
    match work(&orders, attempt).await {
        Ok(()) => Ok(ledger.append(&record, orders.id.as_ref(), attempt)?),
        Err(_) if sabotage == Some(Sabotage::DropFailed) => Ok(()),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "a record may ask for a blocked thread")]
async fn work(orders: &Orders, attempt: u32) -> Result<(), HandlerError> {
    if orders.sleep_ms > 0 {
        tokio::time::sleep(Duration::from_millis(orders.sleep_ms)).await;
    }
    if orders.block_ms > 0 {
        std::thread::sleep(Duration::from_millis(orders.block_ms));
    }
    let start = Instant::now();
    while start.elapsed() < Duration::from_micros(orders.cpu_us) {
        std::hint::spin_loop();
    }
    if orders.abort {
        std::process::abort();
    }
    if orders.overflow {
        overflow(&[0; 1 << 10]);
    }
    if orders.panic || u64::from(attempt) <= orders.panic_times {
        panic!("the record asked attempt {attempt} for a panic");
    }
    if orders.poison {
        return Err(HandlerError::poison(anyhow!("the record asked to be poison")));
    }
    if u64::from(attempt) <= orders.fail_times {
        return Err(anyhow!("the record asked attempt {attempt} to fail").into());
    }
    Ok(())
}

/// Calls itself for as long as there is a stack.
#[expect(unconditional_recursion, reason = "that is what overflows it")]
fn overflow(below: &[u8]) -> usize {
    let frame = [std::hint::black_box(below[0]); 1 << 10];
    overflow(std::hint::black_box(&frame)) + frame.len()
}

fn kafka(args: &Args, brokers: &str, group: &str) -> anyhow::Result<KafkaConfig> {
    let mut kafka = KafkaConfig::new(brokers, group);
    kafka.protocol = match args.group_protocol {
        Protocol::Classic => GroupProtocol::Cooperative,
        Protocol::Eager => GroupProtocol::Eager,
        Protocol::Consumer => GroupProtocol::Consumer,
    };
    kafka.start = match args.start {
        Start::Earliest => StartPolicy::Earliest,
        Start::Latest => StartPolicy::Latest,
    };
    let policy = |lost| match lost {
        Lost::Stop => LossPolicy::Stop,
        Lost::Earliest => LossPolicy::Earliest,
        Lost::Latest => LossPolicy::Latest,
    };
    kafka.out_of_range = policy(args.out_of_range);
    kafka.truncated = policy(args.truncated);
    kafka.recreated = policy(args.recreated);
    kafka.instance_id.clone_from(&args.instance_id);
    kafka.instance_wait = Duration::from_millis(args.instance_wait_ms);
    kafka.session_timeout = args.session_timeout_ms.map(Duration::from_millis);
    kafka.max_poll_interval = args.max_poll_interval_ms.map(Duration::from_millis);
    let Some(file) = &args.properties else { return Ok(kafka) };
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    text.lines().try_fold(kafka, |kafka, line| {
        // Not the line itself: it may hold a secret.
        let (name, value) = line.split_once('=').with_context(|| format!("{}: not `name=value`", file.display()))?;
        Ok(kafka.property(name, value))
    })
}

fn route(args: &Args, ledger: Arc<Ledger>) -> Route {
    let sabotage = args.sabotage;
    let outage = args.outage.clone().map(Arc::new);
    let handle = move |record: Record, Attempt(attempt): Attempt| {
        let (ledger, outage) = (Arc::clone(&ledger), outage.clone());
        async move {
            if outage.is_some_and(|file| file.exists()) {
                return Err(anyhow!("what the handler needs is gone").into());
            }
            obey(ledger, record, attempt, sabotage).await
        }
    };
    let order = match args.order {
        _ if sabotage == Some(Sabotage::BreakOrder) => ProcessingOrder::Unordered,
        Order::Partition => ProcessingOrder::Partition,
        Order::Key => ProcessingOrder::Key,
        Order::Unordered => ProcessingOrder::Unordered,
    };
    let retry = RetryPolicy::exponential().max_retries(args.retries).base(Duration::from_millis(args.backoff_ms));
    let breaker = args.patience_ms.map_or_else(CircuitBreaker::new, |patience| {
        let trials = Duration::from_millis(500);
        CircuitBreaker::new().open(trials).cap(trials).patience(Duration::from_millis(patience))
    });
    let timeout = Duration::from_millis(args.timeout_ms);
    let route = match args.handler {
        Kind::Async => on(handle),
        Kind::Blocking => {
            on_blocking(move |record: Record, attempt: Attempt| Handle::current().block_on(handle(record, attempt)))
        }
    };
    let route = route.order(order).retry(retry).circuit_breaker(breaker).timeout(timeout);
    match &args.dead_letter {
        Some(topic) => route.dead_letter(topic.as_str()),
        None => route,
    }
}

/// The second daemon: a consumer that panics when a record asks it to.
struct Beside {
    consumer: Consumer,
    asked: Arc<Notify>,
}

impl Beside {
    /// One that reads this topic. `panics` counts the panics of the process.
    fn new(kafka: &KafkaConfig, topic: &str, panics: &Arc<AtomicU64>) -> Self {
        let asked = Arc::new(Notify::new());
        let (ask, panics) = (Arc::clone(&asked), Arc::clone(panics));
        let handle = move |record: Record, Attempt(attempt): Attempt| {
            let (ask, panics) = (Arc::clone(&ask), Arc::clone(&panics));
            async move {
                let orders = record.value().and_then(|value| serde_json::from_slice::<Value>(value).ok());
                let orders = orders.map(Orders::from).unwrap_or_default();
                if panics.load(Ordering::Relaxed) < orders.panic_daemon {
                    panics.fetch_add(1, Ordering::Relaxed);
                    ask.notify_one();
                    // It doesn't end: it goes with its daemon.
                    std::future::pending::<()>().await;
                }
                work(&orders, attempt).await
            }
        };
        let route = on(handle).retry(RetryPolicy::none()).stop_on_failure();
        Self { consumer: Consumer::new("beside", kafka.clone(), Router::new().topic(topic, route)), asked }
    }
}

#[async_trait]
impl Daemon for Beside {
    fn name(&self) -> &str {
        self.consumer.name()
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        tokio::select! {
            ended = Box::new(self.consumer).run(context) => ended,
            () = self.asked.notified() => panic!("the record asked for a panic of its daemon"),
        }
    }
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::init(LogFormat::Human)?;
    let ledger = Arc::new(Ledger::open(&args.ledger)?);
    if args.sabotage == Some(Sabotage::NoFinalCommit) {
        exit_at_a_signal()?;
    }
    let router = Router::new().topic(args.topic.as_str(), route(&args, ledger));
    let settings = PipelineSettings {
        workers: args.workers,
        queue_records: args.queue.unwrap_or_else(|| 100.max(args.workers * 2)),
        commit_interval: Duration::from_millis(args.commit_interval_ms),
        stall_after: Duration::from_millis(args.stall_after_ms),
        crash_quarantine: args.crash_limit.try_into().ok().map(|limit| CrashQuarantine { limit }),
        ..PipelineSettings::default()
    };
    let restart = RestartPolicy::exponential()
        .max_restarts(args.restarts)
        .base(Duration::from_millis(args.restart_ms))
        .no_jitter();
    let mut supervisor = Supervisor::new().drain(Duration::from_millis(args.drain_ms)).restart(restart);
    if let Some(address) = args.admin {
        supervisor = supervisor.admin(address);
    }
    if let Some(address) = args.api {
        supervisor = supervisor.api(ApiConfig::new(address));
    }
    if let Some(topic) = args.beside.as_deref() {
        let kafka = kafka(&args, args.beside_brokers.as_deref().unwrap_or(&args.brokers), topic)?;
        let (topic, panics) = (topic.to_owned(), Arc::new(AtomicU64::new(0)));
        supervisor = supervisor.daemon(move || Beside::new(&kafka, &topic, &panics));
    }
    let kafka = kafka(&args, &args.brokers, &args.group)?;
    let missing = match args.missing_dead_letter {
        Missing::Refuse => MissingDeadLetterTopic::Refuse,
        Missing::Create => MissingDeadLetterTopic::Create,
    };
    let control = Control::new();
    if args.steer {
        steering::obey_lines(control.clone(), args.topic.as_str().into())?;
    }
    let consumer = move || {
        Consumer::new("ledger", kafka.clone(), router.clone())
            .control(control.clone())
            .settings(settings.clone())
            .missing_dead_letter_topic(missing)
    };
    Ok(supervisor.daemon(consumer).run().into())
}

/// Ends the process at the first signal as if all were well, before anything is drained or committed.
fn exit_at_a_signal() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            if let Ok(mut terminate) = signal(SignalKind::terminate()) {
                terminate.recv().await;
                std::process::exit(0);
            }
        });
    });
    Ok(())
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ledger: {error:#}");
            ExitCode::from(2)
        }
    }
}
