//! What a process's exit code means, as its help and its manual pages say it.

use clap::Command;

macro_rules! of_commands {
    () => {
        "  0         done
  1         done, and something was found that the command is to look for, as by `doctor` and `lag --max`; or records
            were left where they are: letters that a re-drive can't write, and what is no letter; or ordered, and not
            known to hold in all processes
  2         the command line or the configuration can't work
  4         it could not be done: no broker answers, a right is missing, the answer to a question was no"
    };
}

macro_rules! of_run {
    () => {
        "  0         drained: all that was started has ended, and is committed
  2         the configuration can't work, or what it names isn't there or isn't allowed; the same again would not help
  3         the time passed with work unfinished, or finished and not committed; it runs again elsewhere
  4         a daemon failed for good, and the others drained
  130, 143  a second SIGINT or SIGTERM"
    };
}

const OF_COMMANDS: &str = concat!("Exit codes:\n", of_commands!());
const OF_RUN: &str = concat!("Exit codes:\n", of_run!());
const OF_PROGRAM: &str =
    concat!("Exit codes of `run`:\n", of_run!(), "\n\nExit codes of the other commands:\n", of_commands!());

/// The command that runs the daemons.
const RUN: &str = "run";

/// Has a command line, and each of its commands, tell what its exit codes mean.
pub(crate) fn told(command: Command) -> Command {
    let is_program = command.find_subcommand(RUN).is_some();
    let commands = command.after_help(if is_program { OF_PROGRAM } else { OF_COMMANDS });
    commands.mut_subcommands(|command| match command.get_name() {
        RUN => command.after_help(OF_RUN),
        _ => of_command(command),
    })
}

fn of_command(command: Command) -> Command {
    command.after_help(OF_COMMANDS).mut_subcommands(of_command)
}
