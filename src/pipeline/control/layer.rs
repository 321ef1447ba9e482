//! What one of those who steer a daemon wants of it: its program by the public methods, or its operators through the API.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use super::super::arrival::hash_of;
use super::super::lanes::Keys;
use super::super::skips::Place;
use super::{Rate, Scope};
use crate::record::TopicPartition;

/// See the module. Nothing is changed by the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) paused: BTreeSet<Scope>,
    pub(crate) rate: Option<Rate>,
    pub(crate) key_rate: Option<Rate>,
    /// How many workers may be at something, in place of what the daemon is configured with.
    pub(crate) workers: Option<NonZeroUsize>,
    /// Records that are passed over.
    pub(crate) skips: BTreeSet<Place>,
}

/// What is changed, by both: what either has paused is; of numbers that of the operators counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::pipeline) struct Overrides {
    pub(super) program: Layer,
    pub(super) operators: Layer,
    /// How often somebody has asked for a seek.
    pub(super) seeks: u64,
}

impl Overrides {
    pub(in crate::pipeline) fn is_paused(&self, place: &TopicPartition) -> bool {
        self.paused().any(|scope| scope.covers(place))
    }

    pub(super) fn paused(&self) -> impl Iterator<Item = &Scope> {
        self.program.paused.iter().chain(&self.operators.paused)
    }

    pub(in crate::pipeline) fn rate(&self) -> Option<Rate> {
        self.operators.rate.or(self.program.rate)
    }

    pub(in crate::pipeline) fn key_rate(&self) -> Option<Rate> {
        self.operators.key_rate.or(self.program.key_rate)
    }

    /// Keys that are paused by themselves.
    pub(in crate::pipeline) fn paused_keys(&self) -> Keys {
        let key = |scope: &Scope| match scope {
            Scope::Key(topic, key) => Some((topic.clone(), hash_of(key))),
            Scope::All | Scope::Topic(_) | Scope::Partition(_) => None,
        };
        self.paused().filter_map(key).collect()
    }

    pub(in crate::pipeline) fn skips(&self) -> BTreeSet<Place> {
        self.program.skips.union(&self.operators.skips).cloned().collect()
    }

    pub(in crate::pipeline) fn workers(&self) -> Option<NonZeroUsize> {
        self.operators.workers.or(self.program.workers)
    }
}
