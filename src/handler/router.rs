//! The router: which route serves which topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::route::{Route, RouteSpec};
use crate::pipeline::metadata::LaneTag;
use crate::record::Topic;

/// Handlers by topic: what a consumer daemon is built from.
///
/// ```
/// use daemonry::handler::{Router, on, extract::Text};
///
/// async fn created(Text(_order): Text) {}
/// async fn cancelled(Text(_order): Text) {}
///
/// let router = Router::new().topic("orders.created", on(created)).topic("orders.cancelled", on(cancelled));
/// assert_eq!(router.topics().count(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Router {
    routes: BTreeMap<Topic, Arc<RouteSpec>>,
    doubled: Vec<Topic>,
}

/// Why a router can't be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// Nothing to do.
    #[error("the router has no topic: add one with `Router::topic`")]
    Empty,
    /// Two handlers for one topic.
    #[error("topic `{0}` has more than one route: merge the handlers or read it in two daemons")]
    Doubled(Topic),
    /// Letters would be read by the router that writes them.
    #[error(
        "the dead letters of topic `{topic}` go to `{letters}`, which this router reads itself: name another topic"
    )]
    Loop {
        /// The topic that is read.
        topic: Topic,
        /// The topic for its letters.
        letters: Topic,
    },
    /// A handler that has no time at all.
    #[error("the handler of topic `{0}` has a timeout of zero: give it some time")]
    ZeroTimeout(Topic),
}

impl Router {
    /// A router without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `topic` by `route`. One route a topic: a second one is refused when the daemon starts.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<Topic>, route: Route) -> Self {
        let topic = topic.into();
        if self.routes.insert(topic.clone(), Arc::new(route.spec)).is_some() {
            self.doubled.push(topic);
        }
        self
    }

    /// The topics that have a route, in order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.routes.keys()
    }

    pub(crate) fn route(&self, topic: &Topic) -> Option<&Arc<RouteSpec>> {
        self.routes.get(topic)
    }

    /// Each topic that has dead letters, and where they go.
    #[cfg(feature = "kafka")]
    pub(crate) fn dead_letter_topics(&self) -> Vec<(Topic, Topic)> {
        self.routes().filter_map(|(topic, route)| Some((topic.clone(), route.dead_letter_topic(topic)?))).collect()
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = (&Topic, &Arc<RouteSpec>)> {
        self.routes.iter()
    }

    /// What a source must know of it: the topics, and what each one's lanes are.
    pub fn subscription(&self) -> Vec<(Topic, LaneTag)> {
        self.routes().map(|(topic, route)| (topic.clone(), LaneTag::from(route.lane_text().as_str()))).collect()
    }

    /// Everything that is wrong with it, at once.
    pub(crate) fn check(&self) -> Vec<RouterError> {
        let mut errors: Vec<_> = self.doubled.iter().cloned().map(RouterError::Doubled).collect();
        if self.routes.is_empty() {
            errors.push(RouterError::Empty);
        }
        for (topic, route) in &self.routes {
            if let Some(letters) = route.dead_letter_topic(topic).filter(|letters| self.routes.contains_key(letters)) {
                errors.push(RouterError::Loop { topic: topic.clone(), letters });
            }
            if route.timeout.is_zero() {
                errors.push(RouterError::ZeroTimeout(topic.clone()));
            }
        }
        errors
    }
}
