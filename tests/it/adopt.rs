//! A lock that leaves its guard: forgotten, or taken over by another client.

use std::time::SystemTime;

use redlock_quorum::{ErrorKind, LockParts, Redlock, Released, Token};

use crate::{
    proxy::Proxy,
    support::{
        NODE_TIMEOUT, TTL, assert_no_keys, builder, bulk, client, connect, eventually, everywhere,
        finish, ms, ours_executed, run, run_on, set_up, start,
    },
};

#[tokio::test]
async fn a_forgotten_lock_stays_for_its_ttl() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    guard.forget();
    redlock.shutdown(TTL).await.unwrap();
    let left: Vec<_> =
        run_on(cluster.nodes(), "PTTL job").await.iter().filter_map(|r| r.as_int()).collect();
    assert!(left.len() == 3 && left.iter().all(|left| *left > 0), "{left:?}");
    run_on(cluster.nodes(), "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn another_client_takes_over_extends_and_releases() {
    let cluster = start(3).await;
    let (first, second) = (client(&cluster), client(&cluster));
    let guard = first.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    let parts = guard.into_parts();
    assert_eq!(parts.key, b"job");
    // It goes through its bytes, as it would to another process.
    let token = Token::from_bytes(parts.token.as_bytes()).unwrap();
    first.shutdown(TTL).await.unwrap();

    let guard = second.adopt(LockParts { token, ..parts }).unwrap();
    assert!(guard.is_held() && guard.remaining() < TTL, "{guard:?}");
    guard.extend(2 * TTL).await.unwrap();
    assert!(guard.remaining() > TTL);
    assert!(guard.votes().granted() >= 2, "the servers confirmed it: {:?}", guard.votes());
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&second, &cluster).await;
}

#[tokio::test]
async fn a_token_is_any_bytes() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let bytes: Vec<u8> = (0..=255).collect();
    for node in cluster.nodes() {
        let set = [&b"SET"[..], b"job", &bytes, b"NX", b"PX", b"600000"];
        assert!(node.command(&set).await.unwrap().is_ok());
    }
    let token = Token::from_bytes(&bytes).unwrap();
    let parts = LockParts {
        key: b"job".to_vec(),
        token,
        valid_until: SystemTime::UNIX_EPOCH,
        fencing_number: None,
    };
    let valid_until = deadline();
    let guard = redlock.adopt(LockParts { valid_until, ..parts }).unwrap();
    guard.extend(2 * TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

/// Whoever takes a lock over has not been told which nodes voted for it: so one
/// that does not answer may have it, though another has confirmed it since.
#[tokio::test]
async fn a_silent_node_may_still_have_a_lock_that_was_taken_over() {
    let cluster = start(2).await;
    let first = client(&cluster);
    let second = builder(&cluster).node_timeout(ms(200)).build().unwrap();
    connect(&second, 2).await;
    let parts = first.lock("job").await.unwrap().into_parts();
    let guard = second.adopt(parts).unwrap();
    cluster.nodes()[0].pause().await.unwrap();
    let error = guard.extend(2 * TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    cluster.nodes()[0].resume().await.unwrap();
    finish(&second, &cluster).await;
}

/// The deadline of a lock that was taken a moment ago.
#[expect(clippy::disallowed_methods, reason = "what a foreign holder's clock says")]
fn deadline() -> SystemTime {
    SystemTime::now() + TTL
}

#[tokio::test]
async fn a_lock_whose_deadline_has_passed_is_not_taken_over() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let parts = LockParts {
        key: b"job".to_vec(),
        token: Token::from_bytes("whose?").unwrap(),
        valid_until: SystemTime::UNIX_EPOCH,
        fencing_number: None,
    };
    let error = redlock.adopt(parts).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Expired, "{error}");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_adopts_with_a_wrong_token_learns_it_at_the_first_extend_and_deletes_nothing() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    set_up(cluster.nodes(), "SET job theirs NX PX 600000").await;
    let token = Token::from_bytes("ours").unwrap();
    let parts =
        LockParts { key: b"job".to_vec(), token, valid_until: deadline(), fencing_number: None };
    let guard = redlock.adopt(parts).unwrap();
    let error = guard.extend(TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert!(!guard.is_held());
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
    redlock.shutdown(TTL).await.unwrap();
    assert_eq!(run(&cluster.nodes()[0], "GET job").await, bulk("theirs"));
    run_on(cluster.nodes(), "DEL job").await;
    finish(&redlock, &cluster).await;
}

/// Before the vote of the last node is in, the lock changes hands and is
/// released; then the acquire arrives there.
#[tokio::test]
async fn an_acquire_that_arrives_after_its_lock_was_handed_over_leaves_no_key() {
    let cluster = start(3).await;
    let proxy = Proxy::before(cluster.nodes()[0].address()).await;
    let mut urls = cluster.urls();
    urls[0] = proxy.url.clone();
    let first = Redlock::builder().nodes(urls).ttl(TTL).node_timeout(NODE_TIMEOUT);
    let first = first.build().unwrap();
    let second = client(&cluster);
    connect(&first, 3).await;
    connect(&second, 3).await; // or its release might not ask the first node
    assert_no_keys(&cluster).await;
    proxy.hold();
    let parts = first.lock("job").await.unwrap().into_parts();
    eventually(
        "the acquire is held up",
        async || {
            if proxy.held_bytes() > 0 { Ok(()) } else { Err(()) }
        },
    )
    .await;
    let first_node = &cluster.nodes()[0];
    let before = ours_executed(first_node).await;
    let guard = second.adopt(parts).unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    eventually("the first node has answered the release too", async || {
        let scripts = ours_executed(first_node).await;
        if scripts > before { Ok(()) } else { Err(scripts) }
    })
    .await;
    proxy.cut();
    proxy.deliver();
    eventually(
        "the late acquire is executed",
        async || {
            if proxy.delivered() { Ok(()) } else { Err(()) }
        },
    )
    .await;
    assert_no_keys(&cluster).await;
}
