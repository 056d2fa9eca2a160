//! A node at the slower level: it serves the stage's node on sockets.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::sim::decode_command;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};
use turmoil::net::{TcpListener, TcpStream};

use super::TICK;
use crate::stage::Shared;

/// What is to be sent on each connection, by its number, in order.
type Outboxes = Rc<RefCell<BTreeMap<u64, mpsc::UnboundedSender<Vec<u8>>>>>;

/// Serves until the host crashes.
pub async fn serve(stage: Shared, node: usize, seed: u64) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", 6379)).await?;
    let mut rng = SmallRng::seed_from_u64(seed);
    let outboxes = Outboxes::default();
    for number in 0.. {
        let (stream, peer) = listener.accept().await?;
        let host = turmoil::reverse_lookup(peer.ip()).unwrap_or_default();
        let Ok(client) = host.trim_start_matches('c').parse() else { continue };
        let (sender, outbox) = mpsc::unbounded_channel();
        outboxes.borrow_mut().insert(number, sender);
        let mut conn = Conn {
            stage: stage.clone(),
            client,
            node,
            number,
            rng: SmallRng::seed_from_u64(rng.next_u64()),
            received: Vec::new(),
            outboxes: outboxes.clone(),
        };
        tokio::task::spawn_local(async move {
            // However it ends, the client sees its connection close.
            let _ = conn.converse(stream, outbox).await;
            conn.stage.truth().nodes[node].hang_up(number);
            conn.outboxes.borrow_mut().remove(&number);
        });
    }
    Ok(())
}

struct Conn {
    stage: Shared,
    client: usize,
    node: usize,
    number: u64,
    rng: SmallRng,
    received: Vec<u8>,
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
            let late = { self.stage.truth().breaks.remove(&(self.client, self.node)) };
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
        while self.stage.truth().nodes[self.node].hung > 0 {
            tokio::time::sleep(TICK).await;
        }
        while let Some((command, len)) = decode_command(&self.received)? {
            self.received.drain(..len);
            let from = (self.client, self.node, self.number);
            let sent = self.stage.truth().execute(from, &command, self.rng.next_u32());
            let Some(sent) = sent else { return Ok(false) };
            self.send(self.number, sent.reply);
            for (to, message) in sent.messages {
                self.send(to, message);
            }
        }
        Ok(true)
    }

    fn send(&self, to: u64, bytes: Vec<u8>) {
        if let Some(outbox) = self.outboxes.borrow().get(&to) {
            // If it is closed, the connection is over.
            let _ = outbox.send(bytes);
        }
    }
}
