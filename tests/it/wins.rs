//! Several clients try once for a new lock at the same moment: one of them gets it, and
//! the others are told of nobody but that one.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use redlock_quorum::{
    Error, ErrorKind, LockGuard, Redlock, Released,
    testing::{Cluster, TestNode},
};
use tokio::sync::Barrier;

use crate::{
    http_stand::{Served, settings},
    support::{LIMIT, NODE_TIMEOUT, TTL, assert_no_keys, connect, ms, start, within},
};

const ROUNDS: usize = 36;

/// By so much more than the one before it each client's locks live.
const STEP: Duration = Duration::from_secs(60);

/// What a refusal may advise where nobody has the lock: a few round trips.
const A_MOMENT: Duration = ms(300);

/// What a refusal says where values were seen twice, on too few nodes to be a holder's.
const STAY: &str = "others' values";

/// What is wrong with the nodes, from the first round on.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    killed: usize,
    hung: usize,
    /// Every second client knows the nodes by another name, and in another order.
    other_names: bool,
}

/// The ttl of the client with that number: by it a refusal tells who has the lock.
fn ttl_of(client: usize) -> Duration {
    TTL + STEP * u32::try_from(client).unwrap()
}

/// The nodes' URLs as the client with that number knows them.
fn urls(cluster: &Cluster, client: usize, trouble: Trouble) -> Vec<String> {
    let mut urls = cluster.urls();
    if trouble.other_names && client % 2 == 1 {
        urls.reverse();
        urls.iter_mut().for_each(|url| *url = url.replace("127.0.0.1", "localhost"));
    }
    urls
}

async fn contenders(cluster: &Cluster, count: usize, trouble: Trouble) -> Vec<Redlock> {
    let mut contenders = Vec::new();
    for number in 0..count {
        let builder = Redlock::builder().nodes(urls(cluster, number, trouble));
        let builder = builder.ttl(ttl_of(number)).node_timeout(NODE_TIMEOUT);
        let redlock = builder.build().unwrap();
        connect(&redlock, cluster.len()).await;
        contenders.push(redlock);
    }
    contenders
}

/// One round: all of them try for `key` once, and keep what they got.
async fn race(contenders: &[Redlock], key: &str) -> Vec<Result<LockGuard, Error>> {
    let barrier = Arc::new(Barrier::new(contenders.len()));
    let trying = contenders.iter().map(|redlock| {
        let (trying, barrier) = (redlock.try_lock(key), Arc::clone(&barrier));
        tokio::spawn(async move {
            barrier.wait().await;
            trying.await
        })
    });
    let trying = join_all(trying.collect::<Vec<_>>());
    let tried = within(LIMIT, "all of them are told", trying).await;
    tried.into_iter().map(Result::unwrap).collect()
}

/// A refusal tells how long the winner may still have the lock, or that it is worth
/// another try at once, or when whoever insists will have given its votes back; never how
/// long a loser's votes would have lived.
fn is_told_of_nobody_else(error: &Error, winner: usize) {
    assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
    let Some(after) = error.retry_after() else { return };
    let of_winner = after <= ttl_of(winner) && after > ttl_of(winner) - STEP;
    // On a slow machine a winner may insist for as long as a loser may look.
    let of_nobody = after <= A_MOMENT || after == NODE_TIMEOUT && error.to_string().contains(STAY);
    assert!(of_nobody || of_winner, "{winner} has won: {after:?}: {error}");
}

async fn one_wins_each_round(nodes: usize, clients: usize, trouble: Trouble) {
    let cluster = start(nodes).await;
    let contenders = contenders(&cluster, clients, trouble).await;
    let (dead, alive) = cluster.nodes().split_at(trouble.killed);
    let hung = &alive[..trouble.hung];
    fail(dead, hung).await;
    for round in 0..ROUNDS {
        let tried = race(&contenders, &format!("job-{round}")).await;
        let winners: Vec<_> = (0..clients).filter(|place| tried[*place].is_ok()).collect();
        let told: Vec<_> = tried.iter().filter_map(|tried| tried.as_ref().err()).collect();
        let [winner] = winners[..] else { panic!("{trouble:?} {round}: {winners:?}: {told:?}") };
        told.into_iter().for_each(|error| is_told_of_nobody_else(error, winner));
        for guard in tried.into_iter().flatten() {
            assert!(guard.is_held());
            assert_eq!(guard.release().await.unwrap(), Released::Released);
        }
    }
    heal(dead, hung).await;
    for redlock in contenders {
        redlock.shutdown(LIMIT).await.unwrap();
    }
    assert_no_keys(&cluster).await;
}

async fn fail(dead: &[TestNode], hung: &[TestNode]) {
    for node in dead {
        node.kill().await.unwrap();
    }
    for node in hung {
        node.pause().await.unwrap();
    }
}

async fn heal(dead: &[TestNode], hung: &[TestNode]) {
    for node in hung {
        node.resume().await.unwrap();
    }
    for node in dead {
        node.restart().await.unwrap();
    }
}

async fn one_wins(nodes: usize, trouble: Trouble) {
    for clients in [3, 5, 16] {
        one_wins_each_round(nodes, clients, trouble).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_that_try_at_once_one_wins() {
    for nodes in [3, 5] {
        one_wins(nodes, Trouble::default()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_where_a_node_is_dead() {
    for nodes in [3, 5] {
        one_wins(nodes, Trouble { killed: 1, ..Trouble::default() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_where_a_node_hangs() {
    for nodes in [3, 5] {
        one_wins(nodes, Trouble { hung: 1, ..Trouble::default() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_where_one_node_is_dead_and_another_hangs() {
    one_wins(5, Trouble { killed: 1, hung: 1, other_names: false }).await;
}

/// They may not agree then on who goes on after a split vote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_where_they_know_the_nodes_by_other_names() {
    for (nodes, killed, hung) in [(3, 0, 0), (5, 0, 0), (3, 1, 0), (3, 0, 1), (5, 1, 1)] {
        one_wins(nodes, Trouble { killed, hung, other_names: true }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn also_over_http() {
    let cluster = start(3).await;
    let contenders = contenders(&cluster, 5, Trouble::default()).await;
    let serving = contenders.into_iter().map(|redlock| Served::of(redlock, settings()));
    let services = join_all(serving).await;
    fail(&cluster.nodes()[..1], &[]).await;
    for round in 0..ROUNDS {
        let wanted = format!("key=job-{round}");
        let asked = join_all(services.iter().map(|service| service.form("/lock", &wanted))).await;
        let won = asked.iter().filter(|answer| answer.status == 200).count();
        let refused = asked.iter().filter(|answer| answer.status == 409).count();
        assert_eq!((won, refused), (1, 4), "{round}: {asked:?}");
    }
}
