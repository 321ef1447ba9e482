//! What daemons over any source have in common: how their handlers run, what steers them, and what the probes are told.
//!
//! The source, and where letters and records go, are the daemon's own. The invariant: it returns when the pipeline has ended, and the
//! handlers' runtime goes with it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::runtime::HandlerRuntime;
use super::{DaemonContext, DaemonError, Ended};
use crate::admin::Health;
use crate::handler::Router;
use crate::pipeline::control::Control;
use crate::pipeline::dead_letter::DeadLetterSink;
use crate::pipeline::source::Source;
use crate::pipeline::{Beat, Pipeline, PipelineError, PipelineSettings, Stopped};
use crate::producer::Producer;

/// A router about to be served.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) name: String,
    pub(super) router: Router,
    pub(super) settings: PipelineSettings,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) control: Control,
}

impl Serving {
    /// With every setting at its default.
    pub(super) fn new(name: String, router: Router) -> Self {
        Self { name, router, settings: PipelineSettings::default(), threads: None, control: Control::new() }
    }

    /// Everything that is wrong with router and settings.
    pub(super) fn check<S: Source>(&self) -> Result<(), DaemonError> {
        Ok(Pipeline::<S>::check(&self.router, &self.settings)?)
    }

    /// Serves the records of this source until the daemon is to stop. Until the source has something for it, the probes are told that it
    /// is `waiting`.
    pub(super) async fn run<S: Source>(
        self,
        source: S,
        dead_letters: Arc<dyn DeadLetterSink>,
        producer: Option<Producer>,
        waiting: &'static str,
        context: &DaemonContext,
    ) -> Result<Ended, DaemonError> {
        let Self { name, router, settings, threads, control } = self;
        context.health().not_ready(waiting);
        let handlers = HandlerRuntime::new(&name, settings.workers, threads).map_err(DaemonError::failed)?;
        let pipeline = Pipeline {
            daemon: name,
            source,
            router,
            dead_letters,
            producer,
            settings,
            metrics: Arc::clone(context.metrics()),
            beat: beats(context.health().clone(), waiting),
            stop_drain: context.drain(),
            control,
        };
        match pipeline.run(context.stop().clone(), handlers.handle()).await? {
            Stopped { unfinished: 0, uncommitted: false } => Ok(Ended::Drained),
            Stopped { unfinished: 0, uncommitted: true } => Ok(Ended::Unrecorded),
            Stopped { unfinished, .. } => Ok(Ended::Unfinished { work: unfinished }),
        }
    }
}

/// Tells the probes how the reading goes.
fn beats(health: Health, waiting: &'static str) -> Arc<dyn Fn(Beat) + Send + Sync> {
    let [joined, failing, stopping] = [const { AtomicBool::new(false) }; 3];
    Arc::new(move |beat| {
        health.heartbeat();
        match beat {
            Beat::Stopping => {
                stopping.store(true, Ordering::Relaxed);
                health.not_ready("stopping, what was started may end");
            }
            // Whatever it still hears while it ends.
            _ if stopping.load(Ordering::Relaxed) => {}
            Beat::Joined => {
                joined.store(true, Ordering::Relaxed);
                if !failing.load(Ordering::Relaxed) {
                    health.ready();
                }
            }
            Beat::Failing(error) => {
                failing.store(true, Ordering::Relaxed);
                health.not_ready(error);
            }
            Beat::Recovered => {
                failing.store(false, Ordering::Relaxed);
                if joined.load(Ordering::Relaxed) {
                    health.ready();
                } else {
                    health.not_ready(waiting);
                }
            }
            Beat::Polled => {}
        }
    })
}

impl From<PipelineError> for DaemonError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Misconfigured(_) => Self::config(error),
            PipelineError::Failed(_) => Self::failed(error),
            PipelineError::Fatal(_) => Self::fatal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemon_is_ready_from_its_first_assignment_on_but_not_while_reading_fails() {
        let health = Health::new("orders");
        let beat = beats(health.clone(), "joining the group");
        let mut ready = |now| {
            beat(now);
            health.is_ready()
        };
        let failing = || Beat::Failing("no broker answers".to_owned());
        assert_eq!([Beat::Polled, failing(), Beat::Recovered].map(&mut ready), [false; 3]);
        assert_eq!([Beat::Joined, failing(), Beat::Recovered].map(&mut ready), [true, false, true]);
        // A part of it fails, while the rest goes on.
        assert_eq!([failing(), Beat::Polled, Beat::Joined].map(&mut ready), [false; 3]);
    }

    #[test]
    fn daemon_that_ends_after_a_failure_is_not_ready_again() {
        let health = Health::new("orders");
        let beat = beats(health.clone(), "joining the group");
        let failing = Beat::Failing("no broker answers".to_owned());
        for now in [Beat::Joined, failing, Beat::Stopping, Beat::Polled, Beat::Recovered, Beat::Joined] {
            beat(now);
        }
        assert_eq!(health.unready().as_deref(), Some("stopping, what was started may end"));
    }
}
