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
use std::time::Duration;

use clap::Parser;
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
use meter::payload::{self, field};
use meter::{Body, Flags, Handler, Meter, Order, Report, Work};
use parking_lot::Mutex;
use serde::Serialize;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    flags: Flags,
    #[arg(long, default_value_t = 20_000)]
    queue: usize,
    #[arg(long, default_value = "none")]
    handler: Handler,
    #[arg(long, default_value_t = 1)]
    daemons: usize,
}

fn processing(order: Order) -> ProcessingOrder {
    match order {
        Order::Partition => ProcessingOrder::Partition,
        Order::Key => ProcessingOrder::Key,
        Order::None => ProcessingOrder::Unordered,
    }
}

/// Whether the order of keys was kept.
#[derive(Default)]
struct KeyOrder {
    /// The last sequence number of each key.
    last: HashMap<u64, u64>,
    violations: u64,
}

impl KeyOrder {
    fn start(&mut self, payload: &[u8]) {
        let sequence = field(payload, payload::SEQUENCE);
        let before = self.last.insert(field(payload, payload::KEY), sequence);
        self.violations += u64::from(before.map_or(0, |before| before + 1) != sequence);
    }
}

/// What handlers share. It lives as long as the process: an `Arc` of it would be counted up and down for every record, on all cores.
#[derive(Clone, Copy)]
struct Run(&'static RunState);

struct RunState {
    meter: Meter,
    work: Work,
    order: Option<Mutex<KeyOrder>>,
    shutdown: Shutdown,
}

impl Run {
    fn new(args: &Args, shutdown: Shutdown) -> Self {
        let meter = match args.handler {
            Handler::None => Meter::new(args.flags.count),
            Handler::Json => Meter::without_latencies(args.flags.count),
        };
        let order = std::env::var("PEER_VERIFY").is_ok().then(Mutex::default);
        static STATE: OnceLock<RunState> = OnceLock::new();
        Self(STATE.get_or_init(|| RunState { meter, work: args.flags.work, order, shutdown }))
    }

    fn start(self, payload: &[u8]) {
        self.0.meter.start(payload);
        if let Some(order) = &self.0.order {
            order.lock().start(payload);
        }
    }

    fn done(self) {
        if self.0.meter.done() {
            self.0.shutdown.request();
        }
    }

    fn print(self) {
        #[derive(Serialize)]
        struct Line {
            peer: &'static str,
            #[serde(flatten)]
            report: Report,
            #[serde(skip_serializing_if = "Option::is_none")]
            order_violations: Option<u64>,
        }
        let Some(report) = self.0.meter.report() else { return };
        let order_violations = self.0.order.as_ref().map(|order| order.lock().violations);
        let line = Line { peer: "daemonry", report, order_violations };
        println!("{}", serde_json::to_string(&line).expect("numbers and a name are JSON"));
    }
}

fn router(args: &Args, run: Run) -> Router {
    let (topic, order) = (args.flags.topic.as_str(), processing(args.flags.ordering));
    match args.handler {
        Handler::None => {
            let handle = move |record: Record| async move {
                let payload = record.value().unwrap_or_default();
                run.start(payload);
                if let Some(wait) = run.0.work.wait(payload) {
                    tokio::time::sleep(wait).await;
                }
                run.done();
            };
            Router::new().topic(topic, on(handle).order(order).stop_on_failure())
        }
        Handler::Json => {
            let handler = on(json).order(order).layer(TimeoutLayer::new(Duration::from_secs(30))).stop_on_failure();
            Router::new().topic(topic, handler).with_state(run)
        }
    }
}

async fn json(State(run): State<Run>, Json(body): Json<Body>) {
    run.start(&[]);
    std::hint::black_box((body.n, body.k, body.p));
    run.done();
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = telemetry::init(LogFormat::Human) {
        eprintln!("{error}");
        return ExitCode::from(2);
    }
    let flags = &args.flags;
    let kafka = |group: &str| {
        let kafka = KafkaConfig::new(&flags.brokers, group);
        flags.properties().fold(kafka, |kafka, (k, v)| kafka.property(k, v))
    };
    let mut supervisor = Supervisor::new();
    let run = Run::new(&args, supervisor.shutdown());
    let router = router(&args, run);
    let settings =
        PipelineSettings { workers: flags.concurrency, queue_records: args.queue, ..PipelineSettings::default() };
    for number in 0..args.daemons {
        let name = if number == 0 { "peer".to_owned() } else { format!("peer-{number}") };
        let group = flags.group.clone() + name.trim_start_matches("peer");
        let (kafka, router, settings) = (kafka(&group), router.clone(), settings.clone());
        let consumer = move || Consumer::new(&name, kafka.clone(), router.clone()).settings(settings.clone());
        supervisor = supervisor.daemon(consumer);
    }
    let exit = supervisor.run();
    run.print();
    exit.into()
}
