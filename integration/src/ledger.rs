//! The ledger: what handlers say of themselves, line by line, in a file that outlives them.
//!
//! The order of its lines is the order of the successes: each line is one write to a file opened with `O_APPEND`.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use daemonry::record::{Offset, Partition};

/// One success, as its handler wrote it down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where its line starts in the file, in bytes.
    pub at: u64,
    /// The record's partition.
    pub partition: Partition,
    /// The record's offset.
    pub offset: Offset,
    /// The key as it was written: `-` for none, an empty one, or one that can't be printed.
    pub key: String,
    /// The `id` that the handler found in the value, or `-`.
    pub id: String,
    /// Which attempt succeeded, from 1.
    pub attempt: u32,
    /// The process it ran in.
    pub pid: u32,
    /// When it ended, milliseconds since 1970.
    pub unix_ms: u64,
}

impl Entry {
    fn parse(at: u64, line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let entry = Self {
            at,
            partition: Partition(words.next()?.parse().ok()?),
            offset: Offset(words.next()?.parse().ok()?),
            key: words.next()?.to_owned(),
            id: words.next()?.to_owned(),
            attempt: words.next()?.parse().ok()?,
            pid: words.next()?.parse().ok()?,
            unix_ms: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(entry)
    }
}

/// A ledger as far as it was read.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    entries: Vec<Entry>,
    // The bytes of the whole lines that were read.
    read: u64,
}

impl Ledger {
    /// The ledger at `path`, which need not exist yet. Nothing is read.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), entries: Vec::new(), read: 0 }
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what was appended since the last time, and gives all lines so far. A line that is still being written is left for
    /// the next time.
    ///
    /// # Errors
    /// When the file can't be read, or a line isn't one of a ledger.
    pub fn read(&mut self) -> Result<&[Entry]> {
        let mut text = String::new();
        match File::open(&self.path) {
            Ok(mut file) => {
                file.seek(SeekFrom::Start(self.read))?;
                file.read_to_string(&mut text)?;
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        }
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let entry = Entry::parse(self.read, line.trim_end_matches('\n'));
            self.entries.push(entry.with_context(|| format!("not a line of a ledger at byte {}: {line}", self.read))?);
            self.read += line.len() as u64;
        }
        Ok(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_that_is_not_whole_yet_waits_for_its_end() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let mut ledger = Ledger::at(directory.path().join("ledger"));
        assert_eq!(ledger.read()?, []);

        let mut file = File::create(ledger.path())?;
        write!(file, "3 17 key-1 9 2 4711 1700000000000\n0 1 - -")?;
        let first = Entry {
            at: 0,
            partition: Partition(3),
            offset: Offset(17),
            key: "key-1".to_owned(),
            id: "9".to_owned(),
            attempt: 2,
            pid: 4711,
            unix_ms: 1_700_000_000_000,
        };
        assert_eq!(ledger.read()?, std::slice::from_ref(&first));

        writeln!(file, " 1 4711 1700000000001")?;
        let entries = ledger.read()?;
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].at, entries[1].offset, entries[1].id.as_str()), (34, Offset(1), "-"));
        Ok(())
    }

    #[test]
    fn a_line_of_something_else_is_refused() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        writeln!(file.as_file(), "3 17 key-1 9 2 4711 1700000000000 more")?;
        assert!(Ledger::at(file.path()).read().is_err());
        Ok(())
    }
}
