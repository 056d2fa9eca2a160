//! What is measured, and against what: one face for all, so that every number
//! is taken by the same code.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use redis::{Cmd, aio::MultiplexedConnection};
use redlock_quorum::{LockGuard, Redlock, Released};
use tokio::task::JoinSet;

use crate::common::{Observer, Result, connect};

/// The same for all: far longer than any measurement takes, so that a key is
/// only ever gone because it was deleted.
const TTL: Duration = Duration::from_secs(30);

/// A way to lock.
#[derive(Clone)]
pub enum Contender {
    FanOut(FanOut),
    Quorum(Redlock),
    QuorumOwnThread(Redlock),
}

/// A lock that is held.
pub enum Held {
    FanOut { key: String, token: [u8; 32] },
    Quorum(LockGuard),
}

impl Contender {
    /// All of them, each with connections of its own to all `urls`.
    pub async fn all(urls: &[String]) -> Result<[Self; 3]> {
        let quorum = || Redlock::builder().nodes(urls).ttl(TTL);
        Ok([
            Self::FanOut(FanOut::connect(urls).await?),
            Self::Quorum(quorum().build()?),
            Self::QuorumOwnThread(quorum().driver_thread().build()?),
        ])
    }

    pub async fn acquire(&self, key: &str) -> Result<Held> {
        match self {
            Self::FanOut(fan_out) => fan_out.acquire(key).await,
            Self::Quorum(redlock) | Self::QuorumOwnThread(redlock) => {
                Ok(Held::Quorum(redlock.try_lock(key).await?))
            }
        }
    }

    /// Fails if the lock was not ours until now: then what was measured before
    /// was no lock.
    pub async fn release(&self, held: Held) -> Result<()> {
        match (self, held) {
            (Self::FanOut(fan_out), Held::FanOut { key, token }) => {
                fan_out.release(&key, &token).await
            }
            (_, Held::Quorum(guard)) => match guard.release().await? {
                Released::Released => Ok(()),
                other => Err(format!("a release found {other:?}").into()),
            },
            _ => Err("a lock of another contender".into()),
        }
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FanOut(_) => "fan-out",
            Self::Quorum(_) => "redlock-quorum",
            Self::QuorumOwnThread(_) => "redlock-quorum (own thread)",
        })
    }
}

/// The usual way, at its best: redis-rs, one multiplexed connection a node, one
/// command prepared for all of them, all replies awaited.
#[derive(Clone)]
pub struct FanOut {
    connections: Vec<MultiplexedConnection>,
    release_sha: String,
}

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

impl FanOut {
    async fn connect(urls: &[String]) -> Result<Self> {
        let script = redis::Script::new(RELEASE);
        let mut connections = Vec::with_capacity(urls.len());
        for url in urls {
            let mut connection = connect(url).await?;
            script.load_async(&mut connection).await?;
            connections.push(connection);
        }
        let release_sha = script.get_hash().to_owned();
        Ok(Self { connections, release_sha })
    }

    async fn acquire(&self, key: &str) -> Result<Held> {
        let token = hex_token();
        let mut set = redis::cmd("SET");
        set.arg(key).arg(&token[..]).arg("NX").arg("PX").arg(TTL_MS);
        let replies = self.ask_all::<Option<String>>(&set).await;
        let granted = replies.iter().filter(|reply| matches!(reply, Ok(Some(_)))).count();
        self.check_majority(granted, "granted")?;
        let key = key.to_owned();
        Ok(Held::FanOut { key, token })
    }

    async fn release(&self, key: &str, token: &[u8]) -> Result<()> {
        let mut evalsha = redis::cmd("EVALSHA");
        evalsha.arg(&self.release_sha).arg(1).arg(key).arg(token);
        let replies = self.ask_all::<i64>(&evalsha).await;
        let deleted = replies.iter().filter(|reply| matches!(reply, Ok(1))).count();
        self.check_majority(deleted, "released")
    }

    async fn ask_all<T: redis::FromRedisValue>(&self, cmd: &Cmd) -> Vec<redis::RedisResult<T>> {
        join_all(self.connections.iter().map(async |connection| {
            let mut connection = connection.clone();
            cmd.query_async(&mut connection).await
        }))
        .await
    }

    fn check_majority(&self, votes: usize, what: &str) -> Result<()> {
        let nodes = self.connections.len();
        if votes > nodes / 2 {
            return Ok(());
        }
        Err(format!("only {votes} of {nodes} nodes {what}").into())
    }
}

const TTL_MS: u64 = TTL.as_secs() * 1000;

/// As long as the library's own, which are 128 random bits in hexadecimal.
fn hex_token() -> [u8; 32] {
    let mut token = [0; 32];
    let bits: u128 = rand::random();
    for (place, digit) in token.iter_mut().enumerate() {
        let nibble = (bits >> (4 * place)) as usize & 15;
        *digit = b"0123456789abcdef"[nibble];
    }
    token
}

/// How long each acquire and each release of `pairs` took, one after another
/// in one task of the runtime, on warm connections.
pub async fn latencies(contender: &Contender, key: &str, pairs: usize) -> Result<Latencies> {
    let (contender, key) = (contender.clone(), key.to_owned());
    // A task as users have them, not the thread that blocks on the runtime.
    let measured = tokio::spawn(async move {
        let mut latencies =
            Latencies { acquires: Vec::with_capacity(pairs), releases: Vec::with_capacity(pairs) };
        for _ in 0..pairs {
            let begun = Instant::now();
            let held = contender.acquire(&key).await?;
            latencies.acquires.push(begun.elapsed());

            let begun = Instant::now();
            contender.release(held).await?;
            latencies.releases.push(begun.elapsed());
        }
        Ok(latencies)
    });
    measured.await?
}

/// What [`latencies`] measured, in the order it happened.
#[derive(Default)]
pub struct Latencies {
    pub acquires: Vec<Duration>,
    pub releases: Vec<Duration>,
}

/// How long `tasks` tasks take for `pairs` pairs together, each task on a key
/// of its own, and how many commands the servers executed for it. The clock
/// stops when no server holds a key any more, so that nobody wins by leaving
/// work behind; fails if keys stay.
pub async fn burst(
    contender: &Contender,
    observer: &Observer,
    tasks: usize,
    pairs: usize,
) -> Result<(Duration, u64)> {
    let before = observer.commands().await?;
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let contender = contender.clone();
        let share = pairs / tasks + usize::from(task < pairs % tasks);
        running.spawn(async move {
            let key = format!("burst:{task}");
            for _ in 0..share {
                let held = contender.acquire(&key).await?;
                contender.release(held).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let left = observer.keys_left().await?;
    let taken = begun.elapsed();
    if left > 0 {
        return Err(format!("{contender} left {left} keys after {tasks} tasks").into());
    }
    Ok((taken, observer.commands().await? - before))
}

/// Acquires and releases until connections are up and caches are warm.
pub async fn warm_up(contenders: &[Contender]) -> Result<()> {
    for contender in contenders {
        latencies(contender, "warm-up", 100).await?;
    }
    Ok(())
}
