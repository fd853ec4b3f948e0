//! Sudden death: a future that is dropped after so many polls, as a process that is killed would stop.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs a future, and drops it after `polls` polls. `None` when it was dropped before it ended.
///
/// Each await on the database or on the pretend world ends a poll, so that with every number of polls the service
/// dies between two other actions.
pub async fn after<F: Future>(polls: u64, future: F) -> Option<F::Output> {
    Mortal { future: Box::pin(future), left: polls }.await
}

struct Mortal<F> {
    future: Pin<Box<F>>,
    left: u64,
}

impl<F: Future> Future for Mortal<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}
