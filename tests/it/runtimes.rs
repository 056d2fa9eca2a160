//! Where the driver runs, and what happens when that place ends or stalls.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use futures_util::FutureExt as _;
use redlock_quorum::{Builder, ErrorKind, Released};
use tokio::runtime::{self, Runtime};

use crate::support::{
    LIMIT, TTL, assert_no_keys, builder, client, connect, eventually, finish, ms, start,
};

/// Polls `future` on this thread, with no runtime anywhere.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(LIMIT);
    }
}

/// Runs `work` on a thread that knows no runtime.
async fn outside_any_runtime(work: impl FnOnce() + Send + 'static) {
    let thread = thread::spawn(work);
    tokio::task::spawn_blocking(move || thread.join()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_built_outside_any_runtime_needs_none() {
    let cluster = start(3).await;
    let builder = builder(&cluster);
    outside_any_runtime(|| {
        let redlock = builder.build().unwrap();
        block_on(async {
            let guard = redlock.lock("job").await.unwrap();
            guard.extend(2 * LIMIT).await.unwrap();
            assert_eq!(redlock.try_lock("job").await.unwrap_err().kind(), ErrorKind::Contended);
            assert_eq!(guard.release().await.unwrap(), Released::Released);
            drop(redlock.lock("job").await.unwrap());
            redlock.shutdown(LIMIT).await.unwrap();
        });
    })
    .await;
    assert_no_keys(&cluster).await;
}

/// The guard outlives the runtime that its client was built in.
fn outlive_the_runtime(builder: Builder) {
    let runtime = Runtime::new().unwrap();
    let (redlock, guard) = runtime.block_on(async {
        let redlock = builder.build().unwrap();
        let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
        (redlock, guard)
    });
    drop(runtime);
    let outcome = block_on(redlock.try_lock("other").into_future());
    if let Err(error) = outcome {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    }
    drop(guard);
}

#[tokio::test]
async fn with_a_driver_thread_a_guard_that_outlives_its_runtime_is_released() {
    let cluster = start(3).await;
    let builder = builder(&cluster).driver_thread();
    outside_any_runtime(|| outlive_the_runtime(builder)).await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn without_one_its_key_ends_with_the_ttl_and_nothing_panics() {
    let cluster = start(3).await;
    let builder = builder(&cluster).ttl(ms(1000));
    outside_any_runtime(|| outlive_the_runtime(builder)).await;
    assert_no_keys(&cluster).await;
}

/// The guard is in a task that the runtime drops when it ends.
fn end_with_the_runtime(builder: Builder) {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let redlock = builder.build().unwrap();
        let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
        tokio::spawn(async move {
            let _held = (guard, redlock);
            std::future::pending::<()>().await;
        });
    });
    drop(runtime);
}

#[tokio::test]
async fn with_a_driver_thread_a_guard_that_ends_with_its_runtime_is_released() {
    let cluster = start(3).await;
    let builder = builder(&cluster).driver_thread();
    outside_any_runtime(|| end_with_the_runtime(builder)).await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn without_one_a_guard_that_ends_with_its_runtime_does_not_panic() {
    let cluster = start(3).await;
    let builder = builder(&cluster).ttl(ms(1000));
    outside_any_runtime(|| end_with_the_runtime(builder)).await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_call_that_waits_when_the_runtime_ends_is_told_so() {
    let cluster = start(3).await;
    let builder = builder(&cluster).ttl(ms(1000));
    outside_any_runtime(|| {
        let runtime = Runtime::new().unwrap();
        let (redlock, guard) = runtime.block_on(async {
            let redlock = builder.build().unwrap();
            let guard = redlock.lock("job").ttl(LIMIT).wait(LIMIT).await.unwrap();
            (redlock, guard)
        });
        let mut waiting = redlock.lock("job").into_future();
        assert!((&mut waiting).now_or_never().is_none(), "it is held");
        drop(runtime);
        for error in [block_on(waiting).unwrap_err(), block_on(guard.release()).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Closed);
            assert!(error.to_string().contains("with the runtime"), "{error}");
        }
    })
    .await;
    crate::support::run_on(cluster.nodes(), "DEL job").await;
    assert_no_keys(&cluster).await;
}

#[tokio::test]
async fn a_runtime_without_timers_or_sockets_is_an_error_and_no_panic() {
    let cluster = start(1).await;
    let builder = builder(&cluster);
    outside_any_runtime(|| {
        let bare = runtime::Builder::new_current_thread().build().unwrap();
        let outcome = bare.block_on(async {
            match builder.build() {
                Ok(redlock) => redlock.try_lock("job").await.map(drop),
                Err(error) => Err(error),
            }
        });
        if let Err(error) = outcome {
            assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
        }
    })
    .await;
    assert_no_keys(&cluster).await;
}

/// Blocks this thread, and so the runtime of a test with one thread: what a
/// careless caller does. Not a wait for anything.
fn stall(time: Duration) {
    thread::park_timeout(time);
}

#[tokio::test]
async fn a_stalled_runtime_does_not_make_its_nodes_late() {
    let cluster = start(3).await;
    let redlock = builder(&cluster).node_timeout(ms(1500)).build().unwrap();
    // One round trip from now on: connections are made and scripts known.
    eventually("extended and released everywhere", async || {
        let guard = redlock.lock("first").wait(LIMIT).await?;
        guard.extend(2 * TTL).await?;
        guard.release().await.map(drop)
    })
    .await;
    redlock.lock("first").wait(LIMIT).await.unwrap().release().await.unwrap();

    let mut locking = redlock.try_lock("job").into_future();
    assert!((&mut locking).now_or_never().is_none());
    tokio::task::yield_now().await; // the driver sends it
    stall(ms(2000)); // the nodes answer, the answers wait to be read
    let guard = locking.await.expect("all nodes answered in time");

    let mut extending = Box::pin(guard.extend(2 * TTL));
    assert!((&mut extending).now_or_never().is_none());
    tokio::task::yield_now().await;
    stall(ms(2000));
    extending.await.expect("all nodes answered in time");
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

/// A test's paused clock stands still while nothing else is to be done, or jumps: calls end by
/// real time all the same.
#[tokio::test]
async fn a_paused_clock_ends_calls_instead_of_hanging_them() {
    let cluster = start(1).await;
    let redlock = builder(&cluster).ttl(LIMIT).build().unwrap();
    let guard = redlock.lock("job").wait(LIMIT).await.unwrap();
    cluster.nodes()[0].pause().await.unwrap();
    tokio::time::pause();
    let error = guard.release().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoQuorum, "{error}");
    tokio::time::resume();
    cluster.nodes()[0].resume().await.unwrap();
    assert_no_keys(&cluster).await;
}

/// Nor does it keep the driver busy: what waits for a lock under a paused clock gets it when the
/// lock has ended, by the real time of the server, and the runtime sleeps meanwhile.
#[tokio::test]
async fn under_a_paused_clock_locks_end_in_real_time_and_nothing_spins() {
    let cluster = start(1).await;
    let redlock = client(&cluster);
    connect(&redlock, 1).await;
    redlock.lock("job").ttl(ms(1000)).await.unwrap().forget();
    let metrics = tokio::runtime::Handle::current().metrics();
    tokio::time::pause();
    let before = metrics.worker_park_count(0);
    let guard = redlock.lock("job").await.unwrap();
    let parked = metrics.worker_park_count(0) - before;
    tokio::time::resume();
    // A driver that spins sleeps a hundred thousand times in a second.
    assert!(parked < 5_000, "it slept {parked} times");
    guard.release().await.unwrap();
    finish(&redlock, &cluster).await;
}
