//! `run`: work under a lock, stopped when the lock is lost, and always followed
//! by a release.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use futures_util::FutureExt as _;
use redlock_quorum::{ErrorKind, testing::TestNode};

use crate::support::{
    LIMIT, assert_no_keys, client, eventually, finish, ms, run, run_on, start, within,
};

/// Tells whether it was dropped.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

struct SetOnDrop(Flag);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.0.store(true, SeqCst);
    }
}

/// Deletes the lock's key on `nodes`, on each once it has come there.
async fn delete_everywhere(nodes: &[TestNode]) {
    for node in nodes {
        eventually("the key is there", async || match run(node, "DEL job").await.as_int() {
            Some(1) => Ok(()),
            seen => Err(seen),
        })
        .await;
    }
}

#[tokio::test]
async fn it_gives_what_the_work_gave_and_releases() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let other = client(&cluster);
    let seen = redlock
        .lock("job")
        .renew()
        .run(|held| async move {
            held.ensure(ms(1)).unwrap();
            other.try_lock("job").await.unwrap_err().kind()
        })
        .await
        .unwrap();
    assert_eq!(seen, ErrorKind::Contended, "it was locked while the work ran");
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn work_that_is_refused_its_lock_does_not_run() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    let outcome = redlock.try_lock("job").run(|_| async { unreachable!("it is held") }).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Contended);
    drop(guard);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_loss_stops_the_work() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let stopped = Flag::default();
    let on_drop = SetOnDrop(stopped.clone());
    let nodes = &cluster.nodes()[1..];
    let work = redlock.lock("job").ttl(LIMIT).renew_every(ms(50)).run(|_| async move {
        let _on_drop = on_drop;
        // A renewal between two deletions would heal the first node, and the lock go on.
        loop {
            run_on(nodes, "DEL job").await;
        }
    });
    let error = within(LIMIT, "the work is stopped", work).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
    assert!(error.nodes().len() == 3, "it says what each node said: {error:?}");
    assert!(stopped.0.load(SeqCst));
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn what_the_work_started_can_hear_of_the_loss() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let work = redlock.lock("job").ttl(ms(300)).wait(LIMIT).run(|held| async move {
        let token = held.lost_token();
        tokio::spawn(async move {
            token.cancelled().await;
            sender.send(held.is_held()).unwrap();
        });
        pending::<()>().await;
    });
    assert_eq!(work.await.unwrap_err().kind(), ErrorKind::Lost);
    let held = within(LIMIT, "the task hears of it", receiver).await.unwrap();
    assert!(!held);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_panic_and_a_drop_release() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let panicking = redlock.lock("job").renew().run(|_| async { panic!("meant to") });
    let outcome = std::panic::AssertUnwindSafe(panicking).catch_unwind().await;
    assert!(outcome.is_err());
    assert_no_keys(&cluster).await;

    let started = Flag::default();
    let flag = started.clone();
    let work = redlock.lock("job").renew().run(|_| async move {
        flag.0.store(true, SeqCst);
        pending::<()>().await;
    });
    tokio::select! {
        _ = work => unreachable!("it never ends"),
        () = eventually("it runs", async || {
            if started.0.load(SeqCst) { Ok(()) } else { Err(()) }
        }) => {}
    }
    assert_no_keys(&cluster).await;
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn work_that_outlasts_its_lock_by_a_moment_is_told_so() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let nodes = cluster.nodes();
    let outcome = redlock.lock("job").run(|_| delete_everywhere(nodes)).await;
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Lost);
    finish(&redlock, &cluster).await;
}
