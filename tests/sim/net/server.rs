//! A node at the slower level: it serves the stage's node on sockets.

use std::{cell::RefCell, collections::BTreeMap, net::SocketAddr, rc::Rc, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::sim::decode_command;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};
use turmoil::net::{TcpListener, TcpStream};

use super::TICK;
use crate::{
    names::{Line, Place},
    stage::Shared,
};

/// What is to be sent on each connection, by its number, in order.
type Outboxes = Rc<RefCell<BTreeMap<u64, mpsc::UnboundedSender<Vec<u8>>>>>;

/// Where a server listens. All servers that are a node one after the other run on one host.
pub fn port(term: u8) -> u16 {
    6379 + u16::from(term)
}

/// Serves until the host crashes.
pub async fn serve(stage: Shared, node: usize, seed: u64) -> turmoil::Result {
    let servers = { stage.truth().plan.servers(node) };
    let host = Host { stage, node, rng: SmallRng::seed_from_u64(seed), next: 0 };
    let (host, outboxes) = (Rc::new(RefCell::new(host)), Outboxes::default());
    for term in 1..servers {
        let (host, outboxes) = (host.clone(), outboxes.clone());
        tokio::task::spawn_local(async move { listen(host, term, outboxes).await });
    }
    listen(host, 0, outboxes).await
}

/// What all servers of one host share.
struct Host {
    stage: Shared,
    node: usize,
    rng: SmallRng,
    /// The number of the next connection.
    next: u64,
}

/// One server, which is the node, will be it or was it.
async fn listen(host: Rc<RefCell<Host>>, term: u8, outboxes: Outboxes) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", port(term))).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let (sender, outbox) = mpsc::unbounded_channel();
        let Some(mut conn) = host.borrow_mut().accept(peer, term, &outboxes) else { continue };
        outboxes.borrow_mut().insert(conn.number, sender);
        tokio::task::spawn_local(async move {
            // However it ends, the client sees its connection close.
            let _ = conn.converse(stream, outbox).await;
            conn.stage.truth().nodes[conn.to.node].hang_up(conn.number);
            conn.outboxes.borrow_mut().remove(&conn.number);
        });
    }
}

impl Host {
    fn accept(&mut self, peer: SocketAddr, term: u8, outboxes: &Outboxes) -> Option<Conn> {
        let number = self.next;
        self.next += 1;
        let host = turmoil::reverse_lookup(peer.ip()).unwrap_or_default();
        let client = host.trim_start_matches('c').parse().ok()?;
        let mut rng = SmallRng::seed_from_u64(self.rng.next_u64());
        let truth = self.stage.truth();
        let (was_master, left) = {
            let node = &truth.nodes[self.node];
            (node.is_master(term), node.cut_at(&mut rng))
        };
        drop(truth);
        Some(Conn {
            stage: self.stage.clone(),
            client,
            to: Place { node: self.node, term },
            was_master,
            number,
            rng,
            received: Vec::new(),
            left,
            outboxes: outboxes.clone(),
        })
    }
}

struct Conn {
    stage: Shared,
    client: usize,
    to: Place,
    /// Whether the server was the node when the client connected.
    was_master: bool,
    number: u64,
    rng: SmallRng,
    received: Vec<u8>,
    /// After how many more bytes of answers the connection breaks, if it does.
    left: Option<usize>,
    outboxes: Outboxes,
}

impl Conn {
    async fn converse(
        &mut self,
        mut stream: TcpStream,
        mut outbox: mpsc::UnboundedReceiver<Vec<u8>>,
    ) -> std::io::Result<()> {
        let (mut open, mut ready) = (true, Vec::new());
        loop {
            while let Ok(more) = outbox.try_recv() {
                ready.extend(more);
            }
            stream.write_all(&std::mem::take(&mut ready)).await?;
            if !open {
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(bytes) = outbox.recv() => {
                    ready = bytes;
                    continue;
                }
                read = stream.read_buf(&mut self.received) => if read? == 0 {
                    return Ok(());
                }
            }
            if self.is_hung_up() {
                return Ok(());
            }
            let late = { self.stage.truth().breaks.remove(&(self.client, self.to.node)) };
            if let Some(late) = late {
                // The client hears at once that its connection broke.
                drop(stream);
                let late = self.rng.random_range(0..=late);
                tokio::time::sleep(Duration::from_nanos(late)).await;
                return self.carry_out().await.map(drop);
            }
            open = self.carry_out().await?;
        }
    }

    /// Carries out all commands that have arrived in whole, once the node does not
    /// hang. Returns whether the connection stays open.
    async fn carry_out(&mut self) -> std::io::Result<bool> {
        while self.stage.truth().nodes[self.to.node].hung > 0 {
            tokio::time::sleep(TICK).await;
        }
        while let Some((command, len)) = decode_command(&self.received)? {
            self.received.drain(..len);
            let line = Line { client: self.client, to: self.to, conn: self.number };
            let sent = self.stage.truth().execute(line, &command, self.rng.next_u32());
            let Some(mut sent) = sent else { return Ok(false) };
            let is_cut_off = self.is_cut_off(&mut sent.reply);
            self.send(self.number, sent.reply);
            for (to, message) in sent.messages {
                self.send(to, message);
            }
            if is_cut_off {
                self.stage.truth().lets_down(self.client, self.to.node);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the server has closed this connection since it is the node no more: the client
    /// hears of it when it writes.
    fn is_hung_up(&self) -> bool {
        let mut truth = self.stage.truth();
        let Place { node, term } = self.to;
        let is_so = self.was_master && truth.nodes[node].has_hung_up(term);
        if is_so {
            truth.lets_down(self.client, node);
        }
        is_so
    }

    /// Whether the connection breaks now, and leaves only so much of `reply`.
    fn is_cut_off(&mut self, reply: &mut Vec<u8>) -> bool {
        let Some(left) = self.left else { return false };
        let is_over = reply.len() >= left;
        reply.truncate(left);
        self.left = Some(left - reply.len());
        is_over
    }

    fn send(&self, to: u64, bytes: Vec<u8>) {
        if let Some(outbox) = self.outboxes.borrow().get(&to) {
            // If it is closed, the connection is over.
            let _ = outbox.send(bytes);
        }
    }
}
