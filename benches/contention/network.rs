//! A network between clients and servers: for each server a proxy that passes
//! on all that comes, a fixed time later. However much is on its way, it takes
//! no longer; what is sent on one connection stays in order.
//!
//! All on one thread, so its own work adds to the time of a crowd's commands.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use redis::{ConnectionAddr, IntoConnectionInfo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream, lookup_host,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime,
    sync::{mpsc, oneshot},
    time::sleep_until,
};

use crate::{common::Result, process};

/// One way.
pub const DELAY: Duration = Duration::from_millis(2);

/// By how much timers are late: they round up to a millisecond, and so does what
/// waits for them.
const LATE: Duration = Duration::from_millis(1);

/// Of each connection of a client, three ends are here.
const OPEN_FILES: u64 = 4096;

/// Is there until it is dropped.
pub struct Network {
    urls: Vec<String>,
    _stop: oneshot::Sender<()>,
}

impl Network {
    /// To these servers, on a thread of its own.
    pub async fn to(servers: &[String]) -> Result<Self> {
        process::allow_open_files(OPEN_FILES)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let mut urls = Vec::with_capacity(servers.len());
        for server in servers {
            let server = address(server).await?;
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            urls.push(format!("redis://{}", listener.local_addr()?));
            runtime.spawn(accept(listener, server));
        }
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // It ends without a word.
            let _ = runtime.block_on(stopped);
        };
        thread::Builder::new().name("network".to_owned()).spawn(run)?;
        Ok(Self { urls, _stop: stop })
    }

    /// The servers, as they are reached through it.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }
}

async fn address(url: &str) -> Result<SocketAddr> {
    let info = url.into_connection_info()?;
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        return Err(format!("{url} is not reached by TCP").into());
    };
    Ok(lookup_host((host.as_str(), *port)).await?.next().ok_or("a server without an address")?)
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(pass_on(client, server));
    }
}

async fn pass_on(client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(one_way(from_client, to_server), one_way(from_server, to_client))?;
    Ok(())
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
    let (sent, mut underway) = mpsc::unbounded_channel();
    let take = async move {
        let mut buffer = vec![0; 4096];
        loop {
            let len = from.read(&mut buffer).await?;
            let chunk = buffer[..len].to_vec();
            if len == 0 || sent.send((Instant::now() + DELAY - LATE, chunk)).is_err() {
                return io::Result::Ok(());
            }
        }
    };
    let give = async move {
        while let Some((due, chunk)) = underway.recv().await {
            sleep_until(due.into()).await;
            to.write_all(&chunk).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(take, give)?;
    Ok(())
}
