//! What a daemon reads, for whoever asks about it: known once it has begun, and through its restarts.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::pipeline::subscription::Subscription;
#[cfg(feature = "api")]
use crate::record::Topic;
use crate::records::Records;

/// See the module.
#[derive(Debug)]
#[cfg_attr(not(feature = "api"), allow(dead_code, reason = "it is the API that asks"))]
pub(crate) struct Reading {
    subscription: Subscription,
    /// Reads its topics beside it, where its source can.
    records: Option<Records>,
}

/// Where that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<Option<Arc<Reading>>>>);

impl Reading {
    pub(crate) fn new(subscription: Subscription, records: Option<Records>) -> Self {
        Self { subscription, records }
    }

    /// Its topics, by name and in order.
    #[cfg(feature = "api")]
    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.subscription.topics()
    }

    /// The patterns of the others.
    #[cfg(feature = "api")]
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.subscription.patterns().map(crate::handler::TopicPattern::as_str)
    }

    /// What reads a topic's records, where the daemon reads it.
    #[cfg(feature = "api")]
    pub(crate) fn records(&self, topic: &Topic) -> Option<&Records> {
        self.records.as_ref().filter(|_| self.subscription.tag(topic).is_some())
    }
}

impl Known {
    pub(super) fn know(&self, reading: Reading) {
        *self.0.lock() = Some(Arc::new(reading));
    }

    #[cfg(feature = "api")]
    pub(super) fn now(&self) -> Option<Arc<Reading>> {
        self.0.lock().clone()
    }
}
