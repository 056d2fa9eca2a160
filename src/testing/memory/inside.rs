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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use crate::testing::{Clock, memory::MemoryNode};

    /// What is read until so many bytes are there, or no more will come.
    async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin), len: usize) -> String {
        let mut read = Vec::new();
        while read.len() < len && stream.read_buf(&mut read).await.unwrap() > 0 {}
        String::from_utf8(read).unwrap()
    }

    const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";

    #[tokio::test]
    async fn what_is_written_is_answered_in_order_however_it_is_cut() {
        let node = MemoryNode::start(Clock::new()).unwrap();
        let mut client = node.connect().unwrap();
        let [begun, rest] = [&SET[..9], &[&SET[9..], GET].concat()];
        client.write_all(begun).await.unwrap();
        client.write_all(rest).await.unwrap();
        assert_eq!(read(&mut client, 12).await, "+OK\r\n$1\r\nv\r\n");
        client.write_all(b"?\r\n").await.unwrap();
        let said = read(&mut client, usize::MAX).await;
        assert!(said.starts_with("-ERR Protocol error"), "{said}");
    }

    #[tokio::test]
    async fn what_came_while_it_was_paused_is_carried_out_though_the_client_has_left() {
        let node = MemoryNode::start(Clock::new()).unwrap();
        let (mut client, mut other) = (node.connect().unwrap(), node.connect().unwrap());
        node.set_paused(true).unwrap();
        client.write_all(SET).await.unwrap();
        drop(client);
        other.write_all(GET).await.unwrap();
        node.set_paused(false).unwrap();
        assert_eq!(read(&mut other, 7).await, "$1\r\nv\r\n", "in the order of the connections");
    }

    #[tokio::test]
    async fn a_message_reaches_those_inside_and_those_outside() {
        let node = MemoryNode::start(Clock::new()).unwrap();
        let mut inside = node.connect().unwrap();
        let mut outside = tokio::net::TcpStream::connect(node.address()).await.unwrap();
        let (subscribe, confirmed) =
            (b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
        inside.write_all(subscribe).await.unwrap();
        outside.write_all(subscribe).await.unwrap();
        assert_eq!(read(&mut inside, confirmed.len()).await, confirmed);
        assert_eq!(read(&mut outside, confirmed.len()).await, confirmed);
        let mut sender = node.connect().unwrap();
        sender.write_all(b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$1\r\nm\r\n").await.unwrap();
        assert_eq!(read(&mut sender, 4).await, ":2\r\n");
        let message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
        assert_eq!(read(&mut inside, message.len()).await, message);
        assert_eq!(read(&mut outside, message.len()).await, message);
    }

    #[tokio::test]
    async fn a_node_that_is_killed_hangs_up_and_takes_nobody() {
        let node = MemoryNode::start(Clock::new()).unwrap();
        let mut client = node.connect().unwrap();
        client.write_all(SET).await.unwrap();
        node.kill();
        assert_eq!(read(&mut client, usize::MAX).await, "+OK\r\n");
        assert!(client.write_all(GET).await.is_err() && node.connect().is_err());
        node.restart().unwrap();
        let mut client = node.connect().unwrap();
        client.write_all(GET).await.unwrap();
        assert_eq!(read(&mut client, 5).await, "$-1\r\n", "it has forgotten everything");
    }
}
