//! What every benchmark here needs: a runtime, servers, a look at them from
//! outside, and quantiles.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, IntoConnectionInfo,
    aio::MultiplexedConnection,
};
use redlock_quorum::testing::{Backend, Cluster};
use tokio::{runtime::Runtime, time::sleep};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long keys may take to be gone once their releases have returned.
const DRAIN: Duration = Duration::from_secs(5);

/// The same runtime for all.
pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Five servers that this process started, and will end.
pub async fn five_servers() -> Result<Cluster> {
    Ok(Cluster::builder().nodes(5).backend(Backend::Process).start().await?)
}

pub async fn connect(url: &str) -> Result<MultiplexedConnection> {
    // As the library's own connections: redis-rs leaves Nagle's algorithm on.
    let info = url.into_connection_info()?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let client = Client::open(info.set_tcp_settings(tcp))?;
    let config = AsyncConnectionConfig::new();
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

/// Looks at the servers from outside, over connections that nothing else uses.
pub struct Observer {
    connections: Vec<MultiplexedConnection>,
}

/// What only an observer asks.
const OBSERVERS: [&str; 2] = ["info", "dbsize"];

/// What clients of ours and of our peers send in scripts only. The servers
/// count it beside the script that it is part of.
const IN_SCRIPTS: [&str; 5] = ["get", "del", "pttl", "pexpire", "publish"];

impl Observer {
    pub async fn connect(urls: &[String]) -> Result<Self> {
        let mut connections = Vec::with_capacity(urls.len());
        for url in urls {
            connections.push(connect(url).await?);
        }
        Ok(Self { connections })
    }

    /// Waits until no server holds a key; how many keys are left if that does
    /// not come true.
    pub async fn keys_left(&self) -> Result<u64> {
        let begun = Instant::now();
        loop {
            let left = self.keys().await?;
            if left == 0 || begun.elapsed() > DRAIN {
                return Ok(left);
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// How many keys all servers together hold now.
    pub async fn keys(&self) -> Result<u64> {
        Ok(self.ask_all::<u64>(&redis::cmd("DBSIZE")).await?.into_iter().sum())
    }

    /// How many commands all servers together have had from clients.
    pub async fn commands(&self) -> Result<u64> {
        let mut sum = 0;
        for info in self.infos("commandstats").await? {
            for line in info.lines() {
                let stat =
                    line.strip_prefix("cmdstat_").and_then(|rest| rest.split_once(":calls="));
                let Some((name, rest)) = stat else { continue };
                if !OBSERVERS.contains(&name) && !IN_SCRIPTS.contains(&name) {
                    sum += rest.split(',').next().unwrap_or_default().parse::<u64>()?;
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
    pub async fn infos(&self, section: &str) -> Result<Vec<String>> {
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

/// The span that `share` of all `spans` do not exceed.
pub fn quantile(spans: &mut [Duration], share: f64) -> Duration {
    spans.sort_unstable();
    let place = (spans.len().saturating_sub(1) as f64 * share).round() as usize;
    spans.get(place).copied().unwrap_or_default()
}
