//! What a program has that a configuration speaks of: its daemons, their topics, and a section of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::document::Document;
use super::raw::{CircuitBreakerSection, RetriesSection, TopicSection};
use super::units::{Limit, Period};
use crate::handler::{NO_TIMEOUT, ProcessingOrder, Router, RouterError, Selector};
use crate::record::Topic;

/// See the module.
pub(crate) struct Program<'p> {
    pub(crate) name: &'p str,
    /// By name, in the order of the program.
    pub(crate) daemons: Vec<(&'p str, Reads<'p>)>,
    /// Reads the `app` section, for what is wrong with it; none where the program has no such section.
    pub(crate) app: Option<fn(&mut Document)>,
}

/// What a daemon reads.
#[derive(Clone, Copy)]
pub(crate) enum Reads<'p> {
    /// Topics, by these routes.
    Topics(&'p dyn Configurable),
    /// Nothing that is configured here.
    Nothing,
    /// Whatever it may be: whoever asks has not the program.
    Unknown,
}

impl Program<'_> {
    pub(super) fn names(&self) -> Vec<&str> {
        self.daemons.iter().map(|(name, _)| *name).collect()
    }

    /// The topics of a daemon, and its patterns by their texts; none where there is no such daemon.
    pub(super) fn topics(&self, daemon: &str) -> Vec<String> {
        let reads = self.daemons.iter().find(|(name, _)| *name == daemon).map(|(_, reads)| reads);
        match reads {
            Some(Reads::Topics(routes)) => routes.topics(),
            Some(Reads::Nothing | Reads::Unknown) | None => Vec::new(),
        }
    }
}

/// What a configuration changes of a route; what is none stays as the program has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RouteChange {
    pub(super) order: Option<ProcessingOrder>,
    pub(super) max_retries: Option<u32>,
    pub(super) base: Option<Duration>,
    pub(super) cap: Option<Duration>,
    pub(super) jitter: Option<f64>,
    pub(super) circuit_breaker: CircuitBreakerSection,
    pub(super) timeout: Option<Duration>,
    pub(super) dead_letter: Option<Topic>,
}

/// The changes of a daemon's routes, by topic, or by the text of a pattern.
pub(crate) type RouteChanges = BTreeMap<String, RouteChange>;

/// A router, as far as a configuration is concerned with it.
pub(crate) trait Configurable {
    /// The topics that have a route, and the texts of the patterns that have one.
    fn topics(&self) -> Vec<String>;

    /// The topics that have a route of their own, and where their dead letters go, if anywhere.
    fn topics_and_letters(&self) -> Vec<(Topic, Option<Topic>)>;

    /// What is wrong with it once it is changed.
    fn faults(&self, changes: &RouteChanges) -> Vec<RouterError>;

    /// How each topic is treated once it is changed.
    fn effective(&self, changes: &RouteChanges) -> BTreeMap<String, TopicSection>;
}

impl<S: 'static> Configurable for Router<S> {
    fn topics(&self) -> Vec<String> {
        self.settings().map(|(selector, _)| selector.as_str().to_owned()).collect()
    }

    fn topics_and_letters(&self) -> Vec<(Topic, Option<Topic>)> {
        Router::topics_and_letters(self)
    }

    fn faults(&self, changes: &RouteChanges) -> Vec<RouterError> {
        changed(self, changes).check()
    }

    fn effective(&self, changes: &RouteChanges) -> BTreeMap<String, TopicSection> {
        let router = changed(self, changes);
        let sections = router.settings().map(|(selector, route)| {
            let (max, base, cap, jitter) = route.retry.parts();
            let retries = RetriesSection {
                max: Some(max),
                base: Some(Period(base)),
                cap: Some(Period(cap)),
                jitter: Some(jitter),
            };
            let section = TopicSection {
                order: Some(route.order),
                retries,
                circuit_breaker: CircuitBreakerSection::of(route.circuit_breaker),
                timeout: Some(Limit((route.timeout != NO_TIMEOUT).then_some(route.timeout))),
                dead_letter: match &selector {
                    Selector::Topic(topic) => route.dead_letter_topic(topic),
                    Selector::Pattern(_) => route.named_letters().cloned(),
                }
                .map(|letters| letters.to_string()),
            };
            (selector.as_str().to_owned(), section)
        });
        sections.collect()
    }
}

/// The router with its routes changed.
pub(crate) fn changed<S: 'static>(router: &Router<S>, changes: &RouteChanges) -> Router<S> {
    let mut router = router.clone();
    for (topic, change) in changes {
        let Some(route) = router.settings_mut(topic) else { continue };
        let (max, base, cap, jitter) = route.retry.parts();
        route.order = change.order.unwrap_or(route.order);
        route.retry = route
            .retry
            .max_retries(change.max_retries.unwrap_or(max))
            .base(change.base.unwrap_or(base))
            .cap(change.cap.unwrap_or(cap))
            .jitter(change.jitter.unwrap_or(jitter));
        route.circuit_breaker = change.circuit_breaker.over(route.circuit_breaker);
        route.timeout = change.timeout.unwrap_or(route.timeout);
        if let Some(letters) = &change.dead_letter {
            route.unhandled = crate::handler::Unhandled::DeadLetter(Some(letters.clone()));
        }
    }
    router
}
