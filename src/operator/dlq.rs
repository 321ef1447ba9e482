//! `dlq`: dead letters, looked at, written again, changed and given up.
//!
//! What is done with them is [`dead_letters`](crate::dead_letters)' work; here is what is asked and what is shown. What others wrote (values,
//! headers, errors) reaches a terminal without its control characters, and JSON as text where it is UTF-8, as base64 where it isn't.

mod change;
mod count;
mod diff;
mod discard;
mod edit;
mod editor;
mod letter;
mod ls;
mod redrive;
mod show;
mod tally;
mod which;

use clap::{Args, Subcommand};

use super::ReadFile;
use super::failure::Failure;
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct Dlq {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
enum Command {
    /// Lists letters, the oldest first
    Ls(ls::Ls),
    /// Counts letters by the topics that their records are of, and how they failed
    Count(count::Count),
    /// Shows one letter, whatever became of it
    Show(show::Show),
    /// Writes letters' records again, to the topics that they were read from or to another one
    Redrive(redrive::Redrive),
    /// Writes the changed record of one letter; the letter itself stays as it is
    Edit(edit::Edit),
    /// Gives letters up: marks them with who did so, and why
    Discard(discard::Discard),
}

impl Dlq {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        match self.command {
            Command::Ls(ls) => ls.run(read),
            Command::Count(count) => count.run(read),
            Command::Show(show) => show.run(read),
            Command::Redrive(redrive) => redrive.run(read),
            Command::Edit(edit) => edit.run(read),
            Command::Discard(discard) => discard.run(read),
        }
    }
}
