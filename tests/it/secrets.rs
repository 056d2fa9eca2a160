//! No password and no token in anything that is printed, and no URL either.

use redlock_quorum::{
    ErrorKind, LockParts, Redlock, Token,
    testing::{Cluster, Reply, TestNode},
};

use crate::{
    printed::Printed,
    support::{
        LIMIT, TTL, builder, eventually, everywhere, finish, forbid_writes, ms, run, run_on,
        set_up, start, take_elsewhere,
    },
};

const PASSWORD: &str = "pa55-w0rd";
const TOKEN: &str = "t0ken-t0ken";

/// The nodes' URLs, with a user and a password.
fn urls(cluster: &Cluster, password: &str) -> Vec<String> {
    let url = |node: &TestNode| format!("redis://locker:{password}@{}", node.address());
    cluster.nodes().iter().map(url).collect()
}

async fn token_on(node: &TestNode, key: &str) -> Vec<u8> {
    match run(node, &format!("GET {key}")).await {
        Reply::Bulk(token) => token,
        other => panic!("no token: {other:?}"),
    }
}

#[tokio::test]
async fn no_password_and_no_token_is_ever_printed() {
    let printed = Printed::default();
    let _logging = printed.log(tracing::Level::TRACE);

    let cluster = start(3).await;
    let rules = format!("ACL SETUSER locker on >{PASSWORD} ~* &* +@all");
    set_up(cluster.nodes(), &rules).await;
    let builder = Redlock::builder().nodes(urls(&cluster, PASSWORD)).ttl(TTL);
    let builder = builder.delayed_restarts(false);
    printed.debug(&builder);
    let redlock = builder.node_timeout(ms(2000)).build().unwrap();
    printed.debug(&redlock);
    let acquire = redlock.lock("job");
    printed.debug(&acquire);

    let guard = acquire.await.unwrap();
    printed.debug(&guard);
    printed.debug(&guard.held());
    printed.debug(&guard.votes());
    everywhere(&guard, &cluster).await;
    let token = token_on(&cluster.nodes()[0], "job").await;
    printed.error(&redlock.try_lock("job").await.unwrap_err());
    printed.error(&redlock.lock("job").wait(ms(50)).await.unwrap_err());
    guard.extend(2 * TTL).await.unwrap();
    let parts = guard.into_parts();
    printed.debug(&parts);
    assert_eq!(parts.token.as_bytes(), token);
    redlock.adopt(parts).unwrap().release().await.unwrap();

    let adopted = adopted(&redlock, &cluster).await;
    printed.debug(&adopted);
    forbid_writes(cluster.nodes(), "locker").await;
    printed.error(&adopted.extend(2 * TTL).await.unwrap_err());
    printed.error(&redlock.try_lock("other").await.unwrap_err());
    printed.error(&adopted.release().await.unwrap_err());
    set_up(cluster.nodes(), "ACL SETUSER locker +@all").await;

    unreachable_and_wrong(&cluster, &redlock, &printed).await;
    run_on(cluster.nodes(), "DEL known").await;

    assert!(printed.contains("connected"), "the log was captured");
    assert!(printed.contains("WRONGPASS") && printed.contains("NOPERM"));
    for secret in [PASSWORD.as_bytes(), TOKEN.as_bytes(), &token] {
        printed.assert_without(secret);
    }
    printed.assert_without(b"redis://");
    finish(&redlock, &cluster).await;
}

/// A lock with a token that is known beforehand.
async fn adopted(redlock: &Redlock, cluster: &Cluster) -> redlock_quorum::LockGuard {
    set_up(cluster.nodes(), &format!("SET known {TOKEN} PX 600000")).await;
    let held = redlock.lock("borrowed-deadline").await.unwrap();
    let valid_until = held.valid_until();
    held.release().await.unwrap();
    let token = Token::from_bytes(TOKEN).unwrap();
    redlock
        .adopt(LockParts { key: b"known".to_vec(), token, valid_until, fencing_number: None })
        .unwrap()
}

/// Failing calls of all sorts.
async fn unreachable_and_wrong(cluster: &Cluster, redlock: &Redlock, printed: &Printed) {
    let wrong = format!("{PASSWORD}-not");
    let stranger = Redlock::builder().nodes(urls(cluster, &wrong)).build().unwrap();
    printed.debug(&stranger);
    printed.error(&stranger.try_lock("job").await.unwrap_err());

    let node = &cluster.nodes()[0];
    node.pause().await.unwrap();
    take_elsewhere(&cluster.nodes()[1..2], "split").await;
    printed.error(&redlock.try_lock("split").await.unwrap_err());
    node.resume().await.unwrap();
    run_on(&cluster.nodes()[1..2], "DEL split").await;

    node.kill().await.unwrap();
    cluster.nodes()[1].kill().await.unwrap();
    let error = eventually("the client has noticed", async || {
        match redlock.lock("job").wait(ms(100)).await {
            Err(error) if error.kind() == ErrorKind::NoQuorum => Ok(error),
            other => Err(other),
        }
    })
    .await;
    printed.error(&error);
    node.restart().await.unwrap();
    cluster.nodes()[1].restart().await.unwrap();
    // The restarted nodes have forgotten the user as well.
    let rules = format!("ACL SETUSER locker on >{PASSWORD} ~* &* +@all");
    set_up(cluster.nodes(), &rules).await;
    eventually("the client is connected again", async || {
        redlock.lock("job").wait(LIMIT).await.map(drop)
    })
    .await;
}

#[tokio::test]
async fn no_error_about_a_url_repeats_it() {
    let printed = Printed::default();
    let cluster = start(1).await;
    for url in [
        format!("redis://locker:{PASSWORD}@host:port"),
        format!("redis://locker:{PASSWORD}@"),
        format!("http://locker:{PASSWORD}@host"),
        format!("rediss://locker:{PASSWORD}@host/#insecure"),
        format!("rediss://locker:{PASSWORD}@host:port"),
        format!("redis://locker:{PASSWORD}@host/not-a-number"),
        PASSWORD.to_owned(),
    ] {
        let builder = Redlock::builder().nodes([url]);
        printed.debug(&builder);
        printed.error(&builder.build().unwrap_err());
    }
    let twice = urls(&cluster, PASSWORD).into_iter().chain(urls(&cluster, PASSWORD));
    printed.error(&Redlock::builder().nodes(twice).build().unwrap_err());
    printed.assert_without(PASSWORD.as_bytes());
    printed.assert_without(b"locker");
    finish(&builder(&cluster).build().unwrap(), &cluster).await;
}
