//! What the program is told on its command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

#[derive(Parser, Clone)]
pub(crate) struct Args {
    /// Brokers, `host:port`, several with commas.
    #[arg(long)]
    pub(crate) brokers: String,
    /// The topic to read.
    #[arg(long)]
    pub(crate) topic: String,
    /// The consumer group.
    #[arg(long)]
    pub(crate) group: String,
    /// The file to append to.
    #[arg(long)]
    pub(crate) ledger: PathBuf,
    /// Which records wait for one another.
    #[arg(long)]
    pub(crate) order: Order,
    /// Handlers at once.
    #[arg(long)]
    pub(crate) workers: usize,
    /// Records that may be ready or running [100, at least twice the workers].
    #[arg(long)]
    pub(crate) queue: Option<usize>,
    /// Retries of a failed attempt.
    #[arg(long, default_value_t = 3)]
    pub(crate) retries: u32,
    /// The first retry's delay; it doubles with each further one.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) backoff_ms: u64,
    /// What an attempt may take.
    #[arg(long, default_value_t = 600_000)]
    pub(crate) timeout_ms: u64,
    /// How long the circuit breaker takes few lanes that fail for an outage, with a trial each half second [an hour, up to a minute].
    #[arg(long)]
    pub(crate) patience_ms: Option<u64>,
    /// The topic for dead letters [<topic>.dlq].
    #[arg(long)]
    pub(crate) dead_letter: Option<String>,
    #[arg(long, default_value = "classic")]
    pub(crate) group_protocol: Protocol,
    /// Makes this a static member of its group.
    #[arg(long)]
    pub(crate) instance_id: Option<String>,
    /// How long a newer member waits for an older one of the same id, with `--group-protocol consumer`.
    #[arg(long, default_value_t = 120_000)]
    pub(crate) instance_wait_ms: u64,
    /// What started handlers may take after a signal.
    #[arg(long, default_value_t = 30_000)]
    pub(crate) drain_ms: u64,
    #[arg(long)]
    pub(crate) max_poll_interval_ms: Option<u64>,
    /// Not with `--group-protocol consumer`.
    #[arg(long)]
    pub(crate) session_timeout_ms: Option<u64>,
    #[arg(long, default_value_t = 1_000)]
    pub(crate) commit_interval_ms: u64,
    /// How long nothing may come of a partition's records until that is told; after as long again the daemon fails.
    #[arg(long, default_value_t = 300_000)]
    pub(crate) stall_after_ms: u64,
    /// How often the process may end while a record runs alone until that one is given up; 0: it never is.
    #[arg(long, default_value_t = 3)]
    pub(crate) crash_limit: u32,
    /// A file with properties of librdkafka's, `name=value` a line.
    #[arg(long)]
    pub(crate) properties: Option<PathBuf>,
    /// What to do about a dead-letter topic that does not exist.
    #[arg(long, default_value = "refuse")]
    pub(crate) missing_dead_letter: Missing,
    /// Where to start partitions that the group has committed nothing of.
    #[arg(long, default_value = "earliest")]
    pub(crate) start: Start,
    /// Where to go on when records were removed before they were read.
    #[arg(long, default_value = "stop")]
    pub(crate) out_of_range: Lost,
    /// Where to go on when a log was cut below what was read of it.
    #[arg(long, default_value = "stop")]
    pub(crate) truncated: Lost,
    /// Where to go on when the topic was deleted and made anew.
    #[arg(long, default_value = "stop")]
    pub(crate) recreated: Lost,
    /// Where to serve /livez, /readyz and /metrics.
    #[arg(long)]
    pub(crate) admin: Option<SocketAddr>,
    /// Where to serve the admin API and its pages, to whoever asks.
    #[arg(long)]
    pub(crate) api: Option<SocketAddr>,
    /// Restarts of a daemon that failed, within ten minutes.
    #[arg(long, default_value_t = 5)]
    pub(crate) restarts: u32,
    /// The first restart's delay; it doubles with each further one.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) restart_ms: u64,
    /// The topic of a second daemon.
    #[arg(long)]
    pub(crate) beside: Option<String>,
    /// The second daemon's brokers [those of the first].
    #[arg(long)]
    pub(crate) beside_brokers: Option<String>,
    /// While this file is there, every attempt fails.
    #[arg(long)]
    pub(crate) outage: Option<PathBuf>,
    /// What the handler is.
    #[arg(long, default_value = "async")]
    pub(crate) handler: Kind,
    /// Takes commands from standard input.
    #[arg(long)]
    pub(crate) steer: bool,
    /// Breaks a promise on purpose.
    #[arg(long)]
    pub(crate) sabotage: Option<Sabotage>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Order {
    Partition,
    Key,
    Unordered,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    Async,
    /// A plain function.
    Blocking,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Protocol {
    Classic,
    Eager,
    Consumer,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Missing {
    Refuse,
    Create,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Start {
    Earliest,
    Latest,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Lost {
    Stop,
    Earliest,
    Latest,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    EarlyCommit,
    DropFailed,
    BreakOrder,
    NoFinalCommit,
}
