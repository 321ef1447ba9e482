//! Daemons: long-lived things with a name that run until they are told to stop.
//!
//! A [`Daemon`] is owned by the [`Supervisor`](crate::supervisor::Supervisor), which makes it, runs it, makes it anew after a
//! failure, and tells it to stop. The invariant that every daemon keeps: [`run`](Daemon::run) returns only when everything it started has stopped.

#[cfg(feature = "kafka")]
mod consumer;
#[cfg(feature = "kafka")]
mod letter_topics;
mod readiness;
mod runtime;
mod serving;
mod source_daemon;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::admin::Health;
use crate::metrics::DaemonMetrics;
use crate::pipeline::control::{Control, Seat};
use crate::pipeline::source::SourceError;
#[cfg(feature = "kafka")]
pub use consumer::Consumer;
#[cfg(feature = "kafka")]
pub use letter_topics::MissingDeadLetterTopic;
pub use source_daemon::SourceDaemon;

/// Something with a name that runs until it is told to stop.
///
/// ```
/// use async_trait::async_trait;
/// use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
/// use std::time::Duration;
///
/// /// Says every second that it is there.
/// struct Ticker;
///
/// #[async_trait]
/// impl Daemon for Ticker {
///     fn name(&self) -> &str {
///         "ticker"
///     }
///
///     async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
///         let mut ticks = tokio::time::interval(Duration::from_secs(1));
///         context.health().ready();
///         loop {
///             tokio::select! {
///                 () = context.stopped() => return Ok(Ended::Drained),
///                 _ = ticks.tick() => {
///                     context.health().heartbeat();
///                     tracing::info!(daemon = context.name(), "tick");
///                 }
///             }
///         }
///     }
/// }
///
/// # async fn shown() -> Result<(), DaemonError> {
/// let context = DaemonContext::detached("ticker");
/// context.stop().cancel();
/// assert_eq!(Box::new(Ticker).run(context).await?, Ended::Drained);
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(shown()).unwrap();
/// ```
#[async_trait]
pub trait Daemon: Send + 'static {
    /// The name in logs, metrics and probes; each daemon of a process has its own.
    fn name(&self) -> &str;

    /// Runs until the context says stop, and returns only when everything it started has stopped: after a failure the next run begins
    /// beside whatever is left of this one. From the stop on it has [`DaemonContext::drain`] to end what it started; a little later
    /// the process ends without asking.
    ///
    /// Returning [`Ok`] before the stop is allowed: the others go on, the daemon isn't restarted, and the process ends with the last
    /// one. Here it runs beside the other daemons: what blocks or computes for long belongs on threads of its own.
    ///
    /// # Errors
    /// [`DaemonError::Failed`] where it can't go on, and a restart may help; a panic counts as that. [`DaemonError::Config`] where it
    /// can't work as it is configured, [`DaemonError::Fatal`] where a restart must not be tried.
    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError>;
}

/// How a daemon came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything that it had started has ended.
    Drained,
    /// The drain's time passed first.
    Unfinished {
        /// How many records, or other pieces of work, were started and have not ended.
        work: usize,
    },
    /// Everything has ended, but that could not be written down in time, such as by a commit: some of it may run again.
    Unrecorded,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drained => f.write_str("drained"),
            Self::Unfinished { work } => write!(f, "{work} unfinished"),
            Self::Unrecorded => f.write_str("ended, not all of it committed"),
        }
    }
}

/// Why a daemon ended that was not told to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// It can't work as it is configured, and would not after a restart. The process ends with code 2; but where the daemon has
    /// been [ready](crate::admin::Health::ready) before, in whatever run, its configuration has worked: then something else has
    /// changed, such as a topic that was deleted or a right that was withdrawn, and this counts as [`Failed`](Self::Failed).
    #[error(transparent)]
    Config(Box<dyn Error + Send + Sync>),
    /// It can't go on. It is restarted by its [`RestartPolicy`](crate::supervisor::RestartPolicy); where that is exhausted the
    /// others drain, and the process ends with code 4.
    #[error(transparent)]
    Failed(Box<dyn Error + Send + Sync>),
    /// It does nothing of what it could do. It is restarted as after a failure, once: where the run after that has done nothing either,
    /// the others drain, and the process ends with code 4, for whoever runs it to start another one.
    #[error("{error}")]
    Stalled {
        /// What it doesn't do.
        error: Box<dyn Error + Send + Sync>,
        /// Whether it has done some of it before, in this run.
        moved: bool,
    },
    /// It can't go on, and must not be restarted: another member has taken its place, or a policy says to stop. The others drain,
    /// and the process ends with code 4.
    #[error(transparent)]
    Fatal(Box<dyn Error + Send + Sync>),
}

impl DaemonError {
    /// It can't work as it is configured; says what to change.
    pub fn config(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Config(error.into())
    }

    /// It can't go on; a restart may help.
    pub fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }

    /// It can't go on, and must not be restarted.
    pub fn fatal(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Fatal(error.into())
    }
}

impl From<SourceError> for DaemonError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Misconfigured(_) => Self::config(error),
            SourceError::Transient(_) | SourceError::Failed(_) => Self::failed(error),
            SourceError::Fatal(_) => Self::fatal(error),
        }
    }
}

/// What a daemon gets to work with.
#[derive(Clone, Debug)]
pub struct DaemonContext {
    name: Arc<str>,
    stop: CancellationToken,
    drain: Duration,
    metrics: Arc<DaemonMetrics>,
    health: Health,
    /// Where it tells what steers it.
    control: Seat,
}

impl DaemonContext {
    /// The drain's time where nothing else is configured.
    pub const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

    pub(crate) fn new(
        name: Arc<str>,
        stop: CancellationToken,
        drain: Duration,
        metrics: Arc<DaemonMetrics>,
        health: Health,
    ) -> Self {
        Self { name, stop, drain, metrics, health, control: Seat::default() }
    }

    /// The same, which tells there what steers the daemon.
    pub(crate) fn steered_through(self, control: Seat) -> Self {
        Self { control, ..self }
    }

    /// This steers the daemon from now on; whoever looks at it from outside does so through this.
    pub(crate) fn steer_by(&self, control: &Control) {
        self.control.take(control);
    }

    /// A context that belongs to no supervisor: for tests, and for running a daemon by hand. Nothing stops it but its
    /// [`stop`](Self::stop) token.
    pub fn detached(name: &str) -> Self {
        let metrics = crate::metrics::Metrics::new().daemon(name);
        Self::new(Arc::from(name), CancellationToken::new(), Self::DEFAULT_DRAIN, metrics, Health::new(name))
    }

    /// The same with this time for the drain.
    #[must_use]
    pub fn with_drain(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// The daemon's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Cancelled when the daemon is to stop, and when its run is over: a task that a panicking run left behind ends by it too.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Waits until the daemon is to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// How long what was started may go on after the stop.
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// The daemon's metrics.
    pub fn metrics(&self) -> &Arc<DaemonMetrics> {
        &self.metrics
    }

    /// What the daemon tells the probes.
    pub fn health(&self) -> &Health {
        &self.health
    }
}
