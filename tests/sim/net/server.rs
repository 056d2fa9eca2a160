//! A node at the slower level: sockets in front of the stage's node.

use std::{sync::Arc, time::Duration};

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};
use redlock_quorum::sim::decode_command;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use turmoil::net::{TcpListener, TcpStream};

use super::TICK;
use crate::stage::Shared;

/// Serves until the host crashes.
pub async fn serve(stage: Shared, node: usize, seed: u64) -> turmoil::Result {
    let listener = TcpListener::bind(("0.0.0.0", 6379)).await?;
    let mut rng = SmallRng::seed_from_u64(seed);
    loop {
        let (stream, peer) = listener.accept().await?;
        let host = turmoil::reverse_lookup(peer.ip()).unwrap_or_default();
        let Ok(client) = host.trim_start_matches('c').parse() else { continue };
        let rng = SmallRng::seed_from_u64(rng.next_u64());
        let stage = Arc::clone(&stage);
        tokio::task::spawn_local(async move {
            // However it ends, the client sees its connection close.
            let _ = converse(stream, stage, client, node, rng).await;
        });
    }
}

async fn converse(
    mut stream: TcpStream,
    stage: Shared,
    client: usize,
    node: usize,
    mut rng: SmallRng,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    loop {
        if stream.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        if let Some(late) = { stage.truth().breaks.remove(&(client, node)) } {
            // The client hears at once that its connection broke.
            drop(stream);
            tokio::time::sleep(Duration::from_nanos(rng.random_range(0..=late))).await;
            return carry_out(&stage, client, node, &mut received, &mut rng).await.map(drop);
        }
        let (replies, open) = carry_out(&stage, client, node, &mut received, &mut rng).await?;
        stream.write_all(&replies).await?;
        if !open {
            return Ok(());
        }
    }
}

/// Carries out what has been received in whole, when the node does not hang;
/// gives the replies, and whether it goes on.
async fn carry_out(
    stage: &Shared,
    client: usize,
    node: usize,
    received: &mut Vec<u8>,
    rng: &mut SmallRng,
) -> std::io::Result<(Vec<u8>, bool)> {
    while stage.truth().nodes[node].hung > 0 {
        tokio::time::sleep(TICK).await;
    }
    let mut replies = Vec::new();
    while let Some((command, len)) = decode_command(received)? {
        received.drain(..len);
        match stage.truth().execute(client, node, &command, rng.next_u32()) {
            Some(reply) => replies.extend(reply),
            None => return Ok((replies, false)),
        }
    }
    Ok((replies, true))
}
