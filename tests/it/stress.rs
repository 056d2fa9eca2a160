//! A crowd at two locks, with everything that may go wrong at once: never two
//! holders, and nothing is left.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use futures_util::future::try_join_all;
use redlock_quorum::{ErrorKind, LockGuard, Redlock, Released};
use tokio::time::{sleep, timeout};

use crate::support::{LIMIT, assert_no_keys, builder, connect, eventually, ms, start, within};

const KEYS: [&str; 2] = ["left", "right"];
const CLIENTS: u64 = 3;
const TASKS: u64 = 8;
const TURNS: usize = 20;

/// The same numbers in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Who has each key, as all holders together know it.
#[derive(Default)]
struct Truth {
    held: [AtomicBool; 2],
    holds: AtomicUsize,
}

/// Asks for the lock, patiently or not.
async fn acquire(redlock: &Redlock, key: &str, dice: &mut Dice) -> Option<LockGuard> {
    let acquire = redlock.lock(key);
    match dice.below(4) {
        0 => timeout(ms(dice.below(10)), acquire.into_future()).await.ok().map(Result::unwrap),
        1 => match acquire.wait(ms(1 + dice.below(20))).await {
            Ok(guard) => Some(guard),
            // A node hangs now and then, and the machine may be loaded.
            Err(error) => {
                let kinds = [ErrorKind::Timeout, ErrorKind::NoQuorum];
                assert!(kinds.contains(&error.kind()), "{error:?}");
                None
            }
        },
        _ => Some(acquire.await.unwrap()),
    }
}

async fn visit(redlock: Redlock, truth: Arc<Truth>, mut dice: Dice) {
    for _ in 0..TURNS {
        let place = usize::from(dice.below(2) == 1);
        let Some(guard) = acquire(&redlock, KEYS[place], &mut dice).await else { continue };
        assert!(!truth.held[place].swap(true, SeqCst), "two have {}", KEYS[place]);
        match dice.below(4) {
            0 => {}
            1 => tokio::task::yield_now().await,
            millis => sleep(ms(millis)).await,
        }
        assert!(guard.is_held(), "{:?}", guard.remaining());
        truth.held[place].store(false, SeqCst);
        truth.holds.fetch_add(1, SeqCst);
        match dice.below(3) {
            0 => drop(guard),
            1 => drop(timeout(ms(0), guard.release()).await),
            _ => match guard.release().await {
                Ok(released) => assert_eq!(released, Released::Released),
                Err(error) => assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}"),
            },
        }
    }
}

async fn more_holds(truth: &Truth) {
    let before = truth.holds.load(SeqCst);
    eventually("the crowd gets on", async || {
        let holds = truth.holds.load(SeqCst);
        if holds >= before + 20 { Ok(()) } else { Err(holds) }
    })
    .await;
}

async fn a_crowd(seed: u64) {
    let cluster = start(3).await;
    let truth = Arc::new(Truth::default());
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        // A split vote waits for the hung node, so briefly.
        let redlock = builder(&cluster).node_timeout(ms(100)).build().unwrap();
        connect(&redlock, 3).await;
        clients.push(redlock);
    }
    let visits = (0..CLIENTS * TASKS).map(|task| {
        let redlock = clients[usize::try_from(task % CLIENTS).unwrap()].clone();
        tokio::spawn(visit(redlock, Arc::clone(&truth), Dice(seed * 1000 + task)))
    });
    let crowd = try_join_all(visits.collect::<Vec<_>>());
    let faults = async {
        loop {
            for node in cluster.nodes() {
                node.pause().await.unwrap();
                more_holds(&truth).await;
                node.resume().await.unwrap();
                more_holds(&truth).await;
            }
        }
    };
    tokio::select! {
        ended = within(4 * LIMIT, "all tasks end", crowd) => drop(ended.unwrap()),
        () = faults => unreachable!("it goes on"),
    }
    for node in cluster.nodes() {
        node.resume().await.unwrap();
    }
    for redlock in clients {
        redlock.shutdown(LIMIT).await.unwrap();
    }
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_crowd_on_one_thread_never_holds_a_lock_twice() {
    a_crowd(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_on_two_threads_never_holds_a_lock_twice() {
    a_crowd(2).await;
}
