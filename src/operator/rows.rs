//! Rows of an answer: a table for people, JSON for programs.
//!
//! A table's widths follow its first rows, so that an answer of any length is written as it comes, in bounded memory. What others have
//! written (names, keys, errors) is shown without its control characters: it must not steer the terminal.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::marker::PhantomData;

use clap::ValueEnum;
use console::{Style, measure_text_width};
use serde::Serialize;

use crate::payload::harmless;

/// Rows that are kept until the widths are known.
const MEASURED: usize = 500;

/// How an answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A table, for people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Ndjson,
}

/// A row of an answer. As JSON it is what serde makes of it.
pub(super) trait Row: Serialize {
    /// The table's head.
    const HEAD: &'static [Column];

    /// The same, of rows that have more than their own.
    fn head() -> Vec<Column> {
        Self::HEAD.to_vec()
    }

    /// As many cells as the head has columns.
    fn cells(&self) -> Vec<Cell>;
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    is_number: bool,
}

impl Column {
    pub(super) const fn text(name: &'static str) -> Self {
        Self { name, is_number: false }
    }

    pub(super) const fn number(name: &'static str) -> Self {
        Self { name, is_number: true }
    }
}

/// What a cell says by its colour, on a terminal that has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self { text: harmless(text.as_ref()), tone: Tone::Plain }
    }

    /// One that may have nothing to show.
    pub(super) fn of(value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => Self::new(value.to_string()),
            None => Self::new("-").tone(Tone::Faint),
        }
    }

    pub(super) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self::new(value.to_string())
    }
}

/// Writes rows as they come.
pub(super) struct Rows<'w, R> {
    to: &'w mut dyn Write,
    format: Format,
    coloured: bool,
    /// Those whose widths are not known yet; none once they are.
    kept: Option<Vec<Vec<Cell>>>,
    widths: Vec<usize>,
    written: u64,
    of: PhantomData<fn(R)>,
}

impl<'w, R: Row> Rows<'w, R> {
    pub(super) fn new(to: &'w mut dyn Write, format: Format, coloured: bool) -> Self {
        Self { to, format, coloured, kept: Some(Vec::new()), widths: Vec::new(), written: 0, of: PhantomData }
    }

    /// Writes one more.
    pub(super) fn push(&mut self, row: &R) -> io::Result<()> {
        match self.format {
            Format::Json => {
                let before: &[u8] = if self.written == 0 { b"[\n" } else { b",\n" };
                self.to.write_all(before)?;
                serde_json::to_writer(&mut *self.to, row)?;
            }
            Format::Ndjson => {
                serde_json::to_writer(&mut *self.to, row)?;
                self.to.write_all(b"\n")?;
            }
            Format::Table => {
                let cells = row.cells();
                debug_assert_eq!(cells.len(), R::head().len(), "a row has a cell for each column");
                match &mut self.kept {
                    Some(kept) => {
                        kept.push(cells);
                        if kept.len() == MEASURED {
                            self.begin()?;
                        }
                    }
                    None => self.line(&cells)?,
                }
            }
        }
        self.written += 1;
        Ok(())
    }

    /// Writes what is left, and answers how many rows there were.
    pub(super) fn end(mut self) -> io::Result<u64> {
        match self.format {
            Format::Json => self.to.write_all(if self.written == 0 { b"[]\n" } else { b"\n]\n" })?,
            Format::Ndjson => {}
            Format::Table if self.written > 0 => self.begin()?,
            Format::Table => {}
        }
        self.to.flush()?;
        Ok(self.written)
    }

    /// Writes the head and the rows that were kept for their widths.
    fn begin(&mut self) -> io::Result<()> {
        let Some(kept) = self.kept.take() else { return Ok(()) };
        let head: Vec<Cell> = R::head().iter().map(|column| Cell::new(column.name).tone(Tone::Faint)).collect();
        self.widths = head.iter().map(|cell| measure_text_width(&cell.text)).collect();
        for row in &kept {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(measure_text_width(&cell.text));
            }
        }
        self.line(&head)?;
        kept.iter().try_for_each(|row| self.line(row))
    }

    fn line(&mut self, cells: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        let last = cells.len().saturating_sub(1);
        for (index, ((cell, width), column)) in cells.iter().zip(&self.widths).zip(R::head()).enumerate() {
            let padding = " ".repeat(width.saturating_sub(measure_text_width(&cell.text)));
            let (before, after) = if column.is_number { (padding.as_str(), "") } else { ("", padding.as_str()) };
            // Nothing stands behind the last one.
            let (after, gap) = if index == last { ("", "") } else { (after, "  ") };
            let text = style(cell.tone).force_styling(self.coloured).apply_to(&cell.text);
            write!(line, "{before}{text}{after}{gap}").map_err(io::Error::other)?;
        }
        line.push('\n');
        self.to.write_all(line.as_bytes())
    }
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Plain => Style::new(),
        Tone::Good => Style::new().green(),
        Tone::Warning => Style::new().yellow(),
        Tone::Bad => Style::new().red().bold(),
        Tone::Faint => Style::new().dim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Lag {
        topic: &'static str,
        lag: Option<u64>,
    }

    impl Row for Lag {
        const HEAD: &'static [Column] = &[Column::text("TOPIC"), Column::number("LAG")];

        fn cells(&self) -> Vec<Cell> {
            let tone = if self.lag.is_none_or(|lag| lag > 10) { Tone::Bad } else { Tone::Plain };
            vec![Cell::new(self.topic), Cell::of(self.lag).tone(tone)]
        }
    }

    fn written(format: Format, coloured: bool, rows: &[Lag]) -> String {
        let mut to = Vec::new();
        let mut answer = Rows::new(&mut to, format, coloured);
        rows.iter().for_each(|row| answer.push(row).expect("a vector takes everything"));
        assert_eq!(answer.end().expect("a vector takes everything"), rows.len() as u64);
        String::from_utf8(to).expect("it is text")
    }

    const ROWS: [Lag; 2] = [Lag { topic: "orders", lag: Some(7) }, Lag { topic: "a", lag: Some(1_234) }];

    #[test]
    fn table_has_a_head_and_columns_as_wide_as_what_is_in_them() {
        assert_eq!(written(Format::Table, false, &ROWS), "TOPIC    LAG\norders     7\na       1234\n");
        assert_eq!(written(Format::Table, false, &[Lag { topic: "a", lag: None }]), "TOPIC  LAG\na        -\n");
    }

    #[test]
    fn colours_are_written_where_they_are_wanted_alone() {
        assert!(!written(Format::Table, false, &ROWS).contains('\x1b'));
        assert!(written(Format::Table, true, &ROWS).contains("\x1b[31m\x1b[1m1234\x1b[0m"));
    }

    #[test]
    fn json_is_one_array_and_ndjson_an_object_a_line() {
        let array: serde_json::Value = serde_json::from_str(&written(Format::Json, true, &ROWS)).expect("it is JSON");
        assert_eq!(array[1]["lag"], 1_234);
        assert_eq!(written(Format::Json, false, &[]), "[]\n");
        let lines = written(Format::Ndjson, true, &ROWS);
        assert_eq!(lines, "{\"topic\":\"orders\",\"lag\":7}\n{\"topic\":\"a\",\"lag\":1234}\n");
        assert_eq!(written(Format::Ndjson, false, &[]), "");
    }

    #[test]
    fn nothing_found_makes_no_table() {
        assert_eq!(written(Format::Table, true, &[]), "");
    }

    #[test]
    fn what_would_steer_a_terminal_is_shown_as_text() {
        let row = Lag { topic: "\x1b[2Jgone\n\u{202e}\u{9b}31m", lag: Some(1) };
        let line = "\\u{1b}[2Jgone\\n\\u{202e}\\u{9b}31m";
        assert_eq!(written(Format::Table, true, &[row]).lines().nth(1).map(|text| text.starts_with(line)), Some(true));
    }

    #[test]
    fn rows_behind_the_measured_ones_are_written_as_they_come() {
        let mut to = Vec::new();
        let mut answer = Rows::new(&mut to, Format::Table, false);
        (0..MEASURED).for_each(|_| answer.push(&ROWS[0]).expect("a vector takes everything"));
        assert!(answer.kept.is_none(), "they are written");
        answer.push(&Lag { topic: "a-topic-with-a-long-name", lag: Some(1) }).expect("a vector takes everything");
        assert_eq!(answer.end().expect("a vector takes everything"), MEASURED as u64 + 1);
        let text = String::from_utf8(to).expect("it is text");
        assert!(text.ends_with("orders    7\na-topic-with-a-long-name    1\n"), "{text}");
    }
}
