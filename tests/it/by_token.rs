//! Releasing and extending by nothing but a token, as the lock service does: what
//! the nodes say is final, and nothing goes on behind it where no node had the key.

#![expect(clippy::disallowed_methods, reason = "a deadline on the wall clock is what is handed in")]

use std::time::SystemTime;

use futures_util::FutureExt as _;
use redlock_quorum::{ErrorKind, LockParts, Redlock, Released, Token};
use tokio::time::sleep;

use crate::support::{
    NODE_TIMEOUT, TTL, WITHOUT_WAITING, assert_no_keys, builder, client, connect, eventually,
    finish, ms, ours_executed, run, run_on, seen, start, take_elsewhere, within,
};

fn parts(key: &str, token: &str) -> LockParts {
    let valid_until = SystemTime::now() + TTL;
    let token = Token::from_bytes(token).unwrap();
    LockParts { key: key.into(), token, valid_until, fencing_number: None }
}

async fn release(redlock: &Redlock, key: &str, token: &str) -> Released {
    redlock.release(parts(key, token)).await.unwrap()
}

#[tokio::test]
async fn a_token_that_is_none_is_asked_for_once_and_deletes_nothing_later() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    assert_no_keys(&cluster).await; // as all have voted, they have executed all so far
    take_elsewhere(cluster.nodes(), "held").await;
    let before = ours_executed(&cluster.nodes()[0]).await;
    for key in ["held", "free"] {
        assert_eq!(release(&redlock, key, "fixed").await, Released::AlreadyExpired);
    }
    // Nothing is under way any more: it is not asked for again.
    within(WITHOUT_WAITING, "it is over", redlock.shutdown(TTL)).await.unwrap();
    assert_eq!(ours_executed(&cluster.nodes()[0]).await, before + 2);
    // A later lock of that token stays.
    let other = client(&cluster);
    run_on(cluster.nodes(), "SET free fixed NX PX 600000").await;
    seen(&other).await;
    assert!(other.inspect("free").await.unwrap().is_held());
    assert_eq!(release(&other, "free", "fixed").await, Released::Released);
    assert_eq!(release(&other, "held", "another").await, Released::Released);
    finish(&other, &cluster).await;
}

#[tokio::test]
async fn a_release_goes_on_where_a_node_hangs_and_no_longer_than_the_lock() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    take_elsewhere(cluster.nodes(), "held").await;
    cluster.nodes()[0].pause().await.unwrap();
    assert_eq!(release(&redlock, "held", "another").await, Released::Released);
    let overdue = LockParts { valid_until: SystemTime::UNIX_EPOCH, ..parts("gone", "another") };
    let releasing = within(WITHOUT_WAITING, "it answers", redlock.release(overdue));
    // Two say that it is not there.
    assert_eq!(releasing.await.unwrap(), Released::AlreadyExpired);
    cluster.nodes()[0].resume().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// A node may take longer than any lock of such a client lasts.
#[tokio::test]
async fn a_client_of_short_locks_and_slow_nodes_releases_too() {
    let cluster = start(1).await;
    let redlock = Redlock::builder().nodes(cluster.urls()).ttl(ms(500)).max_ttl(ms(500));
    let redlock = redlock.node_timeout(NODE_TIMEOUT).build().unwrap();
    take_elsewhere(cluster.nodes(), "held").await;
    assert_eq!(release(&redlock, "held", "another").await, Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_lock_is_extended_by_its_token_to_what_was_asked_for() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let token = || Token::from_bytes("another").unwrap();
    take_elsewhere(cluster.nodes(), "held").await;
    let guard = redlock.resume("held", token(), ms(900_000)).await.unwrap();
    assert!(guard.remaining() > ms(800_000) && guard.remaining() < ms(900_000));
    for node in cluster.nodes() {
        eventually("each node extends it", async || {
            let left = run(node, "PTTL held").await.as_int();
            if left > Some(800_000) { Ok(()) } else { Err(left) }
        })
        .await;
    }
    guard.forget();
    // It believes no more than was asked for, and shortens nothing.
    let guard = redlock.resume("held", token(), ms(60_000)).await.unwrap();
    assert!(guard.remaining() <= ms(60_000));
    guard.forget();
    connect(&redlock, 3).await; // all have voted, and have executed all that was before
    for left in run_on(cluster.nodes(), "PTTL held").await {
        assert!(left.as_int() > Some(800_000), "{left:?}");
    }

    let wrong = Token::from_bytes("wrong").unwrap();
    let lost = redlock.resume("held", wrong.clone(), TTL).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Lost);
    assert_eq!(redlock.resume("free", wrong, TTL).await.unwrap_err().kind(), ErrorKind::Lost);
    assert!(redlock.inspect("held").await.unwrap().is_held());
    assert_eq!(release(&redlock, "held", "another").await, Released::Released);
    finish(&redlock, &cluster).await;
}

/// Nobody has it any more: its time is over, and who asked is gone.
#[tokio::test]
async fn a_node_that_answers_after_the_lock_has_ended_is_not_given_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    take_elsewhere(&cluster.nodes()[..2], "held").await;
    let silent = &cluster.nodes()[2];
    silent.pause().await.unwrap();
    let token = Token::from_bytes("another").unwrap();
    assert!(redlock.resume("held", token, ms(1000)).now_or_never().is_none(), "it is dropped");
    seen(&redlock).await;
    sleep(ms(1000)).await; // what it asked for
    silent.resume().await.unwrap();
    for _ in 0..2 {
        connect(&redlock, 3).await; // all before that is answered, and what followed from it
    }
    assert!(run(silent, "GET held").await.is_nil());
    assert_eq!(release(&redlock, "held", "another").await, Released::Released);
    finish(&redlock, &cluster).await;
}

/// However short the time that is asked for.
#[tokio::test]
async fn with_a_majority_hung_it_is_not_extended_and_stays_as_it_was() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(1000)).build().unwrap();
    connect(&redlock, 3).await;
    take_elsewhere(cluster.nodes(), "held").await;
    for node in &cluster.nodes()[..2] {
        node.pause().await.unwrap();
    }
    let token = Token::from_bytes("another").unwrap();
    let refused = redlock.resume("held", token, ms(500)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NoQuorum, "{refused}");
    assert!(refused.to_string().contains("it stays as it was"), "{refused}");
    for node in &cluster.nodes()[..2] {
        node.resume().await.unwrap();
    }
    connect(&redlock, 3).await; // they have answered what they owed
    assert!(redlock.inspect("held").await.unwrap().is_held());
    assert_eq!(release(&redlock, "held", "another").await, Released::Released);
    assert_no_keys(&cluster).await;
}
