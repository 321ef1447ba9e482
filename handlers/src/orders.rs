//! Orders: what happens when one is created. It is paid, and its shipment is asked for.

use std::time::Duration;

use anyhow::anyhow;
use daemonry::handler::extract::{Attempt, Json, Producer, State};
use daemonry::handler::{HandlerError, ProcessingOrder, Router, on};
use daemonry::record::OwnedRecord;
use daemonry::retry::RetryPolicy;
use serde::Deserialize;
use tracing::info;

use crate::payments::Payments;
use crate::shipments::{self, Shipment};
use crate::state::AppState;

/// One record an order, keyed by customer. A tombstone withdraws it.
pub(crate) const CREATED: &str = "orders.created";
/// Orders that could not be handled.
pub(crate) const CREATED_LETTERS: &str = "orders.created.dlq";

/// An order as the shop sends it.
#[derive(Debug, Deserialize)]
struct OrderCreated {
    id: u64,
    customer: String,
    card: String,
    cents: u64,
}

/// The topics of this family.
pub(crate) fn router() -> Router<AppState> {
    Router::new().topic(
        CREATED,
        on(create)
            .order(ProcessingOrder::Key)
            .retry(RetryPolicy::exponential().max_retries(5))
            .dead_letter(CREATED_LETTERS)
            .timeout(Duration::from_secs(30)),
    )
}

async fn create(
    State(payments): State<Payments>,
    order: Option<Json<OrderCreated>>,
    Attempt(attempt): Attempt,
    producer: Producer,
) -> Result<(), HandlerError> {
    let Some(Json(order)) = order else { return Err(HandlerError::skip("the order was withdrawn")) };
    if order.cents == 0 {
        return Err(HandlerError::poison(anyhow!("order {} costs nothing", order.id)));
    }
    payments.charge(&order.card, order.cents, attempt).await?; // any `?` is retried
    let shipment = Shipment { order: order.id, customer: order.customer };
    let record = OwnedRecord::json(&shipment)?.with_key(shipment.customer);
    producer.send(shipments::REQUESTED, record).await?; // acknowledged before the order is finished
    info!(order = order.id, cents = order.cents, attempt, "order created");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use daemonry::handler::ErrorClass;
    use daemonry::pipeline::dead_letter::Reason;
    use daemonry::producer;
    use daemonry::testing::{Counts, MemoryBroker, TestDaemon};

    use super::*;

    fn order(card: &str, cents: u64) -> String {
        format!(r#"{{"id":1,"customer":"ada","card":"{card}","cents":{cents}}}"#)
    }

    /// Calls the handler as the plain function it is; answers what came of it, and how many shipments it asked for.
    async fn created(order: Option<&str>, attempt: u32) -> (Result<(), ErrorClass>, usize) {
        let broker = MemoryBroker::new();
        broker.create_topic(shipments::REQUESTED, 1);
        let producer = producer::Producer::new(Arc::new(broker.clone())).into();
        let order = order.map(|json| Json(serde_json::from_str(json).expect("an order")));
        let result = create(State(Payments::sandbox()), order, Attempt(attempt), producer).await;
        (result.map_err(|error| error.class()), broker.records(shipments::REQUESTED, 0).len())
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_is_paid_and_shipped() {
        assert_eq!(created(Some(&order("visa", 990)), 1).await, (Ok(()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_is_tried_again_while_payments_are_busy() {
        assert_eq!(created(Some(&order("busy", 990)), 2).await, (Err(ErrorClass::Retry), 0));
        assert_eq!(created(Some(&order("busy", 990)), 3).await, (Ok(()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_that_costs_nothing_is_poison_and_a_withdrawn_one_is_skipped() {
        assert_eq!(created(Some(&order("visa", 0)), 1).await, (Err(ErrorClass::Poison), 0));
        assert_eq!(created(None, 1).await, (Err(ErrorClass::Skip), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_route_retries_skips_and_writes_dead_letters() {
        let daemon = TestDaemon::start(router().with_state(AppState::sandbox()));
        daemon.broker().create_topic(shipments::REQUESTED, 1);
        for value in [order("visa", 0), "no order".to_owned(), order("busy", 990), order("visa", 990)] {
            daemon.send(CREATED, OwnedRecord::new(value).with_key("ada"));
        }
        daemon.send(CREATED, OwnedRecord { value: None, ..OwnedRecord::new("").with_key("ada") });
        daemon.settled().await;

        let expected = Counts { succeeded: 2, skipped: 1, dead_lettered: 2, failed_attempts: 4, retries: 2 };
        assert_eq!(daemon.counts(), expected);
        let reasons: Vec<_> = daemon.letters(CREATED).iter().map(|letter| letter.reason).collect();
        assert_eq!(reasons, [Reason::Poison, Reason::Undecodable]);
        assert_eq!(daemon.sent(shipments::REQUESTED).len(), 2);
        daemon.stop().await.expect("it ends well");
    }
}
