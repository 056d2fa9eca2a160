//! Sends one command over a fresh connection, blocking, within a time limit. It never
//! retries and never judges an answer.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use super::{Reply, resp, wait};

const MAX_REPLY: usize = 64 << 20;

pub(super) fn call<S: AsRef<[u8]>>(
    address: &str,
    args: &[S],
    limit: Duration,
) -> io::Result<Reply> {
    let deadline = wait::now() + limit;
    let stream = connect(address, deadline)?;
    let mut out = BufWriter::new(Timed { stream: &stream, deadline });
    resp::write_command(&mut out, args)?;
    out.flush()?;
    let mut input = BufReader::new(Timed { stream: &stream, deadline });
    resp::read(&mut input, MAX_REPLY)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Whether nothing listens at the address any more.
#[cfg(feature = "testing")]
pub(super) fn refuses(address: &str) -> bool {
    matches!(
        connect(address, wait::now() + Duration::from_secs(1)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused
    )
}

fn connect(address: &str, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for socket in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&socket, left(deadline)?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(wait::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// A socket whose operations together end by the deadline.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer).map_err(as_timeout)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes).map_err(as_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn as_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}
