//! What the handlers share.

use daemonry::app::Setup;
use daemonry::handler::extract::FromRef;

use crate::payments::Payments;

/// The program's state: connection pools, clients, settings. Made once, before any daemon starts.
#[derive(Clone, Debug)]
pub(crate) struct AppState {
    payments: Payments,
}

impl AppState {
    /// Connects to what the handlers need.
    pub(crate) async fn connect(_setup: Setup) -> anyhow::Result<Self> {
        Ok(Self::sandbox())
    }

    /// On nothing but this process: for tests.
    pub(crate) fn sandbox() -> Self {
        Self { payments: Payments::sandbox() }
    }
}

impl FromRef<AppState> for Payments {
    fn from_ref(state: &AppState) -> Self {
        state.payments.clone()
    }
}
