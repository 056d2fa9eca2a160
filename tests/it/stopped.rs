//! A holder whose process is stopped past its ttl: another gets the lock, and
//! when the first one goes on, it knows before anything else.
#![cfg(unix)]

use redlock_quorum::{ErrorKind, Redlock, Released};

use crate::{
    child::Program,
    support::{
        LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, client, eventually, ms, run_on, scripts_executed,
        start, within,
    },
};

/// With `in_flight`, it is stopped before the nodes answer a renewal: the
/// answers are there when it goes on.
async fn a_holder_is_stopped(in_flight: bool) {
    let cluster = start(3).await;
    let nodes = cluster.urls().join(",");
    let mut holder = Program::start("stopped::keep_a_lock", &[("NODES", &nodes)]);
    holder.says("it holds").await;
    eventually("it renews", async || {
        let scripts = scripts_executed(&cluster.nodes()[0]).await;
        if scripts >= 5 { Ok(()) } else { Err(scripts) }
    })
    .await;
    if in_flight {
        for node in cluster.nodes() {
            node.pause().await.unwrap();
        }
    }
    holder.stop().await;
    for node in cluster.nodes() {
        node.resume().await.unwrap();
    }
    let other = client(&cluster);
    let locking = other.lock("job").into_future();
    let guard = within(LIMIT, "its ttl passes", locking).await.unwrap();
    eventually("it is given to the last node too", async || {
        guard.extend(TTL).await.unwrap();
        let granted = guard.votes().granted();
        if granted == 3 { Ok(()) } else { Err(granted) }
    })
    .await;
    let values = run_on(cluster.nodes(), "GET job").await;

    holder.go_on().await;
    for line in
        ["it holds: false", "it is told", "it can extend: false", "its release: AlreadyExpired"]
    {
        holder.says(line).await;
    }
    holder.ends().await;
    assert!(guard.is_held());
    assert_eq!(run_on(cluster.nodes(), "GET job").await, values, "the other's key");
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_holder_that_was_stopped_past_its_ttl_knows_at_once() {
    for _ in 0..2 {
        a_holder_is_stopped(false).await;
    }
}

#[tokio::test]
async fn a_renewal_whose_answers_are_read_too_late_holds_nothing() {
    for _ in 0..2 {
        a_holder_is_stopped(true).await;
    }
}

#[tokio::test]
#[ignore = "no test, a program that one starts and stops: it renews a lock"]
async fn keep_a_lock() {
    let nodes = std::env::var("NODES").unwrap();
    let builder = Redlock::builder().nodes(nodes.split(',')).driver_thread();
    let redlock = builder.node_timeout(NODE_TIMEOUT).build().unwrap();
    let locking = redlock.lock("job").ttl(ms(1000)).renew_every(ms(5));
    let guard = locking.wait(LIMIT).await.unwrap();
    let lost = guard.lost_token();
    println!("it holds");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    println!("it holds: {}", guard.is_held());
    within(LIMIT, "it is told", lost.cancelled()).await;
    println!("it is told");
    // By the answer of this one, those to all renewals are in.
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    assert!(!guard.is_held() && guard.remaining().is_zero());
    println!("it can extend: {}", guard.extend(LIMIT).await.is_ok());
    assert!(!guard.is_held());
    println!("its release: {:?}", guard.release().await.unwrap());
    redlock.shutdown(LIMIT).await.unwrap();
}
