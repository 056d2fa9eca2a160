//! A server that compares and deletes by a command of its own is asked to; one
//! that does not, or does not let us, is asked by script. It is the same release.

use std::time::Duration;

use redlock_quorum::{Redlock, Released, testing::Cluster};
use tracing::Level;

use crate::{
    permissions::{ENOUGH, builder_with, locker, locks, said_once, with_native_user, with_user},
    printed::Printed,
    support::{
        assert_no_keys, client, connect, eventually, everywhere, finish, got, info, listening,
        native, natively_released, run_on, scripts_executed, set_up, start, take_elsewhere,
        wait_for,
    },
};

const RELEASES: u64 = 5;

/// Waits until each node has released so many times, and all in its own way:
/// by command if it has one, else by script.
async fn all_released(cluster: &Cluster, times: u64, by_command: bool) {
    for node in cluster.nodes() {
        let wanted = if by_command { (times, 0) } else { (0, times) };
        eventually("the node has released", async || {
            let seen = (natively_released(node).await, scripts_executed(node).await);
            if seen == wanted { Ok(()) } else { Err((seen, wanted)) }
        })
        .await;
    }
}

/// All nodes are connected, and have begun to count anew.
async fn connected(redlock: &Redlock, cluster: &Cluster) {
    connect(redlock, 3).await;
    assert_no_keys(cluster).await;
    set_up(cluster.nodes(), "CONFIG RESETSTAT").await;
}

#[tokio::test]
async fn a_release_takes_the_servers_own_command_where_there_is_one() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connected(&redlock, &cluster).await;
    for _ in 0..RELEASES {
        let guard = redlock.lock("job").await.unwrap();
        everywhere(&guard, &cluster).await;
        assert_eq!(guard.release().await.unwrap(), Released::Released);
    }
    let has = native(&cluster.nodes()[0]).await.is_some();
    all_released(&cluster, RELEASES, has).await;
    for node in cluster.nodes() {
        eventually("each was told of", async || {
            let told = info(node, "commandstats", "cmdstat_publish:calls=").await;
            if told == RELEASES { Ok(()) } else { Err(told) }
        })
        .await;
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn what_was_never_a_lock_is_taken_back_without_a_word() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connected(&redlock, &cluster).await;
    take_elsewhere(&cluster.nodes()[..2], "job").await;
    let has = native(&cluster.nodes()[0]).await.is_some();
    let node = &cluster.nodes()[2];
    // A node that refuses so late that it was given up might have granted: then it is told.
    eventually("a vote is given back, and nobody is told", async || {
        set_up(cluster.nodes(), "CONFIG RESETSTAT").await;
        redlock.try_lock("job").await.unwrap_err();
        eventually("the vote is given back", async || {
            let seen = (natively_released(node).await, scripts_executed(node).await);
            if seen == if has { (1, 0) } else { (0, 1) } { Ok(()) } else { Err(seen) }
        })
        .await;
        let told = info(node, "commandstats", "cmdstat_publish:calls=").await;
        if told == 0 { Ok(()) } else { Err(told) }
    })
    .await;
    set_up(cluster.nodes(), "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_may_not_use_it_releases_by_script() {
    let printed = Printed::default();
    let _logging = printed.log(Level::INFO);
    let cluster = with_user(ENOUGH).await;
    let (holder, hour) = (locker(&cluster), Duration::from_secs(3600));
    for _ in 0..3 {
        locks(&holder).await;
    }
    assert_no_keys(&cluster).await;
    let refusing = if native(&cluster.nodes()[0]).await.is_some() { 3 } else { 0 };
    said_once(&printed, "does not let us use its own command", cluster.nodes(), refusing).await;
    assert_eq!(printed.lines_with(&["WARN"]), 0);
    assert_eq!(natively_released(&cluster.nodes()[0]).await, 0);

    let waiter = builder_with(&cluster, "").retry_delay(hour, hour).build().unwrap();
    let guard = holder.lock("job").await.unwrap();
    everywhere(&guard, &cluster).await;
    let waiting = wait_for(&waiter, "job");
    listening(cluster.nodes(), "app:job").await;
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    got(waiting).await.release().await.unwrap();
    finish(&holder, &cluster).await;
    finish(&waiter, &cluster).await;
}

#[tokio::test]
async fn where_there_is_one_a_release_needs_no_scripts_at_all() {
    let cluster = with_native_user(&ENOUGH.replace("+eval +evalsha", "")).await;
    if native(&cluster.nodes()[0]).await.is_none() {
        return;
    }
    let redlock = locker(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn what_is_gone_or_anothers_is_not_deleted() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for what in ["DEL job", "SET job another PX 600000", "SET job another"] {
        for _ in 0..2 {
            let guard = redlock.lock("job").await.unwrap();
            everywhere(&guard, &cluster).await;
            set_up(cluster.nodes(), what).await;
            let there = run_on(cluster.nodes(), "GET job").await;
            assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired, "{what}");
            assert_eq!(run_on(cluster.nodes(), "GET job").await, there, "{what}");
            set_up(cluster.nodes(), "DEL job").await;
        }
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn what_is_no_lock_is_not_deleted_and_says_so() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for _ in 0..2 {
        let guard = redlock.lock("job").await.unwrap();
        everywhere(&guard, &cluster).await;
        set_up(cluster.nodes(), "DEL job").await;
        set_up(cluster.nodes(), "LPUSH job element").await;
        assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
        for length in run_on(cluster.nodes(), "LLEN job").await {
            assert_eq!(length.as_int(), Some(1));
        }
        set_up(cluster.nodes(), "DEL job").await;
    }
    finish(&redlock, &cluster).await;
}
