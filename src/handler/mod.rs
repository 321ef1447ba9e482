//! What a team writes: handlers, what they take, and what they answer.
//!
//! A handler is an `async fn` whose arguments are drawn from the record ([`FromRecord`]) and whose result says how the attempt
//! ended. It never sees a ticket, an offset to commit, or a worker: whatever it does, the pipeline decides what follows.
//! [`on`] makes a [`Route`] of it, a [`Router`] gathers routes by topic or [pattern](TopicPattern), and [tower](layer) layers go around them.

mod batch;
mod blocking;
mod check;
mod delivery;
mod erased;
mod error;
pub mod extract;
pub mod layer;
mod pattern;
mod route;
mod router;
mod service;
mod settling;
mod signature;
mod table;

use std::future::Future;

pub(crate) use batch::BatchSize;
pub use batch::{BatchContext, BatchHandler, BatchResult, FromBatch, IntoBatchResult, on_batch};
pub use blocking::{BlockingHandler, on_blocking};
pub use check::{RouterError, Selector};
pub(crate) use delivery::Circumstances;
pub use delivery::Delivery;
pub(crate) use erased::{Attempts, Verdict};
pub use error::{ErrorClass, HandlerError, Rejection};
pub use extract::{FromRecord, FromRef};
pub use pattern::{PatternError, TopicPattern};
#[cfg(feature = "api")]
pub(crate) use route::NO_TIMEOUT;
pub(crate) use route::Unhandled;
pub use route::{Batched, Each, ProcessingOrder, Route, on};
pub(crate) use route::{RouteSettings, RouteSpec, Work};
pub use router::Router;
pub(crate) use router::Routes;
pub use service::HandlerService;
pub use settling::Settling;
pub use signature::{AsyncFunction, BatchFunction, Function};
#[cfg(feature = "cli")]
pub(crate) use table::letters_of;
pub(crate) use table::{Entry, Found, TopicTable};

/// What a handler's result is turned into.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what a handler may answer",
    label = "not `()` and not a `Result<(), _>`",
    note = "answer `()`, `Result<(), HandlerError>`, or `Result<(), E>` of an error that `?` turns into a `HandlerError`",
    note = "an `async fn` goes into `on`, a plain `fn` into `on_blocking`"
)]
pub trait IntoResult {
    /// The attempt's result.
    ///
    /// # Errors
    /// The handler's own.
    fn into_result(self) -> Result<(), HandlerError>;
}

impl IntoResult for () {
    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: Into<HandlerError>> IntoResult for Result<(), E> {
    fn into_result(self) -> Result<(), HandlerError> {
        self.map_err(Into::into)
    }
}

/// An `async fn` that handles one record. Implemented for functions of up to eight arguments that are [`FromRecord`], and
/// that answer `()` or a `Result<(), _>`. `S` is the state that its [`Router`] is given.
///
/// Handlers must be idempotent: a record is delivered at least once, and a handler that overstays its timeout is dropped at
/// whatever `.await` it stands.
///
/// ```
/// use daemonry::handler::{HandlerError, Route, on, extract::{Json, Key}};
/// #[derive(serde::Deserialize)]
/// struct Order { id: u64 }
///
/// async fn create(Key(key): Key, Json(order): Json<Order>) -> Result<(), HandlerError> {
///     if order.id == 0 {
///         return Err(HandlerError::poison(anyhow::anyhow!("order id is zero")));
///     }
///     println!("{key:?}: {}", order.id);
///     Ok(())
/// }
/// let route: Route = on(create);
/// # drop(route);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not an `async fn` of extractors that answers `()` or a `Result<(), _>`",
    note = "every argument must implement `FromRecord`, and the future must be `Send`"
)]
pub trait Handler<Args, S>: Clone + Send + Sync + 'static {
    /// The work on one record.
    type Future: Future<Output = Result<(), HandlerError>> + Send + 'static;

    /// Draws the arguments from the record and starts the work.
    ///
    /// # Errors
    /// The first argument that could not be drawn: the record is poison.
    fn call(&self, delivery: &Delivery, state: &S) -> Result<Self::Future, Rejection>;
}

/// Calls a macro with the argument lists of zero to eight extractors.
macro_rules! for_all_arguments {
    ($call:ident) => {
        $call!();
        $call!(A1);
        $call!(A1, A2);
        $call!(A1, A2, A3);
        $call!(A1, A2, A3, A4);
        $call!(A1, A2, A3, A4, A5);
        $call!(A1, A2, A3, A4, A5, A6);
        $call!(A1, A2, A3, A4, A5, A6, A7);
        $call!(A1, A2, A3, A4, A5, A6, A7, A8);
    };
}
pub(crate) use for_all_arguments;

macro_rules! impl_handler {
    ($($arg:ident),*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, Answer, S, $($arg,)*> Handler<($($arg,)*), S> for F
        where
            F: Fn($($arg,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Answer> + Send + 'static,
            Answer: IntoResult + 'static,
            $($arg: FromRecord<S>,)*
        {
            type Future = Settling<
                futures_util::future::Map<Fut, fn(Answer) -> Result<(), HandlerError>>,
                Result<(), HandlerError>,
            >;

            fn call(&self, delivery: &Delivery, state: &S) -> Result<Self::Future, Rejection> {
                use futures_util::FutureExt;
                $(let $arg = $arg::from_record(delivery, state)?;)*
                let work = self($($arg,)*).map(Answer::into_result as fn(Answer) -> Result<(), HandlerError>);
                Ok(Settling::new(work, delivery.sends()))
            }
        }
    };
}
for_all_arguments!(impl_handler);
