//! The client's only way to the outside: the time, a way to wait, connections, and
//! randomness. Nothing here decides anything.
//!
//! A [`World`] is an argument, so that a simulation can bring its own: everything
//! else in this crate then runs in it as it is. In production it is [`System`].

use std::{
    fmt,
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    time::{Duration, SystemTime},
};

use rand::rngs::StdRng;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

use crate::{clock, protocol::Moment};

/// Anything that carries bytes both ways: the one place where a transport enters.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) type Stream = Box<dyn Io>;

/// A future whose type only its maker knows.
pub(crate) type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a server listens.
#[derive(Clone)]
pub(crate) enum Address {
    Tcp {
        host: String,
        port: u16,
    },
    #[cfg_attr(not(unix), expect(dead_code, reason = "there are no such sockets here"))]
    Unix(PathBuf),
}

/// The world, as one client sees it.
pub(crate) trait World: fmt::Debug + Send + Sync {
    /// The time on this host's own clock, which also counts suspended time.
    fn now(&self) -> Moment;
    /// The wall clock, for deadlines that leave this process.
    fn wall(&self) -> SystemTime;
    /// A future that is ready when `span` has passed on this host's clock.
    fn sleep(&self, span: Duration) -> Pending<()>;
    /// Opens a connection.
    fn dial(&self, address: &Address) -> Pending<io::Result<Stream>>;
    /// A source of randomness, for one driver.
    fn rng(&self) -> StdRng;
}

/// How long the kernel waits for a peer that acknowledges nothing: its host is gone,
/// while the kernel of a server that merely hangs goes on acknowledging.
pub(crate) const DEAD_PEER_AFTER: Duration = Duration::from_secs(10);

/// The real world: the system's clocks and sockets, and tokio's timers.
#[derive(Debug)]
pub(crate) struct System;

impl World for System {
    fn now(&self) -> Moment {
        clock::now()
    }

    fn wall(&self) -> SystemTime {
        clock::wall()
    }

    fn sleep(&self, span: Duration) -> Pending<()> {
        Box::pin(tokio::time::sleep(span))
    }

    fn dial(&self, address: &Address) -> Pending<io::Result<Stream>> {
        Box::pin(dial(address.clone()))
    }

    fn rng(&self) -> StdRng {
        rand::make_rng()
    }
}

async fn dial(address: Address) -> io::Result<Stream> {
    match address {
        Address::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            let socket = SockRef::from(&stream);
            let keepalive = TcpKeepalive::new().with_time(DEAD_PEER_AFTER);
            socket.set_tcp_keepalive(&keepalive)?;
            #[cfg(target_os = "linux")]
            socket.set_tcp_user_timeout(Some(DEAD_PEER_AFTER))?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Address::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Address::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
