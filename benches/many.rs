//! Very many locks, held at once.

use std::{
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::task::JoinSet;

use crate::{common::Result, contenders::Locker};

/// How often each lock is tried for. Where others keep the machine busy, a
/// client may run into a timeout.
const ATTEMPTS: usize = 5;

/// Acquires one for each number, so many `tasks` at once. The locks are in
/// memory that was made for that many.
pub async fn acquire_many<L: Locker>(
    locker: &L,
    numbers: Range<usize>,
    tasks: usize,
) -> Result<Vec<L::Held>> {
    let all = Arc::new(Mutex::new(Vec::with_capacity(numbers.len())));
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (locker, all, next) = (locker.clone(), Arc::clone(&all), Arc::clone(&next));
        running.spawn(async move {
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= numbers.end {
                    return Result::Ok(());
                }
                let held = acquire(&locker, &format!("held:{number:08}")).await?;
                all.lock().unwrap_or_else(PoisonError::into_inner).push(held);
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *all))
}

async fn acquire<L: Locker>(locker: &L, key: &str) -> Result<L::Held> {
    let mut attempt = 1;
    loop {
        match locker.acquire(key).await {
            Err(error) if attempt < ATTEMPTS => eprintln!("{key}, attempt {attempt}: {error}"),
            result => return result,
        }
        attempt += 1;
    }
}

/// Releases all, so many `tasks` at once; how many releases failed.
pub async fn release_many<L: Locker>(locker: &L, all: Vec<L::Held>, tasks: usize) -> u64 {
    let all = Arc::new(Mutex::new(all));
    let mut running = JoinSet::new();
    for _ in 0..tasks {
        let (locker, all) = (locker.clone(), Arc::clone(&all));
        running.spawn(async move {
            let next = || all.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut failed = 0;
            while let Some(held) = next() {
                if let Err(error) = locker.release(held).await {
                    eprintln!("a release: {error}");
                    failed += 1;
                }
            }
            failed
        });
    }
    running.join_all().await.into_iter().sum()
}
