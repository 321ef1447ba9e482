//! A system's clock for the processes of a test, which jumps when the test says so; nobody else's does.
//!
//! The monotonic clock stays true. libfaketime would not do: whoever waits for a time of the system's clock, as librdkafka does in all its threads,
//! would wait by the true one.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::member::Flags;

/// What is loaded into the processes.
const SOURCE: &str = include_str!("clock.c");

/// See the module.
#[derive(Debug)]
pub struct Clock {
    library: PathBuf,
    path: PathBuf,
    file: File,
}

impl Clock {
    /// One that is right, with its files in this directory.
    ///
    /// # Errors
    /// When the C compiler, which a build needs too, can't be run or fails.
    pub fn start(directory: &Path) -> Result<Self> {
        let [source, library, path] = ["clock.c", "clock.so", "clock"].map(|name| directory.join(name));
        std::fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc").args(["-O1", "-shared", "-fPIC", "-o"]).args([&library, &source]).output();
        let compiled = compiled.context("`cc` can't be run: install a C compiler")?;
        ensure!(compiled.status.success(), "no clock: {}", String::from_utf8_lossy(&compiled.stderr));
        let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        let clock = Self { library, path, file };
        clock.set(0)?;
        Ok(clock)
    }

    /// Has it be off by so many seconds from now on.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn set(&self, seconds: i64) -> Result<()> {
        Ok(self.file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }

    /// The same for processes that are to go by it.
    #[must_use]
    pub fn given(&self, flags: Flags) -> Flags {
        flags.env("LD_PRELOAD", &self.library).env("DAEMONRY_CLOCK", &self.path)
    }
}
