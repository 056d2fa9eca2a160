//! The floors: locks by hand, at their best. redis-rs, one multiplexed
//! connection a node, one command prepared for all of them.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};

use crate::{
    common::{Result, connect},
    contenders::Locker,
};

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// What a call waits for.
#[derive(Clone, Copy)]
pub enum Waits {
    ForAll,
    /// The rest goes on in a task: what is dropped may never have been sent.
    ForQuorum,
}

#[derive(Clone)]
pub struct FanOut {
    connections: Vec<MultiplexedConnection>,
    release_sha: String,
    waits: Waits,
    ttl_ms: u64,
}

pub struct Held {
    key: String,
    token: [u8; 32],
}

impl FanOut {
    pub async fn connect(urls: &[String], waits: Waits, ttl: Duration) -> Result<Self> {
        let script = redis::Script::new(RELEASE);
        let mut connections = Vec::with_capacity(urls.len());
        for url in urls {
            let mut connection = connect(url).await?;
            script.load_async(&mut connection).await?;
            connections.push(connection);
        }
        let release_sha = script.get_hash().to_owned();
        let ttl_ms = u64::try_from(ttl.as_millis())?;
        Ok(Self { connections, release_sha, waits, ttl_ms })
    }

    /// How many nodes gave the answer that was hoped for, of those waited for.
    async fn votes<T>(&self, cmd: Cmd, is_vote: fn(&T) -> bool) -> usize
    where
        T: FromRedisValue + Send + 'static,
    {
        match self.waits {
            Waits::ForAll => {
                let replies = join_all(self.connections.iter().map(async |connection| {
                    let mut connection = connection.clone();
                    cmd.query_async::<T>(&mut connection).await
                }))
                .await;
                replies.iter().flatten().filter(|reply| is_vote(reply)).count()
            }
            Waits::ForQuorum => self.votes_of_quorum(Arc::new(cmd), is_vote).await,
        }
    }

    async fn votes_of_quorum<T>(&self, cmd: Arc<Cmd>, is_vote: fn(&T) -> bool) -> usize
    where
        T: FromRedisValue + Send + 'static,
    {
        let mut replies: FuturesUnordered<_> = self
            .connections
            .iter()
            .cloned()
            .map(|mut connection| {
                let cmd = Arc::clone(&cmd);
                async move { cmd.query_async::<T>(&mut connection).await }
            })
            .collect();
        let mut votes = 0;
        while let Some(reply) = replies.next().await {
            votes += usize::from(reply.is_ok_and(|reply| is_vote(&reply)));
            if self.is_quorum(votes) {
                break;
            }
        }
        if !replies.is_empty() {
            tokio::spawn(async move { while replies.next().await.is_some() {} });
        }
        votes
    }

    async fn delete(&self, held: &Held) -> usize {
        let mut evalsha = redis::cmd("EVALSHA");
        evalsha.arg(&self.release_sha).arg(1).arg(&held.key).arg(&held.token[..]);
        self.votes::<i64>(evalsha, |deleted| *deleted == 1).await
    }

    fn is_quorum(&self, votes: usize) -> bool {
        votes > self.connections.len() / 2
    }

    fn too_few(&self, votes: usize, what: &str) -> String {
        format!("only {votes} of {} nodes {what}", self.connections.len())
    }
}

impl Locker for FanOut {
    type Held = Held;

    async fn acquire(&self, key: &str) -> Result<Held> {
        let held = Held { key: key.to_owned(), token: hex_token() };
        let mut set = redis::cmd("SET");
        set.arg(key).arg(&held.token[..]).arg("NX").arg("PX").arg(self.ttl_ms);
        let granted = self.votes::<Option<String>>(set, Option::is_some).await;
        if self.is_quorum(granted) {
            return Ok(held);
        }
        self.delete(&held).await;
        Err(self.too_few(granted, "granted").into())
    }

    async fn release(&self, held: Held) -> Result<()> {
        let deleted = self.delete(&held).await;
        if self.is_quorum(deleted) {
            return Ok(());
        }
        Err(self.too_few(deleted, "released").into())
    }
}

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
