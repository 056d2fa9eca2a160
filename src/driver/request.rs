//! What callers hand to the driver, and the queue it goes through.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use tokio::sync::{mpsc, oneshot};

use super::{session::Session, tend::Tending};
use crate::{
    claim::Claim,
    config::Config,
    error::{Error, ErrorKind},
    exchange::{Ask, Seen},
    guard::{LockGuard, Released},
    key::Key,
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
    /// Until then.
    Until(Moment),
    /// As long as the caller listens.
    Forever,
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

pub(crate) struct AcquireRequest {
    /// What the guard will need.
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: Key,
    pub(crate) ttl: Ttl,
    pub(crate) patience: Patience,
    pub(crate) reply: Reply<LockGuard>,
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
    /// Boxed where it is asked for: it is moved often.
    Acquire(Box<Session>, Place),
    Extend(ExtendRequest, Place),
    /// Ask all nodes this of the key, and change nothing.
    Look(LookRequest, Place),
    /// Say when it ends by its deadline; and renew it, if that is planned.
    Tend(Tending),
    /// Without a reply, nobody waits.
    Release {
        claim: Arc<Claim>,
        reply: Option<Reply<Released>>,
    },
    /// Its guard has let go of it, and nothing is to be released.
    Leave(Arc<Claim>),
    /// Take no more acquires; answer when nothing is left to release, or at
    /// the deadline with how many are.
    Shutdown {
        deadline: Moment,
        reply: oneshot::Sender<usize>,
    },
}

impl Request {
    pub(crate) fn acquire(request: AcquireRequest, queued: Place) -> Self {
        Self::Acquire(Box::new(Session::new(request)), queued)
    }
}

/// What all handles of one client share. While one exists the driver lives.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    /// See [`Claim::none`].
    pub(crate) none: Arc<Claim>,
    queue: mpsc::UnboundedSender<Request>,
    awaited: Arc<AtomicUsize>,
    queued: Arc<AtomicUsize>,
}

impl Shared {
    pub(crate) fn new(config: Arc<Config>, queue: mpsc::UnboundedSender<Request>) -> Self {
        let none = Arc::new(Claim::none());
        Self { config, none, queue, awaited: Arc::default(), queued: Arc::default() }
    }

    /// Hands `request` to the driver. Never blocks; from anywhere.
    pub(crate) fn send(&self, request: Request) -> Result<(), Error> {
        self.queue.send(request).map_err(|_| Error::closed())
    }

    /// A place among those who await a verdict, the caller's to keep while it
    /// does, and one in the queue, that goes with the request. These, and not
    /// the queue, are what is bounded, since a release must always find room.
    pub(crate) fn places(&self) -> Result<(Place, Place), Error> {
        Ok((Place::among(&self.awaited)?, Place::among(&self.queued)?))
    }
}

/// A place among so many; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Place {
    fn among(taken: &Arc<AtomicUsize>) -> Result<Self, Error> {
        let place = Self(Arc::clone(taken));
        if taken.fetch_add(1, Relaxed) < MAX_PENDING {
            return Ok(place);
        }
        let message = format!("{MAX_PENDING} requests of this client are waiting already");
        Err(Error::new(ErrorKind::Busy, message))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
