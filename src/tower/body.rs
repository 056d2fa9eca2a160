//! The body of a response, which may keep the lock until it ends. It never changes
//! what the service behind it sends, but may cut it short.

use std::{
    error, fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::LockGuard;

type BoxError = Box<dyn error::Error + Send + Sync>;

pin_project! {
    /// The body of a response that came through [`LockService`](super::LockService):
    /// the body of the service behind it, or the text of a refusal.
    #[must_use = "a body does nothing until it is polled"]
    pub struct LockedBody<B> {
        #[pin]
        body: Kind<B>,
        keeps: Option<Keeps>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Own { bytes: Option<Bytes> },
    }
}

/// A lock that is released when the body has ended.
pub(super) struct Keeps {
    _guard: LockGuard,
    /// Resolves when the lock is lost, which ends the body.
    lost: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Keeps {
    pub(super) fn new(guard: LockGuard, cancels: bool) -> Self {
        let lost = || Box::pin(guard.lost_token().cancelled_owned()) as _;
        let lost = cancels.then(lost);
        Self { _guard: guard, lost }
    }
}

/// Why a body ends before it is complete.
#[derive(Debug)]
struct Lost;

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lock was lost before the response was complete")
    }
}

impl error::Error for Lost {}

impl<B> LockedBody<B> {
    /// The body of the service behind, with the lock that it keeps, if any.
    pub(super) fn inner(body: B, keeps: Option<Keeps>) -> Self {
        Self { body: Kind::Inner { body }, keeps }
    }

    /// The text of a refusal.
    pub(super) fn own(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self { body: Kind::Own { bytes }, keeps: None }
    }
}

impl<B> Body for LockedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        if let Some(Keeps { lost: Some(lost), .. }) = this.keeps
            && lost.as_mut().poll(cx).is_ready()
        {
            *this.keeps = None;
            this.body.set(Kind::Own { bytes: None });
            tracing::error!("the lock was lost before the response was complete: it is cut short");
            return Poll::Ready(Some(Err(Lost.into())));
        }
        let frame = match this.body.project() {
            KindProjection::Inner { body } => std::task::ready!(body.poll_frame(cx)),
            KindProjection::Own { bytes } => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
        };
        if frame.is_none() {
            *this.keeps = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Own { bytes } => bytes.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Kind::Inner { body } => body.size_hint(),
            Kind::Own { bytes } => {
                let len = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(len).unwrap_or(u64::MAX))
            }
        }
    }
}

impl<B> fmt::Debug for LockedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holds = self.keeps.is_some();
        f.debug_struct("LockedBody").field("holds", &holds).finish_non_exhaustive()
    }
}
