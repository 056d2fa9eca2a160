//! Split votes: several get some nodes each and none a quorum. The one with the
//! home node's vote keeps what it has for a moment, looks who has the rest, and asks for
//! it, unless that is a holder or a contender that goes on before it.

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
        ours_executed, run, set_up, sets_executed, start, within,
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

/// What others have at the three nodes that are not free.
type Others = [&'static str; 3];

/// Votes of three contenders that stay, as those of clients that have died.
const VOTES: Others = ["one", "two", "three"];
/// A holder's value.
const HOLDER: Others = ["holder"; 3];

/// Five nodes, of which others have three: so whoever asks for the lock gets two votes,
/// and one of them is the home node's.
struct Split {
    cluster: Cluster,
    free: [usize; 2],
    /// The three.
    taken: [usize; 3],
}

impl Split {
    /// Which node is the home node can be seen: who has its vote asks the others more than
    /// once, where those have nobody's lock.
    async fn stage() -> Self {
        let mut split = Self { cluster: start(5).await, free: [0, 1], taken: [2, 3, 4] };
        // A loaded machine may miss it: then once more.
        for first in (0..5).cycle().take(50) {
            split.free = [first, (first + 1) % 5];
            split.taken = [2, 3, 4].map(|place| (first + place) % 5);
            split.take(VOTES).await;
            if split.insists().await {
                return split;
            }
        }
        panic!("no node is the home node");
    }

    /// Whether attempts keep their votes: several, since one that hears nothing of the home
    /// node on a loaded machine may take another for it.
    async fn insists(&self) -> bool {
        for _ in 0..3 {
            if self.asked_in_one_attempt().await <= 1 {
                return false;
            }
        }
        true
    }

    /// Leaves the key to others, as that.
    async fn take(&self, others: Others) {
        set_up(self.cluster.nodes(), "DEL job").await;
        for (place, value) in self.taken.into_iter().zip(others) {
            let set = format!("SET job {value} NX PX 600000");
            assert!(run(&self.cluster.nodes()[place], &set).await.is_ok());
        }
    }

    /// How often one attempt asks a node that refuses.
    async fn asked_in_one_attempt(&self) -> u64 {
        let redlock = once(&self.cluster);
        connect(&redlock, 5).await;
        let (tries, rollbacks) = (self.tries().await, self.rollbacks().await);
        let waiting = ask(redlock.lock("job"));
        eventually("the votes are given back", async || {
            let seen = self.rollbacks().await;
            if seen > rollbacks { Ok(()) } else { Err(seen) }
        })
        .await;
        drop(waiting);
        redlock.shutdown(LIMIT).await.unwrap();
        self.tries().await - tries
    }

    /// An attempt asks a node that refuses so often. On a loaded machine a node may be passed
    /// over that is late, or a look have no answer: then it is another number, and another
    /// attempt shows it. That it is never another without that, the stepper shows.
    async fn asks(&self, what: &str, so_often: impl Fn(u64) -> bool) {
        eventually(what, async || {
            let times = self.asked_in_one_attempt().await;
            if so_often(times) { Ok(()) } else { Err(times) }
        })
        .await;
    }

    async fn tries(&self) -> u64 {
        sets_executed(&self.cluster.nodes()[self.taken[0]]).await
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

    /// The others' time is over.
    async fn free_all(&self) {
        for place in self.taken {
            run(&self.cluster.nodes()[place], "DEL job").await;
        }
    }
}

/// A client whose waiters make one attempt, for the time of a test.
fn once(cluster: &Cluster) -> Redlock {
    builder(cluster).retry_delay(10_000 * LIMIT, 10_000 * LIMIT).build().unwrap()
}

/// How often a node that refuses is asked in one attempt, at most, where all looks find the
/// same votes there: once, after a first look, and after each of three that find nothing
/// new.
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
        assert!(poll_times(&mut waiting, polls).await.is_none(), "others have it");
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
async fn while_others_votes_stay_votes_are_kept_for_a_few_tries_only() {
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
        assert!((&mut waiting).now_or_never().is_none(), "others have it");
    }
    split.free_all().await;
    let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &split.cluster).await;
}

/// Asked a second time, the nodes of a holder would only refuse once more.
#[tokio::test]
async fn while_another_has_a_quorum_votes_are_given_back_at_the_first_look() {
    let split = Split::stage().await;
    split.take(HOLDER).await;
    split.asks("it knows after a look", |times| times == 1).await;
    eventually("the votes are given back", async || split.is_given_back().await).await;
    let redlock = client(&split.cluster);
    let waiting = ask(redlock.lock("job"));
    split.free_all().await;
    let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &split.cluster).await;
}

/// Another insists as well, with as many votes, since it takes another node for the home
/// node. No token of ours begins with these characters: all are greater than the one, and
/// less than the other.
#[tokio::test]
async fn of_two_that_insist_the_one_with_the_lesser_value_gives_way() {
    let split = Split::stage().await;
    split.take(["!", "!", "a-vote"]).await;
    split.asks("the lesser value is not given way to", |times| times > 2).await;
    split.take(["~", "~", "a-vote"]).await;
    // Once, and once more after the first look: only the second can tell who stays.
    split.asks("the greater value is given way to", |times| times == 2).await;
    eventually("the votes are given back", async || split.is_given_back().await).await;
    split.free_all().await;
    finish(&client(&split.cluster), &split.cluster).await;
}
