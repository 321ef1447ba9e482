//! A program about to run.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use tokio::runtime::{Builder, Runtime};

use super::cli::{OwnSaid, Title};
use super::output::{read, refuse};
use super::registered::{Kind, Registered};
use super::{App, Section, Setup};
use crate::config::{Config, Deployment, Faults, Loaded};
use crate::daemon::Daemon;
use crate::fleet::FleetConfig;
use crate::kafka::ConfigError;
use crate::metrics::Metrics;
use crate::operator::doctor;
use crate::pipeline::PipelineSettings;
use crate::record::Topic;
use crate::shutdown::{Exit, Shutdown};
use crate::supervisor::{Roster, Supervisor};
use crate::telemetry::{self, TelemetryError};

/// A program about to run, in a [command](App::command) of its own: with a configuration of the command's choice, and more daemons.
pub struct Launch<S = ()> {
    app: App<S>,
    config: Result<(String, String), Faults>,
    /// The command's own, which those of the command line follow.
    sets: Vec<String>,
    said: OwnSaid,
    added: Vec<Registered<S>>,
    /// Made before it is configured, so that the command can keep what it wants to look at.
    supervisor: Supervisor,
}

/// What a consumer of the program reads, as [`Launch::consumers`] tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerTopics {
    /// The consumer's name.
    pub consumer: String,
    /// The topics that it reads by their names, in order of them.
    pub topics: Vec<Topic>,
    /// Where their dead letters go, in order of their names; each is there once.
    pub dead_letters: Vec<Topic>,
}

impl<S: Clone + Send + 'static> Launch<S> {
    pub(super) fn of(app: App<S>, said: OwnSaid) -> Self {
        let config = Ok(("no file".to_owned(), String::new()));
        Self { app, config, sets: Vec::new(), said, added: Vec::new(), supervisor: Supervisor::new() }
    }

    /// The arguments that the command was given, for it to read.
    pub fn arguments(&self) -> &[String] {
        &self.said.arguments
    }

    /// What the command was given for this [option](App::option) of it; `None` where it was not.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.said.options.iter().find(|(option, _)| *option == name).map(|(_, value)| value.as_str())
    }

    /// What each consumer of the program reads, in the program's order: for a command that makes the topics. As the program says it:
    /// the configuration may name other topics for dead letters, and what a pattern finds is known to the cluster alone.
    ///
    /// ```
    /// use daemonry::app::App;
    /// use daemonry::handler::{Router, extract::Text, on};
    /// use daemonry::kafka::EmbeddedCluster;
    /// use daemonry::shutdown::Exit;
    ///
    /// async fn created(Text(order): Text) { println!("{order}"); }
    ///
    /// let app = App::new("shop")
    ///     .consumer("orders", Router::new().topic("orders.created", on(created)))
    ///     .command("demo", "Runs on a Kafka inside the process", |launch| {
    ///         let consumers = launch.consumers();
    ///         let topics = consumers.iter().flat_map(|one| one.topics.iter().chain(&one.dead_letters));
    ///         let topics: Vec<(&str, i32)> = topics.map(|topic| (topic.as_str(), 4)).collect();
    ///         assert_eq!(topics, [("orders.created", 4), ("orders.created.dlq", 4)]);
    ///         EmbeddedCluster::start(&topics)?;
    ///         Ok(Exit::Drained)
    ///     });
    /// assert_eq!(app.run_with(["shop", "demo"]), Exit::Drained);
    /// ```
    pub fn consumers(&self) -> Vec<ConsumerTopics> {
        let consumers = self.app.daemons.iter().filter_map(|daemon| {
            let Kind::Consumer { routes, .. } = &daemon.kind else { return None };
            let (topics, letters): (Vec<_>, Vec<_>) = routes.topics_and_letters().into_iter().unzip();
            let letters: BTreeSet<Topic> = letters.into_iter().flatten().collect();
            let consumer = daemon.name.clone();
            Some(ConsumerTopics { consumer, topics, dead_letters: letters.into_iter().collect() })
        });
        consumers.collect()
    }

    /// The metrics of the process, to look at while it runs.
    pub fn metrics(&self) -> Metrics {
        self.supervisor.metrics()
    }

    /// What each daemon is at, to look at while it runs.
    pub fn roster(&self) -> Roster {
        self.supervisor.roster()
    }

    /// The request to stop, for a command that ends the program on something else than a signal.
    pub fn shutdown(&self) -> Shutdown {
        self.supervisor.shutdown()
    }

    /// With the configuration that this text holds; `name` stands for the file in messages.
    #[must_use]
    pub fn config(self, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { config: Ok((name.into(), text.into())), ..self }
    }

    /// With the configuration of this file.
    #[must_use]
    pub fn file(self, path: &Path) -> Self {
        let config = read(path).map(|text| (path.display().to_string(), text));
        Self { config, ..self }
    }

    /// With this key set over file and environment, as `--set` does it; the command line's count more.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.sets.push(format!("{key}={value}"));
        self
    }

    /// With one more daemon, which the configuration needs not name.
    #[must_use]
    pub fn daemon<D: Daemon>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Setup, &S) -> D + Send + 'static,
    ) -> Self {
        self.added.push(Registered::own(name.into(), make));
        self
    }

    /// Runs the daemons, as the command `run` does it, until a signal comes or all have ended.
    pub fn run(self) -> Exit {
        let Self { app, config, sets, said, added, supervisor } = self;
        let flags: Vec<String> = sets.into_iter().chain(said.flags).collect();
        let loaded = config.and_then(|(name, text)| Ok((app.load(&name, &text, &flags)?, name)));
        let (loaded, file) = match loaded {
            Ok(loaded) => loaded,
            Err(faults) => return app.refuse(&faults),
        };
        let printed = loaded.print(&app.program());
        let deployment = Deployment::of(&loaded, &app.program());
        let Loaded { config, overrides, own, .. } = loaded;
        match telemetry::init_with(config.log_format, &config.log_filter) {
            // A program that has set up its own log keeps it.
            Ok(()) | Err(TelemetryError::AlreadySet(_)) => {}
            Err(error) => return refuse(&format!("{}: {error}\n", app.title.name)),
        }
        log(&file, &overrides, &config);
        let supervisor = match configured(supervisor, app.title, &config, printed, deployment) {
            Ok(supervisor) => supervisor,
            Err(error) => return refuse(&format!("{}: {error}\n", app.title.name)),
        };
        let setup = Setup::new(config, own, app.section.map(|Section { kind, .. }| kind));
        let (state, runtime) = match connect(app.connect, setup.clone(), &supervisor.shutdown()) {
            Ok(Connected::To(state, runtime)) => (state, runtime),
            Ok(Connected::Stopped) => {
                tracing::info!("stopped before the daemons were started");
                return Exit::Drained;
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the program's state can't be made, process ends");
                return Exit::Failed;
            }
        };
        let enabled: Vec<String> = setup.config().enabled.clone();
        let daemons = app.daemons.into_iter().filter(|daemon| enabled.contains(&daemon.name)).chain(added);
        let exit = daemons.fold(supervisor, |supervisor, daemon| daemon.start(supervisor, &setup, &state)).run();
        // Not waited for, as the supervisor's own: what is still blocked there must not hold the process up.
        runtime.shutdown_background();
        exit
    }
}

/// The supervisor as the configuration says, without daemons yet.
fn configured(
    supervisor: Supervisor,
    title: Title,
    config: &Config,
    printed: String,
    deployment: Deployment,
) -> Result<Supervisor, ConfigError> {
    let supervisor = supervisor.program(title.name).drain(config.drain).grace(config.grace).restart(config.restart);
    let supervisor = match title.version {
        Some(version) => supervisor.version(version),
        None => supervisor,
    };
    let supervisor = match config.admin {
        Some(address) => supervisor.admin(address),
        None => supervisor,
    };
    let supervisor = match config.api.clone() {
        Some(api) => {
            let examine = move || doctor::examine(deployment.clone());
            supervisor.api(api.configuration(printed).doctor(examine))
        }
        None => supervisor,
    };
    Ok(match &config.fleet {
        Some(fleet) => supervisor
            .fleet(FleetConfig::kafka(&fleet.kafka)?.reports(fleet.reports.clone()).control(fleet.control.clone())),
        None => supervisor,
    })
}

/// What came of connecting the program's state.
enum Connected<S> {
    To(S, Runtime),
    /// A stop was asked for first.
    Stopped,
}

/// Makes the state, on a runtime that is to live as long as the state.
fn connect<S>(connect: super::Connect<S>, setup: Setup, shutdown: &Shutdown) -> anyhow::Result<Connected<S>> {
    /// A state's own tasks are few: a pool's upkeep.
    const THREADS: usize = 2;
    shutdown.listen_to_signals()?;
    let runtime =
        Builder::new_multi_thread().worker_threads(THREADS).thread_name("daemonry-state").enable_all().build()?;
    let stop = shutdown.token();
    let connected = runtime.block_on(async {
        tokio::select! {
            biased;
            () = stop.cancelled() => None,
            state = connect(setup) => Some(state),
        }
    });
    match connected {
        Some(state) => Ok(Connected::To(state?, runtime)),
        None => {
            runtime.shutdown_background();
            Ok(Connected::Stopped)
        }
    }
}

/// Says what is about to run.
fn log(file: &str, overrides: &[String], config: &Config) {
    tracing::info!(config = file, overrides = overrides.join(" "), "configuration read");
    for (daemon, settings) in &config.consumers {
        let (brokers, group) = (settings.kafka.brokers.as_str(), settings.kafka.group.as_str());
        let PipelineSettings { workers, scaling, .. } = settings.pipeline;
        let workers_min = scaling.map(|scaling| scaling.min);
        tracing::info!(daemon, brokers, group, workers, workers_min, "daemon configured");
    }
}

impl<S> fmt::Debug for Launch<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Launch").field("app", &self.app).field("added", &self.added).finish_non_exhaustive()
    }
}
