//! The two libraries, each as its users use it: this one, and rslock.

use std::{fmt, time::Duration};

use redlock_quorum::Redlock;
use redlock_quorum_benches::{common::Result, contenders};
use rslock::LockManager;

/// Longer than any hold, as long as both libraries' examples have it.
const TTL: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Library {
    Quorum,
    Rslock,
}

impl Library {
    /// Both, in this order wherever there is one value for each.
    pub const BOTH: [Self; 2] = [Self::Quorum, Self::Rslock];

    /// Whose turn it is in `round`: each goes first equally often.
    pub fn turns(round: usize) -> [Self; 2] {
        let [first, second] = Self::BOTH;
        if round.is_multiple_of(2) { [first, second] } else { [second, first] }
    }

    /// So many clients with connections of their own, all up.
    pub async fn clients(self, urls: &[String], count: usize) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            let client = Client::new(self, urls)?;
            for _ in 0..5 {
                client.acquire(&format!("warm-up:{number}")).await?.release().await?;
            }
            clients.push(client);
        }
        Ok(clients)
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Quorum => "redlock-quorum",
            Self::Rslock => "rslock",
        })
    }
}

#[derive(Clone)]
pub enum Client {
    Quorum(Redlock),
    Rslock(LockManager),
}

/// A lock that is held.
pub enum Held {
    Quorum(redlock_quorum::LockGuard),
    Rslock(rslock::LockGuard),
}

impl Client {
    fn new(library: Library, urls: &[String]) -> Result<Self> {
        Ok(match library {
            Library::Quorum => Self::Quorum(Redlock::builder().nodes(urls).ttl(TTL).build()?),
            Library::Rslock => Self::Rslock(LockManager::new(urls.to_vec())),
        })
    }

    /// Waits for as long as it takes.
    pub async fn acquire(&self, key: &str) -> Result<Held> {
        Ok(match self {
            Self::Quorum(redlock) => Held::Quorum(redlock.lock(key).await?),
            Self::Rslock(manager) => Held::Rslock(manager.acquire(key, TTL).await?),
        })
    }
}

impl Held {
    /// Fails if the lock was not ours until now, where that is told: then what
    /// was measured before was no lock.
    pub async fn release(self) -> Result<()> {
        match self {
            Self::Quorum(guard) => contenders::release(guard).await,
            Self::Rslock(guard) => {
                guard.release().await;
                Ok(())
            }
        }
    }
}
