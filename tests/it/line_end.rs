//! What ends a line other than the lock, for those who stand in it: a shutdown,
//! dead nodes, a holder that lets go without a release.

use futures_util::{FutureExt as _, future::join_all};
use redlock_quorum::{ErrorKind, Released};

use crate::support::{
    LIMIT, TTL, ask, ask_in_turn, assert_no_keys, builder, client, connect, eventually, everywhere,
    finish, ms, run_on, seen, set_up, sets_executed, start, take_elsewhere, within,
};

async fn a_shutdown_tells_all(driver_thread: bool, ours: bool) {
    let cluster = start(3).await;
    let builder = builder(&cluster);
    let builder = if driver_thread { builder.driver_thread() } else { builder };
    let redlock = builder.build().unwrap();
    let holder = if ours { redlock.clone() } else { client(&cluster) };
    let held = holder.lock("job").await.unwrap();
    let mut waiting = ask_in_turn(&redlock, "job", 2);
    waiting.push(ask(redlock.lock("job").wait(TTL)));
    redlock.shutdown(LIMIT).await.unwrap();
    for outcome in within(LIMIT, "they are told", join_all(waiting)).await {
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Closed);
    }
    assert!(held.is_held());
    assert_eq!(held.release().await.unwrap(), Released::Released);
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_shutdown_tells_all_who_stand_in_line() {
    for ours in [true, false] {
        a_shutdown_tells_all(false, ours).await;
    }
}

#[tokio::test]
async fn a_shutdown_tells_them_also_where_the_driver_has_a_thread() {
    for ours in [true, false] {
        a_shutdown_tells_all(true, ours).await;
    }
}

/// So many that they would take longer than [`LIMIT`] if each of them waited
/// for a ttl of its own.
const MANY: usize = 40;

async fn a_dead_majority_is_no_quorum_for_all(ours: bool) {
    let cluster = start(3).await;
    let redlock = builder(&cluster).ttl(ms(1500)).node_timeout(ms(1000)).build().unwrap();
    connect(&redlock, 3).await;
    let holder = if ours { redlock.clone() } else { client(&cluster) };
    let held = holder.lock("job").ttl(TTL).await.unwrap();
    everywhere(&held, &cluster).await;
    let mut waiting = ask_in_turn(&redlock, "job", MANY);
    waiting.extend((0..10).map(|_| ask(redlock.lock("job").wait(ms(5000)))));
    eventually("the driver has seen them", async || redlock.try_lock("seen").await.map(drop)).await;
    for node in &cluster.nodes()[1..] {
        node.kill().await.unwrap();
    }
    let held = if ours {
        let error = held.release().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
        None
    } else {
        Some(held)
    };
    for outcome in within(LIMIT, "none hangs", join_all(waiting)).await {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    }
    for node in &cluster.nodes()[1..] {
        node.restart().await.unwrap();
    }
    drop(held);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn when_a_majority_dies_all_in_the_line_of_another_ones_lock_are_told() {
    a_dead_majority_is_no_quorum_for_all(false).await;
}

#[tokio::test]
async fn when_a_majority_dies_all_in_the_line_of_our_own_lock_are_told() {
    a_dead_majority_is_no_quorum_for_all(true).await;
}

#[tokio::test]
async fn who_stands_behind_a_forgotten_lock_competes_for_it() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let mut waiting = ask(redlock.lock("job"));
    let before = sets_executed(&cluster.nodes()[0]).await;
    held.forget();
    eventually("the waiter asks for it", async || {
        let sets = sets_executed(&cluster.nodes()[0]).await;
        if sets > before { Ok(()) } else { Err(sets) }
    })
    .await;
    assert!((&mut waiting).now_or_never().is_none(), "its key is still there");
    set_up(cluster.nodes(), "DEL job").await;
    let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_stands_behind_a_lock_that_was_given_away_gets_it_when_it_is_released_there() {
    let cluster = start(3).await;
    let (redlock, other) = (client(&cluster), client(&cluster));
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let mut waiting = ask_in_turn(&redlock, "job", 2);
    seen(&redlock).await;
    let adopted = other.adopt(held.into_parts()).unwrap();
    seen(&redlock).await;
    assert!((&mut waiting[0]).now_or_never().is_none(), "the other has it");
    assert_eq!(adopted.release().await.unwrap(), Released::Released);
    for waiting in waiting {
        let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
        assert_eq!(guard.release().await.unwrap(), Released::Released);
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_stands_behind_a_lock_whose_key_is_gone_gets_it_at_its_release() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let waiting = ask(redlock.lock("job"));
    set_up(cluster.nodes(), "DEL job").await;
    assert_eq!(held.release().await.unwrap(), Released::AlreadyExpired);
    let guard = within(LIMIT, "the next one's turn", waiting).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_stands_behind_a_lock_that_another_has_taken_by_force_waits_for_that_one() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let held = redlock.lock("job").await.unwrap();
    everywhere(&held, &cluster).await;
    let mut waiting = ask(redlock.lock("job"));
    set_up(cluster.nodes(), "DEL job").await;
    take_elsewhere(cluster.nodes(), "job").await;
    assert_eq!(held.release().await.unwrap(), Released::AlreadyExpired);
    assert!((&mut waiting).now_or_never().is_none(), "another has it");
    run_on(cluster.nodes(), "DEL job").await;
    let guard = within(LIMIT, "it is free now", waiting).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

/// Nobody is before who comes now: the one who was is gone.
#[tokio::test]
async fn who_comes_after_one_that_was_dropped_tries_at_once() {
    let cluster = start(3).await;
    let pause = 20 * LIMIT;
    let redlock = builder(&cluster).retry_delay(pause, pause).build().unwrap();
    connect(&redlock, 3).await;
    take_elsewhere(cluster.nodes(), "job").await;
    let before = sets_executed(&cluster.nodes()[0]).await;
    let mut gone = ask(redlock.lock("job"));
    eventually("it has tried", async || {
        let sets = sets_executed(&cluster.nodes()[0]).await;
        if sets > before { Ok(()) } else { Err(sets) }
    })
    .await;
    seen(&redlock).await;
    assert!((&mut gone).now_or_never().is_none());
    drop(gone);
    run_on(cluster.nodes(), "DEL job").await; // another library tells nobody
    let locking = redlock.lock("job").into_future();
    let guard = within(LIMIT, "it is free", locking).await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}
