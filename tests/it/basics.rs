//! Acquire, extend, release and wait, with all nodes well.

use std::time::Duration;

use futures_util::FutureExt as _;
use redlock_quorum::{ErrorKind, NodeAnswer, Redlock, Released, testing::Reply};

use crate::support::{
    LIMIT, NODE_TIMEOUT, TTL, builder, bulk, client, connect, connected, eventually, finish, ms,
    run, run_on, start, take_elsewhere, within,
};

async fn a_lock_is_acquired_extended_and_released(nodes: usize) {
    let cluster = start(nodes).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    assert!(guard.is_held());
    assert_eq!(guard.key(), b"job");

    let before = guard.remaining();
    guard.extend(2 * TTL).await.unwrap();
    assert!(guard.remaining() > before, "{:?} after {before:?}", guard.remaining());

    assert_eq!(guard.release().await.unwrap(), Released::Released);
    redlock.try_lock("job").await.unwrap().release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn one_node_is_enough() {
    a_lock_is_acquired_extended_and_released(1).await;
}

#[tokio::test]
async fn three_nodes_make_one_lock() {
    a_lock_is_acquired_extended_and_released(3).await;
}

#[tokio::test]
async fn five_nodes_make_one_lock() {
    a_lock_is_acquired_extended_and_released(5).await;
}

#[tokio::test]
async fn on_the_servers_a_lock_is_a_plain_string_that_expires() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let guard = redlock.lock("job").await.unwrap();
    eventually("every node has it", async || {
        let granted = guard.votes().granted();
        if granted == 3 { Ok(()) } else { Err(granted) }
    })
    .await;
    let values = run_on(cluster.nodes(), "GET job").await;
    assert!(values.iter().all(|value| *value == values[0]), "the same token everywhere");
    assert_eq!(values[0].as_bytes().unwrap().len(), 23);
    for node in cluster.nodes() {
        assert_eq!(run(node, "TYPE job").await, Reply::Status("string".into()));
        let left = run(node, "PTTL job").await.as_int().unwrap();
        let ttl = i64::try_from(TTL.as_millis()).unwrap();
        assert!((ttl - 60_000..=ttl).contains(&left), "{left} ms");
        // How another library would ask for it.
        assert_eq!(run(node, "SET job theirs NX PX 10000").await, Reply::Nil);
    }
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_lock_that_another_library_holds_on_a_majority_is_respected() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    take_elsewhere(&cluster.nodes()[1..], "job").await;
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    assert_eq!(run_on(&cluster.nodes()[1..], "GET job").await, [bulk("another"), bulk("another")]);
    run_on(cluster.nodes(), "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_lock_that_another_library_holds_on_a_minority_can_be_had() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    take_elsewhere(&cluster.nodes()[..1], "job").await;
    let guard = redlock.try_lock("job").await.unwrap();
    assert_eq!((guard.votes().granted(), guard.votes().margin()), (2, 0));
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    assert_eq!(run(&cluster.nodes()[0], "GET job").await, bulk("another"), "not ours to delete");
    run(&cluster.nodes()[0], "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_contended_try_says_who_refused_and_for_how_long() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");

    let plausible = TTL - Duration::from_secs(60)..=TTL;
    let after = error.retry_after().expect("the nodes know");
    assert!(plausible.contains(&after), "{after:?}");
    let told: Vec<_> = error
        .nodes()
        .iter()
        .filter_map(|report| match report.answer() {
            NodeAnswer::Refused { remaining } => *remaining,
            _ => None,
        })
        .collect();
    // The last one needed may be told of by a node whose refusal is not in yet.
    assert!(!told.is_empty(), "they say for how long: {:?}", error.nodes());
    assert!(told.iter().all(|left| plausible.contains(left)), "{told:?}");
    let addresses: Vec<_> = error.nodes().iter().map(|report| report.address()).collect();
    let expected: Vec<_> = cluster.nodes().iter().map(|node| node.address()).collect();
    assert_eq!(addresses, expected, "in the order of the configuration");

    assert!(guard.is_held(), "a rival's attempt changes nothing");
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_wait_ends_by_its_time_if_the_lock_is_still_held() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    // Of many lengths: some end between two attempts, some in the middle of one.
    for wait in (1..=100).step_by(4) {
        let waiting = redlock.lock("job").wait(ms(wait)).into_future();
        let error = within(LIMIT, "the wait ends", waiting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "after {wait} ms: {error}");
    }
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_waits_acquires_when_the_holder_releases() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for wait in [Some(LIMIT), None] {
        let guard = redlock.lock("job").await.unwrap();
        let acquire = match wait {
            Some(wait) => redlock.lock("job").wait(wait),
            None => redlock.lock("job"),
        };
        let mut waiting = acquire.into_future();
        assert!((&mut waiting).now_or_never().is_none(), "it is held");
        guard.release().await.unwrap();
        let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
        guard.release().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn the_votes_say_who_granted_how_fast_and_with_what_margin() {
    let cluster = start(5).await;
    let redlock = client(&cluster);
    connect(&redlock, 5).await;
    let guard = redlock.lock("job").await.unwrap();
    assert!(guard.votes().granted() >= 3);
    let votes = eventually("the other nodes' votes are counted as they come", async || {
        let votes = guard.votes();
        if votes.granted() == 5 { Ok(votes) } else { Err(votes) }
    })
    .await;
    assert_eq!((votes.needed(), votes.margin()), (3, 2));
    let addresses: Vec<_> = cluster.nodes().iter().map(|node| node.address()).collect();
    assert_eq!(votes.nodes().map(|(address, _)| address).collect::<Vec<_>>(), addresses);
    assert!(votes.nodes().all(|(_, latency)| latency.is_some_and(|l| l <= LIMIT)));
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn prefix_and_key_together_are_the_key_on_the_servers() {
    let cluster = start(3).await;
    let (prefixed, plain) =
        (builder(&cluster).key_prefix("app:").build().unwrap(), client(&cluster));
    let guard = prefixed.lock("job").await.unwrap();
    assert_eq!(guard.key(), b"job");
    let error = plain.try_lock("app:job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    plain.try_lock("job").await.expect("another key").release().await.unwrap();
    guard.release().await.unwrap();
    finish(&prefixed, &cluster).await;
}

#[tokio::test]
async fn a_key_is_any_bytes() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let key = b"\x00\xff\r\n$3 {\xc3\x28}";
    let guard = redlock.lock(key).await.unwrap();
    let value = cluster.nodes()[0].command(&[&b"GET"[..], key]).await.unwrap();
    assert!(matches!(value, Reply::Bulk(_)), "{value:?}");
    assert_eq!(redlock.try_lock(key).await.unwrap_err().kind(), ErrorKind::Contended);
    guard.extend(2 * TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn clones_are_one_client() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let clone = redlock.clone();
    let guard = redlock.lock("job").await.unwrap();
    assert_eq!(clone.try_lock("job").await.unwrap_err().kind(), ErrorKind::Contended);
    clone.lock("other").await.unwrap().release().await.unwrap();
    for node in cluster.nodes() {
        // They share it.
        connected(node, 1).await;
    }
    guard.release().await.unwrap();
    finish(&clone, &cluster).await;
}

#[tokio::test]
async fn a_client_is_made_from_redis_clients_too() {
    let cluster = start(3).await;
    let clients: Vec<_> =
        cluster.urls().into_iter().map(|url| redis::Client::open(url).unwrap()).collect();
    let redlock =
        Redlock::from_clients(clients).ttl(TTL).node_timeout(NODE_TIMEOUT).build().unwrap();
    let guard = redlock.lock("job").await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}
