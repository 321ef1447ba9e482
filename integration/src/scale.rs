//! How much of it: the same scenarios make a few kills in `make test`, and hundreds in `make faults`.

use std::env;
use std::time::Duration;

use anyhow::{Result, bail};

/// The variable that says which.
const VARIABLE: &str = "DAEMONRY_FAULTS";

/// How much a scenario does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// A minute at most: by default.
    Quick,
    /// As much as shows rare things too: `DAEMONRY_FAULTS=long`.
    Long,
}

impl Scale {
    /// What the environment says.
    ///
    /// # Errors
    /// When it says something else than `quick` or `long`.
    pub fn of_environment() -> Result<Self> {
        match env::var(VARIABLE).as_deref() {
            Err(env::VarError::NotPresent) | Ok("" | "quick") => Ok(Self::Quick),
            Ok("long") => Ok(Self::Long),
            other => bail!("{VARIABLE} is {other:?}: say `quick` or `long`"),
        }
    }

    /// One or the other.
    pub fn of<T>(self, quick: T, long: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Long => long,
        }
    }
}

/// What the environment says, in seconds.
///
/// # Errors
/// As [`Scale::of_environment`].
pub fn seconds(quick: u64, long: u64) -> Result<Duration> {
    Ok(Duration::from_secs(Scale::of_environment()?.of(quick, long)))
}
