//! Back to the brokers of the configuration, for a client that knows none any more.
//!
//! Owner: whoever looks after the client. The brokers may list none of themselves for a moment: a cluster of one, when its controller missed it
//! for a session, or a whole one that was cut off from its controllers. librdkafka lets go of all that it knew then, and is to begin anew with
//! those of the configuration; but where the answer that named none is finished with a moment later than the connection that it came by, it
//! takes the plan for that back as well, and never makes another one. Such a client finds nobody for as long as it lives.

use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use tracing::warn;

use super::config::KafkaConfig;
use super::native::{add_brokers, knows_brokers};

/// How long it may take to find one. Each time costs a few bytes for as long as the client lives.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Bootstrap {
    brokers: String,
    /// Whether it ever knew one: before, it is on its way.
    knew: bool,
    shown: Option<Instant>,
}

impl Bootstrap {
    /// For a client of this configuration that has just been made.
    pub(super) fn new(config: &KafkaConfig) -> Self {
        Self { brokers: config.brokers.clone(), knew: false, shown: None }
    }

    /// Looks whether the client knows a broker, and names it those of the configuration if it does so no longer. To be called from time to
    /// time.
    pub(super) fn look<C: ClientContext>(&mut self, client: &Client<C>) {
        if knows_brokers(client) {
            self.knew = true;
        } else if self.knew && self.shown.is_none_or(|shown| shown.elapsed() >= PATIENCE) {
            self.shown = Some(Instant::now());
            warn!(
                brokers = self.brokers,
                "the brokers listed none of themselves, a Kafka client begins with those of its configuration again"
            );
            add_brokers(client, &self.brokers);
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;

    use super::*;

    #[test]
    fn a_client_that_knows_nobody_any_more_begins_with_the_configured_brokers() {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        // As one that has lost them all: there is nobody that it finds by itself.
        let nowhere: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", "127.0.0.1:1").create().expect("valid");
        let mut bootstrap = Bootstrap::new(&KafkaConfig::new(cluster.bootstrap_servers(), "g"));
        bootstrap.look(nowhere.client());
        assert!(bootstrap.shown.is_none(), "it is on its way");
        bootstrap.knew = true;
        bootstrap.look(nowhere.client());
        nowhere.fetch_metadata(None, Duration::from_secs(40)).expect("it has found one");
        assert!(knows_brokers(nowhere.client()));
    }
}
