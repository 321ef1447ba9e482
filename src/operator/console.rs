//! The terminal of whoever asks: answers, questions, progress.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::{Args, ValueEnum};
use console::Term;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::again::Again;
use super::failure::Failure;
use super::rows::{Format, Row, Rows};
use crate::shutdown::Exit;

#[derive(Debug, PartialEq, Eq, Args)]
pub(super) struct OutputArgs {
    /// How the answer looks
    #[arg(long, short, value_enum, value_name = "FORMAT", default_value_t = Format::Table)]
    output: Format,
}

impl OutputArgs {
    /// The same answer again.
    pub(super) fn again(&self, again: &mut Again) {
        let shown = (self.output != Format::Table).then(|| self.output.to_possible_value()).flatten();
        again.options("output", shown.map(|value| value.get_name().to_owned()));
    }
}

/// Before what can't be undone.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(super) struct ConsentArgs {
    /// Answers the question whether it is meant
    #[arg(long, short)]
    yes: bool,
}

impl ConsentArgs {
    /// Whether it is said beforehand that it is meant.
    pub(super) fn is_given(&self) -> bool {
        self.yes
    }

    /// The same answer again.
    pub(super) fn again(&self, again: &mut Again) {
        again.flag("yes", self.yes);
    }
}

/// See the module.
pub(super) struct Console {
    format: Format,
    coloured: bool,
    out: BufWriter<io::Stdout>,
}

impl Console {
    pub(super) fn new(args: &OutputArgs) -> Self {
        // As standard output's terminal and `NO_COLOR` have it.
        let coloured = console::colors_enabled();
        Self { format: args.output, coloured, out: BufWriter::new(io::stdout()) }
    }

    /// For an answer that has no rows.
    pub(super) fn plain() -> Self {
        Self::new(&OutputArgs { output: Format::Table })
    }

    /// Whether the answer is for people.
    pub(super) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Begins an answer of rows.
    pub(super) fn rows<R: Row>(&mut self) -> Rows<'_, R> {
        Rows::new(&mut self.out, self.format, self.coloured)
    }

    /// Answers with these rows; where there are none, people are told `nothing`.
    pub(super) fn answer<'r, R: Row + 'r>(
        &mut self,
        rows: impl IntoIterator<Item = &'r R>,
        nothing: &str,
    ) -> Result<(), Failure> {
        let mut answer = self.rows();
        rows.into_iter().try_for_each(|row| answer.push(row))?;
        if answer.end()? == 0 {
            self.note(nothing);
        }
        Ok(())
    }

    /// Answers a program with one object.
    pub(super) fn object(&mut self, object: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.out, object).map_err(io::Error::from)?;
        self.out.write_all(b"\n")?;
        Ok(self.out.flush()?)
    }

    /// Begins to answer anew, for what is watched: on a terminal in the place of the last answer, elsewhere below it.
    pub(super) fn again(&mut self, title: &str) -> Result<(), Failure> {
        if self.is_for_people() {
            if io::stdout().is_terminal() {
                // Together with what follows, so that nothing flickers.
                self.out.write_all(b"\x1b[H\x1b[2J")?;
            }
            writeln!(self.out, "{title}")?;
        }
        Ok(())
    }

    /// Whether the answer is one that must end.
    pub(super) fn is_closed(&self) -> bool {
        self.format == Format::Json
    }

    /// Answers with these bytes as they are.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Result<Exit, Failure> {
        self.out.write_all(bytes)?;
        self.out.flush()?;
        Ok(Exit::Drained)
    }

    /// Says something beside the answer.
    pub(super) fn note(&self, text: &str) {
        // Whoever doesn't listen any more needs no error.
        writeln!(io::stderr(), "{text}").ok();
    }

    /// Asks whether something that can't be undone is meant, by having `word` typed.
    pub(super) fn consent(&mut self, args: &ConsentArgs, question: &str, word: &str) -> Result<(), Failure> {
        if args.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::new(format!("{question}: nobody is here to be asked, say `--yes`")));
        }
        self.out.flush()?;
        let mut terminal = Term::stderr();
        write!(terminal, "{question}. Type `{word}` to go on: ")?;
        let answer = terminal.read_line()?;
        if answer.trim() == word { Ok(()) } else { Err(Failure::new("not confirmed, nothing was done")) }
    }

    /// Shows how far long work is, on a terminal. Without a total it shows how much is done.
    pub(super) fn progress(&self, total: Option<u64>) -> ProgressBar {
        // Hidden by itself where there is no terminal.
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        let template = if total.is_some() {
            "{wide_bar} {human_pos}/{human_len} {per_sec} {eta}"
        } else {
            "{spinner} {human_pos} {per_sec}"
        };
        bar.with_style(ProgressStyle::with_template(template).expect("the template is well formed"))
    }
}
