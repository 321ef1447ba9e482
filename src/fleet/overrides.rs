//! Overrides: what operators have changed of the daemons, in all processes of the program and until a time. A machine without I/O or clock.
//!
//! It is made of the entries of a log, in their order: each override stands there under a name of its own, which no other one ever gets, so that
//! whoever takes one back takes back that one. A later one counts before an earlier one.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::shown::{Destination, RateLimit, Scope};
use crate::pipeline::control::Layer;
use crate::record::{Offset, TopicPartition};

/// What is changed of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// Nothing more of it is started.
    Pause(Scope),
    /// Attempts begin at this rate at most, in each process.
    Rate(RateLimit),
    /// Those of each single key do.
    KeyRate(RateLimit),
    /// So many workers are at something at once at most, in each process.
    Workers(NonZeroUsize),
    /// A record is passed over.
    Skip { topic: String, partition: i32, offset: i64 },
}

/// What operators have changed of a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Override {
    /// Its name.
    pub(crate) id: String,
    pub(crate) daemon: String,
    pub(crate) change: Change,
    /// Who has changed it.
    pub(crate) by: String,
    /// Why.
    pub(crate) reason: String,
    /// When, in milliseconds since 1970 UTC.
    pub(crate) at: u64,
    /// Until when it holds.
    pub(crate) until: u64,
}

/// An override, and where it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Standing {
    #[serde(flatten)]
    pub(crate) of: Override,
    /// It could not be written for the others: this process alone knows of it, until its end.
    pub(crate) here_alone: bool,
}

/// A partition that is to go on elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seek {
    pub(crate) daemon: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) to: Destination,
    /// Who wants it …
    pub(crate) by: String,
    /// … and why.
    pub(crate) reason: String,
}

/// A seek, by whichever process has the partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Errand {
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) seek: Seek,
    /// Until when somebody waits for it, in milliseconds since 1970 UTC.
    pub(crate) until: u64,
}

/// What stands in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    Override(Override),
    Errand(Errand),
}

impl Entry {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Override(of) => &of.id,
            Self::Errand(errand) => &errand.id,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    /// In the order of the log.
    standing: Vec<Standing>,
}

impl Overrides {
    /// It stands from now on, in the log or here alone. Whether that is news.
    pub(super) fn set(&mut self, new: Override, here_alone: bool) -> bool {
        match self.standing.iter_mut().find(|known| known.of.id == new.id) {
            // What nobody was known to have written may have been.
            Some(known) => known.here_alone &= here_alone,
            None => {
                self.standing.push(Standing { of: new, here_alone });
                return true;
            }
        }
        false
    }

    /// The log is another one: what it does not say is no more.
    pub(super) fn begin_anew(&mut self) {
        self.standing.retain(|known| known.here_alone);
    }

    /// It is taken back.
    pub(super) fn lift(&mut self, id: &str) -> Option<Override> {
        let index = self.standing.iter().position(|known| known.of.id == id)?;
        Some(self.standing.remove(index).of)
    }

    /// What holds no longer at this time goes, and is told.
    pub(super) fn expire(&mut self, now: u64) -> Vec<Override> {
        self.standing.extract_if(.., |known| known.of.until <= now).map(|known| known.of).collect()
    }

    /// When the next one is over.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.standing.iter().map(|known| known.of.until).min()
    }

    /// They, in order.
    pub(super) fn all(&self) -> &[Standing] {
        &self.standing
    }

    /// What each daemon is to be like.
    pub(super) fn layers(&self) -> BTreeMap<&str, Layer> {
        let mut layers: BTreeMap<&str, Layer> = BTreeMap::new();
        for Standing { of: Override { daemon, change, id, .. }, .. } in &self.standing {
            let layer = layers.entry(daemon).or_default();
            if !change.add_to(layer) {
                tracing::warn!(id, daemon, ?change, "an override means nothing here, it is passed over");
            }
        }
        layers
    }
}

impl Change {
    /// What of the daemon it is about.
    pub(super) fn about(&self) -> Scope {
        match self {
            Self::Pause(scope) => scope.clone(),
            Self::Skip { topic, partition, .. } => {
                Scope { topic: Some(topic.clone()), partition: Some(*partition), key: None }
            }
            Self::Rate(_) | Self::KeyRate(_) | Self::Workers(_) => Scope::default(),
        }
    }

    /// Whether it can be meant.
    fn add_to(&self, layer: &mut Layer) -> bool {
        match self {
            Self::Pause(scope) => match scope.clone().meant() {
                Ok(scope) => drop(layer.paused.insert(scope)),
                Err(_) => return false,
            },
            Self::Rate(limit) => match limit.meant() {
                Some(rate) => layer.rate = Some(rate),
                None => return false,
            },
            Self::KeyRate(limit) => match limit.meant() {
                Some(rate) => layer.key_rate = Some(rate),
                None => return false,
            },
            Self::Workers(workers) => layer.workers = Some(*workers),
            Self::Skip { topic, partition, offset } => {
                layer.skips.insert((TopicPartition::new(topic.as_str(), *partition), Offset(*offset)));
            }
        }
        true
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pause(scope) => write!(f, "pause {scope}"),
            Self::Rate(limit) => write!(f, "rate {limit}"),
            Self::KeyRate(limit) => write!(f, "rate of a key {limit}"),
            Self::Workers(workers) => write!(f, "workers {workers}"),
            Self::Skip { topic, partition, offset } => write!(f, "skip {topic}[{partition}]@{offset}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pipeline::control::{self, Rate};

    fn of(id: &str, change: Change, until: u64) -> Override {
        let (daemon, by, reason) = ("orders".to_owned(), "ada".to_owned(), "why".to_owned());
        Override { id: id.to_owned(), daemon, change, by, reason, at: 0, until }
    }

    fn rate(attempts: u32) -> Change {
        Change::Rate(RateLimit { attempts, interval: 1_000 })
    }

    fn orders(overrides: &Overrides) -> Layer {
        overrides.layers().remove("orders").unwrap_or_default()
    }

    #[test]
    fn the_latest_counts_and_the_one_before_it_again_when_it_is_taken_back() {
        let mut overrides = Overrides::default();
        let per_second = |attempts| Rate::new(attempts, Duration::from_secs(1));
        assert!(overrides.set(of("a", rate(100), 1_000), false));
        assert!(overrides.set(of("b", rate(5), 1_000), false));
        // A log may be read again.
        assert!(!overrides.set(of("a", rate(100), 1_000), false));
        assert_eq!(orders(&overrides).rate, per_second(5));
        assert_eq!(overrides.lift("b").map(|of| of.id).as_deref(), Some("b"));
        assert_eq!(overrides.lift("b"), None);
        assert_eq!(orders(&overrides).rate, per_second(100));
    }

    #[test]
    fn what_is_over_goes() {
        let mut overrides = Overrides::default();
        let everything = Change::Pause(Scope::default());
        overrides.set(of("a", everything.clone(), 1_000), false);
        overrides.set(of("b", Change::Workers(NonZeroUsize::MIN), 2_000), false);
        assert_eq!(overrides.next_end(), Some(1_000));
        assert_eq!(overrides.expire(999), []);
        assert_eq!(orders(&overrides).paused, [control::Scope::All].into());
        assert_eq!(overrides.expire(1_000), [of("a", everything, 1_000)]);
        assert_eq!(orders(&overrides), Layer { workers: Some(NonZeroUsize::MIN), ..Layer::default() });
        assert_eq!((overrides.expire(5_000).len(), overrides.next_end()), (1, None));
    }

    #[test]
    fn a_log_that_is_made_anew_leaves_what_only_this_process_knows() {
        let mut overrides = Overrides::default();
        overrides.set(of("a", rate(1), 1_000), false);
        overrides.set(of("b", rate(2), 1_000), true);
        overrides.set(of("c", rate(3), 1_000), true);
        // It was written after all.
        assert!(!overrides.set(of("c", rate(3), 1_000), false));
        overrides.begin_anew();
        assert_eq!(overrides.all(), [Standing { of: of("b", rate(2), 1_000), here_alone: true }]);
    }

    #[test]
    fn what_means_nothing_changes_nothing() {
        let mut overrides = Overrides::default();
        overrides.set(of("a", Change::Pause(Scope { partition: Some(3), ..Scope::default() }), 1_000), false);
        overrides.set(of("b", rate(0), 1_000), false);
        assert_eq!(orders(&overrides), Layer::default());
    }

    #[test]
    fn entries_are_json_that_stays_as_it_is() {
        let entry =
            Entry::Override(of("a", Change::Pause(Scope { topic: Some("created".to_owned()), ..Scope::default() }), 9));
        let text = r#"{"override":{"id":"a","daemon":"orders","change":{"pause":{"topic":"created","partition":null}},"by":"ada","reason":"why","at":0,"until":9}}"#;
        assert_eq!(serde_json::to_string(&entry).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<Entry>(text).expect("an entry"), entry);
    }
}
