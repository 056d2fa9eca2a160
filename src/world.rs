//! The client's only way to the outside: the time, a way to wait, connections, and
//! randomness. Nothing here decides anything.
//!
//! A [`World`] is an argument, so that a simulation can bring its own: everything
//! else in this crate then runs in it as it is. In production it is [`System`].

use std::{
    fmt,
    future::Future,
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    path::PathBuf,
    pin::Pin,
    thread,
    time::{Duration, SystemTime},
};

use rand::rngs::StdRng;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::oneshot,
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

/// Where a connection can be opened to, once the host's name has been looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(SocketAddr),
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
    /// How long to sleep at most while something is to be done at its time: timers stand
    /// still while the machine is suspended, and so late, at worst, a holder hears after it
    /// that its lock has ended.
    fn longest_sleep(&self) -> Duration {
        Duration::from_secs(1)
    }
    /// The addresses of a host's name, in the order in which they are to be tried. This
    /// may take as long as it likes, and goes on if the future is dropped.
    fn look_up(&self, host: &str, port: u16) -> Pending<io::Result<Vec<SocketAddr>>>;
    /// Opens a connection.
    fn dial(&self, place: &Place) -> Pending<io::Result<Stream>>;
    /// A source of randomness, for one driver.
    fn rng(&self) -> StdRng;
    /// A `driver` that lives in this world, so that the world may know when it waits.
    fn attend(&self, driver: Pending<()>) -> Pending<()> {
        driver
    }
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
        Box::pin(sleep(span))
    }

    fn look_up(&self, host: &str, port: u16) -> Pending<io::Result<Vec<SocketAddr>>> {
        let host = host.to_owned();
        Box::pin(async move {
            if let Ok(ip) = host.parse() {
                return Ok(vec![SocketAddr::new(ip, port)]);
            }
            look_up(host, port)?.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
        })
    }

    fn dial(&self, place: &Place) -> Pending<io::Result<Stream>> {
        Box::pin(dial(place.clone()))
    }

    fn rng(&self) -> StdRng {
        rand::make_rng()
    }
}

/// tokio's clock may be paused, and jump: its timers ring at once then, again and again. What
/// is left of the span is waited for by a thread then.
async fn sleep(span: Duration) {
    /// How much tokio's timers may be early, which tick every millisecond.
    const TICK: Duration = Duration::from_millis(2);
    let until = clock::now().after(span);
    tokio::time::sleep(span).await;
    let left = until.since(clock::now());
    if left > TICK {
        let (rung, ringing) = oneshot::channel::<()>();
        let sleeping = move || {
            thread::sleep(left);
            drop(rung);
        };
        if thread::Builder::new().name("redlock-clock".into()).spawn(sleeping).is_ok() {
            let _ = ringing.await;
        }
    }
}

/// The system's look-up can't be given up, and a name server that is silent makes it last
/// for tens of seconds. So it has a thread of its own, for which neither a runtime nor the
/// end of the process waits.
fn look_up(host: String, port: u16) -> io::Result<oneshot::Receiver<io::Result<Vec<SocketAddr>>>> {
    let (found, finding) = oneshot::channel();
    let looking = move || {
        let addresses = (host.as_str(), port).to_socket_addrs();
        // Nobody may be waiting any more.
        let _ = found.send(addresses.map(Iterator::collect));
    };
    thread::Builder::new().name("redlock-lookup".into()).spawn(looking)?;
    Ok(finding)
}

async fn dial(place: Place) -> io::Result<Stream> {
    match place {
        Place::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let socket = SockRef::from(&stream);
            let keepalive = TcpKeepalive::new().with_time(DEAD_PEER_AFTER);
            socket.set_tcp_keepalive(&keepalive)?;
            #[cfg(target_os = "linux")]
            socket.set_tcp_user_timeout(Some(DEAD_PEER_AFTER))?;
            Ok(Box::new(stream))
        }
        #[cfg(unix)]
        Place::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        #[cfg(not(unix))]
        Place::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}
