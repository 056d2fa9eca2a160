//! A network between clients and servers: for each server a proxy that passes
//! on all that comes, a fixed time later. However much is on its way, it takes
//! no longer; what is sent on one connection stays in order.
//!
//! Two threads: one takes what comes, and one gives it on when it is due. As
//! everything is under way for the same time, all that waits is in one line.
//! Its own work adds to the time of a crowd's commands.

#![expect(clippy::disallowed_methods, reason = "a benchmark has a clock of its own")]

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use redis::{ConnectionAddr, IntoConnectionInfo};
use tokio::{
    net::{
        TcpListener, TcpStream, lookup_host,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime,
    sync::oneshot,
};

use crate::{common::Result, process};

/// What a way takes without any delay of ours: two threads that must wake.
const LATE: Duration = Duration::from_micros(40);

/// Of each connection of a client, three ends are here.
const OPEN_FILES: u64 = 4096;

/// Is there until it is dropped.
pub struct Network {
    urls: Vec<String>,
    _stop: oneshot::Sender<()>,
}

impl Network {
    /// To these servers, which are then so far away, one way.
    pub async fn to(servers: &[String], delay: Duration) -> Result<Self> {
        process::allow_open_files(OPEN_FILES)?;
        let (sent, underway) = mpsc::channel();
        let line = Line { delay: delay.saturating_sub(LATE), sent };
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let mut urls = Vec::with_capacity(servers.len());
        for server in servers {
            let server = address(server).await?;
            let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
            listener.set_nonblocking(true)?;
            urls.push(format!("redis://{}", listener.local_addr()?));
            runtime.spawn(accept(listener, server, line.clone()));
        }
        let (stop, stopped) = oneshot::channel();
        let take = move || {
            // It ends without a word.
            let _ = runtime.block_on(stopped);
        };
        thread::Builder::new().name("network-in".to_owned()).spawn(take)?;
        let blocking = runtime::Builder::new_current_thread().build()?;
        let give = move || {
            // Where it is refused, sleeps are longer.
            let _ = process::sleep_precisely();
            blocking.block_on(give(underway));
        };
        thread::Builder::new().name("network-out".to_owned()).spawn(give)?;
        Ok(Self { urls, _stop: stop })
    }

    /// The servers, as they are reached through it.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }
}

pub async fn address(url: &str) -> Result<SocketAddr> {
    let info = url.into_connection_info()?;
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        return Err(format!("{url} is not reached by TCP").into());
    };
    Ok(lookup_host((host.as_str(), *port)).await?.next().ok_or("a server without an address")?)
}

/// Where all that is under way waits.
#[derive(Clone)]
struct Line {
    delay: Duration,
    sent: mpsc::Sender<Chunk>,
}

/// With the last of its chunks a connection's way is closed.
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    to: Arc<OwnedWriteHalf>,
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr, line: Line) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(pass_on(client, server, line.clone()));
    }
}

async fn pass_on(client: TcpStream, server: SocketAddr, line: Line) -> io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(take(from_client, to_server, &line), take(from_server, to_client, &line),)?;
    Ok(())
}

async fn take(from: OwnedReadHalf, to: OwnedWriteHalf, line: &Line) -> io::Result<()> {
    let to = Arc::new(to);
    let mut buffer = vec![0; 16 * 1024];
    loop {
        from.readable().await?;
        let len = match from.try_read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            len => len?,
        };
        let due = Instant::now() + line.delay;
        let chunk = Chunk { due, bytes: buffer[..len].to_vec(), to: Arc::clone(&to) };
        if len == 0 || line.sent.send(chunk).is_err() {
            return Ok(());
        }
    }
}

/// Blocks, so has a thread of its own: a runtime's timers know milliseconds.
async fn give(underway: mpsc::Receiver<Chunk>) {
    while let Ok(Chunk { due, bytes, to }) = underway.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // One that has hung up needs nothing more.
        let _ = write_all(&to, &bytes).await;
    }
}

async fn write_all(to: &OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.try_write(bytes) {
            Ok(len) => bytes = &bytes[len..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => to.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
