//! The service: one request's way through the lock. It never calls the service behind
//! it without the lock that the request needs.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use ::http::{Request, Response};
use tower_service::Service;

use super::{
    body::{Keeps, LockedBody},
    layer::{Hold, OnLoss, Options},
    reject::{Reason, Rejection},
};
use crate::{Acquire, LockGuard, permit::Permit};

/// A service behind a lock, as [`LockLayer`](super::LockLayer) makes it.
pub struct LockService<S, F> {
    inner: S,
    options: Arc<Options>,
    key: Arc<F>,
}

impl<S, F> LockService<S, F> {
    pub(super) fn new(inner: S, options: Arc<Options>, key: Arc<F>) -> Self {
        Self { inner, options, key }
    }
}

impl<S, F, K, B, R> Service<Request<B>> for LockService<S, F>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    F: Fn(&Request<B>) -> Option<K>,
    K: AsRef<[u8]>,
    B: Send + 'static,
{
    type Response = Response<LockedBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let options = Arc::clone(&self.options);
        let key = Some(&request).filter(|request| options.methods.contain(request.method()));
        let acquire = key.and_then(|request| (self.key)(request)).map(|key| options.acquire(key));
        // The service that has said it is ready is the one to call, and not its clone.
        let next = self.inner.clone();
        let inner = mem::replace(&mut self.inner, next);
        Box::pin(async move {
            match acquire {
                Some(acquire) => locked(&options, acquire, inner, request).await,
                None => pass(inner, request).await,
            }
        })
    }
}

async fn pass<S, B, R>(
    mut inner: S,
    request: Request<B>,
) -> Result<Response<LockedBody<R>>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    Ok(inner.call(request).await?.map(|body| LockedBody::inner(body, None)))
}

/// Handles one request under its lock. Dropping the future at any point releases the
/// lock, or ends the wait for it.
async fn locked<S, B, R>(
    options: &Options,
    acquire: Acquire,
    mut inner: S,
    mut request: Request<B>,
) -> Result<Response<LockedBody<R>>, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    let guard = match options.take_turn(acquire).await {
        Ok(guard) => guard,
        Err(rejection) => return Ok(options.reject(&rejection)),
    };
    request.extensions_mut().insert(guard.held());
    let cancels = options.on_loss == OnLoss::Cancel;
    let handling = inner.call(request);
    let response =
        if cancels { unless_lost(&guard, handling).await? } else { Some(handling.await?) };
    let Some(response) = response else { return Ok(options.reject(&Rejection::lost())) };
    if !guard.is_held() {
        tracing::error!("the lock was lost while a request was handled, which went on");
    }
    let keeps = match options.hold {
        Hold::UntilResponse => None,
        Hold::UntilBodyEnd => Some(Keeps::new(guard, cancels)),
    };
    Ok(response.map(|body| LockedBody::inner(body, keeps)))
}

/// The response of the handler, unless the lock is lost first. Then the handler is
/// dropped where it is.
async fn unless_lost<R, E>(
    guard: &LockGuard,
    handling: impl Future<Output = Result<R, E>>,
) -> Result<Option<R>, E> {
    let lost = guard.lost_token();
    tokio::select! {
        biased;
        () = lost.cancelled() => Ok(None),
        response = handling => Ok(Some(response?).filter(|_| guard.is_held())),
    }
}

impl Options {
    fn acquire(&self, key: impl AsRef<[u8]>) -> Acquire {
        let acquire = self.redlock.lock(key).ttl(self.ttl).wait(self.wait).renew();
        if self.fenced { acquire.fenced() } else { acquire }
    }

    async fn take_turn(&self, acquire: Acquire) -> Result<LockGuard, Rejection> {
        let _permit = if self.wait.is_zero() {
            None
        } else {
            let permit = Permit::take(&self.queued, self.max_queued);
            Some(permit.ok_or_else(Rejection::too_many_queued)?)
        };
        acquire.await.map_err(|error| Rejection::of(error, self.busy_status))
    }

    fn reject<R>(&self, rejection: &Rejection) -> Response<LockedBody<R>> {
        let reason = rejection.reason();
        match reason {
            Reason::Busy | Reason::TooManyQueued => tracing::debug!(?reason, "refused"),
            Reason::Lost => tracing::error!("the lock was lost while a request was handled"),
            // The whole text of the error would name the key.
            Reason::Unavailable | Reason::Invalid => {
                let nodes =
                    rejection.error().map(|error| error.nodes().iter().map(ToString::to_string));
                let nodes = nodes.map(|nodes| nodes.collect::<Vec<_>>().join("; "));
                tracing::warn!(?reason, nodes, "refused");
            }
        }
        (self.on_reject)(rejection).map(LockedBody::own)
    }
}

impl<S: Clone, F> Clone for LockService<S, F> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.options), Arc::clone(&self.key))
    }
}

impl<S: fmt::Debug, F> fmt::Debug for LockService<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt_as("LockService", f)
    }
}
