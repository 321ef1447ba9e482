//! What operators would else change of a daemon while it runs.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::shown::Scope;
use crate::config::units::PerTime;
use crate::pipeline::control::Layer;
use crate::record::{Offset, TopicPartition};

/// What operators would else change through the API, for good; `overrides --as-config` prints what they have changed like this.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct OverridesSection {
    /// What is paused: each a topic, a partition of it, or a key; `{}` is all that the daemon reads.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) paused: Vec<Scope>,
    /// Attempts that may begin in each process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<PerTime>,
    /// Attempts of each single key that may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_rate: Option<PerTime>,
    /// Workers that may be at something in each process, in place of what `scaling` finds right.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<NonZeroUsize>,
    /// Records that are passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) skipped: Vec<SkippedRecord>,
}

/// A record that is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SkippedRecord {
    /// Its topic.
    pub(crate) topic: String,
    /// Its partition.
    #[schemars(range(min = 0))]
    pub(crate) partition: i32,
    /// Its offset there.
    #[schemars(range(min = 0))]
    pub(crate) offset: i64,
}

impl OverridesSection {
    pub(in crate::config) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What it means, without what means nothing.
    pub(in crate::config) fn layer(&self) -> Layer {
        let Self { paused, rate, key_rate, workers, skipped } = self;
        let skip = |of: &SkippedRecord| (TopicPartition::new(of.topic.as_str(), of.partition), Offset(of.offset));
        Layer {
            paused: paused.iter().filter_map(|scope| scope.clone().meant().ok()).collect(),
            rate: rate.map(|PerTime(rate)| rate),
            key_rate: key_rate.map(|PerTime(rate)| rate),
            workers: *workers,
            skips: skipped.iter().map(skip).collect(),
        }
    }
}
