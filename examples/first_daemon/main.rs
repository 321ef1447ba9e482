//! The shop's daemon: handles the orders that are created.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use daemonry::app::{App, Launch};
use daemonry::handler::extract::Json;
use daemonry::handler::{HandlerError, ProcessingOrder, Router, on};
use daemonry::kafka::{EmbeddedCluster, KafkaConfig, KafkaProducer};
use daemonry::producer::Producer;
use daemonry::record::OwnedRecord;
use daemonry::retry::RetryPolicy;
use daemonry::shutdown::Exit;
use tracing::info;

#[derive(serde::Deserialize)]
struct Order {
    id: u64,
    cents: u64,
}

async fn create(Json(order): Json<Order>) -> Result<(), HandlerError> {
    if order.cents == 0 {
        return Err(HandlerError::poison(anyhow::anyhow!("order {} costs nothing", order.id)));
    }
    store(&order).await?; // any `?` is retried
    Ok(())
}

async fn store(order: &Order) -> std::io::Result<()> {
    info!(order = order.id, cents = order.cents, "order stored"); // your database
    Ok(())
}

fn router() -> Router {
    let create = on(create)
        .order(ProcessingOrder::Key)
        .retry(RetryPolicy::exponential().max_retries(5))
        .dead_letter("orders.created.dlq")
        .timeout(Duration::from_secs(30));
    Router::new().topic("orders.created", create)
}

/// Handles three orders on a Kafka inside the process, until Ctrl-C.
fn demo(launch: Launch) -> anyhow::Result<Exit> {
    let cluster = EmbeddedCluster::start(&[("orders.created", 4), ("orders.created.dlq", 4)])?;
    let kafka = KafkaProducer::new(&KafkaConfig::new(cluster.brokers(), "shop"))?;
    let producer = Producer::new(Arc::new(kafka));
    tokio::runtime::Runtime::new()?.block_on(async {
        for value in [r#"{"id":1,"cents":990}"#, r#"{"id":2,"cents":0}"#, r#"{"id":3,"cents":450}"#] {
            producer.send("orders.created", OwnedRecord::new(value).with_key("ada")).await?;
        }
        anyhow::Ok(())
    })?;
    let exit = launch
        .file(Path::new("config/shop.yaml"))
        .set("kafka.main.brokers", cluster.brokers())
        .set("kafka.main.protocol", "consumer")
        .run();
    Ok(exit)
}

fn app() -> App {
    App::new("shop").consumer("orders", router()).command("demo", "Handles three orders, without a Kafka", demo)
}

fn main() -> ExitCode {
    app().main()
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemonry::pipeline::dead_letter::Reason;
    use daemonry::testing::TestDaemon;

    #[tokio::test(start_paused = true)]
    async fn an_order_that_costs_nothing_is_a_dead_letter_and_holds_nobody_up() {
        let daemon = TestDaemon::start(router());
        for value in [r#"{"id":1,"cents":0}"#, r#"{"id":2,"cents":990}"#] {
            daemon.send("orders.created", OwnedRecord::new(value).with_key("ada"));
        }
        daemon.settled().await;
        assert_eq!(daemon.counts().succeeded, 1);
        let letters = daemon.letters("orders.created");
        assert_eq!((letters.len(), letters[0].reason), (1, Reason::Poison));
    }

    #[test]
    fn the_configuration_can_work() {
        app().check_text("config/shop.yaml", include_str!("../config/shop.yaml")).expect("it names what there is");
    }
}
