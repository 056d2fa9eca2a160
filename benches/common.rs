//! What every benchmark here needs: a runtime, servers, connections, quantiles.

use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, aio::MultiplexedConnection};
use redlock_quorum::testing::{Backend, Cluster};
use tokio::runtime::Runtime;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The same runtime for all.
pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Five servers that this process started, and will end.
pub async fn five_servers() -> Result<Cluster> {
    Ok(Cluster::builder().nodes(5).backend(Backend::Process).start().await?)
}

/// As the library's own connections: redis-rs leaves Nagle's algorithm on.
pub fn client(url: &str) -> Result<Client> {
    let info = url.into_connection_info()?;
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    Ok(Client::open(info.set_tcp_settings(tcp))?)
}

pub async fn connect(url: &str) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new();
    Ok(client(url)?.get_multiplexed_async_connection_with_config(&config).await?)
}

/// The span that `share` of all `spans` do not exceed.
pub fn quantile(spans: &mut [Duration], share: f64) -> Duration {
    spans.sort_unstable();
    let place = (spans.len().saturating_sub(1) as f64 * share).round() as usize;
    spans.get(place).copied().unwrap_or_default()
}

pub fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

pub fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
