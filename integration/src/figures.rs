//! What a scenario came to, as figures: a line for each, in the file that `DAEMONRY_FIGURES` names, and of all of them a table for the book.
//!
//! Nobody types them. A test may have several scenarios; its row tells of all of them.

mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::{env, fs};

use anyhow::{Context as _, Result};
use daemonry::record::{Offset, Partition};
use serde::{Deserialize, Serialize};

use crate::checker::{Produced, origin};
use crate::ledger::Entry;
use crate::message::Stored;
pub use table::put_into;

/// The variable that names the file.
const VARIABLE: &str = "DAEMONRY_FIGURES";

/// What came of a scenario, or of all of a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    /// When it began and ended, milliseconds since 1970.
    pub from_ms: u64,
    /// See above.
    pub to_ms: u64,
    /// Records that were written, as far as the scenario knows, or else that succeeded.
    pub records: u64,
    /// Successes and letters beyond the first of each record.
    pub twice: u64,
    /// The longest time in which nothing was finished though something was there, in milliseconds.
    pub pause_ms: u64,
    /// Letters.
    pub letters: u64,
    /// The most memory that a process held, in bytes; 0 where none was seen.
    pub memory: u64,
    /// It did as much as takes a minute at most, and not as `make faults` has it.
    pub is_brief: bool,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    test: String,
    scenario: String,
    #[serde(flatten)]
    figures: Figures,
}

/// One record, and which of its namesakes of a topic that was made anew.
type Place<'a> = (Partition, Offset, Option<&'a str>);

impl Figures {
    /// What became of records; when, and in how much memory, is for others to say.
    pub(crate) fn of(produced: &[Produced], ledger: &[Entry], letters: &[Stored]) -> Self {
        let of_entry = |entry: &'_ Entry| (entry.partition, entry.offset);
        let distinct: BTreeSet<Place<'_>> =
            ledger.iter().map(|entry| (entry.partition, entry.offset, Some(entry.id.as_str()))).collect();
        let of_letters: BTreeSet<_> = letters.iter().filter_map(origin).collect();
        let finished = distinct.len() + of_letters.len();
        let mut first: BTreeMap<(Partition, Offset), u64> = BTreeMap::new();
        let appended = |letter: &Stored| u64::try_from(letter.unix_ms?).ok();
        let times = ledger.iter().map(|entry| (of_entry(entry), entry.unix_ms));
        let times = times.chain(letters.iter().filter_map(|letter| Some((origin(letter)?, appended(letter)?))));
        for (place, unix_ms) in times {
            first.entry(place).and_modify(|first| *first = unix_ms.min(*first)).or_insert(unix_ms);
        }
        let spans = produced.iter().filter_map(|produced| {
            let finished = first.get(&(produced.stored.partition, produced.stored.offset))?;
            Some((produced.acknowledged_ms, *finished))
        });
        Self {
            records: produced.len().max(finished) as u64,
            twice: (ledger.len() + letters.len() - finished) as u64,
            pause_ms: longest_pause(spans.collect()),
            letters: letters.len() as u64,
            ..Self::default()
        }
    }

    /// Those of two scenarios of a test.
    #[must_use]
    fn and(self, other: Self) -> Self {
        Self {
            from_ms: self.from_ms.min(other.from_ms),
            to_ms: self.to_ms.max(other.to_ms),
            records: self.records + other.records,
            twice: self.twice + other.twice,
            pause_ms: self.pause_ms.max(other.pause_ms),
            letters: self.letters + other.letters,
            memory: self.memory.max(other.memory),
            is_brief: self.is_brief || other.is_brief,
        }
    }

    /// Leaves them behind for the table, where somebody wants one.
    pub(crate) fn leave(self, scenario: &str) -> Result<()> {
        let Some(file) = env::var_os(VARIABLE) else { return Ok(()) };
        let test = thread::current().name().unwrap_or_default().to_owned();
        let mut line = serde_json::to_string(&Line { test, scenario: scenario.to_owned(), figures: self })?;
        line.push('\n');
        append(Path::new(&file), &line)
    }
}

/// In one write: tests run side by side.
fn append(file: &Path, lines: &str) -> Result<()> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(lines.as_bytes()));
    written.with_context(|| format!("no figures in {}", file.display()))
}

/// Has what this command leaves of figures go to a file in this directory: it may not be able to write where they are to be in the end. `None`
/// where nobody wants any.
pub(crate) fn leave_in(directory: &Path, command: &mut Command) -> Option<PathBuf> {
    env::var_os(VARIABLE)?;
    let file = directory.join(format!("figures-{}", process::id()));
    command.env(VARIABLE, &file);
    Some(file)
}

/// Passes on what such a command has left.
pub(crate) fn pass_on(left: Option<&Path>) -> Result<()> {
    let (Some(left), Some(file)) = (left, env::var_os(VARIABLE)) else { return Ok(()) };
    let lines = fs::read_to_string(left).with_context(|| format!("no figures in {}", left.display()))?;
    append(Path::new(&file), &lines)?;
    fs::remove_file(left).with_context(|| format!("cannot remove {}", left.display()))
}

/// Of records that were there from the one time on and finished at the other: the longest time in which none was finished though one was there.
fn longest_pause(mut spans: Vec<(u64, u64)>) -> u64 {
    spans.sort_unstable_by_key(|(_, finished)| *finished);
    // Of those that were finished then or later: since when one was there.
    let mut oldest = u64::MAX;
    let mut waiting: Vec<u64> = Vec::with_capacity(spans.len());
    for (there, _) in spans.iter().rev() {
        oldest = oldest.min(*there);
        waiting.push(oldest);
    }
    let (mut longest, mut before) = (0, 0);
    for ((_, finished), waiting) in spans.iter().zip(waiting.into_iter().rev()) {
        longest = longest.max(finished.saturating_sub(waiting.max(before)));
        before = *finished;
    }
    longest
}

/// All figures of a file, by test.
///
/// # Errors
/// When it can't be read.
pub fn read(file: &Path) -> Result<BTreeMap<String, Figures>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut figures: BTreeMap<String, Figures> = BTreeMap::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("no figures: {line}"))?;
        figures.entry(line.test).and_modify(|known| *known = known.and(line.figures)).or_insert(line.figures);
    }
    Ok(figures)
}

/// A thread whose scenarios belong to the test that starts it.
///
/// # Errors
/// When the system gives none.
pub fn spawn<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> std::io::Result<thread::JoinHandle<T>> {
    let named = thread::current().name().map(str::to_owned);
    let builder = named.into_iter().fold(thread::Builder::new(), thread::Builder::name);
    builder.spawn(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_time_in_which_something_waits() {
        assert_eq!(longest_pause(Vec::new()), 0);
        // Nothing was there from 20 to 100.
        assert_eq!(longest_pause(vec![(10, 20), (100, 130)]), 30);
        // One waits for long while others are finished.
        assert_eq!(longest_pause(vec![(10, 100), (20, 30), (40, 60), (50, 90)]), 30);
        assert_eq!(longest_pause(vec![(10, 100), (20, 30)]), 70);
    }

    #[test]
    fn a_test_has_the_figures_of_all_its_scenarios() -> Result<()> {
        let one =
            Figures { from_ms: 5, to_ms: 9, records: 1, twice: 2, pause_ms: 3, letters: 4, memory: 5, is_brief: false };
        let other = Figures {
            from_ms: 3,
            to_ms: 8,
            records: 10,
            twice: 20,
            pause_ms: 30,
            letters: 40,
            memory: 50,
            is_brief: true,
        };
        let file = tempfile::NamedTempFile::new()?;
        for (scenario, figures) in [("one", one), ("other", other)] {
            let line = Line { test: "crashes::kill9".to_owned(), scenario: scenario.to_owned(), figures };
            writeln!(file.as_file(), "{}", serde_json::to_string(&line)?)?;
        }
        let both = Figures {
            from_ms: 3,
            to_ms: 9,
            records: 11,
            twice: 22,
            pause_ms: 30,
            letters: 44,
            memory: 50,
            is_brief: true,
        };
        assert_eq!(read(file.path())?, BTreeMap::from([("crashes::kill9".to_owned(), both)]));
        Ok(())
    }
}
