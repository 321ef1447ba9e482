//! The payment provider, in its sandbox. As real ones do, it has cards that misbehave on purpose:
//!
//! | card | what happens |
//! |---|---|
//! | `slow` | it takes 800 ms |
//! | `busy` | the first two attempts are refused, the third is good |
//! | any other | it is charged within 10 ms |

use std::time::Duration;

use tokio::time::sleep;

/// A client of the provider. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Payments {
    usual: Duration,
    slow: Duration,
}

/// The provider takes no more just now.
#[derive(Debug)]
pub(crate) struct Busy;

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the payment provider is busy")
    }
}

impl std::error::Error for Busy {}

impl Payments {
    pub(crate) fn sandbox() -> Self {
        Self { usual: Duration::from_millis(10), slow: Duration::from_millis(800) }
    }

    /// Charges a card, for the `attempt`-th time.
    pub(crate) async fn charge(&self, card: &str, _cents: u64, attempt: u32) -> Result<(), Busy> {
        sleep(if card == "slow" { self.slow } else { self.usual }).await;
        if card == "busy" && attempt < 3 { Err(Busy) } else { Ok(()) }
    }
}
