//! Servers that are some way off: what clients do by the length of a round trip.

#![expect(clippy::disallowed_methods, reason = "a network has a clock of its own")]

use std::time::Duration;

use redlock_quorum::testing::Cluster;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Passes on what comes, so much later and in order.
async fn pipe(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (sender, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let passing = async move {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let taking = async move {
        let mut chunk = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut chunk).await {
            if sender.send((Instant::now() + delay, chunk[..len].to_vec())).is_err() {
                return;
            }
        }
    };
    tokio::join!(passing, taking);
}

/// A way to `server` that takes so long in each direction. It ends with the
/// test's runtime.
async fn way(server: String, delay: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(&server).await else { continue };
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let ((a, b), (c, d)) = (client.into_split(), server.into_split());
            tokio::spawn(pipe(a, d, delay));
            tokio::spawn(pipe(c, b, delay));
        }
    });
    url
}

/// The nodes' URLs for a client to which they are so far.
pub async fn urls(cluster: &Cluster, delay: Duration) -> Vec<String> {
    let mut urls = Vec::new();
    for node in cluster.nodes() {
        urls.push(way(node.address(), delay).await);
    }
    urls
}
