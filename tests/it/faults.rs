//! Nodes that are down: before the first lock, while one is held, and too many.

use std::time::Duration;

use redlock_quorum::{ErrorKind, LockGuard, NodeErrorKind, Redlock, Released, testing::Cluster};
use tokio::time::sleep;

use crate::support::{
    LIMIT, TTL, WITHOUT_WAITING, assert_no_keys, builder, client, connected, connections,
    eventually, everywhere, finish, kinds, ms, run_on, set_up, start, within,
};

/// Locks until all nodes grant.
async fn until_all_vote(redlock: &Redlock, cluster: &Cluster) {
    eventually("every node votes", async || {
        let guard = redlock.lock("job").await.unwrap();
        let votes = eventually_settled(&guard).await;
        guard.release().await.unwrap();
        if votes == cluster.len() { Ok(()) } else { Err(votes) }
    })
    .await;
}

/// The votes, once a few turns brought no more.
async fn eventually_settled(guard: &LockGuard) -> usize {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    guard.votes().granted()
}

async fn works_with_some_down_from_the_start(nodes: usize, down: usize) {
    let cluster = start(nodes).await;
    let redlock = client(&cluster);
    for node in &cluster.nodes()[..down] {
        node.kill().await.unwrap();
    }
    for _ in 0..3 {
        let pair = async {
            let guard = redlock.lock("job").await.unwrap();
            assert_eq!(guard.votes().granted(), nodes - down, "{:?}", guard.votes());
            assert_eq!(guard.release().await.unwrap(), Released::Released);
        };
        within(2 * WITHOUT_WAITING, "nobody waits for a node that is down", pair).await;
    }
    for node in &cluster.nodes()[..down] {
        node.restart().await.unwrap();
    }
    until_all_vote(&redlock, &cluster).await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn one_of_three_may_be_down_from_the_start_and_votes_when_it_is_back() {
    works_with_some_down_from_the_start(3, 1).await;
}

#[tokio::test]
async fn two_of_five_may_be_down_from_the_start_and_vote_when_they_are_back() {
    works_with_some_down_from_the_start(5, 2).await;
}

#[tokio::test]
async fn a_lock_is_extended_and_released_though_a_node_died_meanwhile() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    cluster.nodes()[1].kill().await.unwrap();
    guard.extend(2 * TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    cluster.nodes()[1].restart().await.unwrap();
    until_all_vote(&redlock, &cluster).await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_restarted_node_votes_again_over_a_new_connection() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    until_all_vote(&redlock, &cluster).await;
    for node in cluster.nodes() {
        node.kill().await.unwrap();
        node.restart().await.unwrap();
        until_all_vote(&redlock, &cluster).await;
    }
    for node in cluster.nodes() {
        connected(node, 1).await;
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn with_a_majority_down_the_error_names_every_node_and_its_cause() {
    let cluster = start(5).await;
    let redlock = client(&cluster);
    until_all_vote(&redlock, &cluster).await;
    let down = &cluster.nodes()[2..];
    for node in down {
        node.kill().await.unwrap();
    }
    for wait in [ms(0), ms(300)] {
        let locking = redlock.lock("job").wait(wait).into_future();
        let error = within(WITHOUT_WAITING, "it ends with its wait", locking).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        assert_eq!(error.nodes().len(), 5);
        let known = [NodeErrorKind::Unreachable, NodeErrorKind::ConnectionLost];
        for (node, report) in down.iter().zip(&error.nodes()[2..]) {
            assert!(error.to_string().contains(&node.address()), "{error}");
            let cause = report.error().expect("it is down").kind();
            assert!(known.contains(&cause), "{cause:?}: {error}");
        }
        assert!(std::error::Error::source(&error).is_some());
    }
    assert_no_keys_on(&cluster, 2).await;
    for node in down {
        node.restart().await.unwrap();
    }
    until_all_vote(&redlock, &cluster).await;
    finish(&redlock, &cluster).await;
}

/// No key on the first `nodes`, which run.
async fn assert_no_keys_on(cluster: &Cluster, nodes: usize) {
    eventually("what was granted is rolled back", async || {
        let sizes = run_on(&cluster.nodes()[..nodes], "DBSIZE").await;
        if sizes.iter().all(|size| size.as_int() == Some(0)) { Ok(()) } else { Err(sizes) }
    })
    .await;
}

#[tokio::test]
async fn with_all_nodes_down_nothing_is_left_to_wait_for() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for node in cluster.nodes() {
        node.kill().await.unwrap();
    }
    let error = redlock.lock("job").wait(ms(1000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert_eq!(kinds(&error), [NodeErrorKind::Unreachable; 3]);
    // Nothing was ever sent, so nothing has to be released.
    redlock.shutdown(WITHOUT_WAITING).await.unwrap();
    for node in cluster.nodes() {
        node.restart().await.unwrap();
    }
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn without_a_wait_it_waits_for_servers_about_as_long_as_the_ttl() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for node in &cluster.nodes()[1..] {
        node.kill().await.unwrap();
    }
    let locking = redlock.lock("job").ttl(ms(300)).into_future();
    let error = within(NOT_FOR_EVER, "it ends about a ttl later", locking).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert_no_keys_on(&cluster, 1).await;
}

/// Far above a ttl of 300 ms.
const NOT_FOR_EVER: Duration = LIMIT;

#[tokio::test]
async fn who_waits_acquires_when_the_servers_come_back() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for node in &cluster.nodes()[1..] {
        node.kill().await.unwrap();
    }
    let restart = async {
        for node in &cluster.nodes()[1..] {
            node.restart().await.unwrap();
        }
    };
    let locking = redlock.lock("job").wait(LIMIT).into_future();
    let (guard, ()) = futures_util::future::join(locking, restart).await;
    guard.unwrap().release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_costs_no_vote() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).quorum(3).build().unwrap();
    redlock.lock("job").await.unwrap().release().await.unwrap();
    // Again and again without a request in between, as a server's `timeout`
    // setting does to a client that has nothing to do over night.
    for _ in 0..10 {
        redialled(&cluster).await;
        set_up(cluster.nodes(), "CLIENT KILL TYPE normal").await;
        settle(&cluster).await;
    }
    let guard = redlock.try_lock("job").await.expect("all servers are well");
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// Waits until the client is connected again, if it means to before it is
/// asked for something, and logged in: a login is no idle connection.
async fn redialled(cluster: &Cluster) {
    for node in cluster.nodes() {
        for _ in 0..200 {
            if connections(node).await > 0 {
                break;
            }
            sleep(ms(5)).await;
        }
    }
    settle(cluster).await;
}

/// Round trips enough for the client to have noticed what was done to it.
async fn settle(cluster: &Cluster) {
    for _ in 0..5 {
        run_on(cluster.nodes(), "PING").await;
    }
}
