//! `with-kafka CMD ARGS…` runs a command with `KAFKA_BROKERS` set to a Kafka that answers, and exits as the command does.
//!
//! The Kafka is, in this order: the one that `KAFKA_BROKERS` names; the one of `docker-compose.yml` where a Docker engine
//! runs; a broker on the machine's Java, its jars from Maven. It never goes on without one. What it started it stops.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use anyhow::{Context as _, Result};
use integration::{Broker, BrokerOptions, Compose, answers};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

/// The exit code when no Kafka could be had or the command could not be run, as `env` and `nice` have it.
const CANNOT_RUN: u8 = 125;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with-kafka CMD ARGS…");
        return ExitCode::from(CANNOT_RUN);
    };
    match run(program, arguments) {
        Ok(status) => ExitCode::from(exit_code(status)),
        Err(error) => {
            eprintln!("with-kafka: {error:#}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}

fn run(program: OsString, arguments: impl Iterator<Item = OsString>) -> Result<ExitStatus> {
    let kafka = Kafka::find_or_start()?;
    eprintln!("with-kafka: {}", kafka.describe());
    let mut command = Command::new(program);
    command.args(arguments).env("KAFKA_BROKERS", kafka.brokers());
    let status = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(supervise(command));
    kafka.stop();
    status
}

/// Where the brokers come from, and what there is to stop.
enum Kafka {
    /// Somebody else's.
    Given(String),
    /// A container that was up already, and is left so.
    Running,
    Container(Compose),
    /// A child process.
    Broker(Box<Broker>),
}

impl Kafka {
    fn find_or_start() -> Result<Self> {
        if let Some(given) = env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.trim().is_empty()) {
            answers(&given, Duration::from_secs(15))
                .context("KAFKA_BROKERS is set but does not answer: start that Kafka, or unset the variable")?;
            return Ok(Self::Given(given));
        }
        if Compose::available() {
            return if Compose::is_up()? { Ok(Self::Running) } else { Compose::up().map(Self::Container) };
        }
        let broker = Broker::start(BrokerOptions::default())
            .context("no Kafka: KAFKA_BROKERS is not set, no Docker engine runs, and a broker on Java did not start")?;
        Ok(Self::Broker(Box::new(broker)))
    }

    fn brokers(&self) -> String {
        match self {
            Self::Given(brokers) => brokers.clone(),
            Self::Running | Self::Container(_) => Compose::BROKERS.to_owned(),
            Self::Broker(broker) => broker.bootstrap(),
        }
    }

    fn describe(&self) -> String {
        let origin = match self {
            Self::Given(_) => "from KAFKA_BROKERS",
            Self::Running => "running in docker compose",
            Self::Container(_) => "started with docker compose",
            Self::Broker(_) => "started on this machine's Java",
        };
        format!("Kafka at {}, {origin}", self.brokers())
    }

    fn stop(self) {
        if let Self::Container(container) = self
            && let Err(error) = container.down()
        {
            eprintln!("with-kafka: {error:#}");
        }
        // A broker of ours is stopped by its drop.
    }
}

/// Runs the command to its end and passes on the signals that would end us.
///
/// At a terminal, Ctrl-C reaches the command by itself, and passing it on would make two of one. Elsewhere the command
/// gets a process group of its own, so that what it started is told too.
async fn supervise(command: Command) -> Result<ExitStatus> {
    let name = command.get_program().display().to_string();
    let at_terminal = io::stdin().is_terminal();
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut command = tokio::process::Command::from(command);
    if !at_terminal {
        command.process_group(0);
    }
    let mut child = command.spawn().with_context(|| format!("cannot run `{name}`"))?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the command has a process id")?;
    loop {
        let signal = tokio::select! {
            status = child.wait() => return status.with_context(|| format!("cannot wait for `{name}`")),
            _ = interrupts.recv() => Signal::INT,
            _ = terminations.recv() => Signal::TERM,
        };
        let passed_on = match (at_terminal, signal) {
            (true, Signal::INT) => Ok(()),
            (true, signal) => kill_process(pid, signal),
            (false, signal) => kill_process_group(pid, signal),
        };
        if let Err(error) = passed_on {
            eprintln!("with-kafka: cannot pass a signal on to `{name}`: {error}");
        }
    }
}

/// The command's exit code; for one that a signal ended what a shell would say.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
