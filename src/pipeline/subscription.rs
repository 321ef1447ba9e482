//! What a source is to read: topics by their names, and topics by patterns; and of each what its lanes are.

use super::metadata::LaneTag;
use crate::handler::{Entry, Found, TopicPattern, TopicTable, Unhandled};
use crate::record::Topic;

/// Topics to read, and how the records of each are ordered. A [`Router`](crate::handler::Router::subscription) has one.
///
/// ```
/// use daemonry::handler::TopicPattern;
/// use daemonry::pipeline::subscription::Subscription;
///
/// # fn main() -> Result<(), daemonry::handler::PatternError> {
/// let subscription = Subscription::new()
///     .topic("orders", "key")
///     .pattern(TopicPattern::new(r"bills\..+")?, "partition");
/// assert_eq!(subscription.tag(&"bills.eu".into()), Some(&"partition".into()));
/// assert_eq!(subscription.tag(&"payments".into()), None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Subscription {
    table: TopicTable<Lanes>,
}

/// Of a route: its order and key function, since what another order remembered as finished doesn't count for this one.
#[derive(Clone, Debug)]
struct Lanes {
    tag: LaneTag,
    unhandled: Unhandled,
}

impl Lanes {
    /// Without a word about letters: theirs go by the topic's name.
    fn of(tag: impl Into<LaneTag>) -> Self {
        Self { tag: tag.into(), unhandled: Unhandled::DeadLetter(None) }
    }
}

impl Entry for Lanes {
    fn unhandled(&self) -> &Unhandled {
        &self.unhandled
    }
}

/// A topic that two patterns match: nobody can tell which of their routes is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic `{topic}` matches both patterns `{}` and `{}`: make them differ, or give the topic a route of its own", patterns[0], patterns[1])]
pub struct Ambiguity {
    /// The topic.
    pub topic: Topic,
    /// The first two.
    pub patterns: [TopicPattern; 2],
}

impl Subscription {
    /// Of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// As the table of routes has it: for each what its lanes are, and where its dead letters go.
    pub(crate) fn of(routes: TopicTable<(LaneTag, Unhandled)>) -> Self {
        Self { table: routes.map(|(tag, unhandled)| Lanes { tag, unhandled }) }
    }

    /// And of this topic.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Topic>, tag: impl Into<LaneTag>) -> Self {
        self.table.insert(topic.into(), Lanes::of(tag));
        self
    }

    /// And of the topics that match this pattern, but for those of dead letters, `<topic>.dlq`, and of their marks, `<topic>.dlq.marks`.
    #[must_use]
    pub fn pattern(mut self, pattern: TopicPattern, tag: impl Into<LaneTag>) -> Self {
        self.table.insert_pattern(pattern, Lanes::of(tag));
        self
    }

    /// Whether it is of nothing.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The topics that it has by their names. A source must not start without them.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.table.named().map(|(topic, _)| topic)
    }

    /// The patterns, in their order. What matches one may come and go.
    pub fn patterns(&self) -> impl Iterator<Item = &TopicPattern> {
        self.table.patterns().map(|(pattern, _)| pattern)
    }

    /// Whether there is one.
    pub fn has_patterns(&self) -> bool {
        self.patterns().next().is_some()
    }

    /// What the lanes of a topic are; none where it isn't to be read.
    pub fn tag(&self, topic: &Topic) -> Option<&LaneTag> {
        self.table.find(topic).one().map(|lanes| &lanes.tag)
    }

    /// Whether a topic is to be read because it matches a pattern.
    pub fn is_matching(&self, topic: &Topic) -> bool {
        matches!(self.table.find(topic), Found::Matching(_))
    }

    /// The patterns that make it impossible to tell how a topic is to be read, if so.
    pub fn ambiguity(&self, topic: &Topic) -> Option<Ambiguity> {
        match self.table.find(topic) {
            Found::Ambiguous(first, second) => {
                Some(Ambiguity { topic: topic.clone(), patterns: [first.clone(), second.clone()] })
            }
            _ => None,
        }
    }
}
