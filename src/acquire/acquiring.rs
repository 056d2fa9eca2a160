//! The future that an acquire becomes when it is awaited. It hands the request to
//! the driver and waits for the answer; it never asks a node.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::sync::oneshot;

use super::Acquire;
use crate::{
    engine::{AcquireRequest, Patience, Request, Won},
    error::{Error, ErrorKind},
    guard::LockGuard,
    label::Label,
    permit::Permit,
};

impl Acquire {
    /// Hands the request to the driver.
    fn send(self) -> Result<Asked, Error> {
        let config = &self.shared.config;
        let ttl = self.span(config)?;
        let renew = self.renewing(ttl)?;
        let patience = match self.wait {
            None => Patience::Forever,
            Some(Duration::ZERO) => Patience::Once,
            Some(wait) => Patience::Until(config.world.now().after(wait)),
        };
        let owner = self.owner.as_deref().map(Label::new).transpose()?;
        let key = self.key?;
        let (reply, answer) = oneshot::channel();
        let (awaited, queued) = self.shared.permits()?;
        let shared = Arc::clone(&self.shared);
        let request = AcquireRequest::new(shared, key, ttl, patience, reply);
        let request = AcquireRequest { renew, owner, fenced: self.fenced, ..request };
        if self.fenced {
            self.shared.tell_clock()?;
        }
        self.shared.send(Request::acquire(request, queued))?;
        Ok(Asked { answer, _awaited: awaited })
    }
}

impl IntoFuture for Acquire {
    type Output = Result<LockGuard, Error>;
    type IntoFuture = Acquiring;

    fn into_future(self) -> Acquiring {
        Acquiring(State::Begin(self))
    }
}

/// The future of an [`Acquire`]; it yields the [`LockGuard`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Acquiring(State);

enum State {
    Begin(Acquire),
    Asked(Asked),
    Done,
}

/// A request that the driver has.
struct Asked {
    answer: oneshot::Receiver<Result<Won, Error>>,
    _awaited: Permit,
}

/// The guard of a lock that was won, if it is still held when its caller runs.
fn guard(won: Won) -> Result<LockGuard, Error> {
    let guard = LockGuard::of(won);
    // The verdict was in time; this task may not have been.
    if !guard.is_held() {
        let message = "the lock expired before its caller was scheduled: the process stalled, \
                       or the ttl is too short";
        return Err(Error::new(ErrorKind::Expired, message));
    }
    Ok(guard)
}

impl Future for Acquiring {
    type Output = Result<LockGuard, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Begin(_) = self.0
            && let State::Begin(acquire) = std::mem::replace(&mut self.0, State::Done)
        {
            self.0 = State::Asked(acquire.send()?);
        }
        let State::Asked(asked) = &mut self.0 else { return Poll::Ready(Err(Error::closed())) };
        let answer = ready!(Pin::new(&mut asked.answer).poll(cx));
        self.0 = State::Done;
        Poll::Ready(answer.unwrap_or_else(|_| Err(Error::no_driver())).and_then(guard))
    }
}

impl fmt::Debug for Acquiring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring").finish_non_exhaustive()
    }
}
