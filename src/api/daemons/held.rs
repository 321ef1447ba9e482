//! Why a partition is held back, as it is shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pipeline::view;

/// Why nothing more of a partition is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HeldBack {
    /// What is finished could no longer be remembered in the commit's metadata; or nothing is, before the first commit.
    Window,
    /// The bound of the parked records is reached.
    Parked,
    /// A dead letter can't be written.
    DeadLetter,
    /// Somebody has paused it.
    Paused,
    /// The circuit breaker of its route is open.
    CircuitBreaker,
}

impl HeldBack {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Parked => "parked",
            Self::DeadLetter => "dead_letter",
            Self::Paused => "paused",
            Self::CircuitBreaker => "circuit_breaker",
        }
    }
}

impl From<view::HeldBack> for HeldBack {
    fn from(held: view::HeldBack) -> Self {
        match held {
            view::HeldBack::Window => Self::Window,
            view::HeldBack::Parked => Self::Parked,
            view::HeldBack::DeadLetter => Self::DeadLetter,
            view::HeldBack::Paused => Self::Paused,
            view::HeldBack::CircuitBreaker => Self::CircuitBreaker,
        }
    }
}
