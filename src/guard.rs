//! The guard: a held lock, and what its holder can do with it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio_util::sync::CancellationToken;

pub use crate::claim::Released;
use crate::{
    claim::{Claim, Renewal},
    engine::{ExtendRequest, Kept, Request, Shared, Won},
    error::Error,
    held::Held,
    protocol::Moment,
    token::Token,
    votes::Votes,
};

/// A lock that is held, until [`Self::remaining`] runs out or it is released.
///
/// Dropping it releases in the background, from anywhere, also outside a
/// runtime, and without blocking. [`Self::release`] does the same and tells
/// what came of it. Where another task of the same client waits for the lock,
/// it gets it at once, see [`Builder::hand_overs`](crate::Builder::hand_overs).
///
/// Held means: this client was granted the lock by a quorum, and its own clock
/// says that no server's copy can have expired yet. Work that takes longer than
/// [`Self::remaining`] is not protected; [`Self::extend`] in time, or use a
/// longer ttl.
#[must_use = "the lock is released when its guard is dropped"]
#[clippy::has_significant_drop]
pub struct LockGuard(Won);

/// A lock taken out of its guard, to be taken over elsewhere with
/// [`Redlock::adopt`](crate::Redlock::adopt).
///
/// Whoever has the token owns the lock: treat it as a secret. Its deadline is
/// wall-clock time, so where it is adopted on another host, the two clocks must
/// agree to within the time that may be lost; if in doubt, extend right after
/// adopting, which proves ownership to the servers.
#[derive(Clone, Debug)]
pub struct LockParts {
    /// The key, without the client's prefix.
    pub key: Vec<u8>,
    /// The value that proves ownership.
    pub token: Token,
    /// When the holder must stop relying on it.
    pub valid_until: SystemTime,
}

impl LockGuard {
    pub(crate) fn new(shared: Arc<Shared>, claim: Arc<Claim>) -> Self {
        Self(Won::new(shared, claim))
    }

    pub(crate) fn of(won: Won) -> Self {
        Self(won)
    }

    /// The key, without the client's prefix.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.claim.key.name()
    }

    /// How long the lock is still held; zero once it is lost, for good. On a
    /// clock that counts the time the machine was suspended.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.0.claim.remaining(self.0.shared.config.world.now())
    }

    /// Whether the lock is held now. Once `false`, always `false`.
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// When the lock ends, on the wall clock: for logs and for people. To
    /// decide whether to go on, ask [`Self::remaining`]: the wall clock can
    /// be set.
    #[must_use]
    pub fn valid_until(&self) -> SystemTime {
        let now = self.0.shared.config.world.wall();
        now.checked_add(self.remaining()).unwrap_or(now)
    }

    /// Which nodes have granted the lock so far, each one's latency, and the
    /// margin above the quorum. Nodes that answer after the lock was already
    /// held are counted as they come.
    #[must_use]
    pub fn votes(&self) -> Votes {
        Votes::of(&self.0.claim, &self.0.shared.config)
    }

    /// Holds the lock for `ttl` from now, if a quorum agrees before the present
    /// deadline. It only ever moves the deadline out: asking for less than is
    /// left changes nothing. Nodes that do not have the key are then given it
    /// again, see [`Votes::healed`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`](crate::ErrorKind::NoQuorum): not extended, but
    /// still held for as long as before; try again.
    /// [`ErrorKind::Lost`](crate::ErrorKind::Lost): it has expired, or its key
    /// is gone: stop.
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig): `ttl` is
    /// out of bounds. Also [`Busy`](crate::ErrorKind::Busy) and
    /// [`Closed`](crate::ErrorKind::Closed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the extension: the deadline may
    /// still move out. It never makes the lock end sooner.
    pub async fn extend(&self, ttl: Duration) -> Result<(), Error> {
        let ttl = self.0.shared.config.ttl_from(ttl)?;
        let claim = Arc::clone(&self.0.claim);
        let extend = |reply, queued| Request::Extend(ExtendRequest { claim, ttl, reply }, queued);
        self.0.shared.call_if_room(extend).await
    }

    /// Releases the lock and says what came of it: as soon as that is certain,
    /// which takes a majority of answers, or more where some no longer had the
    /// key; and within one node timeout. Nodes that have not answered by then
    /// are asked again in the background, until the key has ended there by
    /// itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`](crate::ErrorKind::NoQuorum): too few nodes
    /// answered to know that others can have it;
    /// [`Error::nodes`] says why. Nothing needs to be done: it goes on in the
    /// background, at worst until the ttl.
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed): the client is gone, the
    /// key stays for its ttl.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future releases in the background, as dropping the guard
    /// does.
    pub async fn release(mut self) -> Result<Released, Error> {
        let claim = self.0.take();
        let held = Arc::clone(&claim);
        let release = |reply| Request::Release { claim, reply: Some(reply) };
        let released = self.0.shared.call(release).await;
        // With the driver gone, nobody else ends it. Otherwise it has ended.
        held.end();
        released
    }

    /// Fails unless the lock is held for at least `least` more: the question to
    /// ask right before a step that must not happen twice.
    ///
    /// # Errors
    ///
    /// [`Lost`](crate::ErrorKind::Lost) if it is not held any more,
    /// [`Expired`](crate::ErrorKind::Expired)
    /// if it is, but not for that long.
    pub fn ensure(&self, least: Duration) -> Result<(), Error> {
        self.0.claim.ensure(least, self.0.shared.config.world.now())
    }

    /// Renews the lock from now on, in the background, until it is released or
    /// lost: every third of its ttl or a little sooner, for that ttl. Where that
    /// fails, it is tried again ever sooner, and [`Self::warning`] tells of it.
    /// For other times see [`Acquire::renew_every`](crate::Acquire::renew_every); a
    /// lock that is renewed already is left as it is.
    pub fn renew(&self) {
        let every = self.0.claim.ttl.third();
        self.keep(Some(Renewal::every(every, Moment::NEVER)));
    }

    /// What the last renewal failed of, with each node's answer, while the
    /// lock is still held for [`Self::remaining`]: the time to finish, or to
    /// bring the work to a point where it can stop. `None` if it succeeded.
    #[must_use]
    pub fn warning(&self) -> Option<Arc<Error>> {
        self.0.claim.warning()
    }

    /// Waits until the lock is not held any more: lost, or past its deadline.
    /// By this client's own clock, and never later because a node was slow.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost when the future is dropped.
    pub async fn lost(&self) {
        self.lost_token().cancelled().await;
    }

    /// The same as a token that work can be stopped by. It is cancelled also
    /// when the lock is released, forgotten or handed over: whoever still has
    /// it then works without the lock.
    #[must_use]
    pub fn lost_token(&self) -> CancellationToken {
        self.keep(None);
        self.0.claim.ended()
    }

    fn keep(&self, renewal: Option<Renewal>) {
        if self.0.claim.keeping(|keeping| keeping.keep(renewal)) {
            // With nobody there to say when it ends, dropping this ends it.
            let _ = self.0.shared.send(Request::Keep(Kept::new(Arc::clone(&self.0.claim))));
        }
    }

    #[cfg(redlock_sim)]
    pub(crate) fn claim(&self) -> Arc<Claim> {
        Arc::clone(&self.0.claim)
    }

    /// A view of the lock for those who may look at it and not let go of it:
    /// a task that works under it, a request's handler.
    #[must_use]
    pub fn held(&self) -> Held {
        Held { claim: Arc::clone(&self.0.claim), config: Arc::clone(&self.0.shared.config) }
    }

    /// Lets go of the lock without releasing it: nobody can have it before its
    /// ttl has passed. For work whose effects must not be followed too soon.
    pub fn forget(mut self) {
        self.0.leave();
    }

    /// Takes the lock out of its guard without releasing it, so that another
    /// process can [`adopt`](crate::Redlock::adopt) it.
    #[must_use = "whoever has the parts must release the lock"]
    pub fn into_parts(mut self) -> LockParts {
        let valid_until = self.valid_until();
        let (key, token) = (self.key().to_vec(), self.0.claim.token.clone());
        // Whoever adopts it renews it.
        self.0.leave();
        LockParts { key, token, valid_until }
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard")
            .field("key", &self.0.claim.key)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
