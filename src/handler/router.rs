//! The router: which route serves which topic.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tower::{Layer, Service};

use super::check::{RouterError, Selector, check};
use super::error::BoxError;
use super::pattern::TopicPattern;
use super::route::{Either, Route, RouteSettings, RouteSpec, Unhandled};
use super::table::{Entry, TopicTable};
use super::{Delivery, HandlerService};
use crate::pipeline::metadata::LaneTag;
use crate::pipeline::subscription::Subscription;
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
    routes: TopicTable<Route<S, Either>>,
    /// What was wrong with what it was made of.
    faults: Vec<RouterError>,
}

impl<S: 'static> Router<S> {
    /// A router without routes.
    pub fn new() -> Self {
        Self { routes: TopicTable::default(), faults: Vec::new() }
    }

    /// Serves `topic` by `route`. One route a topic: a second one is refused when the daemon starts.
    #[must_use]
    pub fn topic<K>(mut self, topic: impl Into<Topic>, route: Route<S, K>) -> Self {
        self.insert(topic.into(), route.either());
        self
    }

    /// Serves all topics whose names match `pattern`, a regular expression for the [whole name](TopicPattern), by `route`: those that are there
    /// when the daemon starts, and those that come later, without a restart. One that is deleted is read no more, and no error.
    ///
    /// ```
    /// use daemonry::handler::{ProcessingOrder, Router, on, extract::Text};
    /// use daemonry::record::Topic;
    ///
    /// async fn store(topic: Topic, Text(order): Text) { println!("{topic}: {order}"); }
    /// async fn audit(Text(order): Text) { println!("{order}"); }
    ///
    /// let router: Router = Router::new()
    ///     .pattern(r"orders\.[a-z]+", on(store).order(ProcessingOrder::Partition)) // their letters: `orders.eu.dlq`, `orders.us.dlq`, …
    ///     .topic("orders.audit", on(audit));
    /// # drop(router);
    /// ```
    ///
    /// - A topic with a route of its own is read by that one. One that matches two patterns is read by none: the daemon doesn't start; if it
    ///   appears later, the daemon says so and leaves it alone, since what the wrong handler finishes can't be taken back.
    /// - Kafka's own topics (`__…`) match no pattern, nor do those for the dead letters of what the router reads (`<topic>.dlq`),
    ///   nor those for the [marks](crate::dead_letters) of any letters of its routes (`<topic>.dlq.marks`).
    /// - A topic is read once there is a topic for its dead letters, made if [`missing_dead_letter_topic`] says so. While there is none a daemon
    ///   doesn't start, and one that runs leaves the topic alone and says why.
    /// - Topics are looked for every 30 s ([`topic_refresh`]). What was written to a new one by then is not read under [`StartPolicy::Latest`].
    /// - Topics that this user may not read, or not see, are left alone.
    /// - A pattern that nothing matches is no error. In a configuration the route goes by the pattern's text.
    /// - A [batch](super::on_batch) may hold records of several of its topics.
    ///
    /// A text that is no regular expression is refused when the daemon starts.
    ///
    /// [`missing_dead_letter_topic`]: crate::daemon::Consumer::missing_dead_letter_topic
    /// [`topic_refresh`]: crate::kafka::KafkaConfig::topic_refresh
    /// [`StartPolicy::Latest`]: crate::kafka::StartPolicy::Latest
    #[must_use]
    pub fn pattern<K>(mut self, pattern: impl AsRef<str>, route: Route<S, K>) -> Self {
        match TopicPattern::new(pattern.as_ref()) {
            Ok(pattern) => self.insert_pattern(pattern, route.either()),
            Err(error) => self.faults.push(error.into()),
        }
        self
    }

    fn insert(&mut self, topic: Topic, route: Route<S, Either>) {
        if !self.routes.insert(topic.clone(), route) {
            self.faults.push(RouterError::Doubled(Selector::Topic(topic)));
        }
    }

    fn insert_pattern(&mut self, pattern: TopicPattern, route: Route<S, Either>) {
        if !self.routes.insert_pattern(pattern.clone(), route) {
            self.faults.push(RouterError::Doubled(Selector::Pattern(pattern)));
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
        self.faults.extend(other.faults);
        let (named, patterns) = other.routes.into_parts();
        named.into_iter().for_each(|(topic, route)| self.insert(topic, route));
        patterns.into_iter().for_each(|(pattern, route)| self.insert_pattern(pattern, route));
        self
    }

    /// Takes over the routes of another router, with `prefix` before each topic's name, also before those that its dead letters go to. Before
    /// a pattern it stands for itself, whatever is in it.
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
        self.faults.extend(other.faults.into_iter().map(|fault| match fault {
            RouterError::Doubled(Selector::Topic(topic)) => RouterError::Doubled(Selector::Topic(prefixed(&topic))),
            RouterError::Doubled(Selector::Pattern(pattern)) => {
                RouterError::Doubled(Selector::Pattern(pattern.below(prefix)))
            }
            other => other,
        }));
        let (named, patterns) = other.routes.into_parts();
        for (topic, route) in named {
            self.insert(prefixed(&topic), route.with_dead_letters_in(prefixed));
        }
        for (pattern, route) in patterns {
            self.insert_pattern(pattern.below(prefix), route.with_dead_letters_in(prefixed));
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
        Self { routes: self.routes.map(|route| route.layered(layer.clone())), faults: self.faults }
    }

    /// Gives the handlers their state: what their [`State`](super::extract::State) arguments are drawn from.
    pub fn with_state<S2: 'static>(self, state: S) -> Router<S2> {
        Router { routes: self.routes.map(|route| route.with_state(&state)), faults: self.faults }
    }

    /// The topics that have a route of their own, in order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.routes.named().map(|(topic, _)| topic)
    }

    /// The patterns that have a route, in the order in which they were added.
    pub fn patterns(&self) -> impl Iterator<Item = &TopicPattern> {
        self.routes.patterns().map(|(pattern, _)| pattern)
    }

    /// Each topic that has a route of its own, and where its dead letters go, if anywhere.
    pub(crate) fn topics_and_letters(&self) -> Vec<(Topic, Option<Topic>)> {
        let named = self.routes.named();
        named.map(|(topic, route)| (topic.clone(), route.settings.dead_letter_topic(topic))).collect()
    }

    /// Whether there is a route for a topic, of its own or by a pattern.
    pub(crate) fn is_read(&self, topic: &Topic) -> bool {
        self.routes.find(topic).one().is_some()
    }

    /// Where the dead letters of a topic go, if it is read and they go anywhere.
    pub(crate) fn letters_of(&self, topic: &Topic) -> Option<Topic> {
        self.routes.find(topic).one()?.settings.dead_letter_topic(topic)
    }

    /// What the routes are for, and how they treat their records.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (Selector, &RouteSettings)> {
        let named = self.routes.named().map(|(topic, route)| (Selector::Topic(topic.clone()), &route.settings));
        let patterns = self.routes.patterns();
        named.chain(patterns.map(|(pattern, route)| (Selector::Pattern(pattern.clone()), &route.settings)))
    }

    /// How the records of a topic, or of a pattern by its text, are treated, to be changed.
    #[cfg(feature = "cli")]
    pub(crate) fn settings_mut(&mut self, key: &str) -> Option<&mut RouteSettings> {
        self.routes.entry_mut(key).map(|route| &mut route.settings)
    }

    /// What becomes of records that can't be handled, without the handlers.
    #[cfg(feature = "kafka")]
    pub(crate) fn unhandled(&self) -> TopicTable<Unhandled> {
        self.routes.clone().map(|route| route.settings.unhandled)
    }

    /// What a route is for whose dead letters have to go somewhere, if there is one.
    pub(crate) fn letter_writer(&self) -> Option<Selector> {
        self.settings().find(|(_, route)| route.unhandled != Unhandled::Stop).map(|(selector, _)| selector)
    }

    /// What a source must know of it: the topics, and what each one's lanes are.
    pub fn subscription(&self) -> Subscription {
        Subscription::of(
            self.routes
                .clone()
                .map(|route| (LaneTag::from(route.settings.lane_text().as_str()), route.unhandled().clone())),
        )
    }

    /// Everything that is wrong with it, at once.
    pub(crate) fn check(&self) -> Vec<RouterError> {
        let mut errors = self.faults.clone();
        if self.routes.is_empty() && errors.is_empty() {
            errors.push(RouterError::Empty);
        }
        errors.extend(check(&self.routes));
        errors
    }
}

impl Router {
    /// The routes as the pipeline has them.
    pub(crate) fn into_routes(self) -> Routes {
        let (named, patterns) = self.routes.into_parts();
        let mut table = TopicTable::default();
        for (topic, route) in named {
            let spec = Arc::new(route.spec(topic.as_str(), &()));
            table.insert(topic, spec);
        }
        for (pattern, route) in patterns {
            let spec = Arc::new(route.spec(pattern.as_str(), &()));
            table.insert_pattern(pattern, spec);
        }
        Routes { served: table.named().map(|(topic, route)| (topic.clone(), Arc::clone(route))).collect(), table }
    }
}

/// The routes of a running daemon.
#[derive(Debug)]
pub(crate) struct Routes {
    /// Those of single topics, and of topics that were resolved: no pattern is asked for each batch.
    served: BTreeMap<Topic, Arc<RouteSpec>>,
    table: TopicTable<Arc<RouteSpec>>,
}

impl Routes {
    /// The route of a topic that begins to be read.
    pub(crate) fn resolve(&mut self, topic: &Topic) -> Option<&Arc<RouteSpec>> {
        if !self.served.contains_key(topic) {
            let route = Arc::clone(self.table.find(topic).one()?);
            self.served.insert(topic.clone(), route);
        }
        self.of(topic)
    }

    /// The route of a topic that was resolved, or has one of its own.
    pub(crate) fn of(&self, topic: &Topic) -> Option<&Arc<RouteSpec>> {
        self.served.get(topic)
    }

    /// What the routes are for that have a circuit breaker.
    pub(crate) fn with_circuit_breakers(&self) -> impl Iterator<Item = &str> {
        self.table.entries().filter(|route| route.settings.circuit_breaker.is_on()).map(|route| route.of.as_str())
    }

    /// The largest batch that a handler takes; 1 where none takes any.
    pub(crate) fn largest_batch(&self) -> usize {
        self.table.entries().filter_map(|route| route.settings.batch).map(|batch| batch.max.get()).max().unwrap_or(1)
    }
}

impl<S> Clone for Router<S> {
    fn clone(&self) -> Self {
        Self { routes: self.routes.clone(), faults: self.faults.clone() }
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
