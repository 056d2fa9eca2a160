//! Loopback ports that stay a node's own while the node is down. A port is never from
//! the range that the system hands to outgoing connections: there a client that retries
//! a dead node can end up connected to itself.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;

use socket2::{Domain, Socket, Type};

// These are above the usual services and below Linux's outgoing range (those of macOS
// and Windows begin higher still).
const PORTS: Range<u16> = 10_000..32_000;
const MAX_TRIES: usize = 256;

/// A TCP port that no other fixture on this machine takes while this lives.
///
/// What keeps the others off is the UDP port of the same number: no server
/// needs it, and the system frees it however this process ends.
#[derive(Debug)]
pub(super) struct Claim {
    port: u16,
    _mark: UdpSocket,
}

impl Claim {
    pub(super) fn new() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..MAX_TRIES {
            let port = rand::random_range(PORTS);
            match try_claim(port) {
                Ok(mark) => return Ok(Self { port, _mark: mark }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn socket(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

fn try_claim(port: u16) -> io::Result<UdpSocket> {
    let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    // The trial is bound and does not listen: a child that is being forked right now
    // keeps a copy for a moment, which must not be in the server's way.
    let trial = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    #[cfg(not(windows))]
    trial.set_reuse_address(true)?;
    trial.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    Ok(mark)
}
