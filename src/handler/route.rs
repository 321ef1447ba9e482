//! A route: a handler, and how the records of its topic are to be treated.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tower::{Layer, Service};

use super::batch::{BatchSize, ErasedBatch};
use super::erased::{ErasedHandler, Stated};
use super::error::BoxError;
use super::service::{HandlerService, Layered};
use super::table::{Entry, letters_of};
use super::{AsyncFunction, Delivery, Handler, HandlerError};
use crate::circuit_breaker::CircuitBreaker;
use crate::record::{Record, Topic};
use crate::retry::RetryPolicy;

/// How long a handler may take where its route says nothing.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);
/// How long where it says that there is no limit.
pub(crate) const NO_TIMEOUT: Duration = Duration::MAX;

/// Which records must wait for one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "cli", derive(serde::Deserialize, serde::Serialize, schemars::JsonSchema))]
#[cfg_attr(feature = "cli", serde(rename_all = "snake_case"))]
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
type FilterOf = dyn Fn(&Record) -> bool + Send + Sync;
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

impl Unhandled {
    /// The topic for the dead letters of `topic`: the one that is named, or `<topic>.dlq`; none where it stops instead.
    pub(crate) fn letters_of(&self, topic: &Topic) -> Option<Topic> {
        match self {
            Self::DeadLetter(Some(named)) => Some(named.clone()),
            Self::DeadLetter(None) => Some(letters_of(topic)),
            Self::Stop => None,
        }
    }

    /// The topic that is named.
    pub(crate) fn named_letters(&self) -> Option<&Topic> {
        match self {
            Self::DeadLetter(named) => named.as_ref(),
            Self::Stop => None,
        }
    }
}

impl Entry for Unhandled {
    fn unhandled(&self) -> &Unhandled {
        self
    }
}

/// How the records of a route are treated.
#[derive(Clone)]
pub(crate) struct RouteSettings {
    pub(crate) name: &'static str,
    pub(crate) order: ProcessingOrder,
    pub(crate) key: Option<KeyFunction>,
    pub(crate) filter: Option<Arc<FilterOf>>,
    pub(crate) retry: RetryPolicy,
    pub(crate) circuit_breaker: CircuitBreaker,
    pub(crate) retryable: Option<Arc<ClassOf>>,
    pub(crate) unhandled: Unhandled,
    pub(crate) timeout: Duration,
    /// For a handler of batches.
    pub(crate) batch: Option<BatchSize>,
}

/// A route as the pipeline has it: the handler with its state, and the settings.
pub(crate) struct RouteSpec {
    /// The topic that it is for, or the pattern's text.
    pub(crate) of: String,
    pub(crate) work: Work,
    pub(crate) settings: RouteSettings,
}

/// A handler with its state, without its type.
#[derive(Clone)]
pub(crate) enum Work {
    /// One record after the other.
    Each(Arc<dyn ErasedHandler>),
    /// Several at once.
    Batch(Arc<dyn ErasedBatch>),
}

impl RouteSettings {
    /// What changes when remembered runs would no longer mean the same: the order, and the key function's name.
    pub(crate) fn lane_text(&self) -> String {
        format!("{}/{}", self.order.name(), self.key.as_ref().map_or("", |key| key.name))
    }

    /// The topic for the dead letters of `topic`: the route's own, or `<topic>.dlq`; none where it stops instead.
    pub(crate) fn dead_letter_topic(&self, topic: &Topic) -> Option<Topic> {
        self.unhandled.letters_of(topic)
    }

    /// The topic for the dead letters of whatever it is a route for, where it names one.
    pub(crate) fn named_letters(&self) -> Option<&Topic> {
        self.unhandled.named_letters()
    }
}

/// A handler with its settings, as [`on`], [`on_blocking`](super::on_blocking) and [`on_batch`](super::on_batch) make it. Every setting
/// has a default. `S` is the state that its router is to be given, `K` whether it takes records [one](Each) by one or in
/// [batches](Batched).
pub struct Route<S = (), K = Each> {
    pub(super) settings: RouteSettings,
    make: Maker<S>,
    kind: PhantomData<fn(K)>,
}

/// A route whose handler takes one record at a time.
#[derive(Debug, Clone, Copy)]
pub enum Each {}

/// A route whose handler takes several records at once.
#[derive(Debug, Clone, Copy)]
pub enum Batched {}

/// A route of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Either {}

/// Gives a handler its state, and erases its type.
pub(super) enum Maker<S> {
    Each(Arc<Make<S, dyn ErasedHandler>>),
    Batch(Arc<Make<S, dyn ErasedBatch>>),
}

type Make<S, T> = dyn Fn(&S) -> Arc<T> + Send + Sync;

impl<S> Maker<S> {
    fn make(&self, state: &S) -> Work {
        match self {
            Self::Each(make) => Work::Each(make(state)),
            Self::Batch(make) => Work::Batch(make(state)),
        }
    }
}

impl<S> Clone for Maker<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Each(make) => Self::Each(Arc::clone(make)),
            Self::Batch(make) => Self::Batch(Arc::clone(make)),
        }
    }
}

/// A route to `handler`: order by key, three retries with exponential backoff, dead letters to `<topic>.dlq`, ten minutes' timeout.
///
/// ```
/// use daemonry::handler::{ProcessingOrder, Route, on, extract::Text};
/// use daemonry::retry::RetryPolicy;
/// use std::time::Duration;
///
/// async fn audit(Text(line): Text) { println!("{line}"); }
///
/// let route: Route = on(audit)
///     .order(ProcessingOrder::Partition)
///     .retry(RetryPolicy::exponential().max_retries(5))
///     .dead_letter("audit.failed")
///     .timeout(Duration::from_secs(30));
/// # drop(route);
/// ```
pub fn on<H, Args, S>(handler: H) -> Route<S>
where
    H: AsyncFunction<Args> + Handler<Args, S>,
    Args: 'static,
    S: Clone + Send + Sync + 'static,
{
    let make = move |state: &S| -> Arc<dyn ErasedHandler> { Arc::new(Stated::new(handler.clone(), state.clone())) };
    Route::new(std::any::type_name::<H>(), Maker::Each(Arc::new(make)))
}

/// The last two parts of a path: `orders::create` of `handlers::shop::orders::create`. A closure goes by the name of the function
/// that it stands in.
fn short_name(path: &'static str) -> &'static str {
    let path = path.trim_end_matches("::{{closure}}");
    let parts = path.rmatch_indices("::").map(|(at, _)| at + 2).nth(1);
    parts.map_or(path, |start| &path[start..])
}

impl<S: 'static> Route<S> {
    /// Puts a [tower layer](super::layer) around the handler, outside those that are there already.
    ///
    /// ```
    /// use daemonry::handler::{Route, on, extract::Text, layer::ConcurrencyLimitLayer};
    ///
    /// async fn notify(Text(message): Text) { println!("{message}"); }
    ///
    /// let route: Route = on(notify).layer(ConcurrencyLimitLayer::new(4));
    /// # drop(route);
    /// ```
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<Delivery, Response = (), Error: Into<BoxError>, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.layered(layer)
    }
}

impl<S: 'static, K> Route<S, K> {
    pub(super) fn new(name: &'static str, make: Maker<S>) -> Self {
        let settings = RouteSettings {
            name: short_name(name),
            order: ProcessingOrder::default(),
            key: None,
            filter: None,
            retry: RetryPolicy::exponential(),
            circuit_breaker: CircuitBreaker::new(),
            retryable: None,
            unhandled: Unhandled::DeadLetter(None),
            timeout: DEFAULT_TIMEOUT,
            batch: None,
        };
        Self { settings, make, kind: PhantomData }
    }

    /// The same, whatever kind it is of.
    pub(super) fn either(self) -> Route<S, Either> {
        Route { settings: self.settings, make: self.make, kind: PhantomData }
    }

    /// The route as the pipeline has it, for this topic or the pattern of this text.
    pub(super) fn spec(&self, of: &str, state: &S) -> RouteSpec {
        RouteSpec { of: of.to_owned(), work: self.make.make(state), settings: self.settings.clone() }
    }

    /// The same with its state, and so for a router that needs none, or another one.
    pub(super) fn with_state<S2: 'static>(self, state: &S) -> Route<S2, K> {
        let make = match self.make.make(state) {
            Work::Each(handler) => Maker::Each(Arc::new(move |_: &S2| Arc::clone(&handler))),
            Work::Batch(handler) => Maker::Batch(Arc::new(move |_: &S2| Arc::clone(&handler))),
        };
        Route { settings: self.settings, make, kind: PhantomData }
    }

    /// The same with the topic of its dead letters renamed, where it names one.
    pub(super) fn with_dead_letters_in(mut self, rename: impl Fn(&Topic) -> Topic) -> Self {
        if let Unhandled::DeadLetter(Some(named)) = &mut self.settings.unhandled {
            *named = rename(named);
        }
        self
    }

    /// The same with a layer around its handler, if that takes one record at a time.
    pub(super) fn layered<L>(self, layer: L) -> Self
    where
        L: Layer<HandlerService> + Send + Sync + 'static,
        L::Service: Service<Delivery, Response = (), Error: Into<BoxError>, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        let make = match self.make {
            Maker::Each(inner) => {
                let make = move |state: &S| -> Arc<dyn ErasedHandler> { Arc::new(Layered::new(&layer, inner(state))) };
                Maker::Each(Arc::new(make))
            }
            batch @ Maker::Batch(_) => batch,
        };
        Self { settings: self.settings, make, kind: PhantomData }
    }

    /// Handles only the records for which `wanted` says so. The others are skipped before they take up room in the queue: counted as
    /// skipped, committed, and not dead letters. It runs on the reading side, so it should be quick.
    ///
    /// ```
    /// use daemonry::handler::{Route, on, extract::Text};
    ///
    /// async fn audit(Text(line): Text) { println!("{line}"); }
    ///
    /// let route: Route = on(audit).filter(|record| record.header("kind") == Some(b"audit"));
    /// # drop(route);
    /// ```
    #[must_use]
    pub fn filter<W>(mut self, wanted: W) -> Self
    where
        W: Fn(&Record) -> bool + Send + Sync + 'static,
    {
        self.settings.filter = Some(Arc::new(wanted));
        self
    }

    /// Which records wait for one another (default: by key).
    #[must_use]
    pub fn order(mut self, order: ProcessingOrder) -> Self {
        self.settings.order = order;
        self
    }

    /// Orders by a key of your own instead of the record's: from its payload, a header, or part of the key. `name` stands for the function
    /// between deployments: give it a new one when the function changes, so that what was remembered of finished records is dropped.
    /// `None` puts the record into the keyless lane of its partition.
    #[must_use]
    pub fn key_by<F>(mut self, name: &'static str, key: F) -> Self
    where
        F: Fn(&Record) -> Option<Vec<u8>> + Send + Sync + 'static,
    {
        self.settings.order = ProcessingOrder::Key;
        self.settings.key = Some(KeyFunction { name, of: Arc::new(key) });
        self
    }

    /// How failed attempts are repeated (default: 3 retries after 1, 2 and 4 s, with jitter).
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry = policy;
        self
    }

    /// What tells an outage of what the handler needs from records that can't be handled (default: [on](CircuitBreaker::new)). While
    /// there is one, nothing of the route is started, and no record uses up its retries.
    #[must_use]
    pub fn circuit_breaker(mut self, breaker: CircuitBreaker) -> Self {
        self.settings.circuit_breaker = breaker;
        self
    }

    /// Which errors are worth a retry at all (default: all but poison); the others go to the dead letters at once. Of several calls
    /// all must say so.
    #[must_use]
    pub fn retry_if<C>(mut self, retryable: C) -> Self
    where
        C: Fn(&HandlerError) -> bool + Send + Sync + 'static,
    {
        let before = self.settings.retryable.take();
        self.settings.retryable = Some(Arc::new(move |error: &HandlerError| {
            before.as_ref().is_none_or(|before| before(error)) && retryable(error)
        }));
        self
    }

    /// Errors of the type `E`, at the root of an error or among its causes, aren't worth a retry: the record goes to the dead letters at once.
    /// Each call adds a type; [`retry_if`](Self::retry_if) is asked too.
    ///
    /// ```
    /// use daemonry::handler::{HandlerError, Route, on, extract::Text};
    ///
    /// async fn store(Text(number): Text) -> Result<(), HandlerError> {
    ///     let number: u64 = number.parse()?; // won't get better by itself
    ///     std::fs::write("number", number.to_string())?; // may
    ///     Ok(())
    /// }
    /// let route: Route = on(store).not_retryable::<std::num::ParseIntError>();
    /// # drop(route);
    /// ```
    #[must_use]
    pub fn not_retryable<E: std::error::Error + Send + Sync + 'static>(mut self) -> Self {
        let before = self.settings.retryable.take();
        self.settings.retryable = Some(Arc::new(move |error: &HandlerError| {
            before.as_ref().is_none_or(|before| before(error)) && !error.error().chain().any(|cause| cause.is::<E>())
        }));
        self
    }

    /// The topic for dead letters (default: `<topic>.dlq`).
    #[must_use]
    pub fn dead_letter(mut self, topic: impl Into<Topic>) -> Self {
        self.settings.unhandled = Unhandled::DeadLetter(Some(topic.into()));
        self
    }

    /// No dead letters: the daemon stops with an error at the first record that can't be handled, which stays uncommitted.
    #[must_use]
    pub fn stop_on_failure(mut self) -> Self {
        self.settings.unhandled = Unhandled::Stop;
        self
    }

    /// How long an attempt may take (default: 10 min). Then the handler's future is dropped where it stands: handlers must be idempotent.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// An attempt may take as long as it takes. One that hangs then holds its worker, and its lane, for ever, and nothing tells: where
    /// there is a time that no attempt takes, say it as the [`timeout`](Self::timeout). A revocation or a stop asks it to end, by a
    /// [`Cancellation`](super::extract::Cancellation).
    #[must_use]
    pub fn no_timeout(self) -> Self {
        self.timeout(NO_TIMEOUT)
    }
}

impl<S, K> Entry for Route<S, K> {
    fn unhandled(&self) -> &Unhandled {
        &self.settings.unhandled
    }
}

impl Entry for Arc<RouteSpec> {
    fn unhandled(&self) -> &Unhandled {
        &self.settings.unhandled
    }
}

impl<S, K> Clone for Route<S, K> {
    fn clone(&self) -> Self {
        Self { settings: self.settings.clone(), make: self.make.clone(), kind: PhantomData }
    }
}

impl fmt::Debug for RouteSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("handler", &self.name)
            .field("order", &self.order)
            .field("key", &self.key.as_ref().map(|key| key.name))
            .field("retry", &self.retry)
            .field("circuit_breaker", &self.circuit_breaker)
            .field("unhandled", &self.unhandled)
            .field("timeout", &self.timeout)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RouteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl<S, K> fmt::Debug for Route<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}
