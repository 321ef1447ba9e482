//! What daemons over any source have in common: how their handlers run, what steers them, and what the probes are told.
//!
//! The source, and where letters and records go, are the daemon's own. The invariant: it returns when the pipeline has ended, and the
//! handlers' runtime goes with it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::readiness::readiness;
use super::runtime::{HandlerRuntime, Waits, on_a_thread};
use super::{DaemonContext, DaemonError, Ended};
use crate::handler::Router;
use crate::pipeline::control::Control;
use crate::pipeline::dead_letter::DeadLetterSink;
use crate::pipeline::source::Source;
use crate::pipeline::{Pipeline, PipelineError, PipelineSettings, Stopped};
use crate::producer::Producer;

/// A router about to be served.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) name: String,
    pub(super) router: Router,
    pub(super) settings: PipelineSettings,
    pub(super) threads: Option<NonZeroUsize>,
    pub(super) control: Control,
    /// What the source waits for on the pipeline's thread.
    waits: Waits,
}

impl Serving {
    /// With every setting at its default.
    pub(super) fn new(name: String, router: Router, waits: Waits) -> Self {
        Self { name, router, settings: PipelineSettings::default(), threads: None, control: Control::new(), waits }
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
        let Self { name, router, settings, threads, control, waits } = self;
        context.health().not_ready(waiting);
        context.steer_by(&control);
        let handlers = HandlerRuntime::new(&name, settings.workers, threads).map_err(DaemonError::failed)?;
        let pipeline = Pipeline {
            daemon: name,
            source,
            router,
            dead_letters,
            producer,
            settings,
            metrics: Arc::clone(context.metrics()),
            beat: readiness(context.health().clone(), waiting),
            stop_drain: context.drain(),
            control,
        };
        let stop = context.stop().clone();
        let run = async move { pipeline.run(stop, handlers.handle()).await };
        match on_a_thread(context.name(), waits, run).await.map_err(DaemonError::failed)?? {
            Stopped { unfinished: 0, uncommitted: false } => Ok(Ended::Drained),
            Stopped { unfinished: 0, uncommitted: true } => Ok(Ended::Unrecorded),
            Stopped { unfinished, .. } => Ok(Ended::Unfinished { work: unfinished }),
        }
    }
}

impl From<PipelineError> for DaemonError {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::Misconfigured(_) => Self::config(error),
            PipelineError::Failed(_) => Self::failed(error),
            PipelineError::Stalled { moved, .. } => Self::Stalled { error: error.into(), moved },
            PipelineError::Fatal(_) => Self::fatal(error),
        }
    }
}
