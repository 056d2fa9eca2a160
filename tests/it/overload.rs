//! Floods: more than the client takes, or than a hung node is sent.

use futures_util::FutureExt as _;
use redlock_quorum::ErrorKind;

use crate::support::{LIMIT, builder, client, connect, finish, ms, run, start, take_elsewhere};

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
    crate::support::eventually("there is room again", async || {
        redlock.lock("other").wait(LIMIT).await.map(drop)
    })
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
