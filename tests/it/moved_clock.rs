//! A clock that a test moves: expiry, renewal and loss as they would be in that time, in
//! none. The nodes are in memory, whatever the other tests' are made of.

use std::{
    future::IntoFuture as _,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use redlock_quorum::{
    Builder, ErrorKind, Redlock, Released,
    testing::{Backend, Clock, Cluster, FixtureError},
};
use tokio::join;

use crate::support::{LIMIT, assert_no_keys, everywhere, ms, set_up, start, within};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

async fn moved(clock: &Clock) -> Cluster {
    Cluster::builder().clock(clock).start().await.unwrap()
}

fn builder(cluster: &Cluster, clock: &Clock) -> Builder {
    Redlock::builder().nodes(cluster.urls()).clock(clock)
}

fn client(cluster: &Cluster, clock: &Clock) -> Redlock {
    builder(cluster, clock).build().unwrap()
}

#[tokio::test]
async fn a_lock_ends_when_its_time_is_over_and_not_before() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let [holder, other] = [(); 2].map(|()| client(&cluster, &clock));
    let guard = holder.lock("job").ttl(60 * SECOND).await.unwrap();
    clock.advance(50 * SECOND).await;
    assert!(guard.is_held() && guard.remaining() <= 10 * SECOND, "{:?}", guard.remaining());
    let refused = other.try_lock("job").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Contended);
    assert!(refused.retry_after().unwrap() <= 10 * SECOND, "{refused:?}");
    clock.advance(10 * SECOND).await;
    guard.lost().await;
    other.try_lock("job").await.unwrap().release().await.unwrap();
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_lock_that_renews_itself_outlives_days() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let redlock = client(&cluster, &clock);
    let guard = redlock.lock("job").ttl(60 * SECOND).renew().await.unwrap();
    let bounded = redlock.lock("other").renew().max_hold(2 * HOUR).await.unwrap();
    clock.advance(HOUR).await;
    assert!(guard.is_held() && bounded.is_held() && guard.warning().is_none());
    clock.advance(2 * HOUR).await;
    assert!(guard.is_held() && !bounded.is_held());
    guard.release().await.unwrap();
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_lock_is_lost_with_its_majority_and_its_work_is_stopped() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let redlock = client(&cluster, &clock);
    let pending =
        redlock.lock("job").ttl(60 * SECOND).renew().run(|_| std::future::pending::<()>());
    let (worked, ()) = join!(pending, async {
        clock.advance(HOUR).await;
        for node in &cluster.nodes()[..2] {
            node.kill().await.unwrap();
        }
        clock.advance(60 * SECOND).await;
    });
    assert_eq!(worked.unwrap_err().kind(), ErrorKind::Lost);
    for node in &cluster.nodes()[..2] {
        node.restart().await.unwrap();
    }
    // They are asked for no lock while one that they granted before might live.
    clock.advance(63 * SECOND).await;
    redlock.try_lock("job").await.unwrap().release().await.unwrap();
}

/// Tasks that stand in line, each of which holds the lock for as long as it may.
#[tokio::test]
async fn those_who_wait_come_in_turn() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let clients = [(); 3].map(|()| client(&cluster, &clock));
    let held = &AtomicUsize::new(0);
    let hold = async |redlock: &Redlock| {
        let guard = redlock.lock("job").ttl(60 * SECOND).wait(HOUR).await.unwrap();
        held.fetch_add(1, Ordering::Relaxed);
        guard.lost().await;
    };
    let [a, b, c] = &clients;
    let moving = async {
        for turn in 1..=3 {
            clock.advance(SECOND).await;
            assert_eq!(held.load(Ordering::Relaxed), turn);
            clock.advance(60 * SECOND).await;
        }
    };
    join!(hold(a), hold(b), hold(c), moving);
}

#[tokio::test]
async fn a_hung_node_costs_its_timeout_and_answers_when_it_goes_on() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let redlock = builder(&cluster, &clock).node_timeout(ms(50)).build().unwrap();
    redlock.try_lock("warm").await.unwrap().release().await.unwrap();
    for node in &cluster.nodes()[..2] {
        node.pause().await.unwrap();
    }
    // Nobody moves the clock.
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    for node in &cluster.nodes()[..2] {
        node.resume().await.unwrap();
    }
    clock.advance(SECOND).await;
    redlock.try_lock("job").await.unwrap().release().await.unwrap();
    redlock.shutdown(LIMIT).await.unwrap();
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_driver_on_a_thread_is_waited_for_as_well() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let redlock = builder(&cluster, &clock).driver_thread().build().unwrap();
    let guard = redlock.lock("job").ttl(60 * SECOND).renew().await.unwrap();
    clock.advance(HOUR).await;
    assert!(guard.is_held() && guard.remaining() > 30 * SECOND, "{:?}", guard.remaining());
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_tokio_is_another_one() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let redlock = client(&cluster, &clock);
    let guard = redlock.lock("job").ttl(60 * SECOND).await.unwrap();
    tokio::time::sleep(HOUR).await;
    assert!(guard.is_held());
    clock.advance(60 * SECOND).await;
    assert!(!guard.is_held());
}

#[tokio::test]
async fn a_client_whose_driver_is_gone_is_not_waited_for() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let redlock = client(&cluster, &clock);
    let guard = redlock.lock("job").await.unwrap();
    redlock.shutdown(LIMIT).await.unwrap();
    drop((guard, redlock));
    clock.advance(HOUR).await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_task_that_never_pauses_does_not_stop_the_clock() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    let redlock = client(&cluster, &clock);
    let held = redlock.lock("held").ttl(5 * SECOND).await.unwrap();
    let (busy, again) = (redlock.clone(), redlock.clone());
    let locking = tokio::spawn(async move {
        loop {
            busy.lock("job").await.unwrap().release().await.unwrap();
        }
    });
    let trying = tokio::spawn(async move {
        while again.try_lock("held").await.is_err() {
            tokio::task::yield_now().await;
        }
    });
    within(LIMIT, "it goes on", clock.advance(5 * SECOND)).await;
    assert!(!held.is_held());
    within(LIMIT, "it has the lock", trying).await.unwrap();
    locking.abort();
}

/// Right after it was built, before its thread has done anything.
#[tokio::test]
async fn a_driver_on_a_thread_that_has_just_begun_is_waited_for() {
    let clock = Clock::new();
    let cluster = moved(&clock).await;
    for _ in 0..50 {
        let redlock = builder(&cluster, &clock).driver_thread().build().unwrap();
        let acquire = redlock.lock("job").wait(60 * SECOND).into_future();
        let (guard, ()) = join!(acquire, clock.advance(HOUR));
        guard.unwrap().release().await.unwrap();
    }
}

#[tokio::test]
async fn nodes_that_it_does_not_move_are_refused() {
    let clock = Clock::new();
    let cluster = start(3).await;
    let redlock = Redlock::builder().nodes(cluster.urls()).clock(&clock).build().unwrap();
    let error = redlock.try_lock("job").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum);
    assert!(error.to_string().contains("Cluster::builder().clock(&clock)"), "{error}");

    let asked = Cluster::builder().clock(&clock).backend(Backend::Process).start().await;
    let refused = asked.unwrap_err();
    assert!(matches!(refused, FixtureError::Unavailable { .. }), "{refused}");
}

/// An extension that came to one node alone keeps nobody waiting: what was seen at the others has
/// ended since.
#[tokio::test]
async fn a_lock_that_goes_on_living_at_one_node_is_free_when_it_has_ended_at_the_others() {
    for node in 0..3 {
        let clock = Clock::new();
        let cluster = Cluster::builder().nodes(3).clock(&clock).start().await.unwrap();
        let [holder, other] = [(); 2].map(|()| client(&cluster, &clock));
        let guard = holder.lock("job").ttl(4 * SECOND).await.unwrap();
        everywhere(&guard, &cluster).await;
        let waiting = tokio::spawn(other.lock("job").into_future());
        clock.advance(3 * SECOND).await;
        set_up(&cluster.nodes()[node..=node], "PEXPIRE job 600000").await;
        std::mem::forget(guard); // as one that has crashed
        // Less than a waiter asks nobody where it knows a holder.
        clock.advance(2 * SECOND).await;
        assert!(waiting.is_finished(), "it stays at node {node}");
        drop(within(LIMIT, "the lock", waiting).await.unwrap().unwrap());
    }
}

/// The client that had it before may have lengthened it and not know of it: its call was dropped.
#[tokio::test]
async fn a_lock_that_was_taken_over_is_released_where_it_lives_longer_than_its_parts_say() {
    for is_adopted in [true, false] {
        let clock = Clock::new();
        let cluster = Cluster::builder().nodes(3).clock(&clock).start().await.unwrap();
        let [holder, other] =
            [(); 2].map(|()| builder(&cluster, &clock).max_ttl(600 * SECOND).build().unwrap());
        let guard = holder.lock("job").ttl(4 * SECOND).await.unwrap();
        everywhere(&guard, &cluster).await;
        let parts = guard.into_parts();
        set_up(&cluster.nodes()[2..], "PEXPIRE job 300000").await;
        cluster.nodes()[2].pause().await.unwrap();
        let guard = match is_adopted {
            true => other.adopt(parts).unwrap(),
            false => other.resume("job", parts.token, 4 * SECOND).await.unwrap(),
        };
        assert_eq!(guard.release().await.unwrap(), Released::Released);
        clock.advance(60 * SECOND).await;
        cluster.nodes()[2].resume().await.unwrap();
        // Longer than the pauses between its attempts to connect, and to release.
        clock.advance(10 * SECOND).await;
        assert_no_keys(&cluster).await;
    }
}
