//! The end of a client: asked for, or because nobody needs it any more.

use futures_util::FutureExt as _;
use redlock_quorum::{ErrorKind, Released, Unreleased, testing::Reply};
use tokio::process::Command;

use crate::support::{
    LIMIT, TTL, assert_no_keys, builder, client, connect, connected, everywhere, finish, ms,
    run_on, start, take_elsewhere, within,
};

#[tokio::test]
async fn after_a_shutdown_no_handle_acquires_but_held_locks_go_on() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    drop(redlock.lock("other").await.unwrap());
    let clone = redlock.clone();
    redlock.shutdown(LIMIT).await.unwrap();
    for handle in [&redlock, &clone] {
        for refused in [handle.lock("third").await, handle.try_lock("third").await] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Closed);
            assert!(error.to_string().contains("was shut down"), "{error}");
        }
    }
    assert!(guard.is_held());
    guard.extend(2 * TTL).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    redlock.shutdown(LIMIT).await.expect("a second one is no error");
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn who_waits_for_a_lock_learns_of_the_shutdown() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    take_elsewhere(cluster.nodes(), "job").await;
    for wait in [None, Some(LIMIT)] {
        let redlock = client(&cluster);
        let acquire = redlock.lock("job");
        let mut waiting = match wait {
            Some(wait) => acquire.wait(wait),
            None => acquire,
        }
        .into_future();
        assert!((&mut waiting).now_or_never().is_none());
        redlock.shutdown(LIMIT).await.unwrap();
        let error = within(LIMIT, "it is told", waiting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        assert!(error.to_string().contains("was shut down"), "{error}");
    }
    run_on(cluster.nodes(), "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_is_in_the_middle_of_an_attempt_learns_of_the_shutdown() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    take_elsewhere(&cluster.nodes()[..1], "job").await;
    cluster.nodes()[2].pause().await.unwrap();
    // One no, one yes, one silent: undecided until the node timeout.
    let mut waiting = redlock.lock("job").into_future();
    assert!((&mut waiting).now_or_never().is_none());
    let closing = redlock.shutdown(LIMIT);
    let resume = async {
        let error = within(LIMIT, "it is told", waiting).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        cluster.nodes()[2].resume().await.unwrap();
    };
    let (closed, ()) = futures_util::future::join(closing, resume).await;
    closed.unwrap();
    run_on(&cluster.nodes()[..1], "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_shutdown_ends_by_its_limit_and_says_what_is_left() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    cluster.nodes()[2].pause().await.unwrap();
    drop(redlock.lock("job").wait(LIMIT).await.unwrap());
    // Enough for the two that answer, and less than until a hung one is given up.
    let closing = redlock.shutdown(ms(2000));
    let left = within(LIMIT, "the limit ends it", closing).await.expect("a quorum confirmed it");
    let hung = cluster.nodes()[2].address();
    let names = |left: &Unreleased| (left.key().to_vec(), left.node().to_owned());
    // An attempt before may have left a release of its own there.
    let mut named: Vec<_> = left.iter().map(names).collect();
    named.dedup();
    assert_eq!(named, [(b"job".to_vec(), hung)]);
    cluster.nodes()[2].resume().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// Where too few have confirmed it, others can't have the lock yet: that is an error.
#[tokio::test]
async fn a_shutdown_whose_releases_a_quorum_has_not_confirmed_is_no_success() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    everywhere(&guard, &cluster).await;
    for node in &cluster.nodes()[1..] {
        node.pause().await.unwrap();
    }
    drop(guard);
    let closing = redlock.shutdown(ms(2000));
    let error = within(LIMIT, "the limit ends it", closing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.to_string().starts_with("1 request"), "{error}");
    for node in &cluster.nodes()[1..] {
        node.resume().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_node_that_was_never_sent_anything() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    // It accepts connections and does not answer: nothing is sent to it.
    cluster.nodes()[2].pause().await.unwrap();
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    redlock.shutdown(LIMIT / 3).await.expect("no server has anything of ours");
    cluster.nodes()[2].resume().await.unwrap();
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn when_the_last_handle_is_gone_the_driver_releases_and_ends() {
    let cluster = start(3).await;
    for driver_thread in [false, true] {
        let mut builder = builder(&cluster);
        if driver_thread {
            builder = builder.driver_thread();
        }
        let redlock = builder.build().unwrap();
        let guards = [redlock.lock("a").await.unwrap(), redlock.lock("b").await.unwrap()];
        drop(redlock);
        assert!(guards.iter().all(|guard| guard.is_held()), "a guard keeps the client alive");
        guards[0].extend(2 * TTL).await.unwrap();
        drop(guards);
        assert_no_keys(&cluster).await;
        for node in cluster.nodes() {
            connected(node, 0).await;
        }
    }
}

#[tokio::test]
async fn a_dropped_waiter_does_not_keep_the_driver_alive() {
    let cluster = start(3).await;
    take_elsewhere(cluster.nodes(), "job").await;
    let redlock = client(&cluster);
    let mut waiting = redlock.lock("job").into_future();
    let polled = tokio::time::timeout(ms(20), &mut waiting).await;
    assert!(polled.is_err(), "it is held");
    drop((waiting, redlock));
    for node in cluster.nodes() {
        connected(node, 0).await;
    }
    run_on(cluster.nodes(), "DEL job").await;
    assert_no_keys(&cluster).await;
}

/// A guard that is dropped at the end of a program, inside a runtime or outside of any, is
/// released before the process ends, where the driver has a thread of its own.
#[tokio::test]
async fn a_program_that_drops_its_guard_and_ends_leaves_no_key() {
    let cluster = start(3).await;
    for run in 0..20 {
        for place in ["inside", "outside"] {
            let mut program = Command::new(env!("CARGO_BIN_EXE_redlock-last-handle"));
            let running = program.arg(place).args(cluster.urls()).kill_on_drop(true).status();
            let status = within(LIMIT, "it ends", running).await.unwrap();
            assert!(status.success(), "{place}: {status}");
            let keys = run_on(cluster.nodes(), "KEYS *").await;
            let none = keys.iter().all(|reply| *reply == Reply::Array(Vec::new()));
            assert!(none, "run {run}, {place}: {keys:?}");
        }
    }
}
