//! State: what a router was given, or a part of it.

use super::super::{Delivery, Rejection};
use super::FromRecord;

/// What the router was [given](crate::handler::Router::with_state), or a part of it: a connection pool, a client, settings. Cloned for
/// each attempt, so what is large stands behind an [`Arc`](std::sync::Arc).
///
/// ```
/// use daemonry::handler::{Router, on, extract::{State, Text}};
/// use std::sync::Arc;
///
/// #[derive(Clone)]
/// struct AppState { greeting: Arc<str> }
///
/// async fn greet(State(app): State<AppState>, Text(name): Text) { println!("{}, {name}", app.greeting); }
///
/// let router: Router = Router::new().topic("names", on(greet)).with_state(AppState { greeting: "hello".into() });
/// # drop(router);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State<T>(pub T);

/// A part that can be taken from a state. Each cloneable state is a part of itself.
///
/// ```
/// use daemonry::handler::extract::FromRef;
///
/// #[derive(Clone)]
/// struct Pool;
/// #[derive(Clone)]
/// struct AppState { pool: Pool }
///
/// // Now a handler can take `State<Pool>`.
/// impl FromRef<AppState> for Pool {
///     fn from_ref(app: &AppState) -> Self { app.pool.clone() }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no part of a router's state `{S}`",
    label = "not the router's state, and not a part of it",
    note = "take `State<{S}>`, or implement `FromRef<{S}>` for `{Self}`"
)]
pub trait FromRef<S> {
    /// Takes the part.
    fn from_ref(state: &S) -> Self;
}

impl<T: Clone> FromRef<T> for T {
    fn from_ref(state: &T) -> Self {
        state.clone()
    }
}

impl<S, T: FromRef<S>> FromRecord<S> for State<T> {
    fn from_record(_delivery: &Delivery, state: &S) -> Result<Self, Rejection> {
        Ok(Self(T::from_ref(state)))
    }
}
