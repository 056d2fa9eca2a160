//! Healing: after an extension that was won, a node that surely does not have
//! the key has it again. That is never a vote for the same extension.

use redlock_quorum::{
    ErrorKind, LockGuard, Redlock, Released,
    testing::{Cluster, Reply, TestNode},
};

use crate::support::{
    LIMIT, TTL, assert_no_keys, builder, bulk, client, connect, eventually, everywhere, finish,
    info, ms, run, run_on, scripts_executed, set_up, start,
};

/// A lock on `job` that all nodes have granted, and its token.
async fn locked(redlock: &Redlock, cluster: &Cluster) -> (LockGuard, Reply) {
    connect(redlock, cluster.len()).await;
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, cluster).await;
    let token = run(&cluster.nodes()[0], "GET job").await;
    (guard, token)
}

/// Waits until every node has the key again, for a time, and the votes say that
/// one of them was healed.
async fn one_was_healed(guard: &LockGuard, token: &Reply, cluster: &Cluster) {
    eventually("every node has the key", async || {
        let values = run_on(cluster.nodes(), "GET job").await;
        if values.iter().all(|value| value == token) { Ok(()) } else { Err(values) }
    })
    .await;
    eventually("the votes tell of it", async || {
        let votes = guard.votes();
        if (votes.granted(), votes.healed()) == (cluster.len(), 1) { Ok(()) } else { Err(votes) }
    })
    .await;
    let lifetimes = run_on(cluster.nodes(), "PTTL job").await;
    assert!(lifetimes.iter().all(|left| left.as_int() > Some(0)), "{lifetimes:?}");
}

/// Extends twice: the first may be won before the node has said that it does
/// not have the key, the second knows.
async fn extend_twice(guard: &LockGuard) {
    guard.extend(2 * TTL).await.unwrap();
    eventually("it is known which node does not have the key", async || {
        let votes = guard.votes();
        if votes.granted() == 2 || votes.healed() == 1 { Ok(()) } else { Err(votes) }
    })
    .await;
    guard.extend(3 * TTL).await.unwrap();
}

async fn has_no_key(node: &TestNode) {
    assert_eq!(run(node, "GET job").await, Reply::Nil, "{} has the key", node.address());
}

async fn a_restarted_node_has_the_key_again(redlock: Redlock, cluster: Cluster) {
    connect(&redlock, cluster.len()).await;
    let guard = redlock.lock("job").renew_every(ms(50)).await.unwrap();
    everywhere(&guard, &cluster).await;
    assert_eq!(guard.votes().healed(), 0);
    let token = run(&cluster.nodes()[0], "GET job").await;
    cluster.nodes()[2].restart().await.unwrap();
    one_was_healed(&guard, &token, &cluster).await;
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_node_that_is_restarted_while_a_lock_is_renewed_has_the_key_again() {
    let cluster = start(3).await;
    a_restarted_node_has_the_key_again(client(&cluster), cluster).await;
}

#[tokio::test]
async fn a_driver_on_its_own_thread_heals_too() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).driver_thread().build().unwrap();
    a_restarted_node_has_the_key_again(redlock, cluster).await;
}

#[tokio::test]
async fn a_node_that_was_down_when_the_lock_was_acquired_gets_the_key_at_the_next_extension() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    cluster.nodes()[2].kill().await.unwrap();
    let guard = redlock.lock("job").await.unwrap();
    cluster.nodes()[2].restart().await.unwrap();
    connect(&redlock, 3).await;
    has_no_key(&cluster.nodes()[2]).await;
    let token = run(&cluster.nodes()[0], "GET job").await;
    guard.extend(2 * TTL).await.unwrap();
    one_was_healed(&guard, &token, &cluster).await;
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_key_that_was_deleted_by_hand_is_back_after_an_extension() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (guard, token) = locked(&redlock, &cluster).await;
    run(&cluster.nodes()[1], "DEL job").await;
    extend_twice(&guard).await;
    one_was_healed(&guard, &token, &cluster).await;
    drop(guard);
    finish(&redlock, &cluster).await;
}

/// Extends until `node` was asked to set the key again, which it was if it was
/// asked after it had said that another's is there.
async fn extend_until_healing_is_refused(redlock: &Redlock, guard: &LockGuard, node: &TestNode) {
    extend_twice(guard).await;
    let before = scripts_executed(node).await;
    eventually("it was asked to set the key again", async || {
        guard.extend(3 * TTL).await.unwrap();
        let seen = scripts_executed(node).await;
        if seen > before { Ok(()) } else { Err(seen) }
    })
    .await;
    connect(redlock, 3).await; // and nothing is on its way any more
}

#[tokio::test]
async fn healing_never_overwrites_what_another_has_there() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (guard, _) = locked(&redlock, &cluster).await;
    let node = &cluster.nodes()[1];
    for theirs in ["SET job another PX 600000", "SET job another"] {
        assert!(run(node, theirs).await.is_ok());
        extend_until_healing_is_refused(&redlock, &guard, node).await;
        assert_eq!(run(node, "GET job").await, bulk("another"));
        assert_eq!((guard.votes().granted(), guard.votes().healed()), (2, 0));
    }
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    redlock.shutdown(LIMIT).await.unwrap();
    assert_eq!(run(node, "GET job").await, bulk("another"), "it is another's");
    run(node, "DEL job").await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn healing_sets_nothing_beside_what_is_no_lock() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (guard, _) = locked(&redlock, &cluster).await;
    let node = &cluster.nodes()[1];
    set_up(&cluster.nodes()[1..2], "DEL job").await;
    set_up(&cluster.nodes()[1..2], "RPUSH job theirs").await;
    extend_until_healing_is_refused(&redlock, &guard, node).await;
    assert_eq!(run(node, "LRANGE job 0 -1").await, Reply::Array(vec![bulk("theirs")]));
    drop(guard);
    redlock.shutdown(LIMIT).await.unwrap();
    assert_eq!(run(node, "DEL job").await.as_int(), Some(1), "it is another's");
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_lost_lock_is_not_healed() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (guard, _) = locked(&redlock, &cluster).await;
    let majority = &cluster.nodes()[1..];
    set_up(majority, "DEL job").await;
    let error = guard.extend(2 * TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    // What may have been sent because of it is executed before this.
    connect(&redlock, 3).await;
    for node in majority {
        has_no_key(node).await;
    }
    let error = guard.extend(2 * TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
    finish(&redlock, &cluster).await;
}

/// With the node that could be healed there would be a quorum.
#[tokio::test]
async fn a_healed_node_does_not_vote_for_the_extension_that_would_heal_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (guard, _) = locked(&redlock, &cluster).await;
    let [down, deleted, _] = cluster.nodes() else { panic!("three nodes were asked for") };
    down.kill().await.unwrap();
    run(deleted, "DEL job").await;
    for _ in 0..3 {
        let before = guard.remaining();
        let error = guard.extend(2 * TTL).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        assert!(guard.is_held() && guard.remaining() <= before, "as long as before: {guard:?}");
        // The same: both nodes have executed what was sent before.
        redlock.lock("barrier").await.unwrap().release().await.unwrap();
        has_no_key(deleted).await;
    }
    assert_eq!(guard.votes().healed(), 0);
    drop(guard);
    down.restart().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_script_is_healed_too() {
    let cluster = start(3).await;
    for redlock in [client(&cluster), builder(&cluster).driver_thread().build().unwrap()] {
        let (guard, token) = locked(&redlock, &cluster).await;
        let node = &cluster.nodes()[1];
        // So that it is not asked to extend, which would bring the script back.
        assert!(run(node, "SET job another").await.is_ok());
        extend_until_healing_is_refused(&redlock, &guard, node).await;
        run(node, "DEL job").await;
        set_up(cluster.nodes(), "SCRIPT FLUSH").await;
        let before = info(node, "commandstats", "cmdstat_eval:calls=").await;
        guard.extend(4 * TTL).await.unwrap();
        one_was_healed(&guard, &token, &cluster).await;
        assert_eq!(info(node, "commandstats", "cmdstat_eval:calls=").await, before + 1);
        assert_eq!(guard.release().await.unwrap(), Released::Released);
        finish(&redlock, &cluster).await;
    }
}
