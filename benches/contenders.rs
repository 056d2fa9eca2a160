//! Who is measured, and against what: one face for all, so that every figure is
//! taken by the same code.

use std::{fmt, net::SocketAddr, time::Duration};

use redlock_quorum::{LockGuard, Redlock, Released};
use rslock::LockManager;

use crate::{
    common::{Result, client},
    fan_out::{self, FanOut, Waits},
    observer::DRAIN,
    served::{self, Served},
};

/// Far longer than any measurement takes, so that a key is only ever gone
/// because it was deleted.
pub const TTL: Duration = Duration::from_secs(30);

/// For measurements of very many locks.
pub const LONG_TTL: Duration = Duration::from_secs(300);

/// The longest ttl of strict nodes.
pub const STRICT_MAX: Duration = Duration::from_secs(300);

/// Says of new nodes that they are new, for clients that are strict.
pub async fn bootstrap(urls: &[String]) -> Result<()> {
    let redlock = Redlock::builder().nodes(urls).ttl(TTL).strict(STRICT_MAX).build()?;
    Ok(redlock.bootstrap().await?)
}

/// A way to lock.
pub trait Locker: Clone + Send + Sync + 'static {
    /// A lock that is held.
    type Held: Send + 'static;

    /// One attempt.
    fn acquire(&self, key: &str) -> impl Future<Output = Result<Self::Held>> + Send;

    /// Fails if the lock was not ours until now, where that is told: then what
    /// was measured before was no lock.
    fn release(&self, held: Self::Held) -> impl Future<Output = Result<()>> + Send;
}

impl Locker for Redlock {
    type Held = LockGuard;

    async fn acquire(&self, key: &str) -> Result<LockGuard> {
        Ok(self.try_lock(key).await?)
    }

    async fn release(&self, guard: LockGuard) -> Result<()> {
        release(guard).await
    }
}

pub async fn release(guard: LockGuard) -> Result<()> {
    match guard.release().await? {
        Released::Released => Ok(()),
        other => Err(format!("a release found {other:?}").into()),
    }
}

/// The same with a fencing number for every lock.
#[derive(Clone)]
pub struct Fenced(pub Redlock);

impl Locker for Fenced {
    type Held = LockGuard;

    async fn acquire(&self, key: &str) -> Result<LockGuard> {
        Ok(self.0.try_lock(key).fenced().await?)
    }

    async fn release(&self, guard: LockGuard) -> Result<()> {
        release(guard).await
    }
}

/// rslock, which is told the ttl with every lock.
#[derive(Clone)]
pub struct Rslock {
    manager: LockManager,
    ttl: Duration,
}

impl Locker for Rslock {
    type Held = rslock::LockGuard;

    async fn acquire(&self, key: &str) -> Result<rslock::LockGuard> {
        let lock = self.manager.lock(key, self.ttl).await?;
        Ok(rslock::LockGuard { lock })
    }

    async fn release(&self, guard: rslock::LockGuard) -> Result<()> {
        guard.release().await;
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    FloorA,
    FloorB,
    FloorC,
    Rslock,
    Quorum,
    QuorumThread,
    /// Ours with fencing numbers: measured beside ours without, since their
    /// fences stay at the nodes when all is released.
    Fenced,
    /// Ours on strict nodes, without fencing numbers and with them: measured where nobody minds
    /// the epoch, which stays, too.
    Strict,
    StrictFenced,
    /// Ours over HTTP, and two requests that lock nothing: not measured beside
    /// the others, see [`Contender::served`].
    Served,
    Idle,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::FloorA, Self::FloorB, Self::FloorC, Self::Rslock, Self::Quorum, Self::QuorumThread];

    /// Also what it is called as an argument.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut named =
            Self::ALL.into_iter().chain([Self::Fenced, Self::Strict, Self::StrictFenced]);
        named.find(|kind| kind.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::FloorA => "floor A: all nodes",
            Self::FloorB => "floor B: a quorum",
            Self::FloorC => "floor C: one node",
            Self::Rslock => "rslock",
            Self::Quorum => "redlock-quorum",
            Self::QuorumThread => "redlock-quorum, own thread",
            Self::Fenced => "redlock-quorum, fenced",
            Self::Strict => "redlock-quorum, strict",
            Self::StrictFenced => "redlock-quorum, strict and fenced",
            Self::Served => "redlock serve",
            Self::Idle => "two requests that lock nothing",
        }
    }

    /// What is ours leaves no key, or the benchmark has failed.
    pub fn is_ours(self) -> bool {
        !matches!(self, Self::FloorA | Self::FloorB | Self::FloorC | Self::Rslock)
    }

    /// How many keys stay at so many nodes when locks of so many keys are released.
    pub fn fences(self, keys: usize, nodes: usize) -> u64 {
        if self == Self::Fenced { (keys * nodes) as u64 } else { 0 }
    }

    /// Whether it waits for every node, so that one that hangs costs each call
    /// redis-rs's response timeout.
    pub fn waits_for_all(self) -> bool {
        matches!(self, Self::FloorA | Self::Rslock)
    }

    /// How long keys that it left must not have become fewer before they count
    /// as left for good.
    pub fn patience(self) -> Duration {
        if self.is_ours() { DRAIN } else { Duration::from_millis(300) }
    }

    /// With connections of its own.
    pub async fn connect(self, urls: &[String], ttl: Duration) -> Result<Contender> {
        let quorum = || Redlock::builder().nodes(urls).ttl(ttl);
        let strict = || quorum().strict(STRICT_MAX);
        let client = match self {
            Self::FloorA => Client::FanOut(FanOut::connect(urls, Waits::ForAll, ttl).await?),
            Self::FloorB => Client::FanOut(FanOut::connect(urls, Waits::ForQuorum, ttl).await?),
            Self::FloorC => Client::FanOut(FanOut::connect(&urls[..1], Waits::ForAll, ttl).await?),
            Self::Rslock => Client::Rslock(rslock(urls, ttl)?),
            Self::Quorum => Client::Quorum(quorum().build()?),
            Self::QuorumThread => Client::Quorum(quorum().driver_thread().build()?),
            Self::Fenced => Client::Fenced(Fenced(quorum().build()?)),
            Self::Strict => Client::Quorum(strict().build()?),
            Self::StrictFenced => Client::Fenced(Fenced(strict().build()?)),
            Self::Served | Self::Idle => {
                return Err("the service has an address, not nodes".into());
            }
        };
        Ok(Contender { kind: self, client })
    }
}

/// One attempt each, as all the others.
fn rslock(urls: &[String], ttl: Duration) -> Result<Rslock> {
    let clients: Result<Vec<_>> = urls.iter().map(|url| client(url)).collect();
    let mut manager = LockManager::from_clients(clients?);
    manager.set_retry(1, Duration::from_millis(1));
    Ok(Rslock { manager, ttl })
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A client, connected.
#[derive(Clone)]
pub struct Contender {
    pub kind: Kind,
    pub client: Client,
}

#[derive(Clone)]
pub enum Client {
    FanOut(FanOut),
    Rslock(Rslock),
    Quorum(Redlock),
    Fenced(Fenced),
    Served(Served),
}

pub enum Held {
    FanOut(fan_out::Held),
    Rslock(rslock::LockGuard),
    Quorum(LockGuard),
    Served(served::Token),
}

impl Contender {
    /// By the service at that address.
    pub fn served(address: SocketAddr) -> Self {
        Self { kind: Kind::Served, client: Client::Served(Served::new(address)) }
    }

    /// The same requests to it, but that they ask for nothing.
    pub fn idle(address: SocketAddr) -> Self {
        Self { kind: Kind::Idle, client: Client::Served(Served::idle(address)) }
    }
}

impl Locker for Contender {
    type Held = Held;

    async fn acquire(&self, key: &str) -> Result<Held> {
        Ok(match &self.client {
            Client::FanOut(fan_out) => Held::FanOut(fan_out.acquire(key).await?),
            Client::Rslock(rslock) => Held::Rslock(rslock.acquire(key).await?),
            Client::Quorum(redlock) => Held::Quorum(redlock.acquire(key).await?),
            Client::Fenced(fenced) => Held::Quorum(fenced.acquire(key).await?),
            Client::Served(served) => Held::Served(served.acquire(key).await?),
        })
    }

    async fn release(&self, held: Held) -> Result<()> {
        match (&self.client, held) {
            (Client::FanOut(fan_out), Held::FanOut(held)) => fan_out.release(held).await,
            (Client::Rslock(rslock), Held::Rslock(held)) => rslock.release(held).await,
            (Client::Quorum(redlock), Held::Quorum(held)) => Locker::release(redlock, held).await,
            (Client::Fenced(fenced), Held::Quorum(held)) => fenced.release(held).await,
            (Client::Served(served), Held::Served(held)) => served.release(held).await,
            _ => Err("a lock of another contender".into()),
        }
    }
}
