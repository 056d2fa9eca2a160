//! The floors: locks by hand, at their best. redis-rs, one multiplexed
//! connection a node, one command prepared for all of them.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all, stream::FuturesUnordered};
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, aio::MultiplexedConnection};

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
    token: [u8; 22],
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

    /// Fails if too few nodes gave the answer that was hoped for, of those
    /// waited for.
    async fn ask<T>(&self, cmd: Cmd, what: &str, is_vote: fn(&T) -> bool) -> Result<()>
    where
        T: FromRedisValue + Send + 'static,
    {
        let mut count = Count { votes: 0, error: None };
        match self.waits {
            Waits::ForAll => {
                let replies = join_all(self.connections.iter().map(async |connection| {
                    let mut connection = connection.clone();
                    cmd.query_async::<T>(&mut connection).await
                }))
                .await;
                replies.into_iter().for_each(|reply| count.add(reply, is_vote));
            }
            Waits::ForQuorum => self.ask_quorum(Arc::new(cmd), is_vote, &mut count).await,
        }
        if self.is_quorum(count.votes) {
            return Ok(());
        }
        let (Count { votes, error }, nodes) = (count, self.connections.len());
        let error = error.map_or_else(String::new, |error| format!(": {error}"));
        Err(format!("only {votes} of {nodes} nodes {what}{error}").into())
    }

    async fn ask_quorum<T>(&self, cmd: Arc<Cmd>, is_vote: fn(&T) -> bool, count: &mut Count)
    where
        T: FromRedisValue + Send + 'static,
    {
        let connections = self.connections.iter().cloned();
        let mut replies: FuturesUnordered<_> = connections
            .map(|mut connection| {
                let cmd = Arc::clone(&cmd);
                async move { cmd.query_async::<T>(&mut connection).await }
            })
            .collect();
        while let Some(reply) = replies.next().await {
            count.add(reply, is_vote);
            if self.is_quorum(count.votes) {
                break;
            }
        }
        if !replies.is_empty() {
            tokio::spawn(async move { while replies.next().await.is_some() {} });
        }
    }

    async fn delete(&self, held: &Held) -> Result<()> {
        let mut evalsha = redis::cmd("EVALSHA");
        evalsha.arg(&self.release_sha).arg(1).arg(&held.key).arg(&held.token[..]);
        self.ask::<i64>(evalsha, "released", |deleted| *deleted == 1).await
    }

    fn is_quorum(&self, votes: usize) -> bool {
        votes > self.connections.len() / 2
    }
}

/// Of the nodes that have answered.
struct Count {
    votes: usize,
    error: Option<RedisError>,
}

impl Count {
    fn add<T>(&mut self, reply: RedisResult<T>, is_vote: fn(&T) -> bool) {
        match reply {
            Ok(reply) => self.votes += usize::from(is_vote(&reply)),
            Err(error) => self.error = Some(error),
        }
    }
}

impl Locker for FanOut {
    type Held = Held;

    async fn acquire(&self, key: &str) -> Result<Held> {
        let held = Held { key: key.to_owned(), token: random_token() };
        let mut set = redis::cmd("SET");
        set.arg(key).arg(&held.token[..]).arg("NX").arg("PX").arg(self.ttl_ms);
        match self.ask::<Option<String>>(set, "granted", Option::is_some).await {
            Ok(()) => Ok(held),
            Err(error) => {
                // What was granted is given back, as far as that goes.
                let _ = self.delete(&held).await;
                Err(error)
            }
        }
    }

    async fn release(&self, held: Held) -> Result<()> {
        self.delete(&held).await
    }
}

/// As long as the library's own.
fn random_token() -> [u8; 22] {
    let mut token = [0; 22];
    for some in token.chunks_mut(8) {
        let bits: u64 = rand::random();
        for (place, letter) in some.iter_mut().enumerate() {
            *letter = b'0' + (bits >> (6 * place)) as u8 % 64;
        }
    }
    token
}
