//! Renewal: a lock outlives its ttl while it is wanted, and not longer.

use std::{thread, time::Duration};

use redlock_quorum::{LockGuard, Released, testing::TestNode};

use tracing::Level;

use crate::printed::Printed;
use crate::support::{
    LIMIT, assert_no_keys, builder, client, eventually, everywhere, finish, ms, run,
    scripts_executed, set_up, start,
};

/// Short, so that a test sees several of them pass; long enough for a loaded
/// machine to renew in time.
const TTL: Duration = ms(3000);

async fn renewed(node: &TestNode, times: u64) {
    eventually("it is renewed", async || match scripts_executed(node).await {
        seen if seen >= times => Ok(()),
        seen => Err(seen),
    })
    .await;
}

async fn warned(guard: &LockGuard, is: bool) {
    eventually("a renewal fails, or succeeds again", async || match guard.warning() {
        warning if warning.is_some() == is => Ok(()),
        warning => Err(format!("{warning:?}")),
    })
    .await;
}

async fn lost(guard: &LockGuard) {
    tokio::time::timeout(LIMIT, guard.lost()).await.expect("the loss is noticed");
    assert!(!guard.is_held());
}

#[tokio::test]
async fn a_renewed_lock_outlives_its_ttl() {
    for nodes in [1, 3] {
        let cluster = start(nodes).await;
        let redlock = client(&cluster);
        let guard = redlock.lock("job").ttl(TTL).renew_every(TTL / 12).await.unwrap();
        renewed(&cluster.nodes()[0], 14).await; // more than a ttl
        assert!(guard.is_held());
        assert!(guard.warning().is_none(), "{:?}", guard.warning());
        assert_eq!(guard.release().await.unwrap(), Released::Released);
        finish(&redlock, &cluster).await;
    }
}

#[tokio::test]
async fn renewals_that_fail_in_a_row_are_logged_once_and_so_is_the_one_that_succeeds() {
    let printed = Printed::default();
    let _logging = printed.log(Level::INFO);
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(800)).build().unwrap();
    let guard = redlock.lock("job").ttl(2 * TTL).renew_every(TTL / 12).await.unwrap();
    let majority = &cluster.nodes()[..2];
    for node in majority {
        node.pause().await.unwrap();
    }
    warned(&guard, true).await;
    for node in majority {
        node.resume().await.unwrap();
    }
    warned(&guard, false).await;
    assert!(printed.lines_with(&["renewed again"]) >= 1);
    let failed = printed.lines_with(&["renewal failed"]);
    for node in majority {
        node.kill().await.unwrap();
    }
    // Until then it is tried some twenty times, the more often the less is left.
    lost(&guard).await;
    let more = printed.lines_with(&["renewal failed"]) - failed;
    assert!((1..5).contains(&more), "{more}");
    for node in majority {
        node.restart().await.unwrap();
    }
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_guard_can_be_renewed_later_and_asking_twice_is_asking_once() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").ttl(TTL).await.unwrap();
    guard.renew();
    guard.renew();
    renewed(&cluster.nodes()[0], 4).await; // more than a ttl
    assert!(guard.is_held());
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_renewal_goes_on_while_its_runtime_is_blocked_if_the_driver_has_a_thread() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).driver_thread().build().unwrap();
    let guard = redlock.lock("job").ttl(TTL).renew().await.unwrap();
    thread::park_timeout(TTL + TTL / 4); // this test's runtime has one thread: this one
    assert!(guard.is_held(), "{:?}", guard.warning());
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn what_is_released_is_not_renewed() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    let node = &cluster.nodes()[0];
    let guard = redlock.lock("job").ttl(TTL).renew_every(ms(50)).await.unwrap();
    renewed(node, 2).await;
    guard.release().await.unwrap();
    let after_release = scripts_executed(node).await;
    // A lock of another client at other servers, renewed at the same pace, is the clock here.
    let elsewhere = start(1).await;
    let clock = client(&elsewhere);
    let other = clock.lock("other").ttl(TTL).renew_every(ms(50)).await.unwrap();
    renewed(&elsewhere.nodes()[0], 5).await;
    assert_eq!(scripts_executed(node).await, after_release);
    drop(other);
    finish(&clock, &elsewhere).await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn what_is_forgotten_or_handed_over_is_not_renewed() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let forgotten = redlock.lock("job").ttl(TTL).renew().await.unwrap();
    let token = forgotten.lost_token();
    forgotten.forget();
    assert!(token.is_cancelled());
    assert_no_keys(&cluster).await; // it runs out

    let parts = redlock.lock("job").ttl(TTL).renew().await.unwrap().into_parts();
    drop(parts);
    assert_no_keys(&cluster).await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_hold_ends_within_a_ttl_of_its_limit() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").ttl(TTL).renew().max_hold(ms(100)).await.unwrap();
    lost(&guard).await;
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_failed_renewal_warns_and_the_next_one_takes_it_back() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").ttl(LIMIT).renew_every(ms(50)).await.unwrap();
    for node in &cluster.nodes()[1..] {
        node.pause().await.unwrap();
    }
    let warning = eventually("a warning", async || guard.warning().ok_or(())).await;
    assert!(guard.is_held(), "a warning is not the end");
    for node in &cluster.nodes()[1..] {
        assert!(warning.to_string().contains(&node.address()), "{warning}");
        node.resume().await.unwrap();
    }
    eventually("it is renewed again", async || guard.warning().map_or(Ok(()), Err)).await;
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_loss_is_noticed_whatever_the_cause() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (one, majority) = cluster.nodes().split_at(1);

    let guard = redlock.lock("deleted").ttl(LIMIT).renew_every(ms(50)).await.unwrap();
    everywhere(&guard, &cluster).await;
    // Again and again: between the two, the first may be healed.
    eventually("it is lost", async || {
        set_up(majority, "DEL deleted").await;
        if guard.is_held() { Err(()) } else { Ok(()) }
    })
    .await;
    lost(&guard).await;
    drop(guard);

    let guard = redlock.lock("taken").ttl(LIMIT).renew_every(ms(50)).await.unwrap();
    everywhere(&guard, &cluster).await;
    set_up(majority, "SET taken another").await;
    lost(&guard).await;
    assert_eq!(guard.release().await.unwrap(), Released::AlreadyExpired);
    assert_eq!(run(&majority[0], "DEL taken").await.as_int(), Some(1), "it is another's");
    set_up(cluster.nodes(), "DEL taken").await;

    let hung = redlock.lock("hung").ttl(TTL).renew().await.unwrap();
    for node in majority {
        node.pause().await.unwrap();
    }
    lost(&hung).await;
    drop(hung);
    for node in majority {
        node.resume().await.unwrap();
    }

    let killed = redlock.lock("killed").wait(LIMIT).ttl(TTL).renew().await.unwrap();
    for node in majority {
        node.kill().await.unwrap();
    }
    lost(&killed).await;
    drop(killed);
    for node in majority {
        node.restart().await.unwrap();
    }
    assert_no_keys(&cluster).await;
    assert_eq!(one.len(), 1);
}

#[tokio::test]
async fn without_renewal_a_loss_is_the_deadline() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").ttl(ms(1500)).wait(LIMIT).await.unwrap();
    guard.ensure(ms(1)).unwrap();
    let kind = |least| guard.ensure(least).unwrap_err().kind();
    assert_eq!(kind(LIMIT), redlock_quorum::ErrorKind::Expired);
    lost(&guard).await;
    assert!(guard.lost_token().is_cancelled());
    assert_eq!(kind(Duration::ZERO), redlock_quorum::ErrorKind::Lost);
    drop(guard);
    finish(&redlock, &cluster).await;
}
