//! The command line that comes with every program.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Command, FromArgMatches, Subcommand};

use crate::operator;
use crate::operator::config::{Config, configured, set};
use crate::operator::exit_codes;

/// What a program was asked to do.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    Run(Sources),
    Check(Sources),
    Print(Sources),
    Schema,
    Reference,
    /// What an operator asks for.
    Operate(operator::Request),
    /// A command of the program's own.
    Own {
        name: String,
        said: OwnSaid,
    },
}

/// What was said to a command of the program's own.
#[derive(Debug, Default, PartialEq)]
pub(super) struct OwnSaid {
    pub(super) flags: Vec<String>,
    /// By name.
    pub(super) options: Vec<(&'static str, String)>,
    pub(super) arguments: Vec<String>,
}

/// Where the configuration is to come from.
#[derive(Debug, PartialEq)]
pub(super) struct Sources {
    pub(super) file: PathBuf,
    pub(super) flags: Vec<String>,
}

impl Sources {
    fn of(operator::File { path, set }: operator::File) -> Self {
        Self { file: path, flags: set }
    }
}

/// What is said instead of doing anything.
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// What was asked for, as `--help`.
    Asked(String),
    /// What is wrong with the command line.
    Refused(String),
}

/// A command of the program's own.
pub(super) struct Own {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) options: Vec<OwnOption>,
}

/// What a program is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title {
    pub(super) name: &'static str,
    /// Where it says.
    pub(super) version: Option<&'static str>,
}

/// An option of such a command.
pub(super) struct OwnOption {
    pub(super) name: &'static str,
    /// What its value is called in the help.
    pub(super) value: &'static str,
    pub(super) about: &'static str,
}

impl OwnOption {
    fn arg(&self) -> Arg {
        Arg::new(self.name).long(self.name).value_name(self.value).help(self.about)
    }
}

/// Reads a command line, its program's name first.
pub(super) fn parse<'a>(
    title: Title,
    own: impl IntoIterator<Item = &'a Own>,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Request, Said> {
    let own: Vec<&Own> = own.into_iter().collect();
    let matches = command(title, &own).try_get_matches_from(arguments).map_err(|error| {
        let text = error.render().to_string();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Said::Asked(text),
            _ => Said::Refused(text),
        }
    })?;
    Ok(match matches.subcommand() {
        Some(("run", matches)) => Request::Run(sources(matches)),
        Some(("check", matches)) => Request::Check(sources(matches)),
        Some((Config::NAME, matches)) => match Config::of(matches) {
            Config::Print(file) => Request::Print(Sources::of(file)),
            Config::Schema => Request::Schema,
            Config::Reference => Request::Reference,
        },
        Some((name, _)) if operator::Request::has_subcommand(name) => {
            let request = operator::Request::from_arg_matches(&matches);
            Request::Operate(request.map_err(|error| Said::Refused(error.render().to_string()))?)
        }
        Some((name, matches)) => {
            let options = own.iter().find(|own| own.name == name).map_or(&[][..], |own| &own.options);
            let given = |option: &OwnOption| Some((option.name, matches.get_one::<String>(option.name)?.clone()));
            let options = options.iter().filter_map(given).collect();
            let said = OwnSaid { flags: all(matches, "set"), options, arguments: all(matches, "arguments") };
            Request::Own { name: name.to_owned(), said }
        }
        None => unreachable!("a command is required"),
    })
}

/// The command line of such a program.
pub(super) fn command(title: Title, own: &[&Own]) -> Command {
    let command = Command::new(title.name)
        .version(title.version)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(configured("run", "Runs the daemons until SIGTERM or SIGINT"))
        .subcommand(configured("check", "Tells everything that is wrong with a configuration, without running it"))
        .subcommand(Config::command());
    // The program's own commands end as the program has them end.
    let command = exit_codes::told(operator::Request::augment_subcommands(command));
    own.iter().fold(command, |command, own| {
        let arguments =
            Arg::new("arguments").num_args(0..).value_name("ARGUMENT").help("Arguments of the command's own");
        let options = own.options.iter().map(OwnOption::arg);
        command.subcommand(Command::new(own.name).about(own.about).args(options).arg(set()).arg(arguments))
    })
}

fn sources(matches: &ArgMatches) -> Sources {
    Sources::of(operator::config::file(matches))
}

fn all(matches: &ArgMatches, name: &str) -> Vec<String> {
    matches.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, Said> {
        let options = vec![OwnOption { name: "for", value: "TIME", about: "Ends after so long" }];
        let own = [Own { name: "demo", about: "Shows it", options }];
        let title = Title { name: "shop", version: Some("1.2.3") };
        parse(title, &own, std::iter::once("shop").chain(line.split_whitespace()))
    }

    #[test]
    fn commands_are_read() {
        let flags = vec!["a.b=c".to_owned(), "d=e".to_owned()];
        let sources = |flags: &[String]| Sources { file: "x.yaml".into(), flags: flags.to_vec() };
        assert_eq!(parsed("run --config x.yaml --set a.b=c --set d=e"), Ok(Request::Run(sources(&flags))));
        assert_eq!(parsed("check -c x.yaml"), Ok(Request::Check(sources(&[]))));
        assert_eq!(parsed("config print --config x.yaml"), Ok(Request::Print(sources(&[]))));
        assert_eq!(parsed("config schema"), Ok(Request::Schema));
        assert_eq!(parsed("config reference"), Ok(Request::Reference));
        let flags = vec!["d=e".to_owned()];
        let said = OwnSaid { flags, options: vec![("for", "9s".to_owned())], arguments: vec!["7".to_owned()] };
        assert_eq!(parsed("demo --set d=e 7 --for 9s"), Ok(Request::Own { name: "demo".to_owned(), said }));
    }

    #[test]
    fn what_is_no_command_is_told() {
        let wrong = ["", "run", "runn --config x", "run --config", "config", "run --config x --sett a=b", "demo --for"];
        for line in wrong {
            assert!(matches!(parsed(line), Err(Said::Refused(_) | Said::Asked(_))), "{line}");
        }
        assert_eq!(parsed("--version"), Err(Said::Asked("shop 1.2.3\n".to_owned())));
        let Err(Said::Asked(help)) = parsed("--help") else { panic!("no help") };
        assert!(help.contains("demo") && help.contains("Shows it"), "{help}");
        assert!(help.contains("3         the time passed with work unfinished"), "{help}");
        let Err(Said::Asked(run)) = parsed("run --help") else { panic!("no help") };
        assert!(run.contains("130, 143") && !run.contains("the answer to a question was no"), "{run}");
        let Err(Said::Asked(lag)) = parsed("lag --help") else { panic!("no help") };
        assert!(lag.contains("the answer to a question was no") && !lag.contains("130, 143"), "{lag}");
        let Err(Said::Refused(error)) = parsed("rum --config x") else { panic!("accepted") };
        assert!(error.contains("'run'"), "{error}");
    }
}
