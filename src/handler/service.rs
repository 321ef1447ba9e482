//! A handler as a tower service, for layers to go around.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tower::util::Oneshot;
use tower::{Layer, Service, ServiceExt};

use super::erased::{ErasedHandler, Start};
use super::error::BoxError;
use super::{Delivery, HandlerError};

/// A handler with the layers that are around it so far: what the next [tower](super::layer) layer gets as its inner service.
/// One call is one attempt at one record.
#[derive(Clone)]
pub struct HandlerService(Arc<dyn ErasedHandler>);

impl Service<Delivery> for HandlerService {
    type Response = ();
    type Error = HandlerError;
    type Future = BoxFuture<'static, Result<(), HandlerError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        // A worker has the time for it already.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        self.0.call(&delivery)
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerService")
    }
}

/// A stack of layers with a handler in it, with its type. Each attempt gets a clone of its own, which waits until it is ready:
/// so one that holds a permit for a call that never comes can't keep it.
pub(super) struct Layered<T> {
    service: T,
    outlives_its_future: bool,
}

impl<T> Layered<T> {
    pub(super) fn new<L: Layer<HandlerService, Service = T>>(layer: &L, inner: Arc<dyn ErasedHandler>) -> Self {
        let outlives_its_future = inner.outlives_its_future();
        Self { service: layer.layer(HandlerService(inner)), outlives_its_future }
    }
}

impl<T> Start for Layered<T>
where
    T: Service<Delivery, Response = ()> + Clone + Send + Sync + 'static,
    T::Error: Into<BoxError>,
    T::Future: Send + 'static,
{
    type Work = futures_util::future::MapErr<Oneshot<T, Delivery>, fn(T::Error) -> HandlerError>;

    fn outlives_its_future(&self) -> bool {
        self.outlives_its_future
    }

    fn start(&self, delivery: &Delivery) -> Result<Self::Work, HandlerError> {
        use futures_util::TryFutureExt;
        let passed: fn(T::Error) -> HandlerError = |error| HandlerError::from_layer(error.into());
        Ok(self.service.clone().oneshot(delivery.clone()).map_err(passed))
    }
}
