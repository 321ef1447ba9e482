//! A route: a handler, and how the records of its topic are to be treated.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::erased::{Erased, ErasedHandler};
use super::{Handler, HandlerError};
use crate::record::{Record, Topic};
use crate::retry::RetryPolicy;

/// How long a handler may take where its route says nothing.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

/// Which records must wait for one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProcessingOrder {
    /// One record of a partition at a time, in offset order.
    Partition,
    /// One record of a key at a time, in offset order; different keys side by side. Records without a key, or with an empty one,
    /// count as one key within their partition.
    #[default]
    Key,
    /// No order: any record may run beside any other.
    Unordered,
}

impl ProcessingOrder {
    fn name(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Key => "key",
            Self::Unordered => "unordered",
        }
    }
}

type KeyOf = dyn Fn(&Record) -> Option<Vec<u8>> + Send + Sync;
type ClassOf = dyn Fn(&HandlerError) -> bool + Send + Sync;

/// Where a record's key for ordering comes from, when it isn't the record's own.
#[derive(Clone)]
pub(crate) struct KeyFunction {
    name: &'static str,
    of: Arc<KeyOf>,
}

impl KeyFunction {
    pub(crate) fn key(&self, record: &Record) -> Option<Vec<u8>> {
        (self.of)(record)
    }
}

/// What becomes of a record that can't be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unhandled {
    /// It is written to this topic, `<topic>.dlq` where none is named.
    DeadLetter(Option<Topic>),
    /// The daemon stops.
    Stop,
}

/// What the pipeline knows of a route.
#[derive(Clone)]
pub(crate) struct RouteSpec {
    pub(crate) handler: Arc<dyn ErasedHandler>,
    pub(crate) name: &'static str,
    pub(crate) order: ProcessingOrder,
    pub(crate) key: Option<KeyFunction>,
    pub(crate) retry: RetryPolicy,
    pub(crate) retryable: Option<Arc<ClassOf>>,
    pub(crate) unhandled: Unhandled,
    pub(crate) timeout: Duration,
}

impl RouteSpec {
    /// What changes when remembered runs would no longer mean the same: the order, and the key function's name.
    pub(crate) fn lane_text(&self) -> String {
        format!("{}/{}", self.order.name(), self.key.as_ref().map_or("", |key| key.name))
    }

    /// The topic for the dead letters of `topic`: the route's own, or `<topic>.dlq`; none where it stops instead.
    pub(crate) fn dead_letter_topic(&self, topic: &Topic) -> Option<Topic> {
        match &self.unhandled {
            Unhandled::DeadLetter(Some(named)) => Some(named.clone()),
            Unhandled::DeadLetter(None) => Some(Topic::from(format!("{topic}.dlq"))),
            Unhandled::Stop => None,
        }
    }
}

/// A handler with its settings, as [`on`] makes it. Every setting has a default.
#[derive(Clone)]
pub struct Route {
    pub(super) spec: RouteSpec,
}

/// A route to `handler`: order by key, three retries with exponential backoff, dead letters to `<topic>.dlq`, ten minutes' timeout.
///
/// ```
/// use daemonry::handler::{ProcessingOrder, on, extract::Text};
/// use daemonry::retry::RetryPolicy;
/// use std::time::Duration;
///
/// async fn audit(Text(line): Text) { println!("{line}"); }
///
/// let route = on(audit)
///     .order(ProcessingOrder::Partition)
///     .retry(RetryPolicy::exponential().max_retries(5))
///     .dead_letter("audit.failed")
///     .timeout(Duration::from_secs(30));
/// # drop(route);
/// ```
pub fn on<H, Args>(handler: H) -> Route
where
    H: Handler<Args>,
    Args: 'static,
{
    Route {
        spec: RouteSpec {
            handler: Arc::new(Erased::new(handler)),
            name: short_name(std::any::type_name::<H>()),
            order: ProcessingOrder::default(),
            key: None,
            retry: RetryPolicy::exponential(),
            retryable: None,
            unhandled: Unhandled::DeadLetter(None),
            timeout: DEFAULT_TIMEOUT,
        },
    }
}

/// The last two parts of a path: `orders::create` of `handlers::shop::orders::create`. A closure goes by the name of the function
/// that it stands in.
fn short_name(path: &'static str) -> &'static str {
    let path = path.trim_end_matches("::{{closure}}");
    let parts = path.rmatch_indices("::").map(|(at, _)| at + 2).nth(1);
    parts.map_or(path, |start| &path[start..])
}

impl Route {
    /// Which records wait for one another (default: by key).
    #[must_use]
    pub fn order(mut self, order: ProcessingOrder) -> Self {
        self.spec.order = order;
        self
    }

    /// Orders by a key of your own instead of the record's: from its payload, a header, or part of the key. `name` stands for the function
    /// between deployments: give it a new one when the function changes, so that what was remembered of finished records is dropped.
    /// `None` puts the record into the keyless lane of its partition.
    #[must_use]
    pub fn key_by<K>(mut self, name: &'static str, key: K) -> Self
    where
        K: Fn(&Record) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        self.spec.order = ProcessingOrder::Key;
        self.spec.key = Some(KeyFunction { name, of: Arc::new(key) });
        self
    }

    /// How failed attempts are repeated (default: 3 retries after 1, 2 and 4 s, with jitter).
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.spec.retry = policy;
        self
    }

    /// Which errors are worth a retry at all (default: all but poison); the others go to the dead letters at once.
    #[must_use]
    pub fn retry_if<C>(mut self, retryable: C) -> Self
    where
        C: Fn(&HandlerError) -> bool + Send + Sync + 'static,
    {
        self.spec.retryable = Some(Arc::new(retryable));
        self
    }

    /// The topic for dead letters (default: `<topic>.dlq`).
    #[must_use]
    pub fn dead_letter(mut self, topic: impl Into<Topic>) -> Self {
        self.spec.unhandled = Unhandled::DeadLetter(Some(topic.into()));
        self
    }

    /// No dead letters: the daemon stops with an error at the first record that can't be handled, which stays uncommitted.
    #[must_use]
    pub fn stop_on_failure(mut self) -> Self {
        self.spec.unhandled = Unhandled::Stop;
        self
    }

    /// How long an attempt may take (default: 10 min). Then the handler's future is dropped where it stands: handlers must be idempotent.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.spec.timeout = timeout;
        self
    }
}

impl fmt::Debug for RouteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("handler", &self.name)
            .field("order", &self.order)
            .field("key", &self.key.as_ref().map(|key| key.name))
            .field("retry", &self.retry)
            .field("unhandled", &self.unhandled)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}
