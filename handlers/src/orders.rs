//! Orders: what happens when one is created.

use std::time::Duration;

use anyhow::anyhow;
use daemonry::handler::extract::{Attempt, Json};
use daemonry::handler::{HandlerError, ProcessingOrder, Router, on};
use daemonry::retry::RetryPolicy;
use serde::Deserialize;
use tracing::info;

/// One record an order, keyed by customer.
pub(crate) const CREATED: &str = "orders.created";
/// Orders that could not be handled.
pub(crate) const CREATED_LETTERS: &str = "orders.created.dlq";

/// An order as the shop sends it.
#[derive(Debug, Deserialize)]
struct OrderCreated {
    id: u64,
    customer: String,
    cents: u64,
}

/// The topics of this family.
pub(crate) fn router() -> Router {
    Router::new().topic(
        CREATED,
        on(create)
            .order(ProcessingOrder::Key)
            .retry(RetryPolicy::exponential().max_retries(5))
            .dead_letter(CREATED_LETTERS)
            .timeout(Duration::from_secs(30)),
    )
}

async fn create(Json(order): Json<OrderCreated>, Attempt(attempt): Attempt) -> Result<(), HandlerError> {
    if order.cents == 0 {
        return Err(HandlerError::poison(anyhow!("order {} costs nothing", order.id)));
    }
    info!(order = order.id, customer = order.customer, cents = order.cents, attempt, "order created");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemonry::handler::ErrorClass;
    use daemonry::pipeline::dead_letter::Reason;
    use daemonry::record::OwnedRecord;
    use daemonry::testing::TestDaemon;

    fn order(cents: u64) -> Json<OrderCreated> {
        Json(OrderCreated { id: 1, customer: "ada".to_owned(), cents })
    }

    #[tokio::test]
    async fn an_order_that_costs_nothing_is_poison() {
        let error = create(order(0), Attempt(1)).await.expect_err("it must be refused");
        assert_eq!(error.class(), ErrorClass::Poison);
    }

    #[tokio::test]
    async fn an_order_is_created() {
        create(order(990), Attempt(1)).await.expect("it must succeed");
    }

    #[tokio::test(start_paused = true)]
    async fn orders_that_can_not_be_handled_become_dead_letters_and_hold_nobody_up() {
        let daemon = TestDaemon::start(router());
        for value in [r#"{"id":1,"customer":"ada","cents":0}"#, "no order", r#"{"id":3,"customer":"ada","cents":990}"#]
        {
            daemon.send(CREATED, OwnedRecord::new(value).with_key("ada"));
        }
        daemon.settled().await;
        assert_eq!(daemon.counts().succeeded, 1);
        let letters = daemon.letters(CREATED);
        let reasons: Vec<_> = letters.iter().map(|letter| letter.reason).collect();
        assert_eq!(reasons, [Reason::Poison, Reason::Undecodable]);
        daemon.stop().await.expect("it ends well");
    }
}
