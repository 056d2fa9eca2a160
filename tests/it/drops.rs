//! Guards that are dropped: wherever that happens, the lock is released.

use redlock_quorum::{Redlock, Released, testing::Cluster};

use crate::support::{LIMIT, builder, client, finish, start};

/// On every node the release is ahead of whatever is asked for after it, so the
/// same client finds the lock free.
async fn the_next_attempt_finds_it_free(scripts_known: bool) {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    if scripts_known {
        redlock.lock("first").await.unwrap().release().await.unwrap();
        redlock.shutdown(LIMIT).await.unwrap();
    }
    let redlock = client(&cluster);
    drop(redlock.lock("job").await.unwrap());
    let guard = redlock.try_lock("job").await.unwrap();
    assert_eq!(guard.release().await.unwrap(), Released::Released);
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_dropped_guard_is_released_before_the_next_attempt() {
    the_next_attempt_finds_it_free(true).await;
}

#[tokio::test]
async fn a_dropped_guard_is_released_before_the_next_attempt_also_on_new_servers() {
    the_next_attempt_finds_it_free(false).await;
}

#[tokio::test]
async fn a_guard_dropped_outside_any_runtime_releases() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    std::thread::spawn(move || drop(guard)).join().unwrap();
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_guard_in_a_task_that_panics_releases() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    let task = tokio::spawn(async move {
        let _held = guard;
        panic!("meant to: the guard is dropped while the task unwinds");
    });
    assert!(task.await.unwrap_err().is_panic());
    finish(&redlock, &cluster).await;
}

#[tokio::test]
async fn a_guard_in_a_task_that_is_aborted_releases() {
    let cluster = start(3).await;
    let redlock = client(&cluster);
    let guard = redlock.lock("job").await.unwrap();
    let task = tokio::spawn(async move {
        let _held = guard;
        std::future::pending::<()>().await;
    });
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    finish(&redlock, &cluster).await;
}

const TASKS: usize = 64;
const LOCKS_EACH: usize = 200;

/// Many tasks lock keys of their own, again and again.
async fn lock_a_lot(redlock: &Redlock, dropped: bool) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let redlock = redlock.clone();
        tasks.spawn(async move {
            for turn in 0..LOCKS_EACH {
                // A dropped guard's key may be on its way out: not the same.
                let guard = redlock.try_lock(format!("job-{task}-{}", turn % 16)).await.unwrap();
                if dropped {
                    drop(guard);
                } else {
                    assert_eq!(guard.release().await.unwrap(), Released::Released);
                }
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
}

async fn many_tasks(cluster: &Cluster, redlock: &Redlock, dropped: bool) {
    lock_a_lot(redlock, dropped).await;
    redlock.shutdown(2 * LIMIT).await.unwrap();
    finish(redlock, cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_locks_released_leave_no_key() {
    let cluster = start(3).await;
    many_tasks(&cluster, &client(&cluster), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_locks_released_by_a_driver_thread_leave_no_key() {
    let cluster = start(3).await;
    many_tasks(&cluster, &builder(&cluster).driver_thread().build().unwrap(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_guards_dropped_leave_no_key() {
    let cluster = start(3).await;
    many_tasks(&cluster, &client(&cluster), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousands_of_guards_dropped_to_a_driver_thread_leave_no_key() {
    let cluster = start(3).await;
    many_tasks(&cluster, &builder(&cluster).driver_thread().build().unwrap(), true).await;
}
