//! Why a command was not done, and so its exit code.

use std::fmt;
use std::io::{self, Write};

use crate::config::Faults;
use crate::dead_letters::LettersError;
use crate::kafka::{AdminError, ConfigError};
use crate::payload::harmless;
use crate::shutdown::Exit;

#[derive(Debug)]
pub(super) enum Failure {
    /// What was asked for can't be meant. Says what can.
    Usage(String),
    /// What is wrong with a configuration file.
    Configuration(Faults),
    /// It could not be done. Says what to do about it.
    Failed(String),
    /// Nobody listens any more, as behind `| head`.
    Unheard,
}

impl Failure {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    pub(super) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// Says it, and how the process is to end.
    pub(super) fn tell(self, to: &mut impl Write) -> Exit {
        let (text, exit) = match &self {
            Self::Usage(_) => (format!("error: {self}\n"), Exit::Misconfigured),
            Self::Configuration(_) => (format!("{self}\n"), Exit::Misconfigured),
            Self::Failed(_) => (format!("error: {self}\n"), Exit::Failed),
            Self::Unheard => return Exit::Drained,
        };
        // Where nobody listens the exit code still tells.
        to.write_all(text.as_bytes()).ok();
        exit
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Failed(text) => f.write_str(text),
            Self::Configuration(faults) => faults.fmt(f),
            Self::Unheard => f.write_str("nobody listens any more"),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Configuration(faults)
    }
}

impl From<io::Error> for Failure {
    /// Of writing an answer.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unheard,
            _ => Self::Failed(format!("the answer can't be written: {error}")),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<LettersError> for Failure {
    fn from(error: LettersError) -> Self {
        // Names in it may be a letter's own.
        let text = harmless(&error.to_string());
        match error {
            LettersError::Unusable(_) | LettersError::AnotherRequest(_) => Self::Usage(text),
            _ => Self::Failed(text),
        }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        Self::Failed(error.to_string())
    }
}
