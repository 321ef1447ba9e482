//! What is wrong with a router, whatever it is served on.

use std::fmt;

use super::pattern::{PatternError, TopicPattern};
use super::route::{Either, Route};
use super::table::{Entry, Found, TopicTable, origin_of};
use crate::circuit_breaker::CircuitBreakerError;
use crate::record::Topic;

/// What a route is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The topic of this name.
    Topic(Topic),
    /// All topics whose names match.
    Pattern(TopicPattern),
}

impl Selector {
    /// The topic's name, or the pattern's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Topic(topic) => topic.as_str(),
            Self::Pattern(pattern) => pattern.as_str(),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(topic) => write!(f, "topic `{topic}`"),
            Self::Pattern(pattern) => write!(f, "pattern `{pattern}`"),
        }
    }
}

/// Why a router can't be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// Nothing to do.
    #[error("the router has no topic: add one with `Router::topic`")]
    Empty,
    /// Two handlers for one topic, or for one pattern.
    #[error("{0} has more than one route: merge the handlers or read it in two daemons")]
    Doubled(Selector),
    /// A pattern that is none.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// Letters would be read by the router that writes them.
    #[error("the dead letters of {of} go to `{letters}`, which this router reads itself: name another topic")]
    Loop {
        /// What is read.
        of: Selector,
        /// The topic for its letters.
        letters: Topic,
    },
    /// A handler that has no time at all.
    #[error("the handler of {0} has a timeout of zero: give it some time")]
    ZeroTimeout(Selector),
    /// A circuit breaker that can't work.
    #[error("the circuit breaker of {0} can't work: {1}")]
    CircuitBreaker(Selector, CircuitBreakerError),
}

/// Everything that is wrong with these routes, at once.
pub(super) fn check<S: 'static>(routes: &TopicTable<Route<S, Either>>) -> Vec<RouterError> {
    let mut errors = Vec::new();
    for (topic, route) in routes.named() {
        let is_read = |letters: &Topic| match route.has_letters_by_name() {
            // No pattern matches those.
            true => matches!(routes.find(letters), Found::Named(_)),
            false => !matches!(routes.find(letters), Found::Nothing),
        };
        let of = || Selector::Topic(topic.clone());
        if let Some(letters) = route.settings.dead_letter_topic(topic).filter(is_read) {
            errors.push(RouterError::Loop { of: of(), letters });
        }
        errors.extend(check_alone(route, of));
    }
    for (pattern, route) in routes.patterns() {
        let of = || Selector::Pattern(pattern.clone());
        // It would match that one alone, which has its route; and nobody could say which of the two is meant.
        if routes.named().any(|(topic, _)| topic.as_str() == pattern.as_str()) {
            errors.push(RouterError::Doubled(of()));
        }
        if let Some(letters) =
            route.settings.named_letters().filter(|letters| !matches!(routes.find(letters), Found::Nothing))
        {
            errors.push(RouterError::Loop { of: of(), letters: letters.clone() });
        }
        // A topic that it matches may have the letters that a route of their own reads.
        for (letters, topic) in routes.named().filter_map(|(letters, _)| Some((letters, origin_of(letters)?))) {
            let is_its_own = matches!(routes.find(&topic), Found::Matching(found) if std::ptr::eq(found, route));
            if route.has_letters_by_name() && is_its_own {
                errors.push(RouterError::Loop { letters: letters.clone(), of: Selector::Topic(topic) });
            }
        }
        errors.extend(check_alone(route, of));
    }
    errors
}

/// What is wrong with a route by itself.
fn check_alone<S>(route: &Route<S, Either>, of: impl Fn() -> Selector) -> Vec<RouterError> {
    let zero = route.settings.timeout.is_zero().then(|| RouterError::ZeroTimeout(of()));
    let breaker = route.settings.circuit_breaker.check().err().unwrap_or_default();
    zero.into_iter().chain(breaker.into_iter().map(|error| RouterError::CircuitBreaker(of(), error))).collect()
}

#[cfg(test)]
mod tests {
    use crate::handler::{Router, on};
    use std::time::Duration;

    async fn handle() {}

    #[track_caller]
    fn check(router: Router, expected: &[&str]) {
        let told: Vec<String> = router.check().iter().map(ToString::to_string).collect();
        assert_eq!(told, expected);
    }

    fn router() -> Router {
        Router::new()
    }

    #[test]
    fn what_can_be_served_is_no_error() {
        check(router().pattern("orders.*", on(handle)).topic("orders", on(handle)).topic("bills", on(handle)), &[]);
        // Its letters go by its topics' names, which it doesn't match.
        check(router().pattern(".*", on(handle)), &[]);
        check(router().pattern(".*", on(handle).stop_on_failure()), &[]);
        // One daemon may read the letters of another.
        check(router().topic("orders.eu.dlq", on(handle)).topic("bills", on(handle)), &[]);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let zero = || on(handle).timeout(Duration::ZERO);
        check(
            router().pattern("(", on(handle)).pattern("a+", zero()).topic("b", zero()).pattern("a+", zero()),
            &[
                "pattern `(` is no regular expression, unclosed group: correct it, as in `orders\\..+`",
                "pattern `a+` has more than one route: merge the handlers or read it in two daemons",
                "the handler of topic `b` has a timeout of zero: give it some time",
                "the handler of pattern `a+` has a timeout of zero: give it some time",
            ],
        );
        check(
            router().pattern("(", on(handle)).nest("eu.", router().pattern("a", on(handle)).pattern("a", on(handle))),
            &[
                "pattern `(` is no regular expression, unclosed group: correct it, as in `orders\\..+`",
                "pattern `eu\\.a` has more than one route: merge the handlers or read it in two daemons",
            ],
        );
        let doubled = "pattern `a` has more than one route: merge the handlers or read it in two daemons";
        check(router().topic("a", on(handle)).pattern("a", on(handle)), &[doubled]);
        check(router(), &["the router has no topic: add one with `Router::topic`"]);
    }

    #[test]
    fn letters_that_the_router_would_read_are_refused() {
        let to = |letters: &str| on(handle).dead_letter(letters);
        let looped = |of: &str, letters: &str| {
            format!("the dead letters of {of} go to `{letters}`, which this router reads itself: name another topic")
        };
        let by_topic = looped("topic `orders`", "retry.orders");
        check(router().topic("orders", to("retry.orders")).pattern("retry\\..+", on(handle)), &[&by_topic]);
        let by_itself = looped("pattern `orders\\..+`", "orders.failed");
        check(router().pattern("orders\\..+", to("orders.failed")), &[&by_itself]);
        let by_name = looped("pattern `orders\\..+`", "failed");
        check(router().pattern("orders\\..+", to("failed")).topic("failed", on(handle)), &[&by_name]);
        let of_one = looped("topic `orders.eu`", "orders.eu.dlq");
        check(router().pattern("orders\\..+", on(handle)).topic("orders.eu.dlq", on(handle)), &[&of_one]);
        check(router().pattern("orders\\..+", to("failed")).topic("orders.eu.dlq", on(handle)), &[]);
    }

    #[test]
    fn merged_and_nested_routers_keep_their_patterns() {
        let orders = || router().pattern("orders|bills", on(handle).dead_letter("failed")).topic("audit", on(handle));
        let both = router().pattern("a", on(handle)).merge(orders()).nest("eu.", orders());
        let patterns: Vec<_> = both.patterns().map(|pattern| pattern.as_str()).collect();
        assert_eq!(patterns, ["a", "orders|bills", "eu\\.(?:orders|bills)"]);
        assert_eq!(both.letters_of(&"eu.bills".into()), Some("eu.failed".into()));
        assert_eq!(both.letters_of(&"bills".into()), Some("failed".into()));
        assert_eq!(both.letters_of(&"euxbills".into()), None);
        check(both.with_state(()), &[]);
    }
}
