//! The circuit breaker of a topic's route.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::circuit_breaker::{CircuitBreaker, Parts};
use crate::config::units::Period;

/// What tells an outage from records that can't be handled. What is left out is as the program has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CircuitBreakerSection {
    /// Whether there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enabled: Option<bool>,
    /// It opens after so many attempts at least; where lanes are few, after twice as many as can run at once.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<usize>,
    /// It opens only for attempts over so many keys; where lanes are few, over more than half of those that have a record, and two at least.
    #[schemars(range(min = 1, max = 1_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<usize>,
    /// It opens where so large a share of the attempts failed.
    #[schemars(range(min = 0, max = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<f64>,
    /// How long an attempt counts; by default 30 s, or three timeouts where that is longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<Period>,
    /// How long it is open until a record is tried; twice as long with each further time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) open: Option<Period>,
    /// It is open for no longer than this until a record is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cap: Option<Period>,
    /// Where lanes are few, records that are tried use up their retries after it has been open for this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) patience: Option<Period>,
}

impl CircuitBreakerSection {
    /// What a route has.
    pub(in crate::config) fn of(breaker: CircuitBreaker) -> Self {
        let Parts { is_on, attempts, keys, failed, window, open, cap, patience } = breaker.parts();
        if !is_on {
            return Self { enabled: Some(false), ..Self::default() };
        }
        Self {
            enabled: Some(true),
            attempts: Some(attempts),
            keys: Some(keys),
            failed: Some(failed),
            window: window.map(Period),
            open: Some(Period(open)),
            cap: Some(Period(cap)),
            patience: Some(Period(patience)),
        }
    }

    /// The same, with what is said here in the place of what the program says.
    pub(in crate::config) fn over(&self, breaker: CircuitBreaker) -> CircuitBreaker {
        let before = breaker.parts();
        CircuitBreaker::from(Parts {
            is_on: self.enabled.unwrap_or(before.is_on),
            attempts: self.attempts.unwrap_or(before.attempts),
            keys: self.keys.unwrap_or(before.keys),
            failed: self.failed.unwrap_or(before.failed),
            window: self.window.map(|window| window.0).or(before.window),
            open: self.open.map_or(before.open, |open| open.0),
            cap: self.cap.map_or(before.cap, |cap| cap.0),
            patience: self.patience.map_or(before.patience, |patience| patience.0),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
