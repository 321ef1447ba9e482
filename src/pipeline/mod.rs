//! The pipeline, from a record to its commit, one way:
//!
//! ```text
//! source → reader → lanes (bounded) → workers → tracker → committer → source
//!                                        └→ dead letter ─ receipt ─┘
//! ```
//!
//! It knows no Kafka: what stands under it is a `Source`. It uses tokio's time only, so that virtual time can
//! drive all of it in tests.

mod arrival;
mod batch;
mod breaker;
mod committer;
pub mod control;
pub mod dead_letter;
pub mod demand;
mod dispatcher;
pub mod failures;
mod lanes;
pub mod metadata;
mod meter;
#[cfg(feature = "__micro")]
pub(crate) mod micro;
mod outcome;
mod own_thread;
mod pressure;
pub mod quarantine;
mod reader;
pub mod rebalances;
mod scaling;
pub mod seek;
mod settings;
mod shared;
mod skips;
pub mod source;
mod stall;
pub mod subscription;
pub mod ticket;
pub mod tracker;
pub mod view;
mod watchdog;
mod worker;

use std::any::Any;
use std::fmt;
use std::iter;
use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info, info_span, warn};

use crate::handler::{Router, RouterError};
use crate::metrics::DaemonMetrics;
use crate::panic;
use crate::producer::Producer;
use crate::sync::wakes::Seat;
use committer::CommitDesk;
use control::{Control, Reading};
use dead_letter::DeadLetterSink;
use lanes::{Limits, Load};
use meter::Meter;
use reader::Reader;
use scaling::Controller;
use shared::Shared;
use source::Source;
use watchdog::{Show, Slot};

pub use quarantine::CrashQuarantine;
pub use reader::Beat;
pub use scaling::{Scaling, ScalingMode};
pub use settings::{PipelineSettings, SettingsError};

/// How long a source may take to leave its group at a stop, and handlers that were dropped to end after a failure.
const CLOSE: Duration = Duration::from_secs(5);

/// Lanes that are ready at once, at most, or twice the workers where those are more. For handlers that take no time this is some
/// milliseconds of work: a queue that is deeper only lets records fall out of the processor's caches before their turn.
const AHEAD: usize = 2_048;
/// Records that come in at a partition after a handler of it waited or failed, before keys share lanes again: telling them apart costs as much as
/// some hundred records save, and each hundredth may.
const UNBUNDLED: usize = 4_096;

/// So many threads has a runtime of handlers beside which the first worker has one of its own. With fewer, all are everybody's.
pub(crate) const SHARED_AT_LEAST: usize = 3;

/// Why a pipeline ended without having been stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// What was configured can't work. The process ends with code 2, unless the daemon has worked before.
    #[error("{0}")]
    Misconfigured(String),
    /// It can't go on. The daemon has failed, and is restarted.
    #[error("{0}")]
    Failed(String),
    /// It does nothing for a partition though it could. The daemon is restarted; where that has not helped, the process ends with code 4.
    #[error("{reason}")]
    Stalled {
        /// Which partition, and for how long.
        reason: String,
        /// Whether something of it was finished before, in this run.
        moved: bool,
    },
    /// It can't go on, and must not be restarted. The process ends with code 4.
    #[error("{0}")]
    Fatal(String),
}

/// How a pipeline ended that was stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Handlers that had not ended when the time for it was over. Their records stay uncommitted.
    pub unfinished: usize,
    /// Whether the last commit was not acknowledged in time: what it would have covered has ended, and may run again.
    pub uncommitted: bool,
}

/// Everything that a pipeline is built from. [`run`](Self::run) it on a runtime with time; handlers run on another one.
pub struct Pipeline<S: Source> {
    /// The daemon's name, for logs, metrics and letters.
    pub daemon: String,
    /// Where records come from.
    pub source: S,
    /// What handles them.
    pub router: Router,
    /// Where dead letters go.
    pub dead_letters: Arc<dyn DeadLetterSink>,
    /// What handlers write with, where there is something.
    pub producer: Option<Producer>,
    /// Bounds and times.
    pub settings: PipelineSettings,
    /// Where it counts.
    pub metrics: Arc<DaemonMetrics>,
    /// Told how the reading goes.
    pub beat: Arc<dyn Fn(Beat) + Send + Sync>,
    /// How long started handlers may go on after a stop.
    pub stop_drain: Duration,
    /// Steers it while it runs.
    pub control: Control,
}

impl<S: Source> fmt::Debug for Pipeline<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("daemon", &self.daemon).field("router", &self.router).finish_non_exhaustive()
    }
}

impl<S: Source> Pipeline<S> {
    /// Everything that is wrong with router and settings, at once.
    ///
    /// # Errors
    /// [`PipelineError::Misconfigured`] with one line for each fault.
    pub fn check(router: &Router, settings: &PipelineSettings) -> Result<(), PipelineError> {
        let router = router.check();
        let settings = settings.check().err().unwrap_or_default();
        let faults: Vec<String> =
            router.iter().map(RouterError::to_string).chain(settings.iter().map(SettingsError::to_string)).collect();
        if faults.is_empty() { Ok(()) } else { Err(PipelineError::Misconfigured(faults.join("; "))) }
    }

    /// Runs until `stop`, drains, commits, closes the source, and returns when nothing of it runs any more but handlers that
    /// would not end. Handlers run on `handlers`; the first worker's on a thread of its own, within that runtime, if it has three threads
    /// or more: so a record that comes alone wakes one thread. It is one of the runtime's for blocking work all the while.
    ///
    /// # Errors
    /// Why it could not start, or could not go on. [`PipelineError::Fatal`] too where handlers would not end: another pipeline would
    /// run their records beside them.
    pub async fn run(self, stop: CancellationToken, handlers: &Handle) -> Result<Stopped, PipelineError> {
        Self::check(&self.router, &self.settings)?;
        let Self {
            daemon,
            mut source,
            router,
            dead_letters,
            producer,
            mut settings,
            metrics,
            beat,
            stop_drain,
            control,
        } = self;
        control.reads(Reading::new(router.subscription(), source.records()));
        let letters = control.letters();
        for topic in router.topics_and_letters().iter().filter_map(|(_, letters)| letters.as_ref()) {
            letters.go_to(topic, &*dead_letters);
        }
        let routes = router.into_routes();
        // Or a batch would never get full.
        let enough = routes.largest_batch().saturating_mul(2);
        if settings.queue_records < enough {
            info!(daemon, queue_records = enough, "queue made large enough for batches");
            settings.queue_records = enough;
        }
        let mut seeds = settings.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let scaling = settings.scaling.map(|scaling| Controller::new(scaling, settings.workers));
        let fewest = scaling.as_ref().map_or(settings.workers, Controller::workers);
        let meter = Meter::new(metrics, fewest..=settings.workers, settings.queue_records)
            .with_breakers(routes.with_circuit_breakers());
        let shared = Arc::new(Shared::new(daemon.clone(), limits(&settings), meter, producer, control.past()));
        let (desk, requests) = CommitDesk::new();
        let committer = source.committer();

        let mut tasks = JoinSet::new();
        tasks.spawn(committer::commit(Arc::clone(&shared), committer, requests, settings.commit_interval));
        tasks.spawn(forever(dead_letter::publish_letters(
            Arc::clone(&shared),
            Arc::clone(&dead_letters),
            seeds.u64(..),
        )));
        let now = Instant::now();
        let slots: Vec<_> = (0..settings.workers).map(|_| Arc::new(Slot::new(now))).collect();
        tasks.spawn(forever(dispatcher::dispatch(Arc::clone(&shared), slots.clone())));
        tasks.spawn(forever(watchdog::watch(
            Arc::clone(&shared),
            slots.clone(),
            settings.stall_after,
            Arc::clone(&beat),
            Show { control: control.show(), queue_capacity: settings.queue_records },
        )));

        if let Some(controller) = scaling {
            shared.change(|lanes| lanes.set_workers(fewest));
            tasks.spawn(forever(scaling::scale(Arc::clone(&shared), controller)));
        }

        let workers_stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        // What handlers log is this daemon's. Entered once for many records: as often as a worker is polled.
        let span = info_span!(parent: None, "consumer", daemon);
        // Where this goes, so does the worker that no runtime drops.
        let unwanted = CancellationToken::new();
        let _unwanted = unwanted.clone().drop_guard();
        let first = if handlers.metrics().num_workers() >= SHARED_AT_LEAST { Seat::Own } else { Seat::Shared };
        for (slot, seat) in slots.iter().zip(iter::once(first).chain(iter::repeat(Seat::Shared))) {
            let (shared, slot, stop) = (Arc::clone(&shared), Arc::clone(slot), workers_stop.clone());
            let work = worker::work(shared, slot, seat, stop, seeds.u64(..)).instrument(span.clone());
            match seat {
                Seat::Shared => {
                    workers.spawn_on(work, handlers);
                }
                Seat::Own => own_thread::spawn(&mut workers, handlers, unwanted.clone(), work),
            }
        }

        let reader_stop = stop.child_token();
        let reader = Reader {
            source,
            shared: Arc::clone(&shared),
            desk,
            routes,
            settings,
            stop_drain,
            beat,
            control: control.watch(),
            letters,
            sink: dead_letters,
            holder: fastrand::u32(..),
        };
        // A panic there takes the source with it: dropped, it leaves its group without a last commit.
        let mut reading = std::pin::pin!(AssertUnwindSafe(reader.run(reader_stop.clone())).catch_unwind());
        let mut failure = None;
        let (source, read) = loop {
            tokio::select! {
                biased;
                ended = &mut reading => break match ended {
                    Ok((source, read)) => (Some(source), read),
                    Err(panic) => (None, Err(reading_panicked(&daemon, panic))),
                },
                // Only the committer ends by itself while reading goes on, and only when the source refuses it for good.
                Some(ended) = tasks.join_next() => {
                    failure.get_or_insert(broken(&daemon, ended.map(|result| result.err())));
                    reader_stop.cancel();
                }
                Some(ended) = workers.join_next() => {
                    failure.get_or_insert(broken(&daemon, ended.map(|()| None)));
                    reader_stop.cancel();
                }
            }
        };

        workers_stop.cancel();
        let (stopped, error) = match read {
            Ok(stopped) => (stopped, failure),
            Err(error) => (Stopped::default(), failure.or(Some(error))),
        };
        // After a panic the lanes may be halfway through a change: they are left as they are.
        let panicked = source.is_none();
        if !panicked {
            let epochs = shared.lanes().epochs();
            shared.change(|lanes| lanes.lose(&epochs));
        }
        if stopped.unfinished == 0 && error.is_none() {
            while workers.join_next().await.is_some() {}
        } else {
            // Handlers that would not end are dropped at their next `.await`; those that block their threads can't be.
            workers.abort_all();
            unwanted.cancel();
        }
        tasks.abort_all();
        let closed = Instant::now() + CLOSE;
        let close = async {
            if let Some(source) = source
                && let Err(error) = source.close(closed).await
            {
                warn!(daemon, %error, "source did not close in time");
            }
        };
        tokio::join!(close, left(&mut tasks, closed));
        let Some(error) = error else {
            info!(daemon, unfinished = stopped.unfinished, uncommitted = stopped.uncommitted, "stopped");
            return Ok(stopped);
        };
        // After a panic nobody has given them time yet.
        let until = if panicked { closed.max(Instant::now() + stop_drain) } else { closed };
        let workers = left(&mut workers, until).await;
        let remains = join_all(slots.iter().map(|slot| {
            slot.remains.close();
            slot.remains.wait()
        }));
        // In time or not, as with the workers.
        drop(timeout_at(until, remains).await);
        match workers + slots.iter().map(|slot| slot.remains.len()).sum::<usize>() {
            0 => Err(error),
            left => Err(PipelineError::Fatal(format!(
                "{error}; handlers that have not ended: {left}, and a restart would run their records beside them"
            ))),
        }
    }
}

/// Waits for tasks that were aborted, at most until `deadline`, and says how many have not ended.
async fn left<T: 'static>(tasks: &mut JoinSet<T>, deadline: Instant) -> usize {
    let ended = async { while tasks.join_next().await.is_some() {} };
    // In time or not: what counts is who is left.
    drop(timeout_at(deadline, ended).await);
    tasks.len()
}

/// The reader has panicked.
fn reading_panicked(daemon: &str, panic: Box<dyn Any + Send>) -> PipelineError {
    let error = PipelineError::Failed(format!("reading panicked: {}", panic::message(panic)));
    error!(daemon, %error, "pipeline can't go on, stopping");
    error
}

/// A task that ends only when it is aborted.
async fn forever(task: impl Future<Output = ()>) -> Result<(), PipelineError> {
    task.await;
    Ok(())
}

/// A task of the pipeline's own has ended before its time.
fn broken(daemon: &str, ended: Result<Option<PipelineError>, JoinError>) -> PipelineError {
    let error = match ended {
        Ok(Some(error)) => error,
        Ok(None) => {
            PipelineError::Failed("a task of the pipeline ended before its time: please report this".to_owned())
        }
        Err(join) => PipelineError::Failed(format!("a task of the pipeline failed: {join}: please report this")),
    };
    error!(daemon, %error, "pipeline can't go on, stopping");
    error
}

fn limits(settings: &PipelineSettings) -> Limits {
    // What came of a seed comes of it on any machine.
    let cores = if settings.seed.is_some() { 2 } else { available_parallelism().map_or(1, NonZero::get) };
    Limits {
        queue: Load { records: settings.queue_records, bytes: settings.queue_bytes },
        parked: Load { records: settings.parked_records, bytes: settings.parked_bytes },
        high: settings.high_mark,
        low: settings.low_mark,
        workers: settings.workers,
        ahead: AHEAD.max(settings.workers.saturating_mul(2)),
        // As many as keep all cores busy with one partition, wherever each worker of it is: none of them waits. The fewer there are, the
        // more of a lane is taken at once.
        bundles: settings.workers.min(cores).saturating_mul(2).clamp(2, 256),
        unbundled: UNBUNDLED,
        commit_after: settings.commit_after,
    }
}

/// How property tests run: with 10,000 cases, or as many as `PROPTEST_CASES` says.
#[cfg(test)]
pub(crate) fn properties() -> proptest::test_runner::Config {
    let given = proptest::test_runner::Config { failure_persistence: None, ..Default::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { given.cases } else { 10_000 };
    proptest::test_runner::Config { cases, ..given }
}
