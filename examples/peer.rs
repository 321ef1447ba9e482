//! A consumer to measure beside other frameworks': handles N messages of a topic and prints one JSON line.
//!
//! ```text
//! peer --brokers 127.0.0.1:9092 --topic t --group g --count 1000000
//!      [--work none|sleep:MS|cpu:US|skew:MS:SLOWMS] [--concurrency C] [--ordering partition|key|none]
//!      [--queue N] [--handler none|json] [--daemons N] [--set k=v,...]
//! ```
//!
//! `--work` is what the handler does with a message: nothing; an async sleep; burning CPU; a sleep of MS, but SLOWMS when the payload's
//! `n % 100 == 0`. `--concurrency` [8] is the number of workers, `--queue` [20,000] the records that may be ready or running, `--set`
//! passes librdkafka properties through. Commits are made every second, as by default.
//!
//! `--handler json` has a handler that takes state and the message as JSON, within a layer, and does nothing with it. `--daemons` are so
//! many consumers, each in a group of its own, that read the same topic; `--count` is what all of them handle together.
//!
//! The payload has fixed positions: `n` in bytes 5..15, the producer's clock `ts` in microseconds in 21..37, the number of the key `k` in
//! 42..50, the sequence within the key `s` in 55..63. Whether the order was kept is checked where `PEER_VERIFY` is set.
//!
//! The line: `peer n secs msgs_per_s cpu_user_s cpu_sys_s cpu_before_first_s t80_s max_rss_mb p50_ms p99_ms first_unix_us`, and `order_violations`.
//! `secs` runs from the first handler start to the last handler end; the percentiles (handler start minus `ts`, the first tenth left
//! out) are there only up to 250,000 messages, and not with `--handler json`; `first_unix_us` is when the first handler started.

#![allow(clippy::print_stdout, reason = "the line is what the program is for")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use daemonry::daemon::Consumer;
use daemonry::handler::extract::{Json, State};
use daemonry::handler::layer::TimeoutLayer;
use daemonry::handler::{ProcessingOrder, Router, on};
use daemonry::kafka::KafkaConfig;
use daemonry::pipeline::PipelineSettings;
use daemonry::record::Record;
use daemonry::shutdown::Shutdown;
use daemonry::supervisor::Supervisor;
use daemonry::telemetry::{self, LogFormat};
use parking_lot::Mutex;
use serde::Deserialize;

#[derive(Parser, Clone)]
struct Args {
    #[arg(long, default_value = "127.0.0.1:19092")]
    brokers: String,
    #[arg(long)]
    topic: String,
    #[arg(long)]
    group: String,
    /// Messages to handle.
    #[arg(long)]
    count: u64,
    #[arg(long, default_value = "none", value_parser = Work::parse)]
    work: Work,
    #[arg(long, default_value_t = 8)]
    concurrency: usize,
    #[arg(long, default_value = "partition", value_parser = ordering)]
    ordering: ProcessingOrder,
    #[arg(long, default_value_t = 20_000)]
    queue: usize,
    #[arg(long, default_value = "none")]
    handler: Handler,
    #[arg(long, default_value_t = 1)]
    daemons: usize,
    /// librdkafka properties, `k=v,...`.
    #[arg(long, default_value = "")]
    set: String,
}

#[derive(ValueEnum, Clone, Copy)]
enum Handler {
    None,
    Json,
}

#[derive(Clone, Copy)]
enum Work {
    None,
    Sleep(f64),
    Cpu(u64),
    Skew(f64, f64),
}

impl Work {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is none of none, sleep:MS, cpu:US, skew:MS:SLOWMS");
        let number = |text: &str| text.parse::<f64>().map_err(|_| wrong());
        match text.split(':').collect::<Vec<_>>()[..] {
            ["none"] => Ok(Self::None),
            ["sleep", ms] => Ok(Self::Sleep(number(ms)?)),
            ["cpu", us] => Ok(Self::Cpu(us.parse().map_err(|_| wrong())?)),
            ["skew", ms, slow] => Ok(Self::Skew(number(ms)?, number(slow)?)),
            _ => Err(wrong()),
        }
    }

    /// How long to wait; CPU time is burnt here.
    fn wait(self, payload: &[u8]) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Sleep(ms) => Some(Duration::from_secs_f64(ms / 1e3)),
            Self::Cpu(us) => {
                let start = Instant::now();
                while start.elapsed() < Duration::from_micros(us) {
                    std::hint::spin_loop();
                }
                None
            }
            Self::Skew(ms, slow) => {
                let ms = if field(payload, 5, 10).is_multiple_of(100) { slow } else { ms };
                Some(Duration::from_secs_f64(ms / 1e3))
            }
        }
    }
}

fn ordering(text: &str) -> Result<ProcessingOrder, String> {
    match text {
        "partition" => Ok(ProcessingOrder::Partition),
        "key" => Ok(ProcessingOrder::Key),
        "none" => Ok(ProcessingOrder::Unordered),
        _ => Err(format!("`{text}` is none of partition, key, none")),
    }
}

/// The number at a fixed position, padded with spaces on the left.
fn field(payload: &[u8], at: usize, length: usize) -> u64 {
    let digits = payload.get(at..at + length).unwrap_or_default().iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

/// User seconds, system seconds and the largest resident set in MiB, of this process so far.
fn usage() -> (f64, f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // In ticks of 10 ms, as Linux has it everywhere.
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) / 100.0;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let high = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = high.and_then(|text| text.trim().trim_end_matches(" kB").parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11), ticks(12), kib / 1024.0)
}

struct End {
    secs: f64,
    usage: (f64, f64, f64),
}

/// The first start, and the CPU seconds used until then.
struct First {
    at: Instant,
    unix_us: u64,
    cpu: f64,
}

/// What is measured.
struct Stats {
    count: u64,
    started: AtomicU64,
    done: AtomicU64,
    first: OnceLock<First>,
    t80_us: AtomicI64,
    end: OnceLock<End>,
    latencies_us: Option<Vec<AtomicU32>>,
    /// The last sequence number of each key, and how many were out of order.
    order: Option<Mutex<(HashMap<u64, u64>, u64)>>,
}

impl Stats {
    fn new(args: &Args) -> Self {
        let count = args.count;
        let has_latencies = count <= 250_000 && matches!(args.handler, Handler::None);
        Self {
            count,
            started: AtomicU64::new(0),
            done: AtomicU64::new(0),
            first: OnceLock::new(),
            t80_us: AtomicI64::new(0),
            end: OnceLock::new(),
            latencies_us: has_latencies.then(|| (0..count).map(|_| AtomicU32::new(0)).collect()),
            order: std::env::var("PEER_VERIFY").is_ok().then(|| Mutex::new((HashMap::new(), 0))),
        }
    }

    fn start(&self, payload: &[u8]) {
        let index = self.started.fetch_add(1, Ordering::Relaxed);
        if index == 0 {
            let (user, system, _) = usage();
            self.first.get_or_init(|| First { at: Instant::now(), unix_us: now_us(), cpu: user + system });
        }
        if let Some(latencies) = &self.latencies_us {
            let latency = now_us().saturating_sub(field(payload, 21, 16));
            if let Some(slot) = usize::try_from(index).ok().and_then(|index| latencies.get(index)) {
                slot.store(u32::try_from(latency).unwrap_or(u32::MAX), Ordering::Relaxed);
            }
        }
        if let Some(order) = &self.order {
            let (key, sequence) = (field(payload, 42, 8), field(payload, 55, 8));
            let mut order = order.lock();
            let before = order.0.insert(key, sequence);
            order.1 += u64::from(before.map_or(0, |before| before + 1) != sequence);
        }
    }

    /// True for the last message.
    fn done(&self) -> bool {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let since = || self.first.get().map_or(0.0, |first| first.at.elapsed().as_secs_f64());
        if done == self.count * 8 / 10 {
            self.t80_us.store((since() * 1e6) as i64, Ordering::Relaxed);
        }
        if done == self.count {
            self.end.get_or_init(|| End { secs: since(), usage: usage() });
        }
        done == self.count
    }

    fn print(&self) {
        let (Some(end), Some(first)) = (self.end.get(), self.first.get()) else { return };
        let percentile = |part: usize| {
            let latencies = self.latencies_us.as_ref()?;
            let mut kept: Vec<u32> =
                latencies.iter().skip(latencies.len() / 10).map(|slot| slot.load(Ordering::Relaxed)).collect();
            kept.sort_unstable();
            kept.get(kept.len() * part / 100).map(|us| f64::from(*us) / 1e3)
        };
        let mut line = serde_json::json!({
            "peer": "daemonry",
            "n": self.count,
            "secs": rounded(end.secs),
            "msgs_per_s": (self.count as f64 / end.secs).round(),
            "cpu_user_s": rounded(end.usage.0),
            "cpu_sys_s": rounded(end.usage.1),
            "cpu_before_first_s": rounded(first.cpu),
            "t80_s": rounded(self.t80_us.load(Ordering::Relaxed) as f64 / 1e6),
            "max_rss_mb": (end.usage.2 * 10.0).round() / 10.0,
            "p50_ms": percentile(50),
            "p99_ms": percentile(99),
            "first_unix_us": first.unix_us,
        });
        if let Some(order) = &self.order {
            line["order_violations"] = order.lock().1.into();
        }
        println!("{line}");
    }
}

/// Microseconds since 1970.
fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

fn route(args: &Args, stats: &'static Stats, shutdown: Shutdown) -> Router {
    // Both live as long as the process: an `Arc` of each would be counted up and down for every record, on all cores.
    let (work, shutdown) = (args.work, &*Box::leak(Box::new(shutdown)));
    let handle = move |record: Record| async move {
        let payload = record.value().unwrap_or_default();
        stats.start(payload);
        if let Some(wait) = work.wait(payload) {
            tokio::time::sleep(wait).await;
        }
        if stats.done() {
            shutdown.request();
        }
    };
    Router::new().topic(args.topic.as_str(), on(handle).order(args.ordering).stop_on_failure())
}

/// The message, as a service would take it.
#[derive(Deserialize)]
struct Body {
    n: u64,
    k: u64,
    p: String,
}

#[derive(Clone, Copy)]
struct Run {
    stats: &'static Stats,
    shutdown: &'static Shutdown,
}

async fn json(State(run): State<Run>, Json(body): Json<Body>) {
    run.stats.start(&[]);
    std::hint::black_box((body.n, body.k, body.p));
    if run.stats.done() {
        run.shutdown.request();
    }
}

fn json_route(args: &Args, stats: &'static Stats, shutdown: Shutdown) -> Router {
    let shutdown = &*Box::leak(Box::new(shutdown));
    let handler = on(json).order(args.ordering).layer(TimeoutLayer::new(Duration::from_secs(30))).stop_on_failure();
    Router::new().topic(args.topic.as_str(), handler).with_state(Run { stats, shutdown })
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = telemetry::init(LogFormat::Human) {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    let properties = args.set.split(',').filter_map(|pair| pair.split_once('='));
    let kafka = |group: &str| {
        let kafka = KafkaConfig::new(&args.brokers, group);
        properties.clone().fold(kafka, |kafka, (k, v)| kafka.property(k, v))
    };
    let stats: &'static Stats = Box::leak(Box::new(Stats::new(&args)));
    let mut supervisor = Supervisor::new();
    let router = match args.handler {
        Handler::None => route(&args, stats, supervisor.shutdown()),
        Handler::Json => json_route(&args, stats, supervisor.shutdown()),
    };
    let settings =
        PipelineSettings { workers: args.concurrency, queue_records: args.queue, ..PipelineSettings::default() };
    for number in 0..args.daemons {
        let name = if number == 0 { "peer".to_owned() } else { format!("peer-{number}") };
        let group = args.group.clone() + name.trim_start_matches("peer");
        let (kafka, router, settings) = (kafka(&group), router.clone(), settings.clone());
        let consumer = move || Consumer::new(&name, kafka.clone(), router.clone()).settings(settings.clone());
        supervisor = supervisor.daemon(consumer);
    }
    let exit = supervisor.run();
    stats.print();
    exit.into()
}
