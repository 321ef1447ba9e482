//! What a daemon reads, as it is shown.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::handler::TopicPattern;
use crate::pipeline::control::Reading;
use crate::record::Topic;

/// So many topics and patterns are told, at most.
const MOST: usize = 200;

/// The topics that a daemon's routes are for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Reads {
    /// Those with a route of their own: two hundred at most.
    pub(crate) topics: Vec<String>,
    /// Patterns of others.
    pub(crate) patterns: Vec<String>,
    /// How many of both are left out.
    #[serde(default)]
    pub(crate) left_out: usize,
}

impl Reads {
    pub(super) fn of(reading: &Reading) -> Self {
        let topics: Vec<String> = reading.topics().take(MOST).map(Topic::to_string).collect();
        let patterns: Vec<String> = reading.patterns().take(MOST).map(str::to_owned).collect();
        let left_out = reading.topics().count() + reading.patterns().count() - topics.len() - patterns.len();
        Self { topics, patterns, left_out }
    }

    /// Leaves out half of it. Whether there was anything.
    pub(super) fn shorten(&mut self) -> bool {
        let all = self.topics.len() + self.patterns.len();
        self.topics.truncate(self.topics.len() / 2);
        self.patterns.truncate(self.patterns.len() / 2);
        self.left_out += all - self.topics.len() - self.patterns.len();
        all > 0
    }

    /// Whether it may read this one.
    pub(crate) fn has(&self, topic: &str, known: &mut Patterns) -> bool {
        let by_name = self.left_out > 0 || self.topics.iter().any(|one| one == topic);
        by_name || self.patterns.iter().any(|pattern| known.is_match(pattern, topic))
    }
}

/// Patterns that processes have told, each compiled once however many of them have it.
#[derive(Debug, Default)]
pub(crate) struct Patterns(HashMap<String, Option<TopicPattern>>);

impl Patterns {
    fn is_match(&mut self, pattern: &str, topic: &str) -> bool {
        if !self.0.contains_key(pattern) {
            self.0.insert(pattern.to_owned(), TopicPattern::new(pattern).ok());
        }
        self.0.get(pattern).and_then(Option::as_ref).is_some_and(|pattern| pattern.matches(&topic.into()))
    }
}
