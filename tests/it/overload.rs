//! Floods: more than the client takes, or than a hung node is sent.

#![expect(clippy::disallowed_methods, reason = "what it takes is held against what else took")]

use std::time::Instant;

use futures_util::{FutureExt as _, future::join_all};
use redlock_quorum::ErrorKind;

use crate::support::{
    LIMIT, TTL, WITHOUT_WAITING, builder, client, connect, eventually, finish, ms, run, start,
    take_elsewhere, within,
};

/// The documented bound of requests that wait at once.
const MAX_PENDING: usize = 65_536;

#[tokio::test]
async fn a_flood_of_waiting_requests_is_refused_and_passes() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "job").await;
    let mut waiting = Vec::new();
    for _ in 0..MAX_PENDING {
        let mut locking = redlock.lock("job").into_future();
        assert!((&mut locking).now_or_never().is_none());
        waiting.push(locking);
    }
    let error = redlock.lock("other").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("waiting already"), "{error}");
    drop(waiting);
    run(&cluster.nodes()[0], "DEL job").await;
    eventually("there is room again", async || redlock.lock("other").wait(LIMIT).await.map(drop))
        .await;
    finish(&redlock, &cluster).await;
}

/// What a dropped future has asked for is still in the queue: it counts until
/// the driver has seen to it.
#[tokio::test]
async fn a_flood_of_dropped_requests_is_bounded_too() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let taken = |taken: &usize| {
        redlock.try_lock(format!("job-{taken}")).into_future().now_or_never().is_none()
    };
    // Nothing else runs meanwhile: this test is all that its thread does.
    assert_eq!((0..2 * MAX_PENDING).take_while(taken).count(), MAX_PENDING);
    eventually("there is room again", async || redlock.lock("other").wait(LIMIT).await.map(drop))
        .await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_flood_that_a_hung_node_misses_leaves_no_key() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    cluster.nodes()[2].pause().await.unwrap();
    for turn in 0..10 {
        let mut locking: Vec<_> =
            (0..2_000).map(|n| redlock.try_lock(format!("job-{turn}-{n}")).into_future()).collect();
        for future in &mut locking {
            assert!(future.now_or_never().is_none());
        }
        // Half of them are given up at once, the others wait for their lock.
        locking.truncate(1_000);
        for future in locking {
            if let Err(error) = future.await {
                assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
            }
        }
    }
    cluster.nodes()[2].resume().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// Its commands no longer fit what may be on its way to it: releases wait
/// behind acquires that hang in the connection, for longer than the ttl.
#[tokio::test]
async fn what_hangs_in_a_full_connection_is_released_after_the_ttl_too() {
    let cluster = start(3).await;
    let ttl = ms(1500);
    let redlock = builder(&cluster).ttl(ttl).node_timeout(ms(1000)).build().unwrap();
    connect(&redlock, 3).await;
    let hung = &cluster.nodes()[2];
    hung.pause().await.unwrap();
    let mut locking: Vec<_> =
        (0..8192).map(|n| redlock.try_lock(format!("job-{n}")).into_future()).collect();
    for acquire in &mut locking {
        assert!(acquire.now_or_never().is_none());
    }
    drop(join_all(locking).await);
    match redlock.shutdown(3 * ttl).await {
        // Nothing is left if all this took so long that the connection was given up meanwhile.
        Ok(left) => assert!(left.iter().all(|left| left.node() == hung.address()), "{left:?}"),
        // Or so long that not all have been given back.
        Err(error) => assert_eq!(error.kind(), ErrorKind::Timeout, "{error}"),
    }
    hung.resume().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn many_releases_at_a_node_that_is_down_do_not_hold_up_a_lock() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let mut guards = Vec::new();
    let begun = Instant::now();
    for batch in 0..20 {
        let locking = (0..1000).map(|n| redlock.lock(format!("job-{batch}-{n}")).into_future());
        guards.extend(join_all(locking).await.into_iter().map(Result::unwrap));
    }
    let taken = begun.elapsed();
    cluster.nodes()[2].kill().await.unwrap();
    drop(guards);
    // To release them is no more than it was to take them, here and now; if each had
    // to look at all the others, it would be far more than thrice that.
    let other = redlock.lock("other").into_future();
    drop(within(WITHOUT_WAITING.max(3 * taken), "another lock", other).await.unwrap());
    cluster.nodes()[2].restart().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn callers_that_are_gone_leave_their_places() {
    let cluster = start(1).await;
    let pause = ms(600_000);
    let redlock = builder(&cluster).retry_delay(pause, pause).build().unwrap();
    let held = redlock.lock("job").await.unwrap();
    for _ in 0..2 {
        let mut waiting: Vec<_> = (0..40_000).map(|_| redlock.lock("job").into_future()).collect();
        for acquire in &mut waiting {
            assert!(acquire.now_or_never().is_none(), "there is a place, and it is held");
        }
        // The driver has seen all of them when it has seen one that came after.
        // (With so much on its way, the node may not be asked for this one.)
        let _ = held.extend(TTL).await;
    }
    held.release().await.unwrap();
    finish(&redlock, &cluster).await;
}
