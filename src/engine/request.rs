//! What callers hand to the engine, and the queue it goes through.
//!
//! Nothing here decides anything: a request is data, and [`Shared`] is what handles
//! hold, the callers' end of the queue. It stands here because a waiter carries it to
//! its guard; a [`Won`] that nobody takes comes back as a release request.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};

use super::{keep::Kept, shutdown::Left, waiter::Waiter};
use crate::{
    claim::{Claim, Released, Renewal},
    config::Config,
    error::{Error, ErrorKind},
    exchange::{Ask, Seen},
    key::Key,
    label::Label,
    mutant::{self, Mutant},
    permit::Permit,
    protocol::{Moment, Ttl},
};

/// The most acquires and extends that may await their verdict at once, and the
/// most that the driver may not have seen yet, whether or not anyone still
/// awaits them. More is a flood that only a refusal helps.
const MAX_PENDING: usize = 65_536;

/// How long an acquire goes on trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// One round.
    Once,
    /// Until this moment.
    Until(Moment),
    /// As long as the caller listens.
    Forever,
}

/// How a lock is renewed from its grant on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renew {
    pub(crate) every: Duration,
    /// How long after the grant the renewing stops, if it does.
    pub(crate) limit: Option<Duration>,
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

pub(crate) struct AcquireRequest {
    /// What the guard will need.
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: Key,
    pub(crate) ttl: Ttl,
    pub(crate) patience: Patience,
    pub(crate) renew: Option<Renew>,
    /// What the holder calls itself.
    pub(crate) owner: Option<Label>,
    /// Whether the lock is to have a fencing number.
    pub(crate) fenced: bool,
    pub(crate) reply: Reply<Won>,
}

impl AcquireRequest {
    /// A request without options.
    pub(crate) fn new(
        shared: Arc<Shared>,
        key: Key,
        ttl: Ttl,
        patience: Patience,
        reply: Reply<Won>,
    ) -> Self {
        Self { shared, key, ttl, patience, renew: None, owner: None, fenced: false, reply }
    }
}

pub(crate) struct ExtendRequest {
    pub(crate) claim: Arc<Claim>,
    pub(crate) ttl: Ttl,
    pub(crate) reply: Reply<()>,
}

pub(crate) struct LookRequest {
    pub(crate) ask: Ask,
    pub(crate) key: Key,
    pub(crate) reply: Reply<Seen>,
}

pub(crate) enum Request {
    /// Boxed where it is made: it is moved often.
    Acquire(Box<Waiter>, Permit),
    /// The wall clock says so many microseconds since 1970: for the numbers of what follows.
    Clock(u64),
    Extend(ExtendRequest, Permit),
    /// Ask all nodes about a key, and change nothing.
    Look(LookRequest, Permit),
    /// Say when the lock ends by its deadline; and renew it, if that is planned.
    Keep(Kept),
    /// Without a reply, nobody waits for the outcome.
    Release {
        claim: Arc<Claim>,
        reply: Option<Reply<Released>>,
    },
    /// The guard has let go of its lock, and nothing is to be released.
    Leave(Arc<Claim>),
    /// Take no more acquires; answer when nothing is left to release, or at
    /// the deadline, with what is.
    Shutdown {
        deadline: Moment,
        reply: Reply<Left>,
    },
}

impl Request {
    pub(crate) fn acquire(request: AcquireRequest, queued: Permit) -> Self {
        Self::Acquire(Box::new(Waiter::new(request)), queued)
    }
}

/// What all handles of one client share. While one exists the driver lives.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    /// The claim of a guard that has let go of its lock: see [`Claim::none`].
    none: Arc<Claim>,
    queue: mpsc::UnboundedSender<Request>,
    awaited: Arc<AtomicUsize>,
    queued: Arc<AtomicUsize>,
    /// What waits for the driver's end when it is dropped, if anything does. Fields are dropped
    /// in this order: so the queue is closed by then.
    _driver: Option<Box<dyn fmt::Debug + Send + Sync>>,
}

impl Shared {
    pub(crate) fn new(config: Arc<Config>, queue: mpsc::UnboundedSender<Request>) -> Self {
        let none = Arc::new(Claim::none());
        let (awaited, queued) = Default::default();
        Self { config, none, queue, awaited, queued, _driver: None }
    }

    /// The same, with what waits for the driver's end when it is dropped.
    pub(crate) fn with_driver(self, driver: Box<dyn fmt::Debug + Send + Sync>) -> Self {
        Self { _driver: Some(driver), ..self }
    }

    /// Hands `request` to the driver. Never blocks; from anywhere.
    pub(crate) fn send(&self, request: Request) -> Result<(), Error> {
        self.queue.send(request).map_err(|_| Error::no_driver())
    }

    /// Says what the wall clock says, for the fencing numbers of what follows.
    pub(crate) fn tell_clock(&self) -> Result<(), Error> {
        self.send(Request::Clock(self.config.wall_micros()))
    }

    /// Hands over the request that `make` makes, and awaits its answer.
    pub(crate) async fn call<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(make(reply))?;
        answer.await.unwrap_or_else(|_| Err(Error::no_driver()))
    }

    /// The same for a request that must be counted: it is refused as
    /// [`ErrorKind::Busy`] where too many wait already.
    pub(crate) async fn call_if_room<T>(
        &self,
        make: impl FnOnce(Reply<T>, Permit) -> Request,
    ) -> Result<T, Error> {
        let (_awaited, queued) = self.permits()?;
        self.call(|reply| make(reply, queued)).await
    }

    /// Has the lock of `claim` watched for its end, and renewed, if it is not already. If
    /// the driver is gone, nothing can say when the lock ends: so that is the end.
    pub(crate) fn keep(claim: &Arc<Claim>, renewal: Option<Renewal>, driver: Option<&Self>) {
        if claim.keeping(|keeping| keeping.keep(renewal)) {
            let kept = Kept::new(Arc::clone(claim));
            match driver {
                Some(driver) => drop(driver.send(Request::Keep(kept))),
                None => drop(kept),
            }
        }
    }

    /// A permit to await a verdict, which the caller keeps while it does, and
    /// one for the queue, which goes with the request. These, and not the queue,
    /// are what is bounded, since a release must always find room.
    pub(crate) fn permits(&self) -> Result<(Permit, Permit), Error> {
        let take = |taken| {
            Permit::take(taken, MAX_PENDING).ok_or_else(|| {
                let message = format!("{MAX_PENDING} requests of this client are waiting already");
                Error::new(ErrorKind::Busy, message)
            })
        };
        Ok((take(&self.awaited)?, take(&self.queued)?))
    }
}

/// A lock that was won. Its drop releases the lock, whoever has it then: the
/// channel that a caller has stopped listening to, or the caller's guard.
pub(crate) struct Won {
    pub(crate) shared: Arc<Shared>,
    /// What the drop releases; the shared empty claim once it is given up.
    pub(crate) claim: Arc<Claim>,
}

impl Won {
    pub(crate) fn new(shared: Arc<Shared>, claim: Arc<Claim>) -> Self {
        Self { shared, claim }
    }

    /// Takes the claim out: what becomes of it is the taker's business.
    pub(crate) fn take(&mut self) -> Arc<Claim> {
        std::mem::replace(&mut self.claim, Arc::clone(&self.shared.none))
    }

    /// Lets go of the lock without a release.
    pub(crate) fn leave(&mut self) {
        let claim = self.take();
        claim.end();
        // If the driver is gone, no task waits for the lock.
        let _ = self.shared.send(Request::Leave(claim));
    }

    /// Whether there is a lock that the drop must release.
    fn must_release(&self) -> bool {
        if mutant::is(Mutant::DropWithoutRelease) {
            return false;
        }
        !Arc::ptr_eq(&self.claim, &self.shared.none)
    }
}

impl Drop for Won {
    fn drop(&mut self) {
        if !self.must_release() {
            return;
        }
        let claim = Arc::clone(&self.claim);
        // If the driver is gone, the key ends with its ttl.
        if self.shared.send(Request::Release { claim, reply: None }).is_err() {
            self.claim.end();
        }
    }
}
