//! A client of another library, that polls as node-redlock does: it asks all nodes
//! at once for a majority, some times more after the first, with 200 ± 100 ms
//! between, and hears of nothing.

use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};
use redlock_quorum_benches::common::{Result, connect};
use tokio::time::sleep;

const DELAY_MS: u64 = 200;
const JITTER_MS: u64 = 100;
const TTL_MS: u64 = 10_000;

const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

#[derive(Clone)]
pub struct Polling {
    connections: Vec<MultiplexedConnection>,
    tries: usize,
}

impl Polling {
    pub async fn connect(urls: &[String], tries: usize) -> Result<Self> {
        let mut connections = Vec::with_capacity(urls.len());
        for url in urls {
            connections.push(connect(url).await?);
        }
        Ok(Self { connections, tries })
    }

    /// The value under which it has the lock, if one of its tries got it.
    pub async fn acquire(&self, key: &str) -> Option<String> {
        for attempt in 0..self.tries {
            if attempt > 0 {
                let delay = DELAY_MS - JITTER_MS + rand::random_range(0..=2 * JITTER_MS);
                sleep(Duration::from_millis(delay)).await;
            }
            let value = uuid();
            let mut set = redis::cmd("SET");
            set.arg(key).arg(&value).arg("NX").arg("PX").arg(TTL_MS);
            let votes = self.ask::<Option<String>>(&set, Option::is_some).await;
            if votes > self.connections.len() / 2 {
                return Some(value);
            }
            self.release(key, &value).await;
        }
        None
    }

    pub async fn release(&self, key: &str, value: &str) {
        let mut eval = redis::cmd("EVAL");
        eval.arg(RELEASE).arg(1).arg(key).arg(value);
        self.ask::<u64>(&eval, |deleted| *deleted == 1).await;
    }

    /// How many nodes gave the answer that was hoped for.
    async fn ask<T: FromRedisValue>(&self, cmd: &Cmd, is_vote: fn(&T) -> bool) -> usize {
        let answers = join_all(self.connections.iter().map(async |connection| {
            let mut connection = connection.clone();
            cmd.query_async::<T>(&mut connection).await.is_ok_and(|reply| is_vote(&reply))
        }));
        answers.await.into_iter().filter(|vote| *vote).count()
    }
}

/// A value as other libraries make them.
pub fn uuid() -> String {
    let (high, low): (u64, u64) = rand::random();
    let [a, b, c] = [high >> 32, high >> 16 & 0xffff, high & 0xfff];
    let [d, e] = [low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff];
    format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}")
}
