//! A look at the servers from outside, over connections that nothing else uses.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{Cmd, FromRedisValue, aio::MultiplexedConnection};
use tokio::time::sleep;

use crate::{
    commands::Stats,
    common::{Result, connect},
    process,
};

/// How long keys may take to be gone once their releases have returned.
pub const DRAIN: Duration = Duration::from_secs(5);

pub struct Observer {
    connections: Vec<MultiplexedConnection>,
}

impl Observer {
    pub async fn connect(urls: &[String]) -> Result<Self> {
        let mut connections = Vec::with_capacity(urls.len());
        for url in urls {
            connections.push(connect(url).await?);
        }
        Ok(Self { connections })
    }

    /// How many it looks at.
    pub fn servers(&self) -> usize {
        self.connections.len()
    }

    /// Waits until no server holds a key; how many keys are left if that does
    /// not come true.
    pub async fn keys_left(&self) -> Result<u64> {
        Ok(self.drained(0, DRAIN).await?.left)
    }

    /// Waits until the servers hold no more than `held` keys, or until their
    /// number has not changed for `patience`. Asks more and more rarely, so as
    /// not to be what keeps the machine busy.
    pub async fn drained(&self, held: u64, patience: Duration) -> Result<Drained> {
        let begun = Instant::now();
        let mut last = Drained::new(u64::MAX);
        loop {
            let left = self.keys().await?.saturating_sub(held);
            if left != last.left {
                last = Drained::new(left);
            }
            let is_over = last.at.elapsed() > patience || begun.elapsed() > DRAIN;
            if left == 0 || is_over {
                return Ok(last);
            }
            let (least, most) = (Duration::from_millis(1), Duration::from_millis(20));
            sleep((begun.elapsed() / 4).clamp(least, most)).await;
        }
    }

    /// Waits until the servers hold so many keys, which they do soon after
    /// acquires that returned at a quorum.
    pub async fn filled(&self, keys: u64) -> Result<()> {
        let begun = Instant::now();
        while self.keys().await? < keys {
            if begun.elapsed() > DRAIN {
                let held = self.keys().await?;
                return Err(format!("the servers hold {held} keys and never held {keys}").into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Removes what a client has left, so that nobody suffers for it.
    pub async fn flush(&self) -> Result<()> {
        self.ask_all::<()>(&redis::cmd("FLUSHALL")).await?;
        Ok(())
    }

    /// How many keys all servers together hold now.
    pub async fn keys(&self) -> Result<u64> {
        Ok(self.ask_all::<u64>(&redis::cmd("DBSIZE")).await?.into_iter().sum())
    }

    /// How many commands all servers together have had from clients.
    pub async fn commands(&self) -> Result<u64> {
        Ok(self.stats().await?.iter().map(Stats::written).sum())
    }

    /// How often each server has carried out each command.
    pub async fn stats(&self) -> Result<Vec<Stats>> {
        self.infos("commandstats").await?.iter().map(|info| Stats::parse(info)).collect()
    }

    /// How long all servers together have been on a core.
    pub async fn cpu(&self) -> Result<Duration> {
        let seconds = self.sum("cpu", &["used_cpu_sys:", "used_cpu_user:"]).await?;
        Ok(Duration::from_secs_f64(seconds))
    }

    /// The sum of these fields of all servers.
    pub async fn sum(&self, section: &str, fields: &[&str]) -> Result<f64> {
        let mut sum = 0.0;
        for info in self.infos(section).await? {
            for line in info.lines() {
                if let Some(value) = fields.iter().find_map(|field| line.strip_prefix(field)) {
                    sum += value.parse::<f64>()?;
                }
            }
        }
        Ok(sum)
    }

    /// What the servers say they are.
    pub async fn version(&self) -> Result<String> {
        let infos = self.infos("server").await?;
        let info = infos.first().ok_or("no servers")?;
        let field = |name| info.lines().find_map(|line| line.strip_prefix(name));
        Ok(match field("valkey_version:") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", field("redis_version:").unwrap_or("unknown")),
        })
    }

    /// What each server says about itself.
    async fn infos(&self, section: &str) -> Result<Vec<String>> {
        self.ask_all(redis::cmd("INFO").arg(section)).await
    }

    /// The same question to each server.
    pub async fn ask_all<T: FromRedisValue>(&self, cmd: &Cmd) -> Result<Vec<T>> {
        let replies = join_all(self.connections.iter().map(async |connection| {
            let mut connection = connection.clone();
            cmd.query_async::<T>(&mut connection).await
        }))
        .await;
        let replies: redis::RedisResult<Vec<T>> = replies.into_iter().collect();
        Ok(replies?)
    }
}

/// How many keys stayed, and since when, and what this process had used by then.
pub struct Drained {
    pub left: u64,
    pub at: Instant,
    pub client_cpu: Duration,
}

impl Drained {
    fn new(left: u64) -> Self {
        Self { left, at: Instant::now(), client_cpu: process::cpu() }
    }
}
