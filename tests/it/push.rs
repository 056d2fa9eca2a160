//! A release is heard of: who waits gets the lock by that alone, and listening
//! costs one more connection per node, while there is something to wait for.

use std::time::Duration;

use redlock_quorum::{
    Builder, ErrorKind, Released,
    testing::{Cluster, Reply, TestNode},
};

use crate::support::{
    LIMIT, builder, client, connect, connections, eventually, everywhere, finish, got, info,
    listeners, listening, ms, run, sets_executed, start, wait_for,
};

const HOUR: Duration = Duration::from_secs(3600);

/// A client that is in no hurry to look by itself: the second attempt of one of
/// its tasks comes within a minute once in sixty times, and else by a message.
fn patient(cluster: &Cluster) -> Builder {
    builder(cluster).retry_delay(HOUR, HOUR)
}

#[tokio::test]
async fn who_waits_gets_the_lock_by_the_message_alone() {
    let cluster = start(3).await;
    let nodes = cluster.nodes();
    let clients = [patient(&cluster), patient(&cluster).driver_thread()];
    for waiter in clients.map(|builder| builder.build().unwrap()) {
        let holder = client(&cluster);
        connect(&holder, 3).await;
        connect(&waiter, 3).await;
        let mut before = Vec::new();
        for node in nodes {
            before.push(sets_executed(node).await);
        }
        let guard = holder.lock("job").await.unwrap();
        everywhere(&guard, &cluster).await; // no vote is split
        let waiting = wait_for(&waiter, "job");
        listening(nodes, "job").await;
        assert!(!waiting.is_finished());
        assert_eq!(guard.release().await.unwrap(), Released::Released);
        assert_eq!(got(waiting).await.release().await.unwrap(), Released::Released);
        for (node, before) in nodes.iter().zip(before) {
            let sets = sets_executed(node).await - before;
            assert!(sets <= 3, "one of the holder, two of the waiter: {sets}");
        }
        finish(&holder, &cluster).await;
        finish(&waiter, &cluster).await;
        for node in nodes {
            eventually("nobody listens any more", async || match listeners(node).await {
                0 => Ok(()),
                some => Err(some),
            })
            .await;
        }
    }
}

/// Releases while one of five nodes is dead and another hangs; they become so
/// before anyone waits, or when the waiter listens.
async fn heard_of_from_three_of_five(down_first: bool) {
    let cluster = start(5).await;
    let [dead, hung, well @ ..] = cluster.nodes() else { panic!("five nodes were asked for") };
    let fail = async || {
        dead.kill().await.unwrap();
        hung.pause().await.unwrap();
    };
    let (holder, waiter) = (client(&cluster), patient(&cluster).build().unwrap());
    if down_first {
        fail().await;
    } else {
        connect(&waiter, 5).await; // all that are left are needed
    }
    let guard = holder.lock("job").await.unwrap();
    if !down_first {
        everywhere(&guard, &cluster).await; // nobody tells of a key it did not have
    }
    let waiting = wait_for(&waiter, "job");
    listening(if down_first { well } else { cluster.nodes() }, "job").await;
    if !down_first {
        fail().await;
    }
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    assert_eq!(got(waiting).await.release().await.unwrap(), Released::Released);
    hung.resume().await.unwrap();
    dead.restart().await.unwrap();
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

#[tokio::test]
async fn with_one_of_five_nodes_dead_and_one_hung_the_others_are_heard() {
    heard_of_from_three_of_five(true).await;
}

#[tokio::test]
async fn with_one_of_five_nodes_dying_and_one_hanging_the_others_are_heard() {
    heard_of_from_three_of_five(false).await;
}

#[tokio::test]
async fn the_drop_of_a_guard_is_heard_of_also_where_its_client_is_shut_down_then() {
    let cluster = start(3).await;
    let waiter = patient(&cluster).build().unwrap();
    for shuts_down in [false, true] {
        let holder = client(&cluster);
        let guard = holder.lock("job").await.unwrap();
        let waiting = wait_for(&waiter, "job");
        listening(cluster.nodes(), "job").await;
        drop(guard);
        if shuts_down {
            holder.shutdown(LIMIT).await.unwrap();
            assert_eq!(holder.try_lock("job").await.unwrap_err().kind(), ErrorKind::Closed);
        }
        got(waiting).await.release().await.unwrap();
        finish(&holder, &cluster).await;
    }
    finish(&waiter, &cluster).await;
}

#[tokio::test]
async fn a_client_that_hands_nothing_over_is_heard_by_the_others() {
    let cluster = start(3).await;
    let holder = builder(&cluster).hand_overs(0).build().unwrap();
    let waiter = patient(&cluster).build().unwrap();
    let guard = holder.lock("job").await.unwrap();
    let (its_own, waiting) = (wait_for(&holder, "job"), wait_for(&waiter, "job"));
    listening(cluster.nodes(), "job").await;
    assert!(!its_own.is_finished());
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    // Whichever is first, the other hears of it.
    let in_turn = async |waiting| got(waiting).await.release().await.unwrap();
    let both = futures_util::future::join(in_turn(its_own), in_turn(waiting)).await;
    assert_eq!(both, (Released::Released, Released::Released));
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

/// The waiter's key is made of a prefix and the rest, the holder's is not.
#[tokio::test]
async fn keys_of_any_bytes_and_with_a_prefix_are_heard_of() {
    let cluster = start(3).await;
    let holder = client(&cluster);
    let prefix = b"a\xffp ".to_vec();
    let waiter = patient(&cluster).key_prefix(prefix.clone()).build().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    for name in [&b"\0"[..], b"\xff\xfe\0", b" ", b"a  b", b"\r\n", b"a\r\n$1\r\nb", b"*", &all] {
        let key = [&prefix, name].concat();
        let guard = holder.lock(&key).await.unwrap();
        let waiting = wait_for(&waiter, name);
        listening(cluster.nodes(), &key).await;
        guard.release().await.unwrap();
        let guard = got(waiting).await;
        assert_eq!(guard.key(), name);
        guard.release().await.unwrap();
    }
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

/// Waits until each node has so many connections, and so many that listen.
async fn has_connections(nodes: &[TestNode], normal: usize, listening: usize) {
    for node in nodes {
        eventually("so many connections", async || {
            let seen = (connections(node).await, listeners(node).await);
            if seen == (normal, listening) { Ok(()) } else { Err(seen) }
        })
        .await;
    }
}

#[tokio::test]
async fn who_does_not_wait_does_not_listen() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for _ in 0..3 {
        let guard = redlock.lock("job").await.unwrap();
        assert_eq!(redlock.try_lock("job").await.unwrap_err().kind(), ErrorKind::Contended);
        redlock.lock("job").wait(ms(20)).await.unwrap_err(); // in its own line
        let other = client(&cluster);
        assert_eq!(other.try_lock("job").await.unwrap_err().kind(), ErrorKind::Contended);
        other.shutdown(LIMIT).await.unwrap();
        drop(other);
        guard.release().await.unwrap();
    }
    has_connections(cluster.nodes(), 1, 0).await;
    for node in cluster.nodes() {
        let subscribed = info(node, "commandstats", "cmdstat_subscribe:calls=").await;
        assert_eq!(subscribed, 0, "{}", node.address());
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn one_connection_per_node_listens_to_all_keys_while_someone_waits() {
    let cluster = start(3).await;
    let (holder, waiter) = (client(&cluster), patient(&cluster).build().unwrap());
    let keys: Vec<_> = (0..20).map(|number| format!("job-{number}")).collect();
    let (mut held, mut waiting) = (Vec::new(), Vec::new());
    for key in &keys {
        held.push(holder.lock(key).await.unwrap());
        waiting.push(wait_for(&waiter, key));
        waiting.push(wait_for(&waiter, key));
    }
    for key in &keys {
        listening(cluster.nodes(), key).await;
    }
    has_connections(cluster.nodes(), 2, 1).await;
    drop(held);
    for waiting in waiting {
        drop(got(waiting).await);
    }
    has_connections(cluster.nodes(), 2, 0).await;

    let guard = holder.lock("job").await.unwrap();
    let waiting = wait_for(&waiter, "job");
    listening(cluster.nodes(), "job").await;
    has_connections(cluster.nodes(), 2, 1).await;
    drop(guard);
    drop(got(waiting).await);
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

/// A node where the key has ended is free of it as well as one that deletes it.
#[tokio::test]
async fn a_release_is_told_of_also_where_the_key_was_gone() {
    let cluster = start(3).await;
    let (holder, waiter) = (client(&cluster), patient(&cluster).build().unwrap());
    connect(&waiter, 3).await; // both that are left are needed
    let guard = holder.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    let waiting = wait_for(&waiter, "job");
    listening(cluster.nodes(), "job").await;
    assert_eq!(run(&cluster.nodes()[0], "DEL job").await, Reply::Int(1));
    cluster.nodes()[1].kill().await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    drop(got(waiting).await);
}
