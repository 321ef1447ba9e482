//! `dlq count`: how many letters there are, by the topics that their records are of and how they failed.

use clap::Args;
use serde::Serialize;

use super::super::ReadFile;
use super::super::console::{Console, OutputArgs};
use super::super::failure::Failure;
use super::super::moment::Moment;
use super::super::rows::{Cell, Column, Row};
use super::super::work::block_on;
use super::tally;
use super::which::{FilterArgs, LettersArgs};
use crate::dead_letters::{Kind, Kinds};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct Count {
    #[command(flatten)]
    letters: LettersArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Letters of one kind; those of no kind have neither origin nor reason.
#[derive(Debug, Default, Serialize)]
struct KindRow {
    origin: Option<String>,
    reason: Option<&'static str>,
    letters: u64,
    first: Option<Moment>,
    last: Option<Moment>,
}

impl Count {
    pub(super) fn run(self, read: &ReadFile<'_>) -> Result<Exit, Failure> {
        let letters = self.letters.open(read)?;
        let mut console = Console::new(&self.output);
        let found = block_on(async { Ok(letters.kinds(self.filter.filter(), None).await?) })?;
        console.answer(&rows(&found), "no such letter")?;
        let waiting = found.waiting.letters.map(tally::waiting).unwrap_or_default();
        console.note(&format!("{} counted{waiting}", tally::letters(found.counted())));
        Ok(Exit::Drained)
    }
}

fn rows(found: &Kinds) -> Vec<KindRow> {
    let of = |kind: &Kind| KindRow {
        origin: Some(kind.origin.to_string()),
        reason: Some(kind.reason.name()),
        letters: kind.letters,
        first: kind.first.map(Moment),
        last: kind.last.map(Moment),
    };
    let rest = found.others + found.foreign;
    let rest = (rest > 0).then_some(KindRow { letters: rest, ..KindRow::default() });
    found.kinds.iter().map(of).chain(rest).collect()
}

impl Row for KindRow {
    const HEAD: &'static [Column] = &[
        Column::text("ORIGIN"),
        Column::text("REASON"),
        Column::number("LETTERS"),
        Column::text("FIRST"),
        Column::text("LAST"),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            Cell::of(self.origin.as_ref()),
            Cell::of(self.reason),
            Cell::from(self.letters),
            Cell::of(self.first.map(Moment::in_seconds)),
            Cell::of(self.last.map(Moment::in_seconds)),
        ]
    }
}
