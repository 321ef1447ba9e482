//! The lag of a daemon's partitions, exposed for as long as somebody holds a partition's.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::{GaugeVec, IntGaugeVec};

use super::{Gauge, SecondsGauge};
use crate::record::TopicPartition;

/// The metrics of one assigned partition.
#[derive(Debug)]
pub struct PartitionMetrics {
    /// Offsets from the partition's oldest unfinished record to its end.
    pub lag_messages: Gauge,
    /// Age of the partition's oldest unfinished record.
    pub lag_seconds: SecondsGauge,
    topic_partition: TopicPartition,
    lag: Arc<Lag>,
}

impl Drop for PartitionMetrics {
    fn drop(&mut self) {
        self.lag.release(&self.topic_partition);
    }
}

/// The lag of a daemon's partitions, and how many handles each of them has.
#[derive(Debug)]
pub(super) struct Lag {
    messages: IntGaugeVec,
    seconds: GaugeVec,
    holders: Mutex<HashMap<TopicPartition, usize>>,
}

impl Lag {
    /// Of no partition yet.
    pub(super) fn new(messages: IntGaugeVec, seconds: GaugeVec) -> Self {
        Self { messages, seconds, holders: Mutex::default() }
    }

    pub(super) fn hold(self: &Arc<Self>, topic_partition: TopicPartition) -> PartitionMetrics {
        let mut holders = self.holders.lock();
        *holders.entry(topic_partition.clone()).or_default() += 1;
        let partition = topic_partition.partition.to_string();
        let labels = [topic_partition.topic.as_str(), &partition];
        PartitionMetrics {
            lag_messages: Gauge(self.messages.with_label_values(&labels)),
            lag_seconds: SecondsGauge(self.seconds.with_label_values(&labels)),
            topic_partition,
            lag: Arc::clone(self),
        }
    }

    pub(super) fn total(&self) -> u64 {
        let holders = self.holders.lock();
        let of = |place: &TopicPartition| {
            self.messages.with_label_values(&[place.topic.as_str(), &place.partition.to_string()]).get()
        };
        holders.keys().map(|place| u64::try_from(of(place)).unwrap_or(0)).sum()
    }

    fn release(&self, topic_partition: &TopicPartition) {
        let mut holders = self.holders.lock();
        let Some(count) = holders.get_mut(topic_partition) else { return };
        *count -= 1;
        if *count == 0 {
            holders.remove(topic_partition);
            let partition = topic_partition.partition.to_string();
            let labels = [topic_partition.topic.as_str(), &partition];
            // Held under the lock, the labels are there.
            drop(self.messages.remove_label_values(&labels));
            drop(self.seconds.remove_label_values(&labels));
        }
    }
}
