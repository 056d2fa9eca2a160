//! How long a lock is held, and how its holder learns that it is not.

use std::pin::{Pin, pin};

use futures_util::FutureExt as _;
use redlock_quorum::{ErrorKind, LockGuard, Redlock, Released};
use tokio::time::sleep;

use crate::proxy::Proxy;
use crate::support::{
    LIMIT, NODE_TIMEOUT, TTL, builder, bulk, client, connect, eventually, everywhere, finish, ms,
    run, run_on, set_up, start, within,
};

async fn until_it_ends(guard: &LockGuard) {
    eventually("the lock ends by its deadline", async || {
        if guard.is_held() { Err(guard.remaining()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn a_lock_is_held_for_no_longer_than_ttl_less_drift() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).drift_per_mille(100).build().unwrap();
    let ttl = ms(100_000);
    let guard = redlock.lock("job").ttl(ttl).await.unwrap();
    assert!(guard.remaining() <= ms(100_000 - 10_000 - 2), "{:?}", guard.remaining());
    assert!(guard.remaining() >= ms(60_000), "{:?}", guard.remaining());
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn an_expired_lock_is_neither_extended_nor_released() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for extend_first in [true, false] {
        let guard = redlock.lock("job").ttl(ms(300)).wait(LIMIT).await.unwrap();
        until_it_ends(&guard).await;
        if extend_first {
            let error = guard.extend(TTL).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
        }
        assert!(guard.remaining().is_zero());
        assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_lock_ends_for_its_holder_before_it_ends_on_the_servers() {
    let cluster = start(3).await;
    let (holder, rival) = (client(&cluster), client(&cluster));
    let first = holder.lock("job").ttl(ms(300)).wait(LIMIT).await.unwrap();
    let second = rival.lock("job").wait(LIMIT).await.unwrap();
    assert!(!first.is_held(), "two holders at once");
    drop(first);
    holder.shutdown(LIMIT).await.unwrap();
    assert!(second.is_held());
    second.extend(TTL).await.expect("the first one's release is not ours");
    second.release().await.unwrap();
    finish(&rival, &cluster).await;
}

#[tokio::test]
async fn an_extension_never_shortens() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    guard.extend(ms(20_000)).await.unwrap();
    assert!(guard.remaining() > TTL / 2, "{:?}", guard.remaining());
    for reply in run_on(cluster.nodes(), "PTTL job").await {
        assert!(reply.as_int().unwrap() > 300_000, "{reply:?}");
    }
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// Goes on with `extending` until the proxy keeps what it sends, beyond `before`.
async fn sent(extending: Pin<&mut impl Future>, proxy: &Proxy, before: usize) -> usize {
    let kept = eventually("it is sent", async || match proxy.held_bytes() {
        bytes if bytes > before => Ok(bytes),
        bytes => Err(bytes),
    });
    tokio::select! {
        _ = extending => panic!("it is answered"),
        bytes = kept => bytes,
    }
}

async fn two_extensions(guard: &LockGuard, proxy: &Proxy) {
    let (mut first, mut second) = (pin!(guard.extend(TTL)), pin!(guard.extend(TTL)));
    let one = sent(first.as_mut(), proxy, 0).await;
    sent(second.as_mut(), proxy, one).await;
    let left = guard.remaining();
    proxy.pass(one);
    within(LIMIT, "the first is answered", first).await.unwrap();
    sleep(left).await; // by now it would have ended
    assert!(second.as_mut().now_or_never().is_none(), "it has its whole time");
    proxy.open();
    within(LIMIT, "the second is answered", second).await.unwrap();
}

/// It was begun when the lock was to end sooner, and is answered after that.
#[tokio::test]
async fn an_extension_ends_by_the_deadline_that_another_has_moved() {
    let cluster = start(3).await;
    let proxy = Proxy::before(cluster.nodes()[0].address()).await;
    let mut urls = cluster.urls();
    urls[0] = proxy.url.clone();
    let redlock =
        Redlock::builder().nodes(urls).ttl(TTL).node_timeout(NODE_TIMEOUT).build().unwrap();
    connect(&redlock, 3).await;
    cluster.nodes()[1].kill().await.unwrap();
    let guard = redlock.lock("job").ttl(ms(2500)).wait(LIMIT).await.unwrap();
    proxy.hold();
    two_extensions(&guard, &proxy).await;
    assert_eq!(guard.release().await.unwrap(), Released::Released);
}

#[tokio::test]
async fn a_lock_deleted_on_a_majority_is_lost_for_good() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    set_up(&cluster.nodes()[1..], "DEL job").await;
    let error = guard.extend(2 * TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert!(!guard.is_held());
    let error = guard.extend(2 * TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert!(!guard.is_held());
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_release_finds_a_lock_that_was_deleted_on_a_majority_whoever_answers_first() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for turn in 0..30 {
        let guard = redlock.lock("job").await.unwrap();
        everywhere(&guard, &cluster).await;
        let survivor = turn % 3;
        for (place, node) in cluster.nodes().iter().enumerate() {
            if place != survivor {
                run(node, "DEL job").await;
            }
        }
        let released = guard.release().await.unwrap();
        assert_eq!(released, Released::AlreadyExpired, "only node {survivor} still had it");
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_lock_deleted_on_a_minority_is_still_held() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    run(&cluster.nodes()[0], "DEL job").await;
    guard.extend(2 * TTL).await.unwrap();
    assert!(guard.remaining() > TTL);
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_strangers_value_is_neither_extended_nor_deleted() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    let taken = &cluster.nodes()[1..];
    set_up(taken, "SET job another PX 100000").await;
    let error = guard.extend(2 * TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
    redlock.shutdown(LIMIT).await.unwrap();
    for node in taken {
        assert_eq!(run(node, "GET job").await, bulk("another"));
        assert!(run(node, "PTTL job").await.as_int().unwrap() <= 100_000, "extended");
    }
    set_up(taken, "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn an_extension_that_too_few_nodes_answer_leaves_the_lock_as_it_was() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(300)).build().unwrap();
    // The first votes may be lost where the machine is slow: then once more.
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    everywhere(&guard, &cluster).await;
    let before = guard.remaining();
    let hung = &cluster.nodes()[1..];
    for node in hung {
        node.pause().await.unwrap();
    }
    let extending = guard.extend(3 * TTL);
    let error = within(LIMIT, "the extension fails", extending).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    assert!(guard.is_held());
    assert!(guard.remaining() <= before, "not extended");
    for node in hung {
        node.resume().await.unwrap();
    }
    eventually("the nodes are back and it is extended", async || guard.extend(3 * TTL).await).await;
    assert!(guard.remaining() > 2 * TTL);
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_release_does_not_count_on_a_node_that_never_granted() {
    let cluster = start(5).await;
    let proxy = Proxy::before(cluster.nodes()[3].address()).await;
    let mut urls = cluster.urls();
    urls[3] = proxy.url.clone();
    let redlock = Redlock::builder().nodes(urls).ttl(TTL).node_timeout(ms(2000)).build().unwrap();
    connect(&redlock, 5).await;
    proxy.hold(); // the fourth node never hears of the lock
    let guard = redlock.lock("job").await.unwrap();
    eventually("the other four have granted", async || match guard.votes().granted() {
        4 => Ok(()),
        votes => Err(votes),
    })
    .await;
    for forgetful in [2, 4] {
        run(&cluster.nodes()[forgetful], "FLUSHALL").await;
    }
    let other = client(&cluster).try_lock("job").await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired, "{other:?} holds it");
}
