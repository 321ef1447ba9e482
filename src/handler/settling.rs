//! A handler's work, and what it sent: the attempt succeeds only once all of that is acknowledged.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::{BatchResult, HandlerError};
use crate::producer::{SendError, Sends};

pin_project_lite::pin_project! {
    /// The future of a handler that may have sent something.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Settling<F, T> {
        #[pin]
        work: F,
        answer: Option<T>,
        sends: Option<Arc<Sends>>,
        failed: Option<SendError>,
    }
}

/// An answer that a failed send can turn into a failure.
pub(super) trait Fallible {
    /// Whether there is anything left to fail.
    fn is_success(&self) -> bool;
    /// What was sent was not written.
    fn fail(error: SendError) -> Self;
}

impl Fallible for Result<(), HandlerError> {
    fn is_success(&self) -> bool {
        self.is_ok()
    }

    fn fail(error: SendError) -> Self {
        Err(HandlerError::retry(error))
    }
}

impl Fallible for BatchResult {
    fn is_success(&self) -> bool {
        match self {
            Self::All(result) => result.is_ok(),
            Self::Each(results) => results.iter().any(Result::is_ok),
        }
    }

    fn fail(error: SendError) -> Self {
        Self::All(Err(HandlerError::retry(error)))
    }
}

impl<F, T> Settling<F, T> {
    /// `work`, and then what it sends.
    pub(super) fn new(work: F, sends: Option<Arc<Sends>>) -> Self {
        Self { work, answer: None, sends, failed: None }
    }
}

impl<F: Future<Output = T>, T: Fallible> Future for Settling<F, T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        if this.answer.is_none() {
            let polled = this.work.poll(cx);
            if let (Poll::Pending, Some(sends)) = (&polled, &*this.sends) {
                // What waits for room goes on meanwhile, or the work could wait for its own sends.
                if let Poll::Ready(Err(error)) = sends.poll_settled(cx) {
                    this.failed.get_or_insert(error);
                }
            }
            *this.answer = Some(ready!(polled));
        }
        if let Some(sends) = this.sends.take_if(|_| this.answer.as_ref().is_some_and(T::is_success)) {
            match sends.poll_settled(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    this.failed.get_or_insert(error);
                }
                Poll::Pending => {
                    *this.sends = Some(sends);
                    return Poll::Pending;
                }
            }
        }
        let answer = this.answer.take().expect("a future isn't polled after its end");
        Poll::Ready(match this.failed.take() {
            Some(error) if answer.is_success() => T::fail(error),
            _ => answer,
        })
    }
}
