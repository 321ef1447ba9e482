//! What a team writes: handlers, what they take, and what they answer.
//!
//! A handler is an `async fn` whose arguments are drawn from the record ([`FromRecord`]) and whose result says how the attempt
//! ended. It never sees a ticket, an offset to commit, or a worker: whatever it does, the pipeline decides what follows.

mod erased;
mod error;
pub mod extract;
mod route;
mod router;

use std::future::Future;

pub(crate) use erased::{Attempts, Verdict};
pub use error::{ErrorClass, HandlerError, Rejection};
pub use extract::{Delivery, FromRecord};
pub(crate) use route::RouteSpec;
pub use route::{ProcessingOrder, Route, on};
pub use router::{Router, RouterError};

/// What a handler's result is turned into.
pub trait IntoResult {
    /// The attempt's result.
    fn into_result(self) -> Result<(), HandlerError>;
}

impl IntoResult for () {
    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl IntoResult for Result<(), HandlerError> {
    fn into_result(self) -> Result<(), HandlerError> {
        self
    }
}

/// An `async fn` that handles one record. Implemented for functions of up to eight arguments that are [`FromRecord`], and
/// that answer `()` or `Result<(), HandlerError>`.
///
/// Handlers must be idempotent: a record is delivered at least once, and a handler that overstays its timeout is dropped at
/// whatever `.await` it stands.
///
/// ```
/// use daemonry::handler::{HandlerError, on, extract::{Json, Key}};
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
/// let route = on(create);
/// # drop(route);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    label = "not an async fn of extractors that answers `()` or `Result<(), HandlerError>`",
    note = "every argument must implement `FromRecord`, and the future must be `Send`"
)]
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// The work on one record.
    type Future: Future<Output = Result<(), HandlerError>> + Send + 'static;

    /// Draws the arguments from the record and starts the work.
    ///
    /// # Errors
    /// The first argument that could not be drawn: the record is poison.
    fn call(&self, delivery: &Delivery<'_>) -> Result<Self::Future, Rejection>;
}

macro_rules! impl_handler {
    ($($arg:ident),*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<F, Fut, Answer, $($arg,)*> Handler<(Answer, $($arg,)*)> for F
        where
            F: Fn($($arg,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Answer> + Send + 'static,
            Answer: IntoResult + 'static,
            $($arg: FromRecord,)*
        {
            type Future = futures_util::future::Map<Fut, fn(Answer) -> Result<(), HandlerError>>;

            fn call(&self, delivery: &Delivery<'_>) -> Result<Self::Future, Rejection> {
                use futures_util::FutureExt;
                $(let $arg = $arg::from_record(delivery)?;)*
                Ok(self($($arg,)*).map(Answer::into_result as fn(Answer) -> Result<(), HandlerError>))
            }
        }
    };
}

impl_handler!();
impl_handler!(A1);
impl_handler!(A1, A2);
impl_handler!(A1, A2, A3);
impl_handler!(A1, A2, A3, A4);
impl_handler!(A1, A2, A3, A4, A5);
impl_handler!(A1, A2, A3, A4, A5, A6);
impl_handler!(A1, A2, A3, A4, A5, A6, A7);
impl_handler!(A1, A2, A3, A4, A5, A6, A7, A8);
