//! Futures that end before they are done.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// The output of `call`, or `None` if `limit` is over before.
pub async fn within<F: Future>(limit: impl Future, call: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = call => Some(output),
        _ = limit => None,
    }
}

/// A future that is dropped after so many polls.
pub struct Polled<F> {
    pub left: u32,
    pub inner: F,
}

impl<F: Future + Unpin> Future for Polled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        this.left -= 1;
        if this.left == 0 {
            // The drop comes even if nothing else wakes the task.
            cx.waker().wake_by_ref();
        }
        Pin::new(&mut this.inner).poll(cx).map(Some)
    }
}
