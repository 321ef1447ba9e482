//! Layers: what goes around a handler. Any [tower] layer does, for a route or for a whole router.
//!
//! The inner service is a [`HandlerService`]: its request is a [`Delivery`], its response `()`. An error that a layer adds counts as a
//! failed attempt and is retried; a layer's timeout counts as one. While a layer waits (for a permit, for its rate), the
//! attempt holds its worker, and the route's own timeout runs.
//!
//! ```
//! use daemonry::handler::{Router, on, extract::Text};
//! use daemonry::handler::layer::{ConcurrencyLimitLayer, RateLimitLayer, TimeoutLayer};
//! use std::time::Duration;
//! use tower::ServiceBuilder;
//!
//! async fn notify(Text(message): Text) { println!("{message}"); }
//!
//! let router: Router = Router::new()
//!     .topic("mails", on(notify).layer(RateLimitLayer::new(50, Duration::from_secs(1))))
//!     .topic("calls", on(notify))
//!     // Around both, the first one outermost; a stack costs less than one `layer` after the other.
//!     .layer(ServiceBuilder::new().layer(TimeoutLayer::new(Duration::from_secs(5))).layer(ConcurrencyLimitLayer::new(8)));
//! # drop(router);
//! ```
//!
//! [tower]: https://docs.rs/tower
//! [`Delivery`]: super::Delivery
//! [`HandlerService`]: super::HandlerService

mod rate;
mod timeout;
mod trace;

pub use rate::{RateLimit, RateLimitLayer};
pub use timeout::{Elapsed, InTime, Timeout, TimeoutLayer};
pub use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer};
pub use trace::{Trace, TraceLayer};
