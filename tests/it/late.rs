//! An acquire that reaches its server after the release: it was held up in the
//! network, on a connection that has broken since. Its key must not stay.

use redlock_quorum::{
    Redlock, Released,
    testing::{Cluster, Reply},
};

use crate::{
    proxy::Proxy,
    support::{
        LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, assert_no_keys_but, client, connect, eventually,
        ours_executed, run, set_up, start,
    },
};

/// A client of some nodes, the first of them behind a proxy, with all
/// connections made and in use.
async fn setting() -> (Cluster, Proxy, Redlock) {
    setting_of(3).await
}

async fn setting_of(nodes: usize) -> (Cluster, Proxy, Redlock) {
    let cluster = start(nodes).await;
    let proxy = Proxy::before(cluster.nodes()[0].address()).await;
    let mut urls = cluster.urls();
    urls[0] = proxy.url.clone();
    let redlock = Redlock::builder().nodes(urls).ttl(TTL).node_timeout(NODE_TIMEOUT);
    let redlock = redlock.build().unwrap();
    connect(&redlock, nodes).await;
    assert_no_keys(&cluster).await;
    (cluster, proxy, redlock)
}

/// The connection with the held acquire breaks, the release is answered "not
/// there" on a new one, then the acquire arrives.
async fn deliver_late(cluster: &Cluster, proxy: &Proxy) {
    let node = &cluster.nodes()[0];
    eventually("the node has answered a release on a new connection", async || {
        let releases = ours_executed(node).await;
        match proxy.connections() {
            2.. if releases > 0 => Ok(()),
            connections => Err((connections, releases)),
        }
    })
    .await;
    arrives(proxy).await;
    assert_no_keys(cluster).await; // long before the ttl
}

async fn arrives(proxy: &Proxy) {
    proxy.deliver();
    eventually("the server has executed the late acquire", async || {
        if proxy.delivered() { Ok(()) } else { Err(()) }
    })
    .await;
}

async fn held_up(proxy: &Proxy) {
    eventually("the acquire is held up", async || match proxy.held_bytes() {
        0 => Err(()),
        _ => Ok(()),
    })
    .await;
}

#[tokio::test]
async fn an_acquire_that_arrives_after_its_release_leaves_no_key() {
    let (cluster, proxy, redlock) = setting().await;
    set_up(cluster.nodes(), "CONFIG RESETSTAT").await;
    proxy.hold();
    let guard = redlock.lock("late").await.unwrap();
    held_up(&proxy).await;
    proxy.cut();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    deliver_late(&cluster, &proxy).await;
}

/// A fenced one is buried: the node refuses it from then on, however late it is.
#[tokio::test]
async fn a_fenced_acquire_that_arrives_after_its_release_is_refused() {
    let (cluster, proxy, redlock) = setting().await;
    let node = &cluster.nodes()[0];
    proxy.hold();
    let guard = redlock.lock("late").fenced().await.unwrap();
    let number = guard.fencing_number().unwrap().to_string();
    held_up(&proxy).await;
    proxy.cut();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    eventually("it is buried", async || match run(node, "GET late:fence").await {
        Reply::Bulk(fence) if fence == number.as_bytes() => Ok(()),
        other => Err(other),
    })
    .await;
    proxy.deliver();
    eventually("the server has refused the late acquire", async || {
        if proxy.was_stale() { Ok(()) } else { Err(()) }
    })
    .await;
    assert_eq!(run(node, "EXISTS late").await.as_int(), Some(0));
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys_but(&cluster, &["late:fence"]).await;
}

#[tokio::test]
async fn an_acquire_that_arrives_after_its_future_was_dropped_leaves_no_key() {
    let (cluster, proxy, redlock) = setting().await;
    set_up(cluster.nodes(), "CONFIG RESETSTAT").await;
    cluster.nodes()[1].pause().await.unwrap(); // no quorum: the acquire hangs
    proxy.hold();
    tokio::select! {
        biased;
        guard = redlock.lock("late") => panic!("two of three nodes can't answer: {guard:?}"),
        () = held_up(&proxy) => {}
    }
    proxy.cut();
    cluster.nodes()[1].resume().await.unwrap();
    deliver_late(&cluster, &proxy).await;
}

/// By a client that has nothing but the token, and cannot know of the acquire; with
/// or without a node that is down and answers neither of them.
async fn released_by_its_token(nodes: usize, down: usize) {
    let (cluster, proxy, redlock) = setting_of(nodes).await;
    let other = client(&cluster);
    connect(&other, nodes).await; // or its release might not ask the first node
    assert_no_keys(&cluster).await;
    set_up(cluster.nodes(), "CONFIG RESETSTAT").await;
    let (running, dead) = cluster.nodes().split_at(nodes - down);
    for node in dead {
        node.kill().await.unwrap();
    }
    proxy.hold();
    let parts = redlock.lock("late").await.unwrap().into_parts();
    held_up(&proxy).await;
    proxy.cut();
    assert_eq!(other.release(parts).await.unwrap(), Released::Released);
    eventually("it does not have it yet", async || match ours_executed(&running[0]).await {
        0 => Err(()),
        _ => Ok(()),
    })
    .await;
    arrives(&proxy).await;
    eventually("its key is gone", async || match run(&running[0], "EXISTS late").await.as_int() {
        Some(0) => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test]
async fn an_acquire_that_arrives_after_a_release_by_its_token_leaves_no_key() {
    released_by_its_token(3, 0).await;
}

#[tokio::test]
async fn nor_does_it_where_another_node_is_down() {
    released_by_its_token(5, 1).await;
}
