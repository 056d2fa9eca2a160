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

/// The most a reply may take: all of ours fit a line, error texts included.
const MAX_REPLY_BYTES: usize = 16 * 1024;

/// Above this much unused room, the write buffer is given back.
const KEEP_BYTES: usize = 64 * 1024;

/// An established connection and its two buffers.
pub(super) struct Conn {
    stream: Stream,
    out: Vec<u8>,
    written: usize,
    inbox: Box<[u8]>,
    parsed: usize,
    filled: usize,
}

impl Conn {
    pub(super) fn new(stream: Stream) -> Self {
        let inbox = vec![0; MAX_REPLY_BYTES].into_boxed_slice();
        Self { stream, out: Vec::new(), written: 0, inbox, parsed: 0, filled: 0 }
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
                Poll::Ready(Ok(_)) if mutant::is(Mutant::PartialWrite) => {
                    self.written = self.out.len();
                }
                Poll::Ready(Ok(len)) => self.written = self.written.saturating_add(len),
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
        Ok(())
    }

    /// Reads what has come, until the socket has no more, and shows it to
    /// `take`, which says how long the reply is that it took off the front;
    /// `None` while it has not all arrived.
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

fn lost(error: io::Error) -> NodeError {
    NodeError::io(NodeErrorKind::ConnectionLost, error)
}
