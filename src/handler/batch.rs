//! Handlers that take several records at once.
//!
//! What makes up a batch, and when it is full, is the lanes' business; here is what a team writes, and where its type ends.

use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::extract::{self, Cancellation, FromRef, State};
use super::route::{Batched, Maker};
use super::{BatchFunction, Delivery, FromRecord, HandlerError, IntoResult, Rejection, Route, Settling};
use crate::producer::{Producer, Sends};

/// How large a batch gets, and how long it waits for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchSize {
    pub(crate) max: NonZeroUsize,
    pub(crate) within: Duration,
}

impl Default for BatchSize {
    fn default() -> Self {
        const MAX: NonZeroUsize = NonZeroUsize::new(100).expect("above zero");
        Self { max: MAX, within: Duration::from_millis(200) }
    }
}

/// What a batch's handler gets beside its records.
#[derive(Debug)]
pub struct BatchContext {
    cancellation: Cancellation,
    sends: Option<Arc<Sends>>,
}

impl BatchContext {
    /// One that is cancelled by this, and whose handler writes with this producer.
    pub fn new(cancellation: impl Into<Cancellation>, producer: Option<Producer>) -> Self {
        Self { cancellation: cancellation.into(), sends: producer.map(|producer| Arc::new(Sends::new(producer))) }
    }

    /// What the handler writes with, if anything. Records come from several traces, so none is carried on.
    pub(super) fn outgoing(&self) -> Option<extract::Producer> {
        Some(extract::Producer::new(Arc::clone(self.sends.as_ref()?), None))
    }

    /// Whether the work is still wanted: asked to end, and gone, as soon as that is so for the assignment of one of the records.
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }
}

/// A type that can be an argument of a batch's handler, before the records.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a batch's handler",
    label = "neither state, nor a producer, nor a `Cancellation`",
    note = "what belongs to a record comes with the records: `Vec<(Key, Json<T>)>`"
)]
pub trait FromBatch<S> {
    /// Draws the value.
    fn from_batch(context: &BatchContext, state: &S) -> Self;
}

impl<S, T: FromRef<S>> FromBatch<S> for State<T> {
    fn from_batch(_context: &BatchContext, state: &S) -> Self {
        Self(T::from_ref(state))
    }
}

/// How the attempts at the records of a batch ended.
#[derive(Debug)]
pub enum BatchResult {
    /// All of them the same way.
    All(Result<(), HandlerError>),
    /// Each its own way, in the order of the batch.
    Each(Vec<Result<(), HandlerError>>),
}

/// What the result of a batch's handler is turned into.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a batch's handler may answer",
    label = "not `()`, a `Result<(), _>`, or a `Vec<Result<(), _>>`"
)]
pub trait IntoBatchResult {
    /// The results of the attempts.
    fn into_batch_result(self) -> BatchResult;
}

impl<T: IntoResult> IntoBatchResult for T {
    fn into_batch_result(self) -> BatchResult {
        BatchResult::All(self.into_result())
    }
}

impl<E: Into<HandlerError>> IntoBatchResult for Vec<Result<(), E>> {
    fn into_batch_result(self) -> BatchResult {
        BatchResult::Each(self.into_iter().map(|result| result.map_err(Into::into)).collect())
    }
}

/// An `async fn` that handles several records of a topic at once. Its last argument is a `Vec` of what is drawn from each record, a
/// [`FromRecord`] or a tuple of them; those before it are [`FromBatch`]. It answers for all of them, or for each one in a `Vec`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler of batches",
    label = "not an `async fn` that takes a `Vec` of extractors last",
    note = "its arguments are state, a producer or a cancellation token, and then `Vec<T>` where `T: FromRecord`; the future must be `Send`"
)]
pub trait BatchHandler<Args, S>: Clone + Send + Sync + 'static {
    /// What is drawn from each record.
    type Item: FromRecord<S> + Send + 'static;
    /// The work on the batch.
    type Future: Future<Output = BatchResult> + Send + 'static;

    /// Starts the work.
    fn call(&self, items: Vec<Self::Item>, context: &BatchContext, state: &S) -> Self::Future;
}

macro_rules! impl_batch_handler {
    ($($arg:ident),*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, Answer, S, T, $($arg,)*> BatchHandler<(T, $($arg,)*), S> for F
        where
            F: Fn($($arg,)* Vec<T>) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Answer> + Send + 'static,
            Answer: IntoBatchResult + 'static,
            T: FromRecord<S> + Send + 'static,
            $($arg: FromBatch<S>,)*
        {
            type Item = T;
            type Future = Settling<futures_util::future::Map<Fut, fn(Answer) -> BatchResult>, BatchResult>;

            fn call(&self, items: Vec<T>, context: &BatchContext, state: &S) -> Self::Future {
                $(let $arg = $arg::from_batch(context, state);)*
                let work = self($($arg,)* items).map(Answer::into_batch_result as fn(Answer) -> BatchResult);
                Settling::new(work, context.sends.clone())
            }
        }
    };
}
impl_batch_handler!();
impl_batch_handler!(A1);
impl_batch_handler!(A1, A2);
impl_batch_handler!(A1, A2, A3);

/// A route to a handler of batches: at most 100 records within 200 ms, otherwise as [`on`](super::on).
///
/// A batch is made of records whose turn has come, of all partitions of the topic that this process has: with order by key, several of
/// one key stand in it in their order. It is handed over when it is full, or when its first record has waited long enough.
///
/// Where the handler fails for a record, those behind it that must wait for it count as unfinished, whatever it says of them: they come
/// again after it. Only what failed, and what waits for that, is repeated. Where it fails for the batch as a whole, by one error, a panic,
/// or its timeout, nobody knows whose fault that was: each record is tried by itself, and only then counts an attempt. A record that
/// can't be drawn becomes a dead letter and is not part of the batch, nor is what waits for it.
///
/// [Layers](super::layer) don't go around handlers of batches.
///
/// ```
/// use daemonry::handler::{HandlerError, Route, on_batch, extract::{Json, Key}};
/// use std::time::Duration;
///
/// #[derive(serde::Deserialize)]
/// struct Event { id: u64 }
///
/// async fn store(events: Vec<(Key, Json<Event>)>) -> Vec<Result<(), HandlerError>> {
///     // One round trip to your database; then say of each how it went.
///     events.iter().map(|(_, Json(event))| if event.id > 0 { Ok(()) } else { Err(anyhow::anyhow!("no id").into()) }).collect()
/// }
///
/// let route: Route<(), _> = on_batch(store).max(500).within(Duration::from_millis(100));
/// # drop(route);
/// ```
pub fn on_batch<H, Args, S>(handler: H) -> Route<S, Batched>
where
    H: BatchFunction<Args> + BatchHandler<Args, S>,
    Args: 'static,
    S: Clone + Send + Sync + 'static,
{
    let make = move |state: &S| -> Arc<dyn ErasedBatch> {
        Arc::new(Stated { handler: handler.clone(), state: state.clone(), args: PhantomData })
    };
    let mut route = Route::new(std::any::type_name::<H>(), Maker::Batch(Arc::new(make)));
    route.settings.batch = Some(BatchSize::default());
    route
}

impl<S: 'static> Route<S, Batched> {
    /// How many records a batch has at most (default: 100). The daemon's queue is made twice as large at least.
    ///
    /// # Panics
    /// Where it is zero.
    #[must_use]
    pub fn max(mut self, records: usize) -> Self {
        let max = NonZeroUsize::new(records).expect("a batch takes one record at least");
        self.settings.batch = Some(BatchSize { max, ..self.settings.batch.unwrap_or_default() });
        self
    }

    /// How long the first record of a batch waits for others (default: 200 ms).
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.settings.batch = Some(BatchSize { within: time, ..self.settings.batch.unwrap_or_default() });
        self
    }
}

/// A handler of batches without its type.
pub(crate) trait ErasedBatch: Send + Sync {
    /// A batch without records.
    fn begin(&self) -> Box<dyn Gathering + '_>;
}

/// A batch that is made up.
pub(crate) trait Gathering: Send {
    /// Adds what the handler takes of a record.
    fn add(&mut self, delivery: &Delivery) -> Result<(), Rejection>;
    /// Starts the handler.
    fn start(self: Box<Self>, context: &BatchContext) -> BoxFuture<'static, BatchResult>;
}

struct Stated<H, Args, S> {
    handler: H,
    state: S,
    args: PhantomData<fn(Args)>,
}

struct Gathered<'a, H: BatchHandler<Args, S>, Args, S> {
    handler: &'a Stated<H, Args, S>,
    items: Vec<H::Item>,
}

impl<H, Args, S> ErasedBatch for Stated<H, Args, S>
where
    H: BatchHandler<Args, S>,
    Args: 'static,
    S: Send + Sync + 'static,
{
    fn begin(&self) -> Box<dyn Gathering + '_> {
        Box::new(Gathered { handler: self, items: Vec::new() })
    }
}

impl<H, Args, S> Gathering for Gathered<'_, H, Args, S>
where
    H: BatchHandler<Args, S>,
    S: Send + Sync + 'static,
{
    fn add(&mut self, delivery: &Delivery) -> Result<(), Rejection> {
        self.items.push(H::Item::from_record(delivery, &self.handler.state)?);
        Ok(())
    }

    fn start(self: Box<Self>, context: &BatchContext) -> BoxFuture<'static, BatchResult> {
        let Self { handler, items } = *self;
        handler.handler.call(items, context, &handler.state).boxed()
    }
}
