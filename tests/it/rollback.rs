//! What an acquire that did not get there leaves behind: nothing.

use redlock_quorum::{ErrorKind, Redlock, testing::Cluster};

use crate::support::{
    LIMIT, builder, client, connect, eventually, finish, ms, run_on, sets_executed, start,
    take_elsewhere, within,
};

async fn a_partial_grant_is_rolled_back(nodes: usize) {
    let cluster = start(nodes).await;
    let redlock = client(&cluster);
    let (taken, free) = cluster.nodes().split_at(nodes / 2 + 1);
    take_elsewhere(taken, "job").await;
    for wait in [ms(0), ms(100)] {
        let error = redlock.lock("job").wait(wait).await.unwrap_err();
        if wait.is_zero() {
            assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
        }
        eventually("the minority that granted is free again", async || {
            let values = run_on(free, "GET job").await;
            if values.iter().all(|value| value.is_nil()) { Ok(()) } else { Err(values) }
        })
        .await;
    }
    run_on(taken, "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_grant_by_one_of_three_is_rolled_back() {
    a_partial_grant_is_rolled_back(3).await;
}

#[tokio::test]
async fn a_grant_by_two_of_five_is_rolled_back() {
    a_partial_grant_is_rolled_back(5).await;
}

/// One node refuses, one grants, one hangs and executes it after the loss. Beside
/// them, how many acquires that one had executed before.
async fn split(connected: bool) -> (Cluster, Redlock, u64) {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(2000)).build().unwrap();
    if connected {
        connect(&redlock, 3).await;
    }
    take_elsewhere(&cluster.nodes()[..1], "job").await;
    let executed = sets_executed(&cluster.nodes()[2]).await;
    cluster.nodes()[2].pause().await.unwrap();
    (cluster, redlock, executed)
}

async fn after_a_hang_nothing_is_left(connected: bool) {
    let (cluster, redlock, before) = split(connected).await;
    let hung = &cluster.nodes()[2];
    let locking = redlock.try_lock("job").into_future();
    let error = within(LIMIT, "the attempt ends", locking).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    hung.resume().await.unwrap();
    if connected {
        eventually("the late acquire is executed", async || {
            let executed = sets_executed(hung).await;
            if executed > before { Ok(()) } else { Err(executed) }
        })
        .await;
    }
    run_on(&cluster.nodes()[..1], "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn an_acquire_executed_after_it_was_rolled_back_leaves_no_key() {
    after_a_hang_nothing_is_left(true).await;
}

#[tokio::test]
async fn an_acquire_for_a_node_that_hangs_while_connecting_leaves_no_key() {
    after_a_hang_nothing_is_left(false).await;
}

#[tokio::test]
async fn an_attempt_dropped_while_a_node_hangs_leaves_no_key() {
    let (cluster, redlock, _) = split(true).await;
    let hung = &cluster.nodes()[2];
    let mut locking = redlock.lock("job").into_future();
    let polling = tokio::time::timeout(ms(50), &mut locking).await;
    assert!(polling.is_err(), "it can't be decided yet");
    drop(locking);
    hung.resume().await.unwrap();
    run_on(&cluster.nodes()[..1], "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_node_that_dies_with_a_grant_comes_back_without_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    take_elsewhere(&cluster.nodes()[..2], "job").await;
    for _ in 0..5 {
        let locking = redlock.try_lock("job").into_future();
        let (error, ()) = futures_util::future::join(locking, async {
            cluster.nodes()[2].kill().await.unwrap();
            cluster.nodes()[2].restart().await.unwrap();
        })
        .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Contended);
    }
    run_on(&cluster.nodes()[..2], "DEL job").await;
    finish(&redlock, &cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_contenders_one_holds_at_a_time_and_no_vote_is_left() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    };
    let cluster = start(3).await;
    let holders = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (redlock, holders) = (client(&cluster), Arc::clone(&holders));
        tasks.spawn(async move {
            for _ in 0..5 {
                let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
                assert_eq!(holders.fetch_add(1, SeqCst), 0, "two holders at once");
                tokio::task::yield_now().await;
                holders.fetch_sub(1, SeqCst);
                guard.release().await.unwrap();
            }
            redlock.shutdown(LIMIT).await.unwrap();
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    crate::support::assert_no_keys(&cluster).await;
}
