//! Those who listen to nothing and only poll, as other Redlock libraries do, get a lock
//! too that the tasks of one client of ours hand on to one another.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::{join_all, try_join_all};
use redlock_quorum::{
    Redlock,
    testing::{Reply, TestNode},
};
use tokio::time::sleep;

use crate::support::{LIMIT, builder, connect, eventually, finish, ms, start, within};

/// How often a poller tries at most until it is first once. It meets a free lock about
/// three times in ten.
const MOST_TRIES: usize = 200;

/// What the tasks of the busy client do.
#[derive(Default)]
struct Busy {
    held: AtomicBool,
    holds: AtomicUsize,
    stop: AtomicBool,
}

impl Busy {
    /// Takes the lock again and again.
    async fn come_again(self: Arc<Self>, redlock: Redlock) {
        while !self.stop.load(SeqCst) {
            let guard = redlock.lock("job").await.unwrap();
            assert!(!self.held.swap(true, SeqCst), "two have it");
            self.holds.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            self.held.store(false, SeqCst);
            guard.release().await.unwrap();
        }
    }

    /// Waits until the lock has gone from hand to hand for a while.
    async fn hands_on(&self) {
        let before = self.holds.load(SeqCst);
        eventually("it is busy", async || match self.holds.load(SeqCst) {
            holds if holds > before + 100 => Ok(()),
            holds => Err(holds),
        })
        .await;
    }
}

/// One try as other libraries make it: a SET on each node at once, and what was set is
/// taken back if that is no quorum. Says whether it is one.
async fn try_elsewhere(nodes: &[TestNode]) -> bool {
    let set = ["SET", "job", "a-poller", "NX", "PX", "600000"];
    let replies = join_all(nodes.iter().map(|node| node.command(&set))).await;
    let granted = replies.iter().filter(|reply| reply.as_ref().is_ok_and(Reply::is_ok)).count();
    let has_quorum = granted > nodes.len() / 2;
    if !has_quorum {
        release_elsewhere(nodes).await;
    }
    has_quorum
}

async fn release_elsewhere(nodes: &[TestNode]) {
    const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                           return redis.call('DEL', KEYS[1]) end return 0";
    let release = ["EVAL", RELEASE, "1", "job", "a-poller"];
    for reply in join_all(nodes.iter().map(|node| node.command(&release))).await {
        assert!(reply.unwrap().as_int().is_some());
    }
}

/// Polls as others do, until it has the lock.
async fn poll(nodes: &[TestNode]) {
    for _ in 0..MOST_TRIES {
        if try_elsewhere(nodes).await {
            return;
        }
        // This pause is what a poller does; nothing is awaited by it.
        sleep(ms(20)).await;
    }
    panic!("not in {MOST_TRIES} tries");
}

#[tokio::test]
async fn who_polls_gets_a_lock_that_a_busy_client_shares() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).share_with_pollers(true).build().unwrap();
    connect(&redlock, 3).await;
    let busy = Arc::new(Busy::default());
    let tasks = (0..8).map(|_| tokio::spawn(Arc::clone(&busy).come_again(redlock.clone())));
    let tasks = try_join_all(tasks.collect::<Vec<_>>());
    for _ in 0..5 {
        busy.hands_on().await;
        poll(cluster.nodes()).await;
        assert!(!busy.held.load(SeqCst), "two have it");
        release_elsewhere(cluster.nodes()).await;
    }
    busy.stop.store(true, SeqCst);
    within(LIMIT, "all end", tasks).await.unwrap();
    finish(&redlock, &cluster).await;
}
