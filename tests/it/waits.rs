//! Who waits behind a holder that will tell of its release does not ask meanwhile; who
//! waits behind anybody else's value, or may not have heard of a release, asks often.

use redlock_quorum::{
    Redlock,
    testing::{Cluster, TestNode},
};

use crate::support::{
    LIMIT, WITHOUT_WAITING, builder, client, connect, eventually, everywhere, finish, got,
    listening, ms, set_up, sets_executed, start, wait_for, within,
};

/// A value as other libraries make it.
const UUID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// How often a lock is had that would each time be had only after seconds, if who waits
/// for it slept as long as behind a holder that will tell: together that is more than
/// [`LIMIT`], within which it must be.
const TIMES: usize = 10;

/// A client whose waiters ask every few milliseconds, unless they know better.
fn eager(cluster: &Cluster) -> Redlock {
    builder(cluster).retry_delay(ms(1), ms(4)).build().unwrap()
}

async fn sets(nodes: &[TestNode]) -> u64 {
    let mut sum = 0;
    for node in nodes {
        sum += sets_executed(node).await;
    }
    sum
}

/// Another client gets and releases another lock so often. Says how many acquires the
/// nodes have executed meanwhile besides those.
async fn meanwhile(other: &Redlock, cluster: &Cluster, rounds: u64) -> u64 {
    let before = sets(cluster.nodes()).await;
    for _ in 0..rounds {
        let guard = other.lock("other").await.unwrap();
        // All its acquires are executed, so none counts for the next one.
        everywhere(&guard, cluster).await;
        guard.release().await.unwrap();
    }
    let own = rounds * cluster.len() as u64;
    sets(cluster.nodes()).await - before - own
}

/// Waits until a waiter shows that it asks again and again, and says in how many rounds of
/// another lock it did so often enough.
async fn asks_often(other: &Redlock, cluster: &Cluster) -> u64 {
    let (mut rounds, mut asked) = (0, 0);
    eventually("it asks again and again", async || {
        asked += meanwhile(other, cluster, 10).await;
        rounds += 10;
        if asked >= 20 { Ok(rounds) } else { Err(asked) }
    })
    .await
}

/// Waits until a waiter does not ask at all for so many rounds of another lock.
async fn does_not_ask(other: &Redlock, cluster: &Cluster, rounds: u64) {
    eventually("who will be told does not ask", async || {
        match meanwhile(other, cluster, rounds).await {
            0 => Ok(()),
            asked => Err(asked),
        }
    })
    .await;
}

async fn take_as_others(cluster: &Cluster, key: &str) {
    set_up(cluster.nodes(), &format!("SET {key} {UUID} NX PX 600000")).await;
}

#[tokio::test]
async fn behind_a_holder_that_will_tell_nobody_asks() {
    for nodes in [3, 5] {
        let cluster = start(nodes).await;
        let (holder, other, waiter) = (client(&cluster), client(&cluster), eager(&cluster));
        connect(&other, nodes).await;
        // How many rounds that takes in which it would have asked, were it not told.
        take_as_others(&cluster, "foreign").await;
        let waiting = wait_for(&waiter, "foreign");
        let rounds = asks_often(&other, &cluster).await.max(50);
        set_up(cluster.nodes(), "DEL foreign").await;
        got(waiting).await.release().await.unwrap();

        for _ in 0..TIMES {
            let guard = holder.lock("job").await.unwrap();
            everywhere(&guard, &cluster).await;
            let waiting = wait_for(&waiter, "job");
            does_not_ask(&other, &cluster, rounds).await;
            assert!(!waiting.is_finished());
            guard.release().await.unwrap();
            // By itself it asks five to ten seconds after the last time: not so soon ten times
            // in a row.
            let told = within(2 * WITHOUT_WAITING, "who waits is told", got(waiting)).await;
            told.release().await.unwrap();
        }
        for redlock in [holder, other, waiter] {
            finish(&redlock, &cluster).await;
        }
    }
}

#[tokio::test]
async fn behind_a_value_of_another_library_it_asks_until_that_is_gone() {
    let cluster = start(3).await;
    let (other, waiter) = (client(&cluster), eager(&cluster));
    connect(&other, 3).await;
    let it_is_had = async {
        for _ in 0..TIMES {
            take_as_others(&cluster, "job").await;
            let waiting = wait_for(&waiter, "job");
            listening(cluster.nodes(), "job").await;
            asks_often(&other, &cluster).await;
            assert!(!waiting.is_finished());
            set_up(cluster.nodes(), "DEL job").await;
            got(waiting).await.release().await.unwrap();
        }
    };
    within(LIMIT, "it finds the lock free", it_is_had).await;
    for redlock in [other, waiter] {
        finish(&redlock, &cluster).await;
    }
}

/// What was published while nobody listened was not heard: who waits looks for itself,
/// also where nothing was published at all.
#[tokio::test]
async fn who_may_have_missed_a_release_asks_again() {
    let cluster = start(3).await;
    let (holder, other, waiter) = (client(&cluster), client(&cluster), eager(&cluster));
    connect(&other, 3).await;
    let it_is_had = async {
        for _ in 0..TIMES {
            let guard = holder.lock("job").await.unwrap();
            everywhere(&guard, &cluster).await;
            let waiting = wait_for(&waiter, "job");
            listening(cluster.nodes(), "job").await;
            does_not_ask(&other, &cluster, 20).await;
            set_up(cluster.nodes(), "CLIENT KILL TYPE pubsub").await;
            set_up(cluster.nodes(), "DEL job").await;
            got(waiting).await.release().await.unwrap();
            guard.forget();
        }
    };
    within(LIMIT, "it looks for itself", it_is_had).await;
    for redlock in [holder, other, waiter] {
        finish(&redlock, &cluster).await;
    }
}
