//! How a loss is told: once, in time, with its cause, and by nobody but the
//! driver or the clock.

use std::thread;

use redlock_quorum::ErrorKind;
use tokio::runtime;

use crate::support::{
    LIMIT, TTL, builder, client, eventually, finish, ms, run, set_up, start, within,
};

#[tokio::test]
async fn a_renewal_that_is_asked_for_late_comes_in_time() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let ttl = ms(6000);
    let guard = redlock.lock("job").ttl(ttl).await.unwrap();
    let third = ttl / 3;
    eventually("less than an interval is left", async || match guard.remaining() {
        left if left < third => Ok(()),
        left => Err(left),
    })
    .await;
    guard.renew();
    eventually("it is renewed", async || match guard.remaining() {
        left if left > third => Ok(()),
        left => Err((left, guard.warning())),
    })
    .await;
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_validity_shorter_than_the_interval_is_renewed_too() {
    let cluster = start(1).await;
    let redlock = builder(&cluster).drift_per_mille(800).build().unwrap();
    let guard = redlock.lock("job").ttl(ms(10_000)).renew().await.unwrap();
    let first = guard.remaining(); // a fifth of the ttl, where a third is the interval
    eventually(
        "time has passed",
        async || {
            if guard.remaining() < first * 3 / 4 { Ok(()) } else { Err(()) }
        },
    )
    .await;
    eventually("it is renewed", async || {
        if guard.remaining() > first * 3 / 4 { Ok(()) } else { Err(guard.warning()) }
    })
    .await;
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_view_hears_of_the_end_though_nobody_looks() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").ttl(ms(300)).wait(LIMIT).await.unwrap();
    let held = guard.held();
    within(LIMIT, "the view's token", held.lost_token().cancelled()).await;
    assert!(!held.is_held());
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn the_holders_token_can_only_hear_of_a_loss_and_not_make_one() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let work = redlock.lock("job").run(|held| async move {
        held.lost_token().cancel();
        tokio::task::yield_now().await;
        assert!(!held.lost_token().is_cancelled());
        held.is_held()
    });
    assert!(work.await.unwrap());
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn who_finds_the_lock_expired_tells_everyone() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).driver_thread().build().unwrap();
    let guard = redlock.lock("job").ttl(ms(300)).wait(LIMIT).await.unwrap();
    let token = guard.lost_token();
    while guard.is_held() {
        thread::yield_now();
    }
    assert!(token.is_cancelled());
    drop(guard);
    finish(&redlock, &cluster).await;
}

/// The driver's runtime ends before it has heard of the wish to be told.
#[test]
fn with_the_driver_gone_a_loss_is_told_at_once() {
    let own = || runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (drivers, tests) = (own(), own());
    let cluster = tests.block_on(start(3));
    let (redlock, guard) = drivers.block_on(async {
        let redlock = client(&cluster);
        let guard = redlock.lock("job").await.unwrap();
        (redlock, guard)
    });
    let token = guard.lost_token(); // it waits in the queue
    drop(drivers);
    tests.block_on(async {
        within(LIMIT, "the loss is told", token.cancelled()).await;
        assert!(!guard.is_held());
        for node in cluster.nodes() {
            run(node, "DEL job").await;
        }
    });
    drop((guard, redlock));
}

#[tokio::test]
async fn work_that_ends_after_its_lock_and_its_driver_is_told_so() {
    let cluster = start(3).await;
    let drivers = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let drivers = drivers.unwrap();
    let builder = builder(&cluster);
    let redlock = drivers.spawn(async move { builder.build().unwrap() }).await.unwrap();
    let work = redlock.lock("job").ttl(ms(500)).wait(LIMIT).run(|held| async move {
        // All in one poll: nothing can stop it meanwhile.
        thread::spawn(move || drop(drivers)).join().unwrap();
        while held.is_held() {
            thread::yield_now();
        }
    });
    assert_eq!(work.await.unwrap_err().kind(), ErrorKind::Lost);
    crate::support::assert_no_keys(&cluster).await; // they run out
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cause_of_a_loss_is_there_when_the_loss_is_told() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).driver_thread().build().unwrap();
    for turn in 0..50 {
        let key = format!("job-{turn}");
        let (key, nodes) = (&key, cluster.nodes());
        let work = redlock.lock(key).ttl(TTL).renew_every(ms(20)).run(|_| async move {
            loop {
                set_up(nodes, &format!("DEL {key}")).await;
            }
        });
        let work: Result<(), _> = work.await;
        let error = work.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost);
        assert_eq!(error.nodes().len(), 3, "it says what each node said: {error}");
    }
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_limit_without_renewal_is_a_mistake_and_said_so() {
    let redlock = redlock_quorum::Redlock::builder().nodes(["redis://127.0.0.1:1"]).build();
    let error = redlock.unwrap().lock("job").max_hold(TTL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("renew"), "{error}");
}
