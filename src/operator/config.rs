//! `config`: what a configuration is, or can be. A program knows its own daemons and topics; the binary `daemonry` what stands in the file.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::cluster::File;
use super::console::Console;
use super::failure::Failure;
use crate::config::{self, Sources, Variables};
use crate::shutdown::Exit;

/// What is asked about it.
#[derive(Debug, PartialEq)]
pub(crate) enum Config {
    /// What is in force: file, environment and command line, without secrets.
    Print(File),
    Schema,
    Reference,
}

impl Config {
    pub(crate) const NAME: &str = "config";

    /// Its part of a command line.
    pub(crate) fn command() -> Command {
        Command::new(Self::NAME)
            .about("Shows what the configuration is, or can be")
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommand(configured("print", "Prints the configuration in force as YAML, without secrets"))
            .subcommand(Command::new("schema").about("Prints the JSON schema of a configuration file"))
            .subcommand(
                Command::new("reference").about("Prints every key with its type, default and meaning, as Markdown"),
            )
    }

    pub(crate) fn of(matches: &ArgMatches) -> Self {
        match matches.subcommand() {
            Some(("print", matches)) => Self::Print(file(matches)),
            Some(("schema", _)) => Self::Schema,
            _ => Self::Reference,
        }
    }

    /// Answers it for whoever has not the program that the file is for.
    pub(super) fn run(self) -> Result<Exit, Failure> {
        Console::plain().bytes(self.text()?.as_bytes())
    }

    pub(super) fn text(self) -> Result<String, Failure> {
        Ok(match self {
            Self::Print(file) => {
                let (text, variables) = (crate::app::read(&file.path)?, &Variables::of_process());
                let name = file.path.display().to_string();
                let sources = Sources { file: &name, text: &text, variables, flags: &file.set };
                config::load_of_any_program(sources, |loaded, program| loaded.print(program))?
            }
            Self::Schema => format!("{:#}\n", config::schema_of_any_program()),
            Self::Reference => config::reference(),
        })
    }
}

/// A command that is about a configuration file.
pub(crate) fn configured(name: &'static str, about: &'static str) -> Command {
    let file = Arg::new("config")
        .long("config")
        .short('c')
        .value_name("FILE")
        .required(true)
        .value_parser(value_parser!(PathBuf))
        .help("The configuration file");
    Command::new(name).about(about).arg(file).arg(set())
}

/// What is set over a file.
pub(crate) fn set() -> Arg {
    Arg::new("set")
        .long("set")
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .help("Sets a key over file and environment, as in daemons.orders.workers=32; can be repeated")
}

/// The file that such a command is about.
pub(crate) fn file(matches: &ArgMatches) -> File {
    let set = matches.get_many::<String>("set").into_iter().flatten().cloned().collect();
    File { path: matches.get_one::<PathBuf>("config").cloned().unwrap_or_default(), set }
}
