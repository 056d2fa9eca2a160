//! The world as one client of the fast level sees it.

use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use redlock_quorum::sim::{Io, Promise, World};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::net::{Event, Net};
use crate::{names::Place, plan::MS};

/// A host that does not answer is asked again after so long.
const DIAL_AGAIN: u64 = 200 * MS;

pub struct FastWorld {
    pub net: Arc<Net>,
    pub client: usize,
    pub seed: u64,
}

impl World for FastWorld {
    fn now(&self) -> u64 {
        self.net.stage().truth().clock(self.client)
    }

    fn wall(&self) -> i64 {
        self.net.stage().truth().wall(self.client)
    }

    fn sleep(&self, span: Duration) -> Promise<()> {
        let truth = self.net.stage().truth();
        let at = truth.now.saturating_add(truth.true_span(self.client, span));
        Box::pin(Timer { net: Arc::clone(&self.net), at, set: false })
    }

    fn look_up(&self, host: &str) -> Promise<io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::ready(self.net.stage().truth().look_up(host)))
    }

    fn dial(&self, address: IpAddr) -> Promise<io::Result<Box<dyn Io>>> {
        let (net, client) = (Arc::clone(&self.net), self.client);
        let to = Place::of(address);
        Box::pin(async move {
            let to = to.ok_or(io::ErrorKind::NotFound)?;
            let now = net.stage().truth().now;
            let mut at = now + net.state().round_trip(to.node);
            loop {
                Timer { net: Arc::clone(&net), at, set: false }.await;
                let mut state = net.state();
                let truth = net.stage().truth();
                match state.try_dial(&truth, client, to.node) {
                    Some(true) => {
                        let left = truth.nodes[to.node].cut_at(&mut state.rng);
                        let id = state.open(client, to, left);
                        drop((truth, state));
                        return Ok(Box::new(Stream { net, id }) as Box<dyn Io>);
                    }
                    Some(false) => return Err(io::ErrorKind::ConnectionRefused.into()),
                    None => at = truth.now + DIAL_AGAIN,
                }
            }
        })
    }

    fn seed(&self) -> u64 {
        self.seed
    }
}

/// A timer that is over at a moment of true time.
struct Timer {
    net: Arc<Net>,
    at: u64,
    set: bool,
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.net.stage().truth().now >= self.at {
            return Poll::Ready(());
        }
        // It is always the same task that polls.
        if !std::mem::replace(&mut self.set, true) {
            self.net.state().push(self.at, Event::Wake(cx.waker().clone()));
        }
        Poll::Pending
    }
}

/// The client's end of a connection.
struct Stream {
    net: Arc<Net>,
    id: usize,
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.net.state().read(self.id, buf.remaining(), cx.waker()) {
            Some(Ok(bytes)) => {
                buf.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.net.state();
        let now = self.net.stage().truth().now;
        Poll::Ready(state.write(now, self.id, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut state = self.net.state();
        let now = self.net.stage().truth().now;
        state.close(now, self.id);
    }
}
