//! `dlq ls`: lists letters as they are read.

use std::time::Duration;

use clap::Args;

use super::super::ReadFile;
use super::super::console::{Console, OutputArgs};
use super::super::failure::Failure;
use super::super::work::block_on;
use super::letter::LetterRow;
use super::tally;
use super::which::{FilterArgs, LettersArgs};
use crate::shutdown::Exit;

/// How long it is counted at the end how many wait.
const COUNTING: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct Ls {
    #[command(flatten)]
    letters: LettersArgs,
    #[command(flatten)]
    filter: FilterArgs,
    /// No more than so many, the oldest
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

impl Ls {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let letters = self.letters.open(read)?;
        let mut console = Console::new(&self.output);
        let (listed, is_all, waiting) = block_on(async {
            let mut listing = letters.list(self.filter.filter());
            let mut rows = console.rows();
            let (mut listed, mut is_all) = (0, true);
            while let Some(entry) = listing.next().await {
                let entry = entry?;
                if self.limit.is_some_and(|limit| listed >= limit) {
                    is_all = false;
                    break;
                }
                rows.push(&LetterRow(entry))?;
                listed += 1;
            }
            let listed = rows.end()?;
            // The marks are known by now: what came of the others is no news that somebody waits for.
            let waiting = if console.is_for_people() { letters.waiting(COUNTING).await?.letters } else { None };
            Ok((listed, is_all, waiting))
        })?;
        let waiting = waiting.map(tally::waiting).unwrap_or_default();
        match (listed, is_all) {
            (_, false) => console.note(&format!("the first {listed}, and there are more{waiting}")),
            (0, true) => console.note(&format!("no such letter{waiting}")),
            (listed, true) => console.note(&format!("{}{waiting}", tally::letters(listed))),
        }
        Ok(Exit::Drained)
    }
}
