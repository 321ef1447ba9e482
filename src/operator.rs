//! The operator's command line: what people on call look at and do, from a terminal.
//!
//! ```text
//! daemonry ps [DAEMON]                              what the daemons of a process are at
//! daemonry pause|resume DAEMON [TOPIC[:P,…]]         and `rate`, `scale`, `skip`, `seek`: steer them
//! daemonry overrides                                what was changed so, until when and why; `lift` takes it back
//! daemonry commands                                 what was ordered, and which processes have acknowledged it
//! daemonry topics --brokers localhost:9092          topics of a cluster
//! daemonry records orders:3 --brokers … --from end  records of a partition
//! daemonry dlq ls --config shop.yaml --of orders    dead letters: `ls`, `show`, `redrive`, `edit`, `discard`
//! daemonry doctor --config shop.yaml                 what is wrong, and what to do
//! daemonry config print --config shop.yaml           what is in force, without secrets; `schema` what can be
//! daemonry lag --config shop.yaml --watch            how far its daemons are behind
//! daemonry reset-offsets --brokers … --to earliest   has a group go on at another place
//! daemonry completions bash                         for the shell
//! ```
//!
//! Every program of daemonry's has these commands beside `run` and `check`; the binary `daemonry` has them alone. A command is one
//! file: what it is asked, and what it does. What it finds goes to standard output, as a table, as JSON or as one JSON object a line; all else,
//! questions and progress too, to standard error. The invariant: nothing is changed without being asked for, by `--execute` or by an
//! answer to a question, which `--yes` gives beforehand.
//!
//! | exit code | |
//! |---|---|
//! | 0 | done |
//! | 1 | done, and something was found that the command is to look for: `doctor` something that is wrong; or ordered, and not known to hold in all processes |
//! | 2 | the command line or the configuration can't work |
//! | 4 | it could not be done: no broker answers, a right is missing, the answer to a question was no |

mod again;
mod agent;
mod audit;
mod chosen;
mod cluster;
mod commands;
pub(crate) mod config;
mod console;
mod dlq;
pub(crate) mod doctor;
pub(crate) mod exit_codes;
mod failure;
mod fleet;
mod lag;
mod moment;
mod overrides;
mod ps;
mod records;
mod reset;
mod rows;
mod standing;
mod steer;
mod topics;
mod work;

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::{Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Deployment, Faults, Sources, Variables};
use crate::shutdown::Exit;
pub(crate) use cluster::File;
use config::Config;
use console::Console;
use failure::Failure;

/// What an operator asks for.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Request {
    /// Shows what the daemons of a running process are at
    Ps(ps::Ps),
    /// Starts nothing more of a daemon, a topic or a partition of it; what runs ends
    Pause(steer::Pause),
    /// Lets a daemon, a topic or a partition of it go on, and all parts of that
    Resume(steer::Resume),
    /// Lets attempts of a daemon begin at a rate at most
    Rate(steer::Rate),
    /// Has so many workers of a daemon at something at once
    Scale(steer::Scale),
    /// Has a record passed over: before its next attempt, or in place of a letter that can't be written
    Skip(steer::Skip),
    /// Shows what operators have changed of the daemons, until when, and why
    Overrides(overrides::Overrides),
    /// Takes back what one of them has changed
    Lift(overrides::Lift),
    /// Shows what operators have ordered of the daemons, and which processes have acknowledged it
    Commands(commands::Commands),
    /// Shows who has done what in the processes of a program, and was turned away
    Audit(audit::Audit),
    /// Has a partition go on elsewhere while its daemon runs
    Seek(steer::Seek),
    /// Lists a cluster's topics
    Topics(topics::Topics),
    /// Shows records of a topic, in no group and without a trace
    Records(records::Records),
    /// Dead letters: lists them, shows one, re-drives, edits, discards
    Dlq(Box<dlq::Dlq>),
    /// Finds what usually goes wrong, and says what to do
    Doctor(doctor::Doctor),
    /// Tells how far groups are behind
    Lag(lag::Lag),
    /// Has an idle group go on at another place: shows what would be done, and does it with --execute
    ResetOffsets(reset::ResetOffsets),
    /// Prints what has the shell complete this command line
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Prints a manual page
    Man {
        /// Of this command, as in `man topics`; by default of the whole
        command: Vec<String>,
    },
}

/// Reads a configuration file.
pub(crate) type ReadFile<'a> = dyn Fn(&File) -> Result<Deployment, Faults> + 'a;

impl Request {
    /// Does it. `command` is the whole command line that it is a part of; `read` knows what configuration files are about.
    pub(crate) fn run(self, command: Command, read: &ReadFile<'_>) -> Exit {
        let done = match self {
            Self::Ps(ps) => ps.run(read),
            Self::Pause(pause) => pause.run(read),
            Self::Resume(resume) => resume.run(read),
            Self::Rate(rate) => rate.run(read),
            Self::Scale(scale) => scale.run(read),
            Self::Skip(skip) => skip.run(read),
            Self::Overrides(overrides) => overrides.run(read),
            Self::Lift(lift) => lift.run(read),
            Self::Commands(commands) => commands.run(read),
            Self::Audit(audit) => audit.run(read),
            Self::Seek(seek) => seek.run(read),
            Self::Topics(topics) => topics.run(read),
            Self::Records(records) => records.run(read),
            Self::Dlq(dlq) => dlq.run(read),
            Self::Doctor(doctor) => doctor.run(read),
            Self::Lag(lag) => lag.run(read),
            Self::ResetOffsets(reset) => reset.run(read),
            Self::Completions { shell } => completions(command, shell),
            Self::Man { command: path } => man(command, &path),
        };
        match done {
            Ok(exit) => exit,
            Err(failure) => failure.tell(&mut io::stderr()),
        }
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "daemonry",
    version,
    about = "Looks at daemons that consume Kafka, and steers them",
    disable_help_subcommand = true
)]
struct CommandLine {
    #[command(subcommand)]
    request: Request,
}

/// Does what the process's command line says.
pub fn main() -> ExitCode {
    run_with(env::args_os()).into()
}

/// As [`main`] with this command line, the program's name first: for tests.
///
/// ```
/// use daemonry::{operator, shutdown::Exit};
///
/// assert_eq!(operator::run_with(["daemonry", "topics", "--config", "nowhere.yaml"]), Exit::Misconfigured);
/// ```
pub fn run_with(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Exit {
    let parsed = command_line().try_get_matches_from(arguments).and_then(|matches| match matches.subcommand() {
        Some((Config::NAME, matches)) => Ok(Err(Config::of(matches))),
        _ => CommandLine::from_arg_matches(&matches).map(Ok),
    });
    match parsed {
        Ok(Ok(CommandLine { request })) => request.run(command_line(), &of_any_program),
        Ok(Err(config)) => config.run().unwrap_or_else(|failure| failure.tell(&mut io::stderr())),
        Err(error) => {
            // Help is an answer; whoever doesn't listen any more needs no error.
            error.print().ok();
            if error.use_stderr() { Exit::Misconfigured } else { Exit::Drained }
        }
    }
}

/// The command line of whoever has no program: what a program has besides is about its own configuration alone, as `config` is.
fn command_line() -> Command {
    exit_codes::told(CommandLine::command().subcommand(Config::command()))
}

/// Reads a file for whoever has not the program that it is for.
fn of_any_program(file: &File) -> Result<Deployment, Faults> {
    let text = crate::app::read(&file.path)?;
    let variables = &Variables::of_process();
    Deployment::of_file(Sources { file: &file.path.display().to_string(), text: &text, variables, flags: &file.set })
}

fn completions(command: Command, shell: Shell) -> Result<Exit, Failure> {
    Console::plain().bytes(&script(command, shell))
}

/// What a shell completes a command line by.
fn script(mut command: Command, shell: Shell) -> Vec<u8> {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The page of the command that `path` leads to.
fn man(mut command: Command, path: &[String]) -> Result<Exit, Failure> {
    // Only then do the commands below know their whole names.
    command.build();
    for name in path {
        let found = command.find_subcommand(name).cloned();
        command = found.ok_or_else(|| Failure::usage(format!("there is no command `{}`", path.join(" "))))?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Console::plain().bytes(&page)
}

#[cfg(test)]
mod tests;
