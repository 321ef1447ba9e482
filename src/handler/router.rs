//! The router: which route serves which topic.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tower::{Layer, Service};

use super::error::BoxError;
use super::route::{Either, Route, RouteSettings, RouteSpec};
use super::{Delivery, HandlerService};
use crate::pipeline::metadata::LaneTag;
use crate::record::Topic;

/// Handlers by topic: what a consumer daemon is built from. `S` is the state that its handlers still need; a daemon takes a router that
/// needs none any more.
///
/// ```
/// use daemonry::handler::{Router, on, extract::Text};
///
/// async fn created(Text(_order): Text) {}
/// async fn cancelled(Text(_order): Text) {}
///
/// let router: Router = Router::new().topic("orders.created", on(created)).topic("orders.cancelled", on(cancelled));
/// assert_eq!(router.topics().count(), 2);
/// ```
pub struct Router<S = ()> {
    routes: BTreeMap<Topic, Route<S, Either>>,
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

impl<S: 'static> Router<S> {
    /// A router without routes.
    pub fn new() -> Self {
        Self { routes: BTreeMap::new(), doubled: Vec::new() }
    }

    /// Serves `topic` by `route`. One route a topic: a second one is refused when the daemon starts.
    #[must_use]
    pub fn topic<K>(mut self, topic: impl Into<Topic>, route: Route<S, K>) -> Self {
        self.insert(topic.into(), route.either());
        self
    }

    fn insert(&mut self, topic: Topic, route: Route<S, Either>) {
        if self.routes.insert(topic.clone(), route).is_some() {
            self.doubled.push(topic);
        }
    }

    /// Takes over the routes of another router.
    ///
    /// ```
    /// # use daemonry::handler::{Router, on};
    /// # async fn created() {}
    /// # async fn refunded() {}
    /// let orders: Router = Router::new().topic("orders.created", on(created));
    /// let payments = Router::new().topic("payments.refunded", on(refunded));
    /// assert_eq!(orders.merge(payments).topics().count(), 2);
    /// ```
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.doubled.extend(other.doubled);
        for (topic, route) in other.routes {
            self.insert(topic, route);
        }
        self
    }

    /// Takes over the routes of another router, with `prefix` before each topic's name, also before those that its dead letters go to.
    ///
    /// ```
    /// # use daemonry::handler::{Router, on};
    /// # async fn created() {}
    /// let orders: Router = Router::new().topic("orders.created", on(created));
    /// let both = Router::new().nest("eu.", orders.clone()).nest("us.", orders);
    /// let topics: Vec<_> = both.topics().map(|topic| topic.as_str()).collect();
    /// assert_eq!(topics, ["eu.orders.created", "us.orders.created"]);
    /// ```
    #[must_use]
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        let prefixed = |topic: &Topic| Topic::from(format!("{prefix}{topic}"));
        self.doubled.extend(other.doubled.iter().map(prefixed));
        for (topic, route) in other.routes {
            self.insert(prefixed(&topic), route.with_dead_letters_in(prefixed));
        }
        self
    }

    /// Puts a [tower layer](super::layer) around each handler that is here already, outside those that the routes have. Handlers of
    /// batches take none.
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Clone + Send + Sync + 'static,
        L::Service: Service<Delivery, Response = (), Error: Into<BoxError>, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let routes = self.routes.into_iter().map(|(topic, route)| (topic, route.layered(layer.clone()))).collect();
        Self { routes, doubled: self.doubled }
    }

    /// Gives the handlers their state: what their [`State`](super::extract::State) arguments are drawn from.
    pub fn with_state<S2: 'static>(self, state: S) -> Router<S2> {
        let routes = self.routes.into_iter().map(|(topic, route)| (topic, route.with_state(&state))).collect();
        Router { routes, doubled: self.doubled }
    }

    /// The topics that have a route, in order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.routes.keys()
    }

    /// Each topic that has a route, and where its dead letters go, if anywhere.
    pub(crate) fn topics_and_letters(&self) -> Vec<(Topic, Option<Topic>)> {
        self.settings().map(|(topic, route)| (topic.clone(), route.dead_letter_topic(topic))).collect()
    }

    pub(crate) fn settings(&self) -> impl Iterator<Item = (&Topic, &RouteSettings)> {
        self.routes.iter().map(|(topic, route)| (topic, &route.settings))
    }

    /// How the records of a topic are treated, to be changed.
    #[cfg(feature = "cli")]
    pub(crate) fn settings_mut(&mut self, topic: &Topic) -> Option<&mut RouteSettings> {
        self.routes.get_mut(topic).map(|route| &mut route.settings)
    }

    /// Each topic that has dead letters, and where they go.
    pub(crate) fn dead_letter_topics(&self) -> Vec<(Topic, Topic)> {
        self.settings().filter_map(|(topic, route)| Some((topic.clone(), route.dead_letter_topic(topic)?))).collect()
    }

    /// What a source must know of it: the topics, and what each one's lanes are.
    pub fn subscription(&self) -> Vec<(Topic, LaneTag)> {
        self.settings().map(|(topic, route)| (topic.clone(), LaneTag::from(route.lane_text().as_str()))).collect()
    }

    /// Everything that is wrong with it, at once.
    pub(crate) fn check(&self) -> Vec<RouterError> {
        let mut errors: Vec<_> = self.doubled.iter().cloned().map(RouterError::Doubled).collect();
        if self.routes.is_empty() {
            errors.push(RouterError::Empty);
        }
        for (topic, route) in self.settings() {
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

impl Router {
    /// The routes as the pipeline has them.
    pub(crate) fn into_routes(self) -> Routes {
        Routes(self.routes.into_iter().map(|(topic, route)| (topic, Arc::new(route.spec(&())))).collect())
    }
}

/// The routes of a running daemon.
#[derive(Debug)]
pub(crate) struct Routes(BTreeMap<Topic, Arc<RouteSpec>>);

impl Routes {
    pub(crate) fn of(&self, topic: &Topic) -> Option<&Arc<RouteSpec>> {
        self.0.get(topic)
    }

    /// The largest batch that a handler takes; 1 where none takes any.
    pub(crate) fn largest_batch(&self) -> usize {
        self.0.values().filter_map(|route| route.settings.batch).map(|batch| batch.max.get()).max().unwrap_or(1)
    }
}

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self { routes: self.routes.clone(), doubled: self.doubled.clone() }
    }
}

impl<S: 'static> Default for Router<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("routes", &self.routes).finish_non_exhaustive()
    }
}
