//! The three ways out of a guard: the lock is released, left to its ttl, or taken
//! out for another process. None of them asks a node itself.

use std::{sync::Arc, time::SystemTime};

use super::{LockGuard, Released};
use crate::{engine::Request, error::Error, token::Token};

/// A lock taken out of its guard, to be taken over elsewhere with
/// [`Redlock::adopt`](crate::Redlock::adopt).
///
/// The token is a secret: with it, anyone can extend and release the lock. The
/// deadline is wall-clock time. If the lock is adopted on another host whose clock
/// is behind, it counts as held for that much too long: if in doubt, extend the
/// lock right after adopting it, which proves ownership to the servers.
#[derive(Clone, Debug)]
pub struct LockParts {
    /// The key, without the client's prefix.
    pub key: Vec<u8>,
    /// The proof of ownership: the value at the key.
    pub token: Token,
    /// When the holder must stop relying on the lock.
    pub valid_until: SystemTime,
    /// The lock's fencing number, if it has one. With it, an adopted lock keeps its place in the
    /// order however long it is held, and what may still arrive with it or a lower one is refused
    /// behind its release.
    pub fencing_number: Option<u64>,
}

impl LockGuard {
    /// Releases the lock and says what came of it. It returns as soon as that is
    /// certain, and within one node timeout: after the answers of a majority, or of
    /// more nodes if some no longer had the key. Nodes that have not answered by then
    /// are asked again in the background, until the key has ended there by itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoQuorum`](crate::ErrorKind::NoQuorum): too few nodes
    /// answered to know that others can have the lock; [`Error::nodes`] says why.
    /// Nothing needs to be done: the release goes on in the background, at worst
    /// until the ttl has passed.
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed): the client has ended, and the
    /// key stays for its ttl.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not recall the release: it goes on in the
    /// background, as when the guard is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, Released, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("job").await?;
    /// // ... work ...
    /// let released = guard.release().await?;
    /// assert_eq!(released, Released::Released); // it was ours all the time
    /// # Ok(()) }
    /// ```
    #[doc(alias = "unlock")]
    pub async fn release(mut self) -> Result<Released, Error> {
        let claim = self.0.take();
        let held = Arc::clone(&claim);
        let release = |reply| Request::Release { claim, reply: Some(reply) };
        let released = self.0.shared.call(release).await;
        // With the driver gone, nobody else ends it. Otherwise it has ended.
        held.end();
        released
    }

    /// Gives up the lock without releasing it: no one can have it before its ttl, and its grace if it
    /// has one, have passed. This is for work that must not be done again too soon.
    ///
    /// ```
    /// # use redlock_quorum::{ErrorKind, Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let guard = redlock.lock("invoice:7").await?;
    /// // ... sent, and not to be sent again within the ttl ...
    /// guard.forget();
    /// let refused = redlock.try_lock("invoice:7").await.unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Contended);
    /// # Ok(()) }
    /// ```
    pub fn forget(mut self) {
        self.0.leave();
    }

    /// Takes the lock out of its guard without releasing it, so that another
    /// process can [`adopt`](crate::Redlock::adopt) it. It is not renewed meanwhile.
    ///
    /// ```
    /// # use redlock_quorum::{Redlock, testing::{Backend, Cluster}};
    /// # #[tokio::main] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = Cluster::builder().backend(Backend::Memory).start().await?;
    /// # let redlock = Redlock::builder().nodes(cluster.urls()).build()?;
    /// let parts = redlock.lock("upload:7").await?.into_parts();
    /// assert_eq!(parts.key, b"upload:7");
    /// // ... and where the parts have been sent to:
    /// let guard = redlock.adopt(parts)?;
    /// # drop(guard);
    /// # Ok(()) }
    /// ```
    #[must_use = "whoever has the parts must release the lock"]
    pub fn into_parts(mut self) -> LockParts {
        let valid_until = self.valid_until();
        let (key, token) = (self.key().to_vec(), self.0.claim.token.clone());
        let fencing_number = self.fencing_number();
        // From here on, the adopter renews it.
        self.0.leave();
        LockParts { key, token, valid_until, fencing_number }
    }
}
