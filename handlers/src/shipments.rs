//! Shipments: what orders ask for, handed to the carrier many at a time.

use std::time::Duration;

use daemonry::handler::extract::Json;
use daemonry::handler::{HandlerError, ProcessingOrder, Router, on_batch};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::info;

use crate::state::AppState;

/// One record a shipment, keyed by customer.
pub(crate) const REQUESTED: &str = "shipments.requested";
/// Shipments that could not be handled.
pub(crate) const REQUESTED_LETTERS: &str = "shipments.requested.dlq";

/// A shipment of one order.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Shipment {
    pub(crate) order: u64,
    pub(crate) customer: String,
}

/// The topics of this family.
pub(crate) fn router() -> Router<AppState> {
    let route = on_batch(hand_over).max(50).within(Duration::from_millis(250));
    Router::new().topic(REQUESTED, route.order(ProcessingOrder::Key).dead_letter(REQUESTED_LETTERS))
}

/// Hands them to the carrier, in one go.
async fn hand_over(batch: Vec<Json<Shipment>>) -> Result<(), HandlerError> {
    sleep(Duration::from_millis(20)).await; // your carrier's interface
    info!(shipments = batch.len(), "handed to the carrier");
    Ok(())
}

#[cfg(test)]
mod tests {
    use daemonry::record::OwnedRecord;
    use daemonry::testing::TestDaemon;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shipments_go_in_batches_and_what_is_none_to_the_dead_letters() {
        let daemon = TestDaemon::start(router().with_state(AppState::sandbox()));
        for order in 1..=100 {
            let shipment = Shipment { order, customer: format!("customer {}", order % 10) };
            let record = OwnedRecord::json(&shipment).expect("it is JSON").with_key(shipment.customer);
            daemon.send(REQUESTED, record);
        }
        daemon.send(REQUESTED, OwnedRecord::new("no shipment").with_key("ada"));
        daemon.settled().await;
        assert_eq!((daemon.counts().succeeded, daemon.letters(REQUESTED).len()), (100, 1));
        assert!(daemon.metrics().processing.count() < 101, "fewer calls than records");
        daemon.stop().await.expect("it ends well");
    }
}
