//! A grace: the nodes keep a lock for longer than its holder believes in it, if nobody releases it.

use std::{future::IntoFuture as _, time::Duration};

use redlock_quorum::{
    ErrorKind, Redlock, Released,
    testing::{Clock, Cluster},
};

use crate::support::{
    LIMIT, TTL, assert_no_keys, builder, client, everywhere, finish, ms, run, run_on, set_up, start,
};

const GRACE: Duration = Duration::from_secs(300);

/// How long the key lives at each node, in milliseconds.
async fn lives(cluster: &Cluster) -> Vec<i64> {
    let replies = run_on(cluster.nodes(), "PTTL job").await;
    replies.iter().map(|reply| reply.as_int().unwrap()).collect()
}

/// Whether all lives are as long as that, but for what the test takes.
fn all_are(lives: &[i64], span: Duration) -> bool {
    let most = i64::try_from(span.as_millis()).unwrap();
    let least = most - i64::try_from(LIMIT.as_millis()).unwrap();
    lives.iter().all(|left| (least..=most).contains(left))
}

#[tokio::test]
async fn nodes_keep_a_lock_for_its_ttl_and_grace_and_the_holder_believes_in_the_ttl() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).grace(GRACE).build().unwrap();
    for (grace, is_fenced) in [(None, false), (None, true), (Some(2 * GRACE), false)] {
        let acquire = redlock.lock("job");
        let acquire = if is_fenced { acquire.fenced() } else { acquire };
        let acquire = match grace {
            Some(grace) => acquire.grace(grace),
            None => acquire,
        };
        let guard = acquire.wait(LIMIT).await.unwrap();
        let grace = grace.unwrap_or(GRACE);
        everywhere(&guard, &cluster).await;
        let lived = lives(&cluster).await;
        assert!(all_are(&lived, TTL + grace), "{lived:?}");
        assert!(guard.remaining() < TTL);
        guard.extend(2 * TTL).await.unwrap();
        everywhere(&guard, &cluster).await;
        assert!(guard.remaining() < 2 * TTL);
        // A node that was empty is healed with the grace, too.
        set_up(&cluster.nodes()[2..], "DEL job job:fence").await;
        guard.extend(2 * TTL).await.unwrap();
        everywhere(&guard, &cluster).await;
        let lived = lives(&cluster).await;
        assert!(all_are(&lived, 2 * TTL + grace), "{lived:?}");
        assert_eq!(guard.release().await.unwrap(), Released::Released);
        set_up(cluster.nodes(), "DEL job:fence").await;
    }
}

#[tokio::test]
async fn whoever_comes_after_a_crash_waits_for_the_grace_and_after_a_release_does_not() {
    let clock = Clock::new();
    let cluster = Cluster::builder().clock(&clock).start().await.unwrap();
    let client = || Redlock::builder().nodes(cluster.urls()).clock(&clock).build().unwrap();
    let (holder, other) = (client(), client());
    let (ttl, grace) = (Duration::from_secs(10), Duration::from_secs(5));
    let guard = holder.lock("job").ttl(ttl).grace(grace).await.unwrap();
    clock.advance(ttl).await;
    assert!(!guard.is_held());
    let refused = other.try_lock("job").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Contended);
    assert!(refused.retry_after().unwrap() <= grace, "{refused:?}");
    std::mem::forget(guard); // as one that has crashed
    clock.advance(grace).await;
    other.try_lock("job").await.unwrap().release().await.unwrap();
    let guard = holder.lock("job").ttl(ttl).grace(grace).await.unwrap();
    guard.release().await.unwrap();
    other.try_lock("job").await.unwrap().release().await.unwrap();
    assert_no_keys(&cluster).await;
}

/// The key of a lock that is handed on lives as long as the holder before has asked for, with its
/// grace.
#[tokio::test]
async fn a_lock_is_not_handed_on_to_one_that_its_key_would_outlive_for_the_grace() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for (grace, is_handed_on) in [(GRACE, true), (Duration::ZERO, false)] {
        let guard = redlock.lock("job").grace(GRACE).await.unwrap();
        everywhere(&guard, &cluster).await;
        let before = run(&cluster.nodes()[0], "GET job").await;
        let next = redlock.lock("job").ttl(TTL + ms(60_000)).grace(grace).wait(LIMIT);
        let waiting = tokio::spawn(next.into_future());
        // Its request is in the queue when it was polled once, before the release.
        tokio::task::yield_now().await;
        drop(guard);
        let guard = waiting.await.unwrap().unwrap();
        everywhere(&guard, &cluster).await;
        let after = run(&cluster.nodes()[0], "GET job").await;
        assert_eq!(after == before, is_handed_on, "{grace:?}");
        let lived = lives(&cluster).await;
        assert!(all_are(&lived, TTL + ms(60_000) + grace), "{lived:?}");
        guard.release().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_ttl_and_a_grace_beyond_the_longest_ttl_are_refused() {
    let cluster = start(1).await;
    let redlock = builder(&cluster).max_ttl(TTL + GRACE).build().unwrap();
    let guard = redlock.lock("job").grace(GRACE).await.unwrap();
    let more = Duration::from_nanos(1);
    let errors = [
        redlock.lock("other").grace(GRACE + more).await.unwrap_err(),
        redlock.lock("other").grace(Duration::MAX).await.unwrap_err(),
        guard.extend(TTL + ms(1)).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.to_string().contains("together they must be at most"), "{error}");
    }
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}
