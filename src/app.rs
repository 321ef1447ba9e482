//! A program: its daemons and its state, with the command line and the configuration that come with it.
//!
//! ```text
//! shop run --config shop.yaml      runs the daemons until SIGTERM or SIGINT
//! shop check --config shop.yaml    tells everything that is wrong with the configuration; `ok`, or exit code 2
//! shop config print --config …     prints the configuration in force, without secrets
//! shop config schema               prints its JSON schema
//! shop config reference            prints every key, as Markdown
//! ```
//!
//! `App` only puts together what stands elsewhere: a [`Supervisor`](crate::supervisor::Supervisor) runs what the
//! [configuration](crate::config) says. The invariant: `run` starts nothing that `check` would refuse, and `check` connects to nothing.

mod cli;
mod launch;
mod output;
mod registered;
mod setup;

use std::any::TypeId;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::process::ExitCode;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

pub use launch::{ConsumerTopics, Launch};
pub use setup::{SectionError, Setup};

use crate::config::{self, Deployment, Document, Faults, KeyPath, Loaded, Program, Sources, Variables};
use crate::daemon::Daemon;
use crate::handler::Router;
use crate::shutdown::Exit;
use cli::{Own, OwnOption, OwnSaid, Request, Said, Title};
pub(crate) use output::read;
use output::{answer, refuse, say};
use registered::Registered;

/// A program of daemons with a state `S`. [`main`](Self::main) is all that its `main` has to call.
///
/// ```no_run
/// use daemonry::app::{App, Setup};
/// use daemonry::handler::{Router, on, extract::Text};
/// use std::process::ExitCode;
///
/// #[derive(Clone)]
/// struct AppState;
///
/// impl AppState {
///     async fn connect(_setup: Setup) -> anyhow::Result<Self> {
///         Ok(Self) // your database
///     }
/// }
///
/// async fn created(Text(order): Text) { println!("{order}"); }
///
/// fn main() -> ExitCode {
///     App::new("shop")
///         .state(AppState::connect)
///         .consumer("orders", Router::new().topic("orders.created", on(created)))
///         .main()
/// }
/// ```
pub struct App<S = ()> {
    title: Title,
    connect: Connect<S>,
    daemons: Vec<Registered<S>>,
    section: Option<Section>,
    commands: Vec<OwnCommand<S>>,
}

/// Makes the state.
type Connect<S> = Box<dyn FnOnce(Setup) -> BoxFuture<'static, anyhow::Result<S>> + Send>;

/// The program's own section of the configuration.
#[derive(Clone, Copy)]
struct Section {
    kind: TypeId,
    read: fn(&mut Document),
}

/// A command of the program's own.
struct OwnCommand<S> {
    own: Own,
    run: Box<dyn FnOnce(Launch<S>) -> anyhow::Result<Exit>>,
}

impl App<()> {
    /// A program of this name, without daemons yet.
    pub fn new(name: &'static str) -> Self {
        let connect: Connect<()> = Box::new(|_| async { Ok(()) }.boxed());
        let title = Title { name, version: None };
        Self { title, connect, daemons: Vec::new(), section: None, commands: Vec::new() }
    }

    /// The state that handlers and daemons share: `connect` makes it, once, when the configuration is known to be right and before any
    /// daemon starts. It runs on a runtime that lives as long as the process, so that a pool of connections may keep tasks there. A
    /// signal that comes meanwhile ends the process with code 0; an error ends it with code 4.
    ///
    /// Comes before the consumers that use the state and before commands of the program's own: without it a router that needs a `Shop`
    /// is refused with "expected `Route<()>`, found `Route<Shop>`".
    #[must_use]
    pub fn state<S, F, Fut>(self, connect: F) -> App<S>
    where
        S: Clone + Send + 'static,
        F: FnOnce(Setup) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<S>> + Send + 'static,
    {
        App {
            title: self.title,
            connect: Box::new(move |setup| connect(setup).boxed()),
            daemons: self.daemons.into_iter().map(Registered::lift).collect(),
            section: self.section,
            commands: Vec::new(),
        }
    }
}

impl<S: Clone + Send + 'static> App<S> {
    /// A daemon that handles Kafka records by this router. The configuration says under `daemons.<name>` how.
    #[must_use]
    pub fn consumer(mut self, name: impl Into<String>, router: Router<S>) -> Self {
        self.daemons.push(Registered::consumer(name.into(), router));
        self
    }

    /// A daemon of your own; `make` is called for each of its starts. The configuration has to name it under `daemons` too, and can
    /// disable it; its settings belong into a [`section`](Self::section) of the program's.
    ///
    /// ```
    /// # use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
    /// # struct Ticker;
    /// # #[async_trait::async_trait]
    /// # impl Daemon for Ticker {
    /// #     fn name(&self) -> &str { "ticker" }
    /// #     async fn run(self: Box<Self>, _: DaemonContext) -> Result<Ended, DaemonError> { Ok(Ended::Drained) }
    /// # }
    /// let app = daemonry::app::App::new("shop").daemon("ticker", |_setup, _state| Ticker);
    /// app.check_text("shop.yaml", "daemons: {ticker: {}}").unwrap();
    /// ```
    #[must_use]
    pub fn daemon<D: Daemon>(
        mut self,
        name: impl Into<String>,
        make: impl Fn(&Setup, &S) -> D + Send + 'static,
    ) -> Self {
        self.daemons.push(Registered::own(name.into(), make));
        self
    }

    /// The program's version, commonly `env!("CARGO_PKG_VERSION")`: `--version` says it, and the fleet's page tells which processes run which, so
    /// that a rollout is seen.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.title.version = Some(version);
        self
    }

    /// Says what the configuration's section `app` is: the program's own settings, as strict as all others. [`Setup::app`] gives them.
    #[must_use]
    pub fn section<T: DeserializeOwned + 'static>(self) -> Self {
        let read = |document: &mut Document| drop(document.read::<T>(&KeyPath::of(["app"])));
        Self { section: Some(Section { kind: TypeId::of::<T>(), read }), ..self }
    }

    /// A command of the program's own beside `run`, `check` and `config`. It gets the program to launch: with a configuration of its
    /// choice, and more daemons. An error ends the process with code 4.
    ///
    /// ```
    /// use daemonry::app::App;
    /// use daemonry::kafka::EmbeddedCluster;
    ///
    /// let app = App::new("shop").command("demo", "Runs on a Kafka inside the process", |launch| {
    ///     let cluster = EmbeddedCluster::start(&[("orders", 4), ("orders.dlq", 4)])?;
    ///     Ok(launch
    ///         .config("demo.yaml", "kafka: {main: {group: shop, protocol: consumer}}")
    ///         .set("kafka.main.brokers", cluster.brokers())
    ///         .run())
    /// });
    /// # drop(app);
    /// ```
    #[must_use]
    pub fn command(
        mut self,
        name: &'static str,
        about: &'static str,
        run: impl FnOnce(Launch<S>) -> anyhow::Result<Exit> + 'static,
    ) -> Self {
        self.commands.push(OwnCommand { own: Own { name, about, options: Vec::new() }, run: Box::new(run) });
        self
    }

    /// An option of the command that was added last: `--name VALUE`. [`Launch::option`] tells what was given.
    ///
    /// ```
    /// use daemonry::{app::App, shutdown::Exit};
    ///
    /// let app = App::new("shop")
    ///     .command("demo", "Shows it", |launch| {
    ///         assert_eq!(launch.option("for"), Some("20s"));
    ///         Ok(Exit::Drained)
    ///     })
    ///     .option("for", "TIME", "Ends after so long");
    /// assert_eq!(app.run_with(["shop", "demo", "--for", "20s"]), Exit::Drained);
    /// ```
    ///
    /// # Panics
    /// Where there is no command.
    #[must_use]
    pub fn option(mut self, name: &'static str, value: &'static str, about: &'static str) -> Self {
        let command = self.commands.last_mut().expect("an option belongs to the command before it");
        command.own.options.push(OwnOption { name, value, about });
        self
    }

    /// Does what the command line says, and returns how the process is to end. Not to be called within an async runtime.
    ///
    /// Exit codes: 0 drained, or done; 2 a command line or a configuration that can't work; 3 the stop's time passed with work
    /// unfinished or not committed; 4 failed for good; 130 or 143 at a second signal.
    pub fn main(self) -> ExitCode {
        self.run_with(env::args_os()).into()
    }

    /// As [`main`](Self::main) with this command line, the program's name first: for tests.
    ///
    /// ```
    /// use daemonry::{app::App, shutdown::Exit};
    ///
    /// assert_eq!(App::new("shop").run_with(["shop", "check", "--config", "nowhere.yaml"]), Exit::Misconfigured);
    /// ```
    pub fn run_with(self, arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Exit {
        let own = self.commands.iter().map(|command| &command.own);
        let request = match cli::parse(self.title, own, arguments) {
            Ok(request) => request,
            Err(Said::Asked(text)) => return answer(&text),
            Err(Said::Refused(text)) => return refuse(&text),
        };
        match request {
            Request::Run(sources) => {
                let said = OwnSaid { flags: sources.flags, ..OwnSaid::default() };
                Launch::of(self, said).file(&sources.file).run()
            }
            Request::Check(sources) => match self.load_file(&sources) {
                Ok(loaded) => answer(&format!("ok: {}\n", self.summary(&loaded))),
                Err(faults) => self.refuse(&faults),
            },
            Request::Print(sources) => match self.load_file(&sources) {
                Ok(loaded) => answer(&loaded.print(&self.program())),
                Err(faults) => self.refuse(&faults),
            },
            Request::Schema => answer(&format!("{:#}\n", config::schema(&self.program()))),
            Request::Reference => answer(&config::reference()),
            Request::Operate(request) => {
                let own: Vec<&Own> = self.commands.iter().map(|command| &command.own).collect();
                request.run(cli::command(self.title, &own), &|file| {
                    let sources = cli::Sources { file: file.path.clone(), flags: file.set.clone() };
                    Ok(Deployment::of(&self.load_file(&sources)?, &self.program()))
                })
            }
            Request::Own { name, said } => self.run_own(&name, said),
        }
    }

    /// What is wrong with a configuration; for tests of one. The environment doesn't count here.
    ///
    /// ```
    /// use daemonry::{app::App, handler::Router};
    ///
    /// let faults = App::new("shop").check_text("shop.yaml", "log: {colour: red}").unwrap_err();
    /// assert_eq!(faults.to_string(), "shop.yaml:1:7: log.colour: unknown key, allowed: filter, format");
    /// ```
    ///
    /// # Errors
    /// All of it, with `file` for the file's name.
    pub fn check_text(&self, file: &str, text: &str) -> Result<(), Faults> {
        let sources = Sources { file, text, variables: &Variables::default(), flags: &[] };
        config::load(sources, &self.program()).map(drop)
    }

    fn run_own(mut self, name: &str, said: OwnSaid) -> Exit {
        let Some(index) = self.commands.iter().position(|command| command.own.name == name) else {
            unreachable!("the command line knows no other commands");
        };
        let own = self.commands.remove(index);
        let program = self.title.name;
        match (own.run)(Launch::of(self, said)) {
            Ok(exit) => exit,
            Err(error) => {
                say(&mut io::stderr(), &format!("{program}: {error:#}\n"));
                Exit::Failed
            }
        }
    }
}

impl<S: 'static> App<S> {
    fn program(&self) -> Program<'_> {
        Program {
            name: self.title.name,
            daemons: self.daemons.iter().map(|daemon| (daemon.name.as_str(), daemon.reads())).collect(),
            app: self.section.map(|section| section.read),
        }
    }

    fn load_file(&self, sources: &cli::Sources) -> Result<Loaded, Faults> {
        self.load(&sources.file.display().to_string(), &read(&sources.file)?, &sources.flags)
    }

    /// Reads and checks the configuration.
    fn load(&self, file: &str, text: &str, flags: &[String]) -> Result<Loaded, Faults> {
        let variables = &Variables::of_process();
        config::load(Sources { file, text, variables, flags }, &self.program())
    }

    /// One line on a configuration that is right.
    fn summary(&self, loaded: &Loaded) -> String {
        let config = &loaded.config;
        let daemons: Vec<&str> = config.daemons().collect();
        let clusters: Vec<&str> = config.clusters().collect();
        let topics = self.daemons.iter().filter(|daemon| daemons.contains(&daemon.name.as_str()));
        let topics: usize = topics.map(Registered::topics).sum();
        let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
        format!(
            "{} ({}) on {}, {} ({})",
            count(daemons.len(), "daemon"),
            daemons.join(", "),
            count(topics, "topic"),
            count(clusters.len(), "cluster"),
            clusters.join(", ")
        )
    }

    /// Tells what is wrong with a configuration.
    fn refuse(&self, faults: &Faults) -> Exit {
        let errors = if faults.len() == 1 { "1 error".to_owned() } else { format!("{} errors", faults.len()) };
        refuse(&format!("{faults}\n{}: {errors} in the configuration\n", self.title.name))
    }
}

impl<S> fmt::Debug for App<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("name", &self.title.name).field("daemons", &self.daemons).finish_non_exhaustive()
    }
}
