//! Handlers that block their thread, or compute for long: plain functions, run on threads of their own.

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::erased::Start;
use super::route::Maker;
use super::{Delivery, FromRecord, Function, HandlerError, IntoResult, Rejection, Route, Settling, for_all_arguments};

/// A function that handles one record and blocks its thread meanwhile. Implemented for functions of up to eight arguments that are
/// [`FromRecord`] and [`Send`], and that answer `()` or a `Result<(), _>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a blocking handler",
    label = "not a `fn` of extractors that answers `()` or a `Result<(), _>`",
    note = "every argument must implement `FromRecord` and be `Send`; for an `async fn` use `on`"
)]
pub trait BlockingHandler<Args, S>: Clone + Send + Sync + 'static {
    /// Draws the arguments from the record; what comes back does the work when it is called.
    ///
    /// # Errors
    /// The first argument that could not be drawn: the record is poison.
    fn prepare(
        &self,
        delivery: &Delivery,
        state: &S,
    ) -> Result<impl FnOnce() -> Result<(), HandlerError> + Send + 'static, Rejection>;
}

macro_rules! impl_blocking_handler {
    ($($arg:ident),*) => {
        #[allow(non_snake_case, unused_variables)]
        impl<F, Answer, S, $($arg,)*> BlockingHandler<($($arg,)*), S> for F
        where
            F: Fn($($arg,)*) -> Answer + Clone + Send + Sync + 'static,
            Answer: IntoResult,
            $($arg: FromRecord<S> + Send + 'static,)*
        {
            fn prepare(
                &self,
                delivery: &Delivery,
                state: &S,
            ) -> Result<impl FnOnce() -> Result<(), HandlerError> + Send + 'static, Rejection> {
                $(let $arg = $arg::from_record(delivery, state)?;)*
                let handler = self.clone();
                Ok(move || handler($($arg,)*).into_result())
            }
        }
    };
}
for_all_arguments!(impl_blocking_handler);

/// A route to a plain function, which may block its thread or compute for long. It runs on a pool of threads beside the workers, as
/// many of them at once as there are workers. Otherwise as [`on`](super::on).
///
/// It can't be dropped when its time is over. The attempt counts as timed out then, but what follows waits until the function has
/// returned; a [`Cancellation`](super::extract::Cancellation) can tell it that it is to end, and that nobody needs it any more.
///
/// ```
/// use daemonry::handler::{Route, on_blocking, extract::Bytes};
///
/// fn shrink(Bytes(image): Bytes) -> std::io::Result<()> {
///     std::fs::write("thumbnail", &image[..image.len() / 2]) // your image library
/// }
/// let route: Route = on_blocking(shrink);
/// # drop(route);
/// ```
pub fn on_blocking<H, Args, S>(handler: H) -> Route<S>
where
    H: Function<Args> + BlockingHandler<Args, S>,
    Args: 'static,
    S: Clone + Send + Sync + 'static,
{
    let make = move |state: &S| -> Arc<dyn super::erased::ErasedHandler> {
        Arc::new(Blocking { handler: handler.clone(), state: state.clone(), args: PhantomData })
    };
    Route::new(std::any::type_name::<H>(), Maker::Each(Arc::new(make)))
}

struct Blocking<H, Args, S> {
    handler: H,
    state: S,
    args: PhantomData<fn(Args)>,
}

impl<H, Args, S> Start for Blocking<H, Args, S>
where
    H: BlockingHandler<Args, S>,
    Args: 'static,
    S: Send + Sync + 'static,
{
    type Work = BoxFuture<'static, Result<(), HandlerError>>;

    fn outlives_its_future(&self) -> bool {
        true
    }

    fn start(&self, delivery: &Delivery) -> Result<Self::Work, HandlerError> {
        let call = self.handler.prepare(delivery, &self.state)?;
        let running = delivery.running();
        let work = tokio::task::spawn_blocking(move || {
            let result = call();
            drop(running);
            result
        });
        let ended = work.map(|ended| match ended {
            Ok(result) => result,
            // Passed on to where panics are caught; a task that is cancelled is one that a runtime on its way out never started.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(HandlerError::retry(error)),
            },
        });
        Ok(Settling::new(ended, delivery.sends()).boxed())
    }
}
