//! Nodes that hang: connections stay open and nothing is answered.

use redlock_quorum::{ErrorKind, NodeErrorKind, Released};

use crate::support::{
    LIMIT, WITHOUT_WAITING, builder, client, connect, eventually, finish, kinds, ms, run,
    sets_executed, start, take_elsewhere, within,
};

async fn nobody_waits_for_hung_nodes(nodes: usize, hung: usize, connected: bool) {
    let cluster = start(nodes).await;
    let redlock = client(&cluster);
    if connected {
        connect(&redlock, nodes).await;
    }
    for node in &cluster.nodes()[..hung] {
        node.pause().await.unwrap();
    }
    let pairs = async {
        for _ in 0..3 {
            let guard = redlock.lock("job").await.unwrap();
            guard.extend(2 * crate::support::TTL).await.unwrap();
            assert_eq!(guard.release().await.unwrap(), Released::Released);
        }
    };
    within(2 * WITHOUT_WAITING, "it did not wait for the hung node", pairs).await;
    for node in &cluster.nodes()[..hung] {
        node.resume().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn nobody_waits_for_one_of_three_that_hangs() {
    nobody_waits_for_hung_nodes(3, 1, true).await;
}

#[tokio::test]
async fn nobody_waits_for_two_of_five_that_hang() {
    nobody_waits_for_hung_nodes(5, 2, true).await;
}

#[tokio::test]
async fn nobody_waits_for_one_of_three_that_hung_before_it_was_connected() {
    nobody_waits_for_hung_nodes(3, 1, false).await;
}

#[tokio::test]
async fn nobody_waits_for_two_of_five_that_hung_before_they_were_connected() {
    nobody_waits_for_hung_nodes(5, 2, false).await;
}

#[tokio::test]
async fn a_contended_try_does_not_wait_for_a_hung_node_either() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let guard = redlock.lock("job").await.unwrap();
    cluster.nodes()[2].pause().await.unwrap();
    let trying = redlock.try_lock("job").into_future();
    let error = within(WITHOUT_WAITING, "two refusals are enough", trying).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    assert!(error.retry_after().is_some());
    let releasing = guard.release();
    within(WITHOUT_WAITING, "two answers are enough", releasing).await.unwrap();
    cluster.nodes()[2].resume().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_majority_that_hangs_is_no_quorum_by_the_end_of_the_wait() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(200)).build().unwrap();
    for connected in [false, true] {
        for node in &cluster.nodes()[1..] {
            node.pause().await.unwrap();
        }
        for wait in [ms(0), ms(500)] {
            let locking = redlock.lock("job").wait(wait).into_future();
            let error = within(LIMIT, "the wait ends", locking).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NoQuorum, "{connected} {error}");
            let told = error.nodes()[1..].iter().all(|report| report.error().is_some());
            assert!(told, "why each hung node did not count: {error}");
        }
        for node in &cluster.nodes()[1..] {
            node.resume().await.unwrap();
        }
        eventually("they vote again", async || {
            let guard = redlock.try_lock("job").await?;
            guard.release().await
        })
        .await;
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_hung_node_is_told_apart_from_one_that_owes_an_answer() {
    let cluster = start(1).await;
    let redlock = builder(&cluster).node_timeout(ms(300)).build().unwrap();
    connect(&redlock, 1).await;
    cluster.nodes()[0].pause().await.unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(kinds(&error), [NodeErrorKind::Timeout], "{error}");
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(kinds(&error), [NodeErrorKind::Owing], "{error}");
    cluster.nodes()[0].resume().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn an_acquire_that_a_hung_node_executes_late_is_deleted_there() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    let hung = &cluster.nodes()[2];
    let executed = sets_executed(hung).await;
    hung.pause().await.unwrap();
    let guard = redlock.lock("job").await.unwrap();
    drop(guard);
    hung.resume().await.unwrap();
    eventually("the late acquire is executed", async || {
        let now = sets_executed(hung).await;
        if now > executed { Ok(()) } else { Err(now) }
    })
    .await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_vote_that_comes_late_still_counts_for_a_lock_that_is_held() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    connect(&redlock, 3).await;
    cluster.nodes()[2].pause().await.unwrap();
    let guard = redlock.lock("job").await.unwrap();
    assert_eq!(guard.votes().granted(), 2);
    cluster.nodes()[2].resume().await.unwrap();
    eventually("the third vote is counted", async || {
        let granted = guard.votes().granted();
        if granted == 3 { Ok(()) } else { Err(granted) }
    })
    .await;
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

/// The client gives up a connection on which nothing was answered for 10 s,
/// and with it the order that releases have behind acquires.
#[tokio::test]
async fn an_acquire_that_outlived_its_connection_is_deleted_all_the_same() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    let hung = &cluster.nodes()[2];
    take_elsewhere(&cluster.nodes()[..1], "other").await;
    let executed = sets_executed(hung).await;
    hung.pause().await.unwrap();
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    let lost = [NodeErrorKind::Unreachable, NodeErrorKind::ConnectionLost];
    eventually("the connection to the hung node is given up", async || {
        // An error tells how the client sees it: with `other` taken on a node,
        // two votes are missing.
        let error = redlock.try_lock("other").await.unwrap_err();
        let kind = error.nodes()[2].error().map(redlock_quorum::NodeError::kind);
        if kind.is_some_and(|kind| lost.contains(&kind)) { Ok(()) } else { Err(kind) }
    })
    .await;
    drop(guard);
    hung.resume().await.unwrap();
    eventually("the late acquire is executed", async || {
        let now = sets_executed(hung).await;
        if now > executed { Ok(()) } else { Err(now) }
    })
    .await;
    run(&cluster.nodes()[0], "DEL other").await;
    finish(&redlock, &cluster).await;
}
