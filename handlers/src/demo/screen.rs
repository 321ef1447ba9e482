//! The terminal: a block of lines that is drawn again in place, and log lines that scroll away above it.
//!
//! Owner of what stands on the terminal. The invariants: each change is one write, so nothing flickers and nothing is left halfway; and
//! between two writes the cursor is visible, in the first column of the line below the block, without colour: so there is nothing to
//! restore however the process ends, by a panic or a second Ctrl-C either.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use console::{Term, measure_text_width};
use tracing_subscriber::fmt::MakeWriter;

/// A handle of the terminal behind standard error.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    term: Term,
    block: Vec<String>,
}

impl Screen {
    /// The terminal behind standard error; `None` where there is none that a block can be drawn on.
    pub(super) fn stderr() -> Option<Self> {
        let term = Term::buffered_stderr();
        let drawable = term.is_term() && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        drawable.then(|| Self { inner: Arc::new(Mutex::new(Inner { term, block: Vec::new() })) })
    }

    /// How wide a line may be: one column less than there are, since some terminals wrap in the last one.
    pub(super) fn width(&self) -> usize {
        usize::from(self.lock().term.size().1).saturating_sub(1)
    }

    /// Draws this block in the place of the one before.
    pub(super) fn draw(&self, mut block: Vec<String>) {
        let mut inner = self.lock();
        // What is higher than the terminal could not be gone back over.
        block.truncate(usize::from(inner.term.size().0).saturating_sub(1));
        // Whoever doesn't look any more needs no error.
        inner.change("", block).ok();
    }

    /// Writes a text above the block; it stays.
    fn print(&self, text: &str) {
        let mut inner = self.lock();
        let block = inner.block.clone();
        inner.change(text, block).ok();
    }

    /// Leaves the block where it is: what is written from now on stands below it.
    pub(super) fn leave(&self) {
        self.lock().block.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes the present block away, and writes `text` and the next block; all of it in one write.
    fn change(&mut self, text: &str, block: Vec<String>) -> io::Result<()> {
        let rows = rows(&self.block, usize::from(self.term.size().1));
        self.block = block;
        self.term.move_cursor_up(rows)?;
        if rows > 0 {
            self.term.clear_to_end_of_screen()?;
        }
        self.term.write_str(text)?;
        for line in &self.block {
            self.term.write_line(line)?;
        }
        self.term.flush()
    }
}

/// How many rows these lines take on a terminal of this width: more than there are lines once it was made narrower.
fn rows(lines: &[String], width: usize) -> usize {
    lines.iter().map(|line| measure_text_width(line).div_ceil(width.max(1)).max(1)).sum()
}

/// Takes log lines, one event a write.
#[derive(Debug)]
pub(super) struct Above(Screen);

impl Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.print(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Screen {
    type Writer = Above;

    fn make_writer(&self) -> Above {
        Above(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_as_the_terminal_has_wrapped_them() {
        let lines = ["", "12345", "1234567890"].map(str::to_owned);
        assert_eq!([20, 10, 5, 4].map(|width| rows(&lines, width)), [3, 3, 4, 6]);
    }
}
