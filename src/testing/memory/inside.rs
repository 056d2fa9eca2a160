//! A connection to an in-memory node that goes through no socket and takes no time: what is
//! written is carried out at once, and its answer is there to be read. So a clock that a test
//! moves need not wait for the system. It carries out nothing while the node is paused.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::server::Shared;
use crate::testing::{Reply, resp};

/// What is on its way between a client and its node.
#[derive(Debug, Default)]
pub(super) struct Pipe(Mutex<Ends>);

#[derive(Debug, Default)]
struct Ends {
    /// What the client has sent, and the node has not read.
    sent: Vec<u8>,
    /// What the node has sent, and the client has not read.
    answered: Vec<u8>,
    /// Whether the node has hung up.
    is_over: bool,
    /// Whether the client has.
    has_left: bool,
    reader: Option<Waker>,
}

impl Pipe {
    /// The next command that has arrived in whole.
    pub(super) fn take_command(&self) -> io::Result<Option<Vec<Vec<u8>>>> {
        let mut ends = self.ends();
        let taken = resp::take_command(&ends.sent)?;
        Ok(taken.map(|(command, len)| {
            ends.sent.drain(..len);
            command
        }))
    }

    pub(super) fn push(&self, replies: &[Reply]) {
        let mut ends = self.ends();
        ends.answered.extend(resp::encode(replies));
        ends.wake();
    }

    pub(super) fn hang_up(&self) {
        let mut ends = self.ends();
        ends.is_over = true;
        ends.wake();
    }

    pub(super) fn has_left(&self) -> bool {
        self.ends().has_left
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ends {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

/// The client's end. What it had sent is carried out, also when it is dropped.
#[derive(Debug)]
pub(crate) struct Inside {
    node: Arc<Shared>,
    number: u64,
    pipe: Arc<Pipe>,
}

impl Inside {
    pub(super) fn new(node: Arc<Shared>, number: u64, pipe: Arc<Pipe>) -> Self {
        Self { node, number, pipe }
    }
}

impl AsyncRead for Inside {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ends = self.pipe.ends();
        if ends.answered.is_empty() && !ends.is_over {
            ends.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = ends.answered.len().min(buf.remaining());
        ends.answered.drain(..len).for_each(|byte| buf.put_slice(&[byte]));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Inside {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.pipe.ends();
        if ends.is_over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ends.sent.extend_from_slice(bytes);
        drop(ends);
        self.node.serve_inside(self.number);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.pipe.ends().has_left = true;
        self.node.serve_inside(self.number);
    }
}
