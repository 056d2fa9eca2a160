//! A future may be dropped at any await: no key stays behind.
//!
//! These run on one thread. A future is polled some number of times, with one
//! turn for the driver and the sockets after each poll, and then dropped; the
//! number goes up until the future completes, so every state that the driver
//! can be in when its caller goes is met.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use redlock_quorum::{
    LockGuard,
    testing::{Cluster, TestNode},
};

use crate::support::{TTL, client, eventually, finish, run_on, start, take_elsewhere};

/// Far above the polls that any call here takes on a healthy cluster.
const MOST_POLLS: usize = 100_000;

/// Polls `future` up to `polls` times, with a turn for all others after each.
pub async fn poll_times<F: Future + Unpin>(future: &mut F, polls: usize) -> Option<F::Output> {
    for _ in 0..polls {
        let outcome = poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx))).await;
        if let Poll::Ready(output) = outcome {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// One more at first, then in steps that grow.
pub fn more(polls: usize) -> usize {
    polls + 1 + polls / 16
}

/// Calls `attempt(polls)` with 0, 1, 2, … until it says that it completed.
pub async fn for_every_number_of_polls(mut attempt: impl AsyncFnMut(usize) -> bool) {
    let mut polls = 0;
    while !attempt(polls).await {
        polls = more(polls);
        assert!(polls < MOST_POLLS, "it does not complete");
    }
    assert!(polls > 1, "it was dropped half-way at least once");
}

/// Waits until the first nodes are free of `key`: all nodes but those paused.
pub async fn gone(nodes: &[TestNode], key: &str) {
    eventually("a dropped acquire leaves no key", async || {
        let found = run_on(nodes, &format!("EXISTS {key}")).await;
        if found.iter().all(|reply| reply.as_int() == Some(0)) { Ok(()) } else { Err(found) }
    })
    .await;
}

async fn acquires_dropped(cluster: &Cluster, awake: usize) {
    let redlock = client(cluster);
    for_every_number_of_polls(async |polls| {
        let key = format!("job-{polls}");
        let mut locking = redlock.lock(&key).into_future();
        let guard = poll_times(&mut locking, polls).await;
        let completed = guard.is_some();
        drop((locking, guard));
        gone(&cluster.nodes()[..awake], &key).await;
        completed
    })
    .await;
    for node in &cluster.nodes()[awake..] {
        node.resume().await.unwrap();
    }
    finish(&redlock, cluster).await;
}

#[tokio::test]
async fn an_acquire_dropped_at_any_poll_leaves_no_key() {
    let cluster = start(3).await;
    acquires_dropped(&cluster, 3).await;
}

#[tokio::test]
async fn an_acquire_dropped_while_a_node_hangs_leaves_no_key_when_it_resumes() {
    let cluster = start(3).await;
    cluster.nodes()[2].pause().await.unwrap();
    acquires_dropped(&cluster, 2).await;
}

#[tokio::test]
async fn an_acquire_dropped_while_it_waits_leaves_no_key() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "job").await;
    let mut polls = 0;
    while polls < 2_000 {
        let mut waiting = redlock.lock("job").into_future();
        assert!(poll_times(&mut waiting, polls).await.is_none(), "another holds it");
        drop(waiting);
        polls = more(polls);
    }
    run_on(cluster.nodes(), "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_release_dropped_at_any_poll_releases() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for_every_number_of_polls(async |polls| {
        let guard = redlock.lock("job").await.unwrap();
        let mut releasing = Box::pin(guard.release());
        let completed = poll_times(&mut releasing, polls).await.is_some();
        drop(releasing);
        gone(cluster.nodes(), "job").await;
        completed
    })
    .await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn an_extend_dropped_at_any_poll_leaves_a_lock_that_is_held_and_released() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for_every_number_of_polls(async |polls| {
        let guard: LockGuard = redlock.lock("job").await.unwrap();
        let mut extending = Box::pin(guard.extend(2 * TTL));
        let completed = poll_times(&mut extending, polls).await.is_some();
        drop(extending);
        assert!(guard.remaining() > TTL / 2, "{:?}", guard.remaining());
        drop(guard);
        gone(cluster.nodes(), "job").await;
        completed
    })
    .await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_shutdown_dropped_at_any_poll_still_shuts_down() {
    let cluster = start(3).await;
    for polls in [0, 1, 2, 8] {
        let redlock = client(&cluster);
        let guard = redlock.lock("job").await.unwrap();
        drop(guard);
        let mut closing = Box::pin(redlock.shutdown(TTL));
        let _ = poll_times(&mut closing, polls).await;
        drop(closing);
        finish(&redlock, &cluster).await;
    }
}
