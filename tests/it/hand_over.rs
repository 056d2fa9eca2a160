//! A released lock goes straight to the next task of this client that waits for
//! it: the same key and token, in one round.

use std::time::Duration;

use futures_util::FutureExt as _;
use redlock_quorum::{ErrorKind, Released, testing::Cluster};
use tokio::sync::oneshot;

use crate::{
    cancel::{for_every_number_of_polls, gone, poll_times},
    support::{
        LIMIT, TTL, WITHOUT_WAITING, ask, ask_in_turn, asked, builder, client, connect, eventually,
        everywhere, finish, ms, run, run_on, scripts_executed, seen, set_up, start, within,
    },
};

/// The token that the first node has: another one for each real acquire.
async fn token(cluster: &Cluster) -> Vec<u8> {
    let value = run(&cluster.nodes()[0], "GET job").await;
    value.as_bytes().expect("the lock is held").to_vec()
}

/// What a hold and the next one's acquire cost, in commands.
async fn commands_between_two_holders(hand_overs: u32) -> u64 {
    let cluster = start(5).await;
    let redlock = builder(&cluster).hand_overs(hand_overs).build().unwrap();
    connect(&redlock, 5).await;
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    // Once for the nodes to learn the script. A hand-over would begin a row, which may be
    // at its end by time before the one that is counted.
    held.extend(TTL).await.unwrap();
    everywhere(&held, &cluster).await;
    let before = asked(&cluster).await;
    let waiting = ask(redlock.lock("job").ttl(2 * TTL));
    assert_eq!(held.release().await.unwrap(), Released::Released);
    let guard = within(WITHOUT_WAITING, "it goes on at once", waiting).await.unwrap();
    everywhere(&guard, &cluster).await;
    let commands = asked(&cluster).await - before;
    assert!(guard.remaining() > TTL, "{:?}", guard.remaining());
    for reply in run_on(cluster.nodes(), "PTTL job").await {
        let left = Duration::from_millis(reply.as_int().unwrap().try_into().unwrap());
        assert!(left > TTL, "{left:?}");
    }
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
    commands
}

#[tokio::test]
async fn handing_a_lock_on_takes_one_round_instead_of_two() {
    assert_eq!(commands_between_two_holders(16).await, 5);
    assert_eq!(commands_between_two_holders(0).await, 10);
}

#[tokio::test]
async fn a_lock_is_not_handed_on_to_who_wants_it_for_less_time_than_its_key_lives() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let waiting = ask(redlock.lock("job").ttl(LIMIT));
    let before = token(&cluster).await;
    assert_eq!(held.release().await.unwrap(), Released::Released);
    let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
    everywhere(&guard, &cluster).await;
    assert_ne!(token(&cluster).await, before, "it was released");
    for reply in run_on(cluster.nodes(), "PTTL job").await {
        let left = Duration::from_millis(reply.as_int().unwrap().try_into().unwrap());
        assert!(left <= LIMIT, "{left:?}");
    }
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_dropped_guard_is_handed_on_to_one_that_can_do_all_that_guards_can() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let before = token(&cluster).await;
    let waiting = ask(redlock.lock("job").ttl(2 * TTL).renew_every(ms(20)));
    drop(held);
    let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
    assert_eq!(token(&cluster).await, before, "it was handed on");
    let scripts = scripts_executed(&cluster.nodes()[0]).await;
    eventually("it is renewed", async || {
        let seen = scripts_executed(&cluster.nodes()[0]).await;
        if seen >= scripts + 3 { Ok(()) } else { Err(seen) }
    })
    .await;
    assert!(guard.warning().is_none(), "{:?}", guard.warning());
    guard.extend(3 * TTL).await.unwrap();
    assert!(guard.remaining() > 2 * TTL, "{:?}", guard.remaining());
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

/// No node answers while it is on its way: so whatever the old holder hears by
/// then, it hears before the new one has the lock.
#[tokio::test]
async fn the_old_holder_hears_of_its_end_before_the_new_one_has_the_lock() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for dropped in [true, false] {
        let held = redlock.lock("job").await.unwrap();
        everywhere(&held, &cluster).await;
        let (before, lost) = (token(&cluster).await, held.lost_token());
        let mut waiting = ask(redlock.lock("job"));
        for node in cluster.nodes() {
            node.pause().await.unwrap();
        }
        assert!(!lost.is_cancelled());
        let releasing = if dropped {
            drop(held);
            None
        } else {
            let mut releasing = Box::pin(held.release());
            assert!((&mut releasing).now_or_never().is_none());
            Some(releasing)
        };
        within(LIMIT, "the old holder is told", lost.cancelled()).await;
        assert!((&mut waiting).now_or_never().is_none(), "no node has answered");
        for node in cluster.nodes() {
            node.resume().await.unwrap();
        }
        let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
        if let Some(releasing) = releasing {
            assert_eq!(releasing.await.unwrap(), Released::Released);
        }
        assert_eq!(token(&cluster).await, before, "it was handed on");
        guard.release().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn work_that_has_ended_sees_that_its_lock_is_another_ones() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (show, shown) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let work = tokio::spawn(redlock.lock("job").run(|held| async move {
        show.send(held).unwrap();
        stopped.await
    }));
    let held = within(LIMIT, "it runs", shown).await.unwrap();
    let waiting = ask(redlock.lock("job"));
    assert!(held.is_held());
    stop.send(()).unwrap();
    let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
    assert!(!held.is_held() && held.lost_token().is_cancelled(), "{held:?}");
    assert_eq!(held.ensure(ms(0)).unwrap_err().kind(), ErrorKind::Lost);
    assert!(guard.is_held());
    work.await.unwrap().expect("it was held to the end").unwrap();
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

/// The token of each of so many holders in turn, all of one client.
async fn tokens(hand_overs: u32, holders: usize) -> Vec<Vec<u8>> {
    let cluster = start(3).await;
    let redlock = builder(&cluster).hand_overs(hand_overs).build().unwrap();
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let waiting = ask_in_turn(&redlock, "job", holders);
    held.release().await.unwrap();
    let mut tokens = Vec::new();
    for waiting in waiting {
        let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
        everywhere(&guard, &cluster).await;
        tokens.push(token(&cluster).await);
        guard.release().await.unwrap();
    }
    finish(&redlock, &cluster).await;
    tokens
}

/// How many holders each token had.
async fn runs(hand_overs: u32, holders: usize) -> Vec<usize> {
    let tokens = tokens(hand_overs, holders).await;
    tokens.chunk_by(|a, b| a == b).map(<[_]>::len).collect()
}

/// A row ends by time, too, and on a loaded machine perhaps sooner than by its number: so
/// none is ever longer, and where there is time it is as long.
async fn as_long_as(hand_overs: u32, holders: usize, wanted: &[usize]) {
    let longest = hand_overs as usize + 1;
    eventually("rows end by their number", async || {
        let runs = runs(hand_overs, holders).await;
        assert!(runs.iter().all(|run| *run <= longest), "{runs:?}");
        if runs == wanted { Ok(()) } else { Err(runs) }
    })
    .await;
}

#[tokio::test]
async fn a_lock_is_handed_on_so_many_times_in_a_row_and_then_released_to_all() {
    as_long_as(2, 8, &[2, 3, 3]).await; // the first one's own holder came before
    as_long_as(16, 4, &[4]).await;
    assert_eq!(runs(0, 5).await, [1; 5]);
}

#[tokio::test]
async fn an_adopted_lock_is_released_and_not_handed_on() {
    let cluster = start(3).await;
    // Who has tried in vain stands in line until it is told.
    let pause = 10_000 * LIMIT;
    let redlock = builder(&cluster).retry_delay(pause, pause).build().unwrap();
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let before = token(&cluster).await;
    let adopted = redlock.adopt(held.into_parts()).unwrap();
    let asked_before = asked(&cluster).await;
    let waiting = ask(redlock.lock("job"));
    eventually("the waiter tries", async || {
        let asked = asked(&cluster).await;
        if asked >= asked_before + 3 { Ok(()) } else { Err(asked) }
    })
    .await;
    seen(&redlock).await;
    assert_eq!(adopted.release().await.unwrap(), Released::Released);
    let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
    everywhere(&guard, &cluster).await;
    assert_ne!(token(&cluster).await, before, "who gave it away may still have that token");
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn one_node_that_is_dead_or_hangs_keeps_nobody_waiting() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for kills in [true, false] {
        connect(&redlock, 3).await;
        let held = redlock.lock("job").await.unwrap();
        everywhere(&held, &cluster).await;
        let before = token(&cluster).await;
        let node = &cluster.nodes()[2];
        if kills {
            node.kill().await.unwrap()
        } else {
            node.pause().await.unwrap()
        }
        let waiting = ask(redlock.lock("job"));
        let released = within(WITHOUT_WAITING, "two are enough", held.release()).await;
        assert_eq!(released.unwrap(), Released::Released);
        let guard = within(WITHOUT_WAITING, "and for the next", waiting).await.unwrap();
        assert_eq!(token(&cluster).await, before, "it was handed on");
        let released = within(WITHOUT_WAITING, "it is released too", guard.release()).await;
        assert_eq!(released.unwrap(), Released::Released);
        if kills { node.restart().await.unwrap() } else { node.resume().await.unwrap() }
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn where_a_majority_hangs_both_are_told_in_time_and_nothing_is_left() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(500)).build().unwrap();
    connect(&redlock, 3).await;
    let held = redlock.lock("job").wait(LIMIT).await.unwrap();
    everywhere(&held, &cluster).await;
    let hung = &cluster.nodes()[1..];
    for node in hung {
        node.pause().await.unwrap();
    }
    let waiting = ask(redlock.lock("job").wait(ms(1000)));
    let error = within(WITHOUT_WAITING, "it is told", held.release()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    let error_of_next = within(LIMIT, "the wait ends", waiting).await.unwrap_err();
    let kinds = [ErrorKind::NoQuorum, ErrorKind::Timeout];
    assert!(kinds.contains(&error_of_next.kind()), "{error_of_next:?}");
    for node in hung {
        assert!(error.to_string().contains(&node.address()), "{error}");
        node.resume().await.unwrap();
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_next_holder_that_is_dropped_at_any_poll_leaves_the_lock_to_the_one_after_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    for_every_number_of_polls(async |polls| {
        let held = redlock.lock("job").await.unwrap();
        let mut next = ask(redlock.lock("job"));
        let after = ask(redlock.lock("job"));
        drop(held);
        let got = poll_times(&mut next, polls).await;
        let completed = got.is_some();
        drop((got, next));
        let guard = within(LIMIT, "the one after it gets it", after).await.unwrap();
        assert!(guard.is_held());
        drop(guard);
        gone(cluster.nodes(), "job").await;
        completed
    })
    .await;
    finish(&redlock, &cluster).await;
}

/// Handing it on takes up to half a node timeout: here that is longer than the
/// lock lasts.
#[tokio::test]
async fn a_lock_whose_time_is_nearly_over_is_not_handed_on() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(5000)).build().unwrap();
    connect(&redlock, 3).await;
    let held = redlock.lock("job").ttl(ms(2400)).await.unwrap();
    everywhere(&held, &cluster).await;
    let before = token(&cluster).await;
    let waiting = ask(redlock.lock("job"));
    assert_eq!(held.release().await.unwrap(), Released::Released);
    let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
    everywhere(&guard, &cluster).await;
    assert_ne!(token(&cluster).await, before, "it was released");
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_lock_whose_key_is_gone_is_not_handed_on() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let before = token(&cluster).await;
    let waiting = ask(redlock.lock("job"));
    set_up(&cluster.nodes()[1..], "DEL job").await;
    assert_eq!(held.release().await.unwrap(), Released::AlreadyExpired);
    let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
    everywhere(&guard, &cluster).await;
    assert_ne!(token(&cluster).await, before);
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}
