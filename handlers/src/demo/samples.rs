//! Sample orders: a few customers, and orders of every kind that a handler has to cope with.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use daemonry::daemon::{Daemon, DaemonContext, DaemonError, Ended};
use daemonry::kafka::{KafkaConfig, KafkaProducer};
use daemonry::producer::Producer;
use daemonry::record::OwnedRecord;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::orders::CREATED;

const CUSTOMERS: [&str; 6] = ["ada", "grace", "edsger", "barbara", "alan", "margaret"];
/// Time between two orders.
const PACE: Duration = Duration::from_millis(20);

/// A daemon that writes orders until it is stopped.
#[derive(Debug)]
pub(super) struct SampleOrders {
    kafka: Option<KafkaConfig>,
}

impl SampleOrders {
    /// On this cluster; without one it can't start.
    pub(super) fn new(kafka: Option<KafkaConfig>) -> Self {
        Self { kafka }
    }
}

/// The order of this number, as its record's value; `None` for a tombstone.
fn order(id: u64, customer: &str) -> Option<String> {
    // Numbers that share no divisor, so that each customer gets each kind in turn.
    let with = |card: &str, cents: u64| {
        Some(format!(r#"{{"id":{id},"customer":"{customer}","card":"{card}","cents":{cents}}}"#))
    };
    match id {
        id if id % 127 == 0 => Some(format!("order {id}, but not as JSON")),
        id if id % 83 == 0 => with("visa", 0),
        id if id % 53 == 0 => None,
        id if id % 61 == 0 => with("busy", id * 10),
        id if id % 37 == 0 => with("slow", id * 10),
        id => with("visa", id * 10),
    }
}

#[async_trait]
impl Daemon for SampleOrders {
    fn name(&self) -> &str {
        "samples"
    }

    async fn run(self: Box<Self>, context: DaemonContext) -> Result<Ended, DaemonError> {
        let kafka = self.kafka.ok_or_else(|| DaemonError::config("the configuration has no cluster `main`"))?;
        let producer = Producer::new(Arc::new(KafkaProducer::new(&kafka).map_err(DaemonError::config)?));
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        context.health().ready();
        for (id, customer) in (1..).zip(CUSTOMERS.iter().cycle()) {
            tokio::select! {
                biased;
                () = context.stopped() => break,
                _ = ticks.tick() => context.health().heartbeat(),
            }
            let value = order(id, customer).map(String::into_bytes);
            let record = OwnedRecord { value, ..OwnedRecord::new("").with_key(*customer) };
            if let Err(error) = producer.send(CREATED, record).await {
                warn!(daemon = context.name(), topic = CREATED, %error, "sample order was not written");
            }
        }
        Ok(Ended::Drained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_order_comes_within_the_first_seconds() {
        let orders: Vec<_> = (1..250).map(|id| order(id, "ada")).collect();
        let count = |is: fn(&Option<String>) -> bool| orders.iter().filter(|order| is(order)).count();
        assert_eq!(count(Option::is_none), 4);
        for part in ["slow", "busy", r#""cents":0"#, "not as JSON"] {
            assert!(orders.iter().flatten().any(|order| order.contains(part)), "{part}");
        }
    }
}
