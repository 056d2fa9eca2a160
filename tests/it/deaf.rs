//! Servers and proxies by which nobody can listen for releases: waiters ask now and then, and the
//! log says why.

use redlock_quorum::{Redlock, testing::Cluster};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tracing::Level;

use crate::{
    printed::Printed,
    support::{NODE_TIMEOUT, TTL, client, eventually, finish, got, start, wait_for},
};

/// What the log says then.
const WARNED: &str = "does not let us listen for releases";

#[tokio::test]
async fn a_server_that_does_not_know_subscribe_is_said_to_and_waiters_ask_now_and_then() {
    let printed = Printed::default();
    let _logging = printed.log(Level::WARN);
    let hidden = ["--rename-command", "SUBSCRIBE", "hidden"];
    let cluster = Cluster::builder().nodes(1).server_args(hidden).start().await.unwrap();
    waits_though_deaf(&cluster, &cluster.nodes()[0].url(), &printed, "(ERR to SUBSCRIBE").await;
}

#[tokio::test]
async fn a_proxy_that_hangs_up_on_subscribe_is_said_to_and_waiters_ask_now_and_then() {
    let printed = Printed::default();
    let _logging = printed.log(Level::WARN);
    let cluster = start(1).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(hang_up_on_subscribe(listener, cluster.nodes()[0].address()));
    waits_though_deaf(&cluster, &url, &printed, "(at SUBSCRIBE)").await;
}

/// A waiter at `url` gets the lock when another client releases it, and the log has said once,
/// in these words, that it can't listen.
async fn waits_though_deaf(cluster: &Cluster, url: &str, printed: &Printed, words: &str) {
    let holder = client(cluster);
    let builder = Redlock::builder().nodes([url]).ttl(TTL).node_timeout(NODE_TIMEOUT);
    let waiter = builder.build().unwrap();
    let guard = holder.lock("job").await.unwrap();
    let waiting = wait_for(&waiter, "job");
    let cure = "It was renamed, or a proxy in between keeps it back";
    eventually("it is said", async || match printed.lines_with(&[WARNED, words, cure]) {
        1 => Ok(()),
        lines => Err(lines),
    })
    .await;
    guard.release().await.unwrap();
    got(waiting).await.release().await.unwrap();
    assert_eq!(printed.lines_with(&[WARNED]), 1);
    finish(&holder, cluster).await;
    finish(&waiter, cluster).await;
}

/// A proxy that knows no `SUBSCRIBE`, as twemproxy does not.
async fn hang_up_on_subscribe(listener: TcpListener, server: String) {
    while let Ok((client, _)) = listener.accept().await {
        let upstream = TcpStream::connect(&server).await.unwrap();
        tokio::spawn(async move {
            let (mut from, mut to) = client.into_split();
            let (mut answers, mut commands) = upstream.into_split();
            let answering = tokio::io::copy(&mut answers, &mut to);
            let asking = async {
                let mut bytes = vec![0; 4096];
                while let Ok(len @ 1..) = from.read(&mut bytes).await {
                    let is_known = !bytes[..len].windows(9).any(|word| word == b"SUBSCRIBE");
                    if !is_known || commands.write_all(&bytes[..len]).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                _ = answering => {}
                () = asking => {}
            }
        });
    }
}
