//! Where the brokers are that the tests talk to.
//!
//! There is one way in, the variable `KAFKA_BROKERS`: `with-kafka` sets it for what it runs.

use std::env;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// The bootstrap servers that this test is to use, `host:port[,host:port…]`.
///
/// # Errors
/// When `KAFKA_BROKERS` is not set: nothing is skipped and nothing is started behind the caller's back.
pub fn brokers() -> Result<String> {
    env::var("KAFKA_BROKERS")
        .ok()
        .filter(|brokers| !brokers.trim().is_empty())
        .context("KAFKA_BROKERS is not set: run `make test`, which starts a broker, or set it to the address of one")
}

/// Asks `brokers` for the cluster's metadata once, waiting `timeout` at most.
///
/// # Errors
/// When none of them answers in time, or what answers knows of no live broker yet.
pub fn answers(brokers: &str, timeout: Duration) -> Result<()> {
    let client: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "200")
        .create()
        .with_context(|| format!("cannot make a Kafka client for `{brokers}`"))?;
    let metadata = client
        .fetch_metadata(None, timeout)
        .with_context(|| format!("no broker answers at `{brokers}` within {timeout:?}"))?;
    ensure!(!metadata.brokers().is_empty(), "`{brokers}` answers, but knows of no live broker");
    Ok(())
}
