//! Tasks of one client that want one lock stand in line for it, first come
//! first served, and one of them competes with other clients.

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use redlock_quorum::{ErrorKind, LockGuard, Redlock, testing::Cluster};

use crate::{
    cancel::gone,
    support::{
        LIMIT, Locking, TTL, WITHOUT_WAITING, ask, ask_in_turn, asked, builder, client, connect,
        everywhere, finish, ms, seen, start, within,
    },
};

/// Lets all who wait have the lock, and says in which order they got it.
async fn order_of(waiting: impl IntoIterator<Item = (usize, Locking)>) -> Vec<usize> {
    let numbered = waiting.into_iter();
    let mut waiting: FuturesUnordered<_> =
        numbered.map(async |(number, locking)| (number, locking.await.unwrap())).collect();
    let mut order = Vec::new();
    while let Some((number, guard)) = within(LIMIT, "the next one's turn", waiting.next()).await {
        order.push(number);
        guard.release().await.unwrap();
    }
    order
}

/// The client itself, and another: who may have the lock that it waits for.
fn holders(redlock: &Redlock, cluster: &Cluster) -> [Redlock; 2] {
    [redlock.clone(), client(cluster)]
}

async fn hold(holder: &Redlock, cluster: &Cluster) -> LockGuard {
    // A release that comes later than this would keep a node from granting.
    gone(cluster.nodes(), "job").await;
    let guard = holder.lock("job").wait(LIMIT).await.unwrap();
    everywhere(&guard, cluster).await;
    guard
}

#[tokio::test]
async fn tasks_of_one_client_get_a_lock_in_the_order_in_which_they_came() {
    let cluster = start(3).await;
    for hand_overs in [0, 3, 16] {
        let redlock = builder(&cluster).hand_overs(hand_overs).build().unwrap();
        for holder in holders(&redlock, &cluster) {
            let held = hold(&holder, &cluster).await;
            let waiting = ask_in_turn(&redlock, "job", 8);
            held.release().await.unwrap();
            let order = order_of(waiting.into_iter().enumerate()).await;
            assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7], "{hand_overs} hand-overs");
        }
        finish(&redlock, &cluster).await;
    }
}

#[tokio::test]
async fn who_is_dropped_is_passed_over_and_the_others_keep_their_places() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let dropped: [&[usize]; 5] = [&[0], &[2], &[4], &[0, 2, 4], &[1, 2, 3]];
    for (turn, gone) in dropped.into_iter().enumerate() {
        for holder in holders(&redlock, &cluster) {
            let held = hold(&holder, &cluster).await;
            let mut waiting: Vec<_> =
                ask_in_turn(&redlock, "job", 5).into_iter().enumerate().collect();
            if turn % 2 == 0 {
                seen(&redlock).await;
            }
            waiting.retain(|(number, _)| !gone.contains(number));
            let left: Vec<_> = waiting.iter().map(|(number, _)| *number).collect();
            held.release().await.unwrap();
            assert_eq!(order_of(waiting).await, left, "without {gone:?}");
        }
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn while_a_client_has_a_lock_its_own_waiters_ask_no_node() {
    let cluster = start(3).await;
    let eager = builder(&cluster).retry_delay(ms(1), ms(1)).build().unwrap();
    let held = hold(&eager, &cluster).await;
    let waiting = ask_in_turn(&eager, "job", 8);
    // Who tries every millisecond would try often meanwhile.
    let clock = client(&cluster);
    connect(&clock, 3).await;
    let before = asked(&cluster).await;
    let rounds = 300;
    for _ in 0..rounds {
        clock.lock("other").await.unwrap().release().await.unwrap();
    }
    clock.shutdown(LIMIT).await.unwrap();
    let of_the_clock = asked(&cluster).await - before;
    assert!(of_the_clock <= rounds * 2 * 3, "the waiters asked too: {of_the_clock}");
    drop((held, waiting));
    finish(&eager, &cluster).await;
}

#[tokio::test]
async fn a_line_has_so_many_places_and_they_are_free_again() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).max_waiters(2).build().unwrap();
    let held = hold(&redlock, &cluster).await;
    let mut waiting = ask_in_turn(&redlock, "job", 2);
    let third = redlock.lock("job").wait(LIMIT).into_future();
    let error = within(WITHOUT_WAITING, "it is refused at once", third).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("lock `job`"), "{error}");
    assert!(error.to_string().contains('2'), "{error}");

    let other = redlock.lock("other").await.unwrap();
    let for_other = ask_in_turn(&redlock, "other", 2);
    other.release().await.unwrap();
    assert_eq!(order_of(for_other.into_iter().enumerate()).await, [0, 1], "another key's line");

    held.release().await.unwrap();
    let served = within(LIMIT, "the first one's turn", waiting.remove(0)).await.unwrap();
    waiting.push(ask(redlock.lock("job")));
    served.release().await.unwrap();
    assert_eq!(order_of(waiting.into_iter().enumerate()).await, [0, 1], "a place was free");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_wait_that_runs_out_in_the_line_leaves_the_others_their_places() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for (holder, ours) in holders(&redlock, &cluster).into_iter().zip([true, false]) {
        let held = hold(&holder, &cluster).await;
        let mut waiting = ask_in_turn(&redlock, "job", 2);
        let short = ask(redlock.lock("job").wait(ms(100)));
        waiting.extend(ask_in_turn(&redlock, "job", 2));
        let error = within(WITHOUT_WAITING, "the wait ends", short).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        if ours {
            let left = error.retry_after().expect("this client knows");
            assert!((TTL - LIMIT..=TTL).contains(&left), "{left:?}");
        }
        held.release().await.unwrap();
        assert_eq!(order_of(waiting.into_iter().enumerate()).await, [0, 1, 2, 3]);
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_tries_once_does_not_stand_in_line() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).max_waiters(2).build().unwrap();
    for holder in holders(&redlock, &cluster) {
        let held = hold(&holder, &cluster).await;
        let waiting = ask_in_turn(&redlock, "job", 2);
        seen(&redlock).await;
        let trying = redlock.try_lock("job").into_future();
        let error = within(WITHOUT_WAITING, "it is told at once", trying).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contended, "{error}");
        held.release().await.unwrap();
        assert_eq!(order_of(waiting.into_iter().enumerate()).await, [0, 1]);
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_is_dropped_leaves_a_place_to_another() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).max_waiters(2).build().unwrap();
    let held = hold(&redlock, &cluster).await;
    let mut waiting = ask_in_turn(&redlock, "job", 2);
    seen(&redlock).await;
    drop(waiting.remove(0));
    waiting.push(ask(redlock.lock("job")));
    held.release().await.unwrap();
    assert_eq!(order_of(waiting.into_iter().enumerate()).await, [0, 1]);
    finish(&redlock, &cluster).await;
}

/// Those who were dropped were taken out of the line, and their patience with
/// them: it must not end for another, who came later.
#[tokio::test]
async fn the_patience_of_who_is_gone_ends_for_nobody_else() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let held = hold(&redlock, &cluster).await;
    let short = ms(1500);
    let gone: Vec<_> = (0..64).map(|_| ask(redlock.lock("job").wait(short))).collect();
    seen(&redlock).await;
    drop(gone);
    let next = ask(redlock.lock("job"));
    drop(held);
    within(LIMIT, "the next one's turn", next).await.unwrap().release().await.unwrap();
    let held = redlock.lock("job").await.unwrap();
    let mut waiting = ask(redlock.lock("job").wait(LIMIT));
    let first = ask(redlock.lock("job").wait(2 * short));
    let error = within(LIMIT, "its own patience ends", first).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!((&mut waiting).now_or_never().is_none(), "and not that of another");
    drop(held);
    within(LIMIT, "the next one's turn", waiting).await.unwrap().release().await.unwrap();
    finish(&redlock, &cluster).await;
}
