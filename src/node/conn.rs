//! One established connection: bytes out, replies in.
//!
//! It keeps order and nothing else: it does not know what was asked, who waits
//! or what time it is.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::{
    mutant::{self, Mutant},
    node_error::{NodeError, NodeErrorKind},
    world::Stream,
};

/// The longest reply that is taken: all that we ask for fit a line, error texts
/// included.
const MAX_REPLY_BYTES: usize = 16 * 1024;

/// An empty write buffer keeps this much room, and gives back the rest.
const KEEP_BYTES: usize = 64 * 1024;

/// An established connection and its two buffers.
pub(super) struct Conn {
    stream: Stream,
    out: Vec<u8>,
    written: usize,
    /// Whether the stream may hold something back, as TLS does.
    unflushed: bool,
    inbox: Box<[u8]>,
    parsed: usize,
    filled: usize,
}

impl Conn {
    pub(super) fn new(stream: Stream) -> Self {
        let inbox = vec![0; MAX_REPLY_BYTES].into_boxed_slice();
        Self { stream, out: Vec::new(), written: 0, unflushed: false, inbox, parsed: 0, filled: 0 }
    }

    /// Queues a command. It is written by the next [`Self::poll_write`].
    pub(super) fn push(&mut self, command: &[u8]) {
        self.out.extend_from_slice(command);
    }

    /// Writes what is queued, as far as the socket takes it.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), NodeError> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Err(lost(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => {
                    let taken = taken(len, rest.len());
                    self.written = self.written.saturating_add(taken);
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(lost(error)),
                Poll::Pending => {
                    if self.written > KEEP_BYTES {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return Ok(());
                }
            }
        }
        self.out.clear();
        self.out.shrink_to(KEEP_BYTES);
        self.written = 0;
        self.poll_flush(cx)
    }

    /// Flushes what the stream holds back, which for a socket is nothing.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<(), NodeError> {
        if self.unflushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Err(lost(error)),
                Poll::Pending => {}
            }
        }
        Ok(())
    }

    /// Reads until the socket has no more, and shows what has come to `take`.
    /// That takes one reply off the front and returns its length, or `None`
    /// while the reply has not all arrived.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(&[u8]) -> Result<Option<usize>, NodeError>,
    ) -> Result<(), NodeError> {
        loop {
            let mut room = ReadBuf::new(self.inbox.get_mut(self.filled..).unwrap_or_default());
            match Pin::new(&mut self.stream).poll_read(cx, &mut room) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(lost(error)),
                Poll::Ready(Ok(())) => {}
            }
            let len = room.filled().len();
            if len == 0 {
                return Err(lost(io::ErrorKind::UnexpectedEof.into()));
            }
            self.filled = self.filled.saturating_add(len);
            self.parse(&mut take)?;
        }
    }

    fn parse(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<Option<usize>, NodeError>,
    ) -> Result<(), NodeError> {
        while self.parsed < self.filled {
            let unread = self.inbox.get(self.parsed..self.filled).unwrap_or_default();
            let Some(len) = take(unread)? else { break };
            self.parsed = self.parsed.saturating_add(len);
        }
        self.inbox.copy_within(self.parsed..self.filled, 0);
        self.filled = self.filled.saturating_sub(self.parsed);
        self.parsed = 0;
        if self.filled == self.inbox.len() {
            return Err(NodeError::new(NodeErrorKind::Protocol));
        }
        Ok(())
    }
}

/// How much the socket took of `offered` bytes when it says `len`.
fn taken(len: usize, offered: usize) -> usize {
    if mutant::is(Mutant::PartialWrite) {
        return offered;
    }
    len
}

fn lost(error: io::Error) -> NodeError {
    NodeError::io(NodeErrorKind::ConnectionLost, error)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::*;

    /// Like TLS, this takes all it is given, and lets it go when it is flushed for
    /// the second time.
    #[derive(Default)]
    struct HoldsBack {
        flushed: usize,
        refuse: bool,
    }

    impl AsyncWrite for HoldsBack {
        fn poll_write(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushed += 1;
            assert!(self.flushed <= 2, "there is nothing to flush any more");
            match self.flushed {
                1 => Poll::Pending,
                _ if self.refuse => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                _ => Poll::Ready(Ok(())),
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for HoldsBack {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[test]
    fn what_a_stream_holds_back_is_flushed_until_it_is_gone_and_then_no_more() {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut conn = Conn::new(Box::new(HoldsBack::default()));
        conn.poll_write(cx).unwrap();
        conn.push(b"PING");
        conn.poll_write(cx).unwrap();
        assert!(conn.unflushed, "it did not take it yet");
        for _ in 0..3 {
            conn.poll_write(cx).unwrap();
            assert!(!conn.unflushed);
        }
        let mut conn = Conn::new(Box::new(HoldsBack { refuse: true, ..HoldsBack::default() }));
        conn.push(b"PING");
        conn.poll_write(cx).unwrap();
        let error = conn.poll_write(cx).unwrap_err();
        assert_eq!(error.kind(), NodeErrorKind::ConnectionLost);
    }
}
