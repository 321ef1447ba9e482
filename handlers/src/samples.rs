//! Sample orders for the demo: a few customers, and now and then an order that can't be handled.

use std::time::Duration;

use async_trait::async_trait;
use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
use daemonry::kafka::{KafkaConfig, KafkaProducer};
use daemonry::record::Topic;
use tracing::warn;

use crate::orders::CREATED;

const CUSTOMERS: [&str; 4] = ["ada", "grace", "edsger", "barbara"];

/// A daemon that writes an order every 200 ms.
#[derive(Debug)]
pub(crate) struct SampleOrders {
    kafka: Option<KafkaConfig>,
}

impl SampleOrders {
    /// On this cluster; without one it can't start.
    pub(crate) fn new(kafka: Option<KafkaConfig>) -> Self {
        Self { kafka }
    }
}

#[async_trait]
impl Daemon for SampleOrders {
    fn name(&self) -> &str {
        "samples"
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        let kafka = self.kafka.ok_or_else(|| DaemonError::config("the configuration has no cluster `main`"))?;
        let producer = KafkaProducer::new(&kafka).map_err(DaemonError::config)?;
        let topic = Topic::from(CREATED);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        context.health().ready();
        for id in 1_u64.. {
            tokio::select! {
                () = context.stopped() => break,
                _ = ticks.tick() => context.health().heartbeat(),
            }
            let customer = CUSTOMERS[usize::try_from(id).unwrap_or(0) % CUSTOMERS.len()];
            let value = match id {
                id if id % 25 == 0 => format!("order {id}, but not as JSON"),
                id if id % 10 == 0 => format!(r#"{{"id":{id},"customer":"{customer}","cents":0}}"#),
                id => format!(r#"{{"id":{id},"customer":"{customer}","cents":{}}}"#, id * 10),
            };
            let sent =
                producer.send(&topic, Some(customer.as_bytes()), Some(value.as_bytes()), [].into_iter(), None).await;
            if let Err(error) = sent {
                warn!(daemon = context.name(), %error, "sample order was not written");
            }
        }
        Ok(Ended::Drained)
    }
}
