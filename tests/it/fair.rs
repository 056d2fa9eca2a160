//! A client whose tasks hand a lock on to one another lets others have it too.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use redlock_quorum::Redlock;

use crate::{
    far::urls,
    support::{LIMIT, NODE_TIMEOUT, TTL, connect, eventually, finish, ms, start, within},
};

/// How many real releases another client sees at most before it is first. Far
/// above what it takes, and far below what [`LIMIT`] has room for.
const MOST_TURNS: usize = 20;

/// Takes the lock again and again.
async fn come_again(redlock: Redlock, holds: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    while !stop.load(SeqCst) {
        let guard = redlock.lock("job").await.unwrap();
        holds.fetch_add(1, Relaxed);
        tokio::task::yield_now().await;
        guard.release().await.unwrap();
    }
}

/// How many holds of a busy client another one waits for, several times, where
/// both have so far to the nodes.
async fn holds_before_another_ones(hand_overs: u32, distance: Duration, turns: usize) {
    let cluster = start(3).await;
    let builder = |urls| Redlock::builder().nodes(urls).ttl(TTL).node_timeout(NODE_TIMEOUT);
    let (near, far) = (urls(&cluster, distance).await, urls(&cluster, distance).await);
    let busy = builder(near).hand_overs(hand_overs).build().unwrap();
    let other = builder(far).build().unwrap();
    connect(&other, 3).await;
    let (holds, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let tasks = (0..4)
        .map(|_| tokio::spawn(come_again(busy.clone(), Arc::clone(&holds), Arc::clone(&stop))));
    let tasks = try_join_all(tasks.collect::<Vec<_>>());
    for _ in 0..turns {
        let before = holds.load(Relaxed);
        eventually("it is busy", async || {
            let holds = holds.load(Relaxed);
            if holds > before + 20 { Ok(()) } else { Err(holds) }
        })
        .await;
        let before = holds.load(Relaxed);
        let locking = other.lock("job").into_future();
        let guard = within(LIMIT, "another one's turn", locking).await.unwrap();
        let meanwhile = holds.load(Relaxed) - before;
        let most = MOST_TURNS * (hand_overs as usize + 1);
        assert!(meanwhile <= most, "after {meanwhile} holds");
        guard.release().await.unwrap();
    }
    stop.store(true, SeqCst);
    within(LIMIT, "all end", tasks).await.unwrap();
    finish(&busy, &cluster).await;
}

#[tokio::test]
async fn who_hands_a_lock_on_is_not_the_only_one_to_have_it() {
    for hand_overs in [0, 2, 16] {
        holds_before_another_ones(hand_overs, Duration::ZERO, 20).await;
    }
}

/// Others hear of a release a round trip later, and that is how long they get.
#[tokio::test]
async fn nor_where_the_servers_are_far_off() {
    for hand_overs in [0, 4] {
        holds_before_another_ones(hand_overs, ms(5), 4).await;
    }
}
