//! What an operator wants to know of a cluster beside its topics: its brokers, their settings and those of topics, and our rights.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use super::admin::{AdminError, KafkaAdmin};
use super::describe::list;
use super::native::Rights;
use crate::record::Topic;

/// How long the brokers may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Names and values of what is set, defaults among it. Those that are secret are not told.
pub(crate) type Settings = BTreeMap<String, String>;

/// A broker, as the cluster tells clients to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokerAddress {
    /// Its number.
    pub(crate) id: i32,
    /// Its advertised listener, `host:port`.
    pub(crate) address: String,
}

impl KafkaAdmin {
    /// The cluster's brokers, as whoever answers within `patience` knows them.
    ///
    /// # Errors
    /// Where nobody does.
    pub(crate) async fn brokers(&self, patience: Duration) -> Result<Vec<BrokerAddress>, AdminError> {
        self.ask(move |client| {
            let metadata = client.fetch_metadata(None, patience);
            let metadata = metadata
                .map_err(|error| error.rdkafka_error_code().unwrap_or(rdkafka::error::RDKafkaErrorCode::Unknown))?;
            let brokers = metadata.brokers().iter().map(|broker| {
                let address = format!("{}:{}", broker.host(), broker.port());
                BrokerAddress { id: broker.id(), address }
            });
            Ok(brokers.collect())
        })
        .await
    }

    /// What we may do with these topics, which must be there; one of which the brokers don't tell is left out.
    ///
    /// # Errors
    /// Where no broker answers.
    pub(crate) async fn rights(&self, topics: &[Topic]) -> Result<BTreeMap<Topic, Rights>, AdminError> {
        let topics = topics.to_vec();
        let rights = self.ask(move |client| Ok(list(client, PATIENCE)?.rights(client, &topics))).await?;
        Ok(rights.into_iter().collect())
    }

    /// Settings of these topics. One that isn't there, or of which we may not know them (`DESCRIBE_CONFIGS`), is left out.
    ///
    /// # Errors
    /// Where no broker answers.
    pub(crate) async fn topic_settings(&self, topics: &[Topic]) -> Result<BTreeMap<Topic, Settings>, AdminError> {
        if topics.is_empty() {
            return Ok(BTreeMap::new());
        }
        let resources: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic.as_str())).collect();
        let settings = self.settings(&resources).await?.into_iter().filter_map(|resource| match &resource.specifier {
            OwnedResourceSpecifier::Topic(topic) => Some((Topic::from(topic), values(&resource)?)),
            OwnedResourceSpecifier::Group(_) | OwnedResourceSpecifier::Broker(_) => None,
        });
        Ok(settings.collect())
    }

    /// Settings of a broker; `None` where we may not know them (`DESCRIBE_CONFIGS` on the cluster).
    ///
    /// # Errors
    /// Where it doesn't answer.
    pub(crate) async fn broker_settings(&self, broker: i32) -> Result<Option<Settings>, AdminError> {
        Ok(self.settings(&[ResourceSpecifier::Broker(broker)]).await?.first().and_then(values))
    }

    async fn settings(&self, resources: &[ResourceSpecifier<'_>]) -> Result<Vec<ConfigResource>, AdminError> {
        // For this question only: its client's errors are heard of by nobody.
        let client = self.config.other().create();
        let client: AdminClient<DefaultClientContext> =
            client.map_err(|error| AdminError::Unavailable(self.config.refused(&error).to_string()))?;
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let told = client.describe_configs(resources, &options).await;
        let told = told.map_err(|error| AdminError::Unavailable(error.to_string()));
        // Its end waits for its threads.
        tokio::task::spawn_blocking(move || drop(client));
        Ok(told?.into_iter().flatten().collect())
    }
}

/// None where nothing was told: every resource has some.
fn values(resource: &ConfigResource) -> Option<Settings> {
    let set = resource.entries.iter().filter_map(|entry| Some((entry.name.clone(), entry.value.clone()?)));
    Some(set.collect()).filter(|settings: &Settings| !settings.is_empty())
}
