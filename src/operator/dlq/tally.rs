//! Counts of letters, as an answer has them: one row for each outcome, and for each way that records take.

use serde::Serialize;

use super::super::failure::Failure;
use super::super::rows::{Cell, Column, Format, Row, Rows, Tone};
use super::change::Verb;
use crate::dead_letters::{Counts, Left, LettersError, Plan};

/// Records that nothing can be done with, whatever is asked.
const NO_LETTER: &str = "no_letter";

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tally {
    outcome: &'static str,
    letters: u64,
    /// Where their records were read; in a plan alone.
    origin: Option<String>,
    /// Where their records go; in a plan of a re-drive alone.
    target: Option<String>,
    /// Those that were left since nothing could be done with them, the first hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<Place>,
}

/// A record that was left.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Place {
    partition: i32,
    offset: i64,
    why: String,
}

impl Tally {
    fn new(outcome: &'static str, letters: u64) -> Self {
        Self { outcome, letters, origin: None, target: None, left: Vec::new() }
    }
}

impl Row for Tally {
    const HEAD: &'static [Column] =
        &[Column::text("OUTCOME"), Column::number("LETTERS"), Column::text("ORIGIN"), Column::text("TARGET")];

    fn cells(&self) -> Vec<Cell> {
        let tone = if self.letters == 0 { Tone::Faint } else { Tone::Plain };
        vec![
            Cell::new(self.outcome).tone(tone),
            Cell::from(self.letters).tone(tone),
            Cell::of(self.origin.as_ref()),
            Cell::of(self.target.as_ref()),
        ]
    }
}

/// What would be done.
pub(super) fn planned(verb: Verb, plan: &Plan) -> Vec<Tally> {
    let mut rows = Vec::new();
    for way in &plan.ways {
        let target = (verb == Verb::Redrive).then(|| way.target.to_string());
        let origin = Some(way.origin.to_string());
        rows.push(Tally { origin, target, ..Tally::new(verb.planned(), way.letters) });
    }
    if plan.others > 0 || plan.ways.is_empty() {
        rows.push(Tally::new(verb.planned(), plan.others));
    }
    rows.extend(left(verb, &plan.counts));
    rows
}

/// What was done, and which records were left.
pub(super) fn done(verb: Verb, counts: &Counts, named: &[Left]) -> Vec<Tally> {
    let is_foreign = |left: &&Left| matches!(left.why, LettersError::NotALetter { .. });
    let place = |left: &Left| Place { partition: left.partition.0, offset: left.offset.0, why: left.why.to_string() };
    let mut rows = vec![Tally::new(verb.done(), counts.selected)];
    // Which can't be known before.
    if counts.unwritten > 0 {
        let left = named.iter().filter(|left| !is_foreign(left)).map(place).collect();
        rows.push(Tally { left, ..Tally::new("not_written", counts.unwritten) });
    }
    for mut row in left(verb, counts) {
        if row.outcome == NO_LETTER {
            row.left = named.iter().filter(is_foreign).map(place).collect();
        }
        rows.push(row);
    }
    rows
}

/// What became of the others, each of which stays as it is.
fn left(verb: Verb, counts: &Counts) -> impl Iterator<Item = Tally> {
    let at_cap = (verb == Verb::Redrive).then_some(("at_cap", counts.at_cap));
    let rest = [
        ("already_redriven", counts.already_redriven),
        ("already_discarded", counts.already_discarded),
        (NO_LETTER, counts.foreign),
        ("not_meant", counts.unmatched),
    ];
    at_cap.into_iter().chain(rest).map(|(outcome, letters)| Tally::new(outcome, letters))
}

/// So many letters, as people say it.
pub(super) fn letters(count: u64) -> String {
    if count == 1 { "1 letter".to_owned() } else { format!("{count} letters") }
}

/// So many of all wait, behind what was counted.
pub(super) fn waiting(count: u64) -> String {
    format!("; {} {} in all of the topic", letters(count), if count == 1 { "waits" } else { "wait" })
}

/// As a table, to be said beside the answer.
pub(super) fn table(rows: &[Tally]) -> Result<String, Failure> {
    let mut text = Vec::new();
    let mut table = Rows::new(&mut text, Format::Table, false);
    rows.iter().try_for_each(|row| table.push(row))?;
    table.end()?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_has_every_outcome_however_few_letters_there_are() {
        let counts = Counts { selected: 7, at_cap: 1, ..Counts::default() };
        let text = table(&done(Verb::Redrive, &counts, &[])).expect("a vector takes everything");
        let expected = "OUTCOME            LETTERS  ORIGIN  TARGET
redriven                 7  -       -
at_cap                   1  -       -
already_redriven         0  -       -
already_discarded        0  -       -
no_letter                0  -       -
not_meant                0  -       -";
        assert_eq!(text, expected);
        let discarded = done(Verb::Discard, &counts, &[]);
        assert_eq!((discarded[0].outcome, discarded.len()), ("discarded", 5), "a discard knows no cap");
        let nothing = planned(Verb::Redrive, &Plan::default());
        assert_eq!((nothing[0].outcome, nothing[0].letters, nothing.len()), ("would_redrive", 0, 6));
    }
}
