//! Split votes: several get some nodes each and none a quorum. The one with the
//! home node's vote keeps what it has for a moment and asks for the rest.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use futures_util::{FutureExt as _, future::try_join_all};
use redlock_quorum::{Redlock, Released, testing::Cluster};

use crate::{
    cancel::{more, poll_times},
    support::{
        LIMIT, TTL, ask, assert_no_keys, builder, client, connect, eventually, everywhere, finish,
        ours_executed, run, set_up, sets_executed, start, take_elsewhere, within,
    },
};

async fn take_once(redlock: Redlock, held: Arc<AtomicBool>) {
    let guard = redlock.lock("job").await.unwrap();
    assert!(!held.swap(true, SeqCst), "two have it");
    guard.extend(TTL).await.unwrap(); // a round trip in which another might get it too
    assert!(guard.is_held());
    held.store(false, SeqCst);
    guard.release().await.unwrap();
}

async fn a_crowd_gets_one_lock_in_turn(nodes: usize, killed: usize) {
    let cluster = start(nodes).await;
    let (dead, alive) = cluster.nodes().split_at(killed);
    for node in dead {
        node.kill().await.unwrap();
    }
    let mut crowd = Vec::new();
    for _ in 0..20 {
        let redlock = client(&cluster);
        connect(&redlock, alive.len()).await;
        crowd.push(redlock);
    }
    let held = Arc::new(AtomicBool::new(false));
    let asking =
        crowd.iter().map(|redlock| tokio::spawn(take_once(redlock.clone(), Arc::clone(&held))));
    let asking = try_join_all(asking.collect::<Vec<_>>());
    within(LIMIT, "every one gets it", asking).await.unwrap();
    for node in dead {
        node.restart().await.unwrap();
    }
    for redlock in crowd {
        redlock.shutdown(LIMIT).await.unwrap();
    }
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn twenty_clients_get_one_lock_in_turn() {
    for nodes in [3, 4, 5] {
        a_crowd_gets_one_lock_in_turn(nodes, 0).await;
    }
}

#[tokio::test]
async fn twenty_clients_get_one_lock_in_turn_also_with_a_dead_node() {
    for nodes in [3, 4, 5] {
        a_crowd_gets_one_lock_in_turn(nodes, 1).await;
    }
}

/// Five nodes, of which another has three: so whoever asks for the lock gets
/// two votes, and one of them is the home node's.
struct Split {
    cluster: Cluster,
    free: [usize; 2],
    /// One of the three.
    taken: usize,
}

impl Split {
    /// Which node is the home node can be seen: who has its vote asks the
    /// others more than once.
    async fn stage() -> Self {
        let mut split = Self { cluster: start(5).await, free: [0, 1], taken: 2 };
        // A loaded machine may miss it: then once more.
        for first in (0..5).cycle().take(50) {
            split.free = [first, (first + 1) % 5];
            split.taken = (first + 2) % 5;
            split.take_the_others().await;
            let redlock = once(&split.cluster);
            connect(&redlock, 5).await;
            let (tries, rollbacks) = (split.tries().await, split.rollbacks().await);
            let waiting = ask(redlock.lock("job"));
            eventually("the votes are given back", async || {
                let seen = split.rollbacks().await;
                if seen > rollbacks { Ok(()) } else { Err(seen) }
            })
            .await;
            drop(waiting);
            if split.tries().await > tries + 1 {
                return split;
            }
        }
        panic!("no node is the home node");
    }

    async fn take_the_others(&self) {
        set_up(self.cluster.nodes(), "DEL job").await;
        for place in (0..5).filter(|place| !self.free.contains(place)) {
            take_elsewhere(&self.cluster.nodes()[place..=place], "job").await;
        }
    }

    async fn tries(&self) -> u64 {
        sets_executed(&self.cluster.nodes()[self.taken]).await
    }

    async fn rollbacks(&self) -> u64 {
        ours_executed(&self.cluster.nodes()[self.free[0]]).await
    }

    /// Whether no vote is out.
    async fn is_given_back(&self) -> Result<(), [i64; 2]> {
        let mut found = [0; 2];
        for (found, place) in found.iter_mut().zip(self.free) {
            *found = run(&self.cluster.nodes()[place], "EXISTS job").await.as_int().unwrap();
        }
        if found == [0, 0] { Ok(()) } else { Err(found) }
    }
}

/// A client whose waiters make one attempt, for the time of a test.
fn once(cluster: &Cluster) -> Redlock {
    builder(cluster).retry_delay(10_000 * LIMIT, 10_000 * LIMIT).build().unwrap()
}

/// How often votes that were kept were asked for in one attempt, at most.
const ALL_TRIES: u64 = 5;

#[tokio::test]
async fn votes_that_were_kept_are_given_back_when_the_waiter_is_dropped() {
    let split = Split::stage().await;
    let redlock = once(&split.cluster);
    connect(&redlock, 5).await;
    let (mut polls, mut between_tries) = (0, 0);
    while between_tries < 5 {
        let before = split.tries().await;
        let mut waiting = redlock.lock("job").into_future();
        assert!(poll_times(&mut waiting, polls).await.is_none(), "another has it");
        drop(waiting);
        // When this one is everywhere, all before it has been executed.
        let clock = redlock.lock("clock").await.unwrap();
        everywhere(&clock, &split.cluster).await;
        clock.release().await.unwrap();
        let tries = split.tries().await - before - 1;
        eventually("the votes are given back", async || split.is_given_back().await).await;
        between_tries += usize::from((2..ALL_TRIES).contains(&tries));
        if tries == ALL_TRIES {
            break;
        }
        polls = more(polls);
    }
    assert!(between_tries > 0, "it was never dropped while it kept its votes");
    set_up(split.cluster.nodes(), "DEL job").await;
    finish(&redlock, &split.cluster).await;
}

#[tokio::test]
async fn while_another_has_a_quorum_votes_are_kept_for_a_few_tries_only() {
    let split = Split::stage().await;
    let redlock = client(&split.cluster);
    connect(&redlock, 5).await;
    let mut waiting = ask(redlock.lock("job"));
    for _ in 0..3 {
        let before = split.tries().await;
        eventually("it keeps its votes and asks again", async || {
            let tries = split.tries().await;
            if tries >= before + 2 { Ok(()) } else { Err(tries) }
        })
        .await;
        eventually("the votes are given back", async || split.is_given_back().await).await;
        assert!((&mut waiting).now_or_never().is_none(), "another has it");
    }
    for place in (0..5).filter(|place| !split.free.contains(place)) {
        run(&split.cluster.nodes()[place], "DEL job").await;
    }
    let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &split.cluster).await;
}
