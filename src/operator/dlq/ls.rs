//! `dlq ls`: lists letters as they are read.

use clap::Args;

use super::super::ReadFile;
use super::super::console::{Console, OutputArgs};
use super::super::failure::Failure;
use super::super::work::block_on;
use super::letter::LetterRow;
use super::tally;
use super::which::{FilterArgs, LettersArgs};
use crate::shutdown::Exit;

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
        let (listed, is_all) = block_on(async {
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
            Ok((rows.end()?, is_all))
        })?;
        match (listed, is_all) {
            (_, false) => console.note(&format!("the first {listed}, and there are more")),
            (0, true) => console.note("no such letter"),
            (listed, true) => console.note(&tally::letters(listed)),
        }
        Ok(Exit::Drained)
    }
}
