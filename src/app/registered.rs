//! The daemons that a program has, before they are configured.

use std::fmt;

use async_trait::async_trait;

use super::Setup;
use crate::config::{Configurable, Reads, RouteChanges, changed};
use crate::daemon::{Consumer, Daemon, DaemonContext, DaemonError, Ended};
use crate::handler::Router;
use crate::supervisor::Supervisor;

/// A daemon of the program, for a state `S`.
pub(super) struct Registered<S> {
    pub(super) name: String,
    pub(super) kind: Kind<S>,
}

pub(super) enum Kind<S> {
    /// Reads topics by these routes.
    Consumer { routes: Box<dyn Configurable>, serve: Serve<S> },
    /// Whatever the program makes of its setup and state.
    Own(Make<S>),
}

/// The router for a state, with what the configuration changes of it.
type Serve<S> = Box<dyn Fn(&S, &RouteChanges) -> Router + Send>;
/// A daemon; for each of its starts.
type Make<S> = Box<dyn Fn(&Setup, &S) -> Box<dyn Daemon> + Send>;

impl<S: Clone + 'static> Registered<S> {
    pub(super) fn consumer(name: String, router: Router<S>) -> Self
    where
        Router<S>: Send + Sync,
    {
        let routes = Box::new(router.clone());
        let serve: Serve<S> = Box::new(move |state, changes| changed(&router, changes).with_state(state.clone()));
        Self { name, kind: Kind::Consumer { routes, serve } }
    }
}

impl<S: 'static> Registered<S> {
    pub(super) fn own<D: Daemon>(name: String, make: impl Fn(&Setup, &S) -> D + Send + 'static) -> Self {
        Self { name, kind: Kind::Own(Box::new(move |setup, state| Box::new(make(setup, state)))) }
    }

    /// How many topics it reads.
    pub(super) fn topics(&self) -> usize {
        match &self.kind {
            Kind::Consumer { routes, .. } => routes.topics().len(),
            Kind::Own(_) => 0,
        }
    }

    pub(super) fn reads(&self) -> Reads<'_> {
        match &self.kind {
            Kind::Consumer { routes, .. } => Reads::Topics(&**routes),
            Kind::Own(_) => Reads::Nothing,
        }
    }
}

impl Registered<()> {
    /// The same for a program with a state, which this daemon doesn't use.
    pub(super) fn lift<S: 'static>(self) -> Registered<S> {
        let kind = match self.kind {
            Kind::Consumer { routes, serve } => {
                Kind::Consumer { routes, serve: Box::new(move |_, changes| serve(&(), changes)) }
            }
            Kind::Own(make) => Kind::Own(Box::new(move |setup, _| make(setup, &()))),
        };
        Registered { name: self.name, kind }
    }
}

impl<S: Clone + Send + 'static> Registered<S> {
    /// Has it run by the supervisor.
    pub(super) fn start(self, supervisor: Supervisor, setup: &Setup, state: &S) -> Supervisor {
        let (setup, state, name) = (setup.clone(), state.clone(), self.name);
        match self.kind {
            Kind::Consumer { serve, .. } => {
                let Some(settings) = setup.config().consumers.get(&name).cloned() else { return supervisor };
                let control = setup.control(&name).expect("each consumer has one");
                supervisor.daemon(move || {
                    let consumer = Consumer::new(&*name, settings.kafka.clone(), serve(&state, &settings.changes))
                        .settings(settings.pipeline.clone())
                        .missing_dead_letter_topic(settings.missing_dead_letter_topic)
                        .control(control.clone());
                    match settings.handler_threads {
                        Some(threads) => consumer.handler_threads(threads),
                        None => consumer,
                    }
                })
            }
            Kind::Own(make) => supervisor.daemon(move || Named { name: name.clone(), daemon: make(&setup, &state) }),
        }
    }
}

impl<S> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A daemon under the name that the program has registered it with.
struct Named {
    name: String,
    daemon: Box<dyn Daemon>,
}

#[async_trait]
impl Daemon for Named {
    fn name(&self) -> &str {
        &self.name
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        self.daemon.run(context).await
    }
}
